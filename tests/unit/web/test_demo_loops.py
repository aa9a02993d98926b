"""Encoded loops: what they hold, and that damaged files are noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sfu.ids import Codec
from web.demo.loops import (
    Loop,
    VideoSize,
    encode_h264,
    encode_opus,
    encode_vp8,
    load_loops,
    save_loops,
)

PICTURES = [np.full((48, 64, 3), value, np.uint8) for value in range(0, 250, 25)]
KEPT = {
    "a": Loop(Codec.VP8, 20, (b"key", b"", b"delta"), (True, False, False)),
    "b": Loop(Codec.OPUS, 50, (b"x",), (True,)),
}


def test_video_has_a_key_frame_every_two_seconds() -> None:
    sizes = [VideoSize(32, 24, 50_000), VideoSize(64, 48, 100_000)]
    low, high = encode_vp8(iter(PICTURES), 2, sizes)
    assert low.codec is Codec.VP8 and len(low.frames) == len(high.frames) == 10
    assert [index for index, is_key in enumerate(high.keys) if is_key] == [0, 4, 8]
    assert [high.key_before(index) for index in (0, 3, 4, 9)] == [0, 0, 4, 8]


def test_camera_video_holds_its_parameter_sets() -> None:
    loop = encode_h264(iter(PICTURES), 5, VideoSize(64, 48, 100_000))
    assert len(loop.frames) == 10 and loop.keys[0]
    assert loop.frames[0].startswith(b"\x00\x00\x00\x01\x67")


def test_sound_is_cut_into_packets_of_20_ms() -> None:
    loop = encode_opus(np.zeros(48_000))
    assert len(loop.frames) == loop.rate_hz == 50 and all(loop.keys)


def test_loops_are_kept_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "media.npz"
    assert load_loops(path) is None
    save_loops(path, KEPT)
    assert load_loops(path) == KEPT
    assert list(path.parent.iterdir()) == [path]


def test_damaged_files_count_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "media.npz"
    save_loops(path, KEPT)
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[: len(whole) // 2],
        b"junk" * 100,
        whole.replace(b"keydelta", b"keydelt_"),
    ):
        path.write_bytes(damaged)
        assert load_loops(path) is None
