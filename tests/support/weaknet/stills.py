"""Puts stills together from their chunks, as signaling/PROTOCOL.md describes them."""

from __future__ import annotations

import struct
from typing import NamedTuple

TOPIC = "aislecast.still"
_HEADER = struct.Struct("!BBHHIHHQB")
_VERSION, _WEBP = 1, 1


class ReceivedStill(NamedTuple):
    """A whole picture."""

    track_sid: str
    width: int
    height: int
    captured_ms: int  # since 1970
    data: bytes


class StillReader:
    """One unfinished picture a track."""

    def __init__(self) -> None:
        """Nothing received."""
        self._parts: dict[str, tuple[int, dict[int, bytes]]] = {}

    def receive(self, chunk: bytes) -> ReceivedStill | None:
        """A chunk; returns the picture that it completes."""
        if len(chunk) < _HEADER.size:
            return None
        version, kind, width, height, number, index, count, captured_ms, sid_bytes = (
            _HEADER.unpack_from(chunk)
        )
        start = _HEADER.size + sid_bytes
        if version != _VERSION or kind != _WEBP or index >= count or len(chunk) < start:
            return None
        sid = chunk[_HEADER.size : start].decode(errors="replace")
        begun, parts = self._parts.get(sid, (-1, {}))
        if number != begun:
            parts = {}
        parts[index] = chunk[start:]
        self._parts[sid] = (number, parts)
        if len(parts) < count:
            return None
        del self._parts[sid]
        data = b"".join(parts[part] for part in range(count))
        is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
        return ReceivedStill(sid, width, height, captured_ms, data) if is_webp else None
