"""Plays encoded loops into local sources, in step with each other and only while watched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sfu.local import LocalSource
from web.demo.loops import Loop

__all__ = ["LoopPlayer"]

_MAX_LATE_S = 0.5


class LoopPlayer:
    """Feeds one source. Every player with the same epoch is at the same place of its loop.

    When somebody starts to watch, the frames since the last key frame go out at once, so that the
    picture is there and sound and lips match from the first moment.
    """

    def __init__(self, source: LocalSource, loops: Sequence[Loop], epoch_s: float) -> None:
        """Takes one loop per encoding of the source, lowest first, of equal length and rate."""
        self._source = source
        self._loops = tuple(loops)
        self._epoch_s = epoch_s
        self._watched = asyncio.Event()
        source.follow_watched(self._handle_watched)
        if source.is_watched:
            self._watched.set()

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            await self._watched.wait()
            await self._play()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        rate_hz = self._loops[0].rate_hz
        clock_hz = self._loops[0].codec.clock_hz
        position = int((loop.time() - self._epoch_s) * rate_hz)
        self._catch_up(position, clock_hz)
        while self._watched.is_set():
            position += 1
            wait_s = self._epoch_s + position / rate_hz - loop.time()
            if wait_s < -_MAX_LATE_S:  # the process slept
                return
            await asyncio.sleep(max(wait_s, 0))
            if not self._watched.is_set():
                return
            self._push(position, position * clock_hz // rate_hz)

    def _catch_up(self, position: int, clock_hz: int) -> None:
        length = len(self._loops[0].frames)
        behind = position % length - self._loops[0].key_before(position % length)
        now_ts = position * clock_hz // self._loops[0].rate_hz
        for back in range(behind, -1, -1):
            # A millisecond apart: they are sent now, and a receiver must not take them for old.
            self._push(position - back, now_ts - back * clock_hz // 1000)

    def _push(self, position: int, ts_rtp: int) -> None:
        for encoding, loop in enumerate(self._loops):
            frame = loop.frames[position % len(loop.frames)]
            self._source.push_frame(loop.codec, ts_rtp, frame, encoding=encoding)

    def _handle_watched(self, is_watched: bool) -> None:
        if is_watched:
            self._watched.set()
        else:
            self._watched.clear()
