"""The writer thread: order, bounds, and a disk that fails."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from recorded_media import encode_audio, to_frames

from recorder.errors import disk_reason
from recorder.manifest import load_manifest
from recorder.segment import ClockReading, Note, scan_segment
from recorder.writer import SegmentWriter
from sfu.ids import Codec

FRAMES = list(to_frames(encode_audio(20), Codec.OPUS))


def open_writer(path: Path, failures: list[str], **options: int) -> SegmentWriter:
    settings = {"max_pending_bytes": 1_000_000, "min_free_bytes": 0, **options}
    return SegmentWriter(path, sync_s=0.05, on_failed=failures.append, **settings)


def test_everything_handed_over_is_on_the_disk_after_close(tmp_path: Path) -> None:
    failures: list[str] = []
    writer = open_writer(tmp_path, failures)
    writer.open_segment("a", {"track": "a"})
    writer.write_clock("a", ClockReading(1, 2))
    assert writer.write_frames("a", FRAMES[:10])
    writer.write_note("a", Note(5, "muted"))
    assert writer.write_frames("a", FRAMES[10:])
    writer.write_frames("nobody", FRAMES[:1])
    assert writer.close(5.0)
    scan = scan_segment(tmp_path / "a.seg")
    assert [frame.ts_rtp_ext for frame in scan.frames] == [frame.ts_rtp_ext for frame in FRAMES]
    assert (scan.header, scan.clocks, len(scan.notes)) == ({"track": "a"}, [ClockReading(1, 2)], 1)
    assert writer.written_bytes == (tmp_path / "a.seg").stat().st_size
    assert failures == []


def test_a_slow_disk_costs_counted_frames_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    sync = os.fdatasync

    def hang(handle: int) -> None:
        may_go_on.wait(10)
        sync(handle)

    monkeypatch.setattr(os, "fdatasync", hang)
    size = sum(len(frame.data) for frame in FRAMES)
    writer = open_writer(tmp_path, [], max_pending_bytes=3 * size)
    writer.open_segment("a", {})
    writer.close_segment("a")  # hangs
    writer.open_segment("b", {})
    taken = [writer.write_frames("b", FRAMES) for _ in range(5)]
    may_go_on.set()
    assert writer.close(5.0)
    assert taken == [True, True, True, False, False]
    assert writer.dropped_frames == 40
    assert len(scan_segment(tmp_path / "b.seg").frames) == 60


def test_a_disk_that_hangs_for_ever_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda handle: released.wait(10))
    writer = open_writer(tmp_path, [])
    writer.open_segment("a", {})
    writer.close_segment("a")
    assert not writer.close(0.05)
    released.set()
    assert writer.close(5.0)


def test_a_full_disk_is_told_once_and_leaves_a_readable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, [2000]

    def limited(handle: int, data: memoryview) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "no space left on device")
        count = write(handle, data[: room[0]])
        room[0] -= count
        return count

    monkeypatch.setattr(os, "write", limited)
    failures: list[str] = []
    writer = open_writer(tmp_path, failures)
    writer.open_segment("a", {})
    for frame in FRAMES:
        writer.write_frames("a", [frame])
    assert writer.close(5.0)
    assert failures == ["disk_full"]
    scan = scan_segment(tmp_path / "a.seg")
    assert 5 < len(scan.frames) < len(FRAMES)
    assert [f.ts_rtp_ext for f in scan.frames] == [f.ts_rtp_ext for f in FRAMES[: len(scan.frames)]]
    assert not writer.write_frames("a", FRAMES)


def test_the_reserve_stops_recording_before_the_disk_is_full(tmp_path: Path) -> None:
    failed = threading.Event()
    writer = SegmentWriter(
        tmp_path,
        sync_s=0.01,
        max_pending_bytes=1000,
        min_free_bytes=1 << 60,
        on_failed=lambda reason: failed.set(),
    )
    assert failed.wait(5)
    writer.close(5.0)


def test_the_manifest_is_whole_or_old(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, [])
    writer.save_manifest('{"version": 1, "id": "x", "room": "r", "title": "t", '
                         '"started_us": 1, "started_wall_us": 2, "tracks": []}')  # fmt: skip
    writer.close(5.0)
    manifest = load_manifest(tmp_path)
    assert manifest is not None and manifest.id == "x"
    (tmp_path / "manifest.new").write_text("{half")
    assert load_manifest(tmp_path) == manifest
    (tmp_path / "manifest.json").write_text("{half")
    assert load_manifest(tmp_path) is None


def test_reasons() -> None:
    assert disk_reason(OSError(errno.ENOSPC, "")) == "disk_full"
    assert disk_reason(OSError(errno.EIO, "")) == "disk_error"
