"""The segment file: an append-only log of the frames of one track.

Layout (little-endian): the magic, then records. A record is a 16-byte head (marker, kind, reserved,
body length, CRC-32 of kind, length and body) and its body. Kind 1 is a JSON header and always comes
first; kind 2 a frame; kind 3 a clock reading; kind 4 a note in JSON. The reader trusts nothing: a
record counts only when its checksum fits; after damage it looks for the next one that does.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "FRAME_HEAD",
    "MAGIC",
    "ClockReading",
    "FrameRecord",
    "Note",
    "SegmentScan",
    "encode_clock",
    "encode_frame",
    "encode_header",
    "encode_note",
    "scan_segment",
]

MAGIC = b"AISLSEG1"
_MARKER = 0x5EC7A15E
_HEAD = struct.Struct("<IBxxxII")
_CHECKED = struct.Struct("<BI")
# ts_rtp_ext, arrived_us, captured_us, lost_before, is_key, encoding, codec
FRAME_HEAD = struct.Struct("<QQQIBBBx")
_CLOCK = struct.Struct("<Qq")
_KIND_HEADER, _KIND_FRAME, _KIND_CLOCK, _KIND_NOTE = 1, 2, 3, 4
# Larger than any frame a tap holds; a length above it is damage.
_MAX_BODY = 64 * 1024 * 1024
_MARKER_BYTES = struct.pack("<I", _MARKER)


class FrameRecord(NamedTuple):
    """Where a frame is, and what the engine said about it."""

    ts_rtp_ext: int
    arrived_us: int
    captured_us: int
    lost_before: int
    is_key: bool
    encoding: int
    codec: int
    offset: int  # of the frame's bytes in the file
    size_bytes: int


class ClockReading(NamedTuple):
    """The engine's clock and the server's wall clock at one moment."""

    engine_us: int
    wall_us: int  # Unix time


class Note(NamedTuple):
    """Something that happened to the track, at a time of the engine's clock."""

    engine_us: int
    kind: str


@dataclass
class SegmentScan:
    """Everything valid in a segment.

    Attributes:
        header: what the writer said first; empty when that record is damaged.
        damaged_bytes: bytes that belong to no valid record.
    """

    header: dict[str, Any]
    frames: list[FrameRecord]
    clocks: list[ClockReading]
    notes: list[Note]
    damaged_bytes: int


def _encode(kind: int, *body: bytes) -> list[bytes]:
    size = sum(map(len, body))
    crc = zlib.crc32(_CHECKED.pack(kind, size))
    for part in body:
        crc = zlib.crc32(part, crc)
    return [_HEAD.pack(_MARKER, kind, size, crc), *body]


def encode_header(header: dict[str, Any]) -> bytes:
    """The beginning of a file."""
    return MAGIC + b"".join(_encode(_KIND_HEADER, json.dumps(header).encode()))


def encode_frame(
    ts_rtp_ext: int,
    arrived_us: int,
    captured_us: int,
    is_key: bool,
    encoding: int,
    codec: int,
    lost_before: int,
    data: bytes,
) -> list[bytes]:
    """One frame, arguments in the order of ``sfu.tap.Frame``; parts to be joined by the writer."""
    head = FRAME_HEAD.pack(
        ts_rtp_ext, arrived_us, captured_us, lost_before, is_key, encoding, codec
    )
    return _encode(_KIND_FRAME, head, data)


def encode_clock(reading: ClockReading) -> list[bytes]:
    """One clock reading."""
    return _encode(_KIND_CLOCK, _CLOCK.pack(*reading))


def encode_note(note: Note) -> list[bytes]:
    """One note."""
    return _encode(_KIND_NOTE, json.dumps(note._asdict()).encode())


def _records(data: mmap.mmap, start: int) -> Iterator[tuple[int, int, int]]:
    """(kind, body start, body end) of valid records, skipping damage."""
    position = start
    view = memoryview(data)
    try:
        while (position := data.find(_MARKER_BYTES, position)) >= 0:
            end_of_head = position + _HEAD.size
            if end_of_head > len(view):
                return
            _, kind, size, crc = _HEAD.unpack_from(view, position)
            end = end_of_head + size
            is_valid = (
                size <= _MAX_BODY
                and end <= len(view)
                and zlib.crc32(view[end_of_head:end], zlib.crc32(_CHECKED.pack(kind, size))) == crc
            )
            if is_valid:
                yield kind, end_of_head, end
            position = end if is_valid else position + 1
    finally:
        view.release()


def scan_segment(path: Path) -> SegmentScan:
    """Read everything valid in the file, which may be cut anywhere or damaged."""
    scan = SegmentScan({}, [], [], [], 0)
    with path.open("rb") as file:
        size = path.stat().st_size
        if size == 0:
            return scan
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            valid = len(MAGIC) if data[: len(MAGIC)] == MAGIC else 0
            for kind, start, end in _records(data, 0):
                if _add_record(scan, kind, data, start, end):
                    valid += _HEAD.size + end - start
            scan.damaged_bytes = len(data) - valid
    return scan


def _add_record(scan: SegmentScan, kind: int, data: mmap.mmap, start: int, end: int) -> bool:
    """Take one record whose checksum fits; False when its content makes no sense all the same."""
    try:
        if kind == _KIND_FRAME:
            ts, arrived, captured, lost, is_key, encoding, codec = FRAME_HEAD.unpack_from(
                data, start
            )
            offset = start + FRAME_HEAD.size
            if offset > end:
                return False
            scan.frames.append(
                FrameRecord(
                    ts, arrived, captured, lost, bool(is_key), encoding, codec, offset, end - offset
                )
            )
        elif kind == _KIND_CLOCK:
            scan.clocks.append(ClockReading(*_CLOCK.unpack(data[start:end])))
        elif kind == _KIND_NOTE:
            scan.notes.append(Note(**json.loads(data[start:end])))
        elif kind == _KIND_HEADER:
            scan.header = json.loads(data[start:end])
        else:
            return False
    except (struct.error, ValueError, TypeError):
        return False
    return True
