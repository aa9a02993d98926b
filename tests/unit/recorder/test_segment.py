"""The segment file survives being cut anywhere and being damaged anywhere."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.segment import (
    MAGIC,
    ClockReading,
    Note,
    encode_clock,
    encode_frame,
    encode_header,
    encode_note,
    scan_segment,
)

U64 = st.integers(0, 2**64 - 1)
FRAMES = st.lists(
    st.tuples(
        st.integers(0, 2**62),
        st.integers(0, 2**62),
        st.integers(0, 2**62),
        st.booleans(),
        st.integers(0, 2),
        st.integers(1, 4),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=200),
    ),
    max_size=12,
)
Row = tuple[int, int, int, bool, int, int, int, bytes]


def build(frames: list[Row]) -> tuple[bytes, list[int]]:
    """A file, and where each frame's record ends in it."""
    data, ends = encode_header({"track": "x"}), []
    for frame in frames:
        data += b"".join(encode_frame(*frame))
        ends.append(len(data))
    return data, ends


def read(data: bytes) -> tuple[list[Row], dict[str, object], int]:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "a.seg"
        path.write_bytes(data)
        scan = scan_segment(path)
    rows = [
        (f.ts_rtp_ext, f.arrived_us, f.captured_us, f.is_key, f.encoding, f.codec, f.lost_before,
         data[f.offset : f.offset + f.size_bytes])
        for f in scan.frames
    ]  # fmt: skip
    return rows, scan.header, scan.damaged_bytes


@given(FRAMES)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(frames: list[Row]) -> None:
    rows, header, damaged = read(build(frames)[0])
    assert rows == frames
    assert header == {"track": "x"}
    assert damaged == 0


@given(FRAMES, st.data())
@settings(max_examples=120, deadline=None)
def test_a_cut_loses_only_what_is_behind_it(frames: list[Row], data: st.DataObject) -> None:
    whole, ends = build(frames)
    cut = data.draw(st.integers(0, len(whole)))
    rows, _, _ = read(whole[:cut])
    assert rows == frames[: sum(end <= cut for end in ends)]


@given(FRAMES.filter(bool), st.data())
@settings(max_examples=120, deadline=None)
def test_a_flipped_bit_loses_one_record_at_most(frames: list[Row], data: st.DataObject) -> None:
    whole, ends = build(frames)
    start = ends[0] - len(b"".join(encode_frame(*frames[0])))
    at = data.draw(st.integers(start, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    rows, header, _ = read(bytes(flipped))
    hit = sum(end <= at for end in ends)
    # Reserved bytes of a head are not looked at: then nothing is lost.
    assert rows in (frames[:hit] + frames[hit + 1 :], frames)
    assert header == {"track": "x"}


@given(st.binary(max_size=400))
@settings(max_examples=60, deadline=None)
def test_garbage_holds_no_frames(garbage: bytes) -> None:
    rows, _, damaged = read(garbage)
    assert rows == []
    assert damaged <= len(garbage)


def test_clocks_and_notes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    reading, note = ClockReading(7, -8), Note(9, "muted")
    parts = [*encode_clock(reading), *encode_note(note)]
    path.write_bytes(encode_header({}) + b"".join(parts))
    scan = scan_segment(path)
    assert (scan.clocks, scan.notes, scan.damaged_bytes) == ([reading], [note], 0)


def test_a_file_without_anything(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    path.write_bytes(b"")
    assert scan_segment(path).frames == []
    path.write_bytes(MAGIC[:3])
    assert scan_segment(path).damaged_bytes == 3


def test_a_record_within_a_frame_is_not_taken_for_one(tmp_path: Path) -> None:
    inner = b"".join(encode_frame(1, 1, 1, True, 0, 3, 0, b"inner"))
    path = tmp_path / "a.seg"
    path.write_bytes(encode_header({}) + b"".join(encode_frame(2, 2, 2, True, 0, 3, 0, inner)))
    assert [frame.ts_rtp_ext for frame in scan_segment(path).frames] == [2]
