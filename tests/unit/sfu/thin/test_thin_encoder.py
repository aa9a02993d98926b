"""What comes out is small, slow, decodable and begins anew when somebody asks."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from sfu.ids import Codec
from sfu.thin.encoder import THIN_BPS, ThinEncoder

DECODERS = {Codec.VP8: "vp8", Codec.H264: "h264"}


def picture(number: int, width: int = 640, height: int = 360) -> VideoFrame:
    rng = np.random.default_rng(7)
    coarse = rng.integers(30, 220, (height // 8, 2 * width // 8), np.uint8)
    texture = coarse.repeat(8, 0).repeat(8, 1)
    shift = 2 * number % width
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = texture[:, shift : shift + width]
    return VideoFrame.from_ndarray(planes, "yuv420p")


def encode(codec: Codec, seconds: float, *, frames_per_s: int = 30) -> list[tuple[int, bytes]]:
    encoder = ThinEncoder(codec)
    made = []
    for number in range(round(seconds * frames_per_s)):
        at_us = 5_000_000 + number * 1_000_000 // frames_per_s
        made += [(at_us, data) for data in encoder.encode(picture(number), at_us)]
    return made


def is_key(codec: Codec, data: bytes) -> bool:
    if codec is Codec.VP8:
        return not data[0] & 1
    return b"\x00\x00\x01\x65" in data or b"\x00\x00\x01\x67" in data


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_a_camera_becomes_small_and_slow(codec: Codec) -> None:
    made = encode(codec, 6)
    assert 45 <= len(made) <= 62
    assert sum(len(data) for _, data in made) * 8 / 6 < 1.1 * THIN_BPS
    decoder = av.CodecContext.create(DECODERS[codec], "r")
    shown = [frame for _, data in made for frame in decoder.decode(av.Packet(data))]  # type: ignore[attr-defined]
    assert {(frame.width, frame.height) for frame in shown} == {(320, 180)}
    assert len(shown) >= len(made) - 1


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_key_frames_come_first_when_asked_for_and_seldom_besides(codec: Codec) -> None:
    made = encode(codec, 22)
    keys = [at_us for at_us, data in made if is_key(codec, data)]
    assert keys[0] == made[0][0] and len(keys) == 2
    encoder = ThinEncoder(codec)
    asked = [
        encoder.encode(picture(number), 5_000_000 + number * 100_000, is_key=number == 7)
        for number in range(12)
    ]
    assert [number for number, (data,) in enumerate(asked) if is_key(codec, data)] == [0, 7]


def test_a_slow_camera_is_not_slowed_further() -> None:
    assert len(encode(Codec.VP8, 4, frames_per_s=5)) == 20


def test_a_turned_phone_goes_on_with_a_key_frame() -> None:
    encoder = ThinEncoder(Codec.VP8)
    encoder.encode(picture(0), 1_000_000)
    [turned] = encoder.encode(picture(1, 360, 640), 1_100_000)
    assert is_key(Codec.VP8, turned)


def test_a_clock_that_steps_back_stops_nothing() -> None:
    encoder = ThinEncoder(Codec.VP8)
    assert encoder.encode(picture(0), 9_000_000)
    assert encoder.encode(picture(1), 1_000_000)


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_a_new_scene_takes_no_more_than_a_key_frame(codec: Codec) -> None:
    encoder = ThinEncoder(codec)
    rng = np.random.default_rng(3)
    noise = rng.integers(20, 235, (540, 640), np.uint8)
    made = []
    for number in range(40):
        shown = VideoFrame.from_ndarray(noise, "yuv420p") if number == 30 else picture(number)
        [data] = encoder.encode(shown, 1_000_000 + number * 100_000)
        made.append(data)
    assert len(made[30]) <= 4_500
    decoder = av.CodecContext.create(DECODERS[codec], "r")
    shown = [frame for data in made for frame in decoder.decode(av.Packet(data))]  # type: ignore[attr-defined]
    assert len(shown) >= len(made) - 1
