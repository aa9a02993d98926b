"""A reader of complete frames: what the recorder and thumbnails live on.

The engine keeps frames of a tap in a bounded queue and drops whole ones when the reader is slow;
each frame says how many were lost before it. The media path never waits for a reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

from sfu.errors import MediaClosedError
from sfu.ids import Codec, TapHandle
from sfu.registry import Registry

if TYPE_CHECKING:
    from sfu.source import Source

__all__ = ["Frame", "Tap"]

DEFAULT_MAX_BYTES = 8_000_000


class Frame(NamedTuple):
    """One complete frame."""

    ts_rtp_ext: int  # unwrapped from the tap's first frame, codec clock
    arrived_us: int  # the engine's clock
    captured_us: int  # the sender's capture time on the engine's clock
    is_key: bool
    encoding: int
    codec: Codec
    lost_before: int  # frames dropped or incomplete since the previous one
    data: bytes  # VP8 frame, H.264 access unit in Annex B, or Opus packet


class Tap:
    """Frames of the best (or the lowest) active encoding of one source, in batches.

    ``async for frames in tap`` ends when the tap or its source is closed. One reader per tap.
    """

    def __init__(
        self,
        registry: Registry,
        source: Source,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        is_lowest: bool = False,
    ) -> None:
        """Opens the tap in the engine; ``is_lowest`` reads the lowest active encoding."""
        if source.is_closed:
            raise MediaClosedError("source")
        self._registry = registry
        self.source = source
        self.is_lowest = is_lowest
        self.is_closed = False
        self._has_ended = False
        self._ready = asyncio.Event()
        self.handle = TapHandle(registry.engine.add_tap(source.handle, max_bytes, is_lowest))
        registry.taps[self.handle] = self
        source.add_watcher(self)

    async def __aiter__(self) -> AsyncIterator[list[Frame]]:
        """Batches of one or more frames, as soon as they are there."""
        while True:
            self._ready.clear()
            # The engine speaks only when the queue goes from empty to not empty: drain it whole.
            while frames := self.drain():
                yield frames
            if self.is_closed or self._has_ended:
                return
            await self._ready.wait()

    def drain(self, max_frames: int = 1000) -> list[Frame]:
        """Take what is there now."""
        if self.is_closed:
            return []
        rows = self._registry.engine.drain_tap(self.handle, max_frames)
        return [Frame(*row[:5], Codec(row[5]), *row[6:]) for row in rows]

    def close(self) -> None:
        """End the tap; frames not taken are gone."""
        if self.is_closed:
            return
        self.is_closed = True
        self._registry.taps.pop(self.handle, None)
        self._registry.engine.remove_tap(self.handle)
        self.source.remove_watcher(self)
        self._ready.set()

    def handle_ready(self) -> None:
        """Take the engine's news that frames wait."""
        self._ready.set()

    def handle_source_closed(self) -> None:
        """Let the reader take the rest, then end."""
        self._has_ended = True
        self._ready.set()
