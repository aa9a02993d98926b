"""VP8 sizes, H.264 parameter sets, Opus durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_media import encode_audio, encode_video

from recorder.finish.bitstream import (
    OPUS_SILENCE,
    h264_parameter_sets,
    opus_duration_us,
    vp8_size,
)
from sfu.ids import Codec


def test_a_vp8_key_frame_tells_its_size_and_others_do_not() -> None:
    frames = encode_video(Codec.VP8, 3, size=(320, 180))
    assert vp8_size(frames[0].data) == (320, 180)
    assert vp8_size(frames[1].data) is None
    assert vp8_size(frames[0].data[:9]) is None


def test_h264_parameter_sets_are_found_with_either_start_code() -> None:
    sps, pps, idr = b"\x67\x42\x00\x0d\xaa", b"\x68\xce\x06", b"\x65\x88\x80"
    wanted = b"\x00\x00\x00\x01" + sps + b"\x00\x00\x00\x01" + pps
    for code in (b"\x00\x00\x01", b"\x00\x00\x00\x01"):
        assert h264_parameter_sets(code + sps + code + pps + code + idr) == wanted
    assert h264_parameter_sets(b"\x00\x00\x01" + sps + b"\x00\x00\x01" + idr) is None
    assert h264_parameter_sets(encode_video(Codec.H264, 1)[0].data) is not None


@pytest.mark.parametrize(
    ("packet", "duration_us"),
    [
        (OPUS_SILENCE, 20_000),
        (bytes([3 << 3]), 60_000),
        (bytes([13 << 3 | 1]), 40_000),
        (bytes([16 << 3 | 2]), 5_000),
        (bytes([1 << 3 | 3, 6]), 120_000),
        (bytes([3 << 3 | 3, 63]), 0),
        (bytes([1 << 3 | 3]), 0),
        (b"", 0),
    ],
)
def test_opus_durations(packet: bytes, duration_us: int) -> None:
    assert opus_duration_us(packet) == duration_us


def test_a_real_opus_packet_lasts_20_ms() -> None:
    assert {opus_duration_us(packet.data) for packet in encode_audio(5)} == {20_000}


@given(st.binary(max_size=64))
def test_garbage_is_harmless(garbage: bytes) -> None:
    vp8_size(garbage)
    h264_parameter_sets(garbage)
    assert 0 <= opus_duration_us(garbage) <= 120_000
