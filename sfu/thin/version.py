"""The thin version of one source: read its lowest layer, make it small, feed a local source."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import av.error

from sfu.stills.picture import Decoder
from sfu.stills.worker import Runner
from sfu.tap import Frame
from sfu.thin.encoder import ThinEncoder

if TYPE_CHECKING:
    from sfu.local import LocalSource
    from sfu.tap import Tap

__all__ = ["ThinVersion"]

# A worker that is further behind starts anew with a key frame: nobody wants to see that late.
_MAX_BEHIND_US = 1_000_000
_MAX_WAITING = 120
# Of what waited for the worker, only the last is shown where it is later than this.
_LATE_US = 250_000
_KEY_INTERVAL_US = 1_000_000


class ThinVersion:
    """Lives as long as somebody gets it.

    ``run`` reads in the event loop; decoding and encoding are done by the worker, one batch at a
    time, so frames are decoded in their order.

    Attributes:
        local: the source it feeds.
        busy_s: what the worker has spent on it so far, in seconds of a processor.
    """

    def __init__(
        self,
        tap: Tap,
        local: LocalSource,
        runner: Runner,
        counters: Counter[str],
        *,
        cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """Takes the tap, the source to feed and a worker of its own, and closes all three.

        `cpu_s` is the clock of a thread's processor time.
        """
        self._tap = tap
        self.local = local
        self._runner = runner
        self._counters = counters
        self._waiting: deque[Frame] = deque()
        self._newest_us = 0  # arrival of the newest frame; the worker only reads it
        self._is_busy = False
        self._needs_key = True
        self._key_asked_us = -_KEY_INTERVAL_US
        self._is_closed = False
        self.busy_s = 0.0
        self._cpu_s = cpu_s
        # Set here, cleared by the worker when it has made one.
        self._is_key_wanted = False
        local.on_key_wanted = self._handle_key_wanted
        # Only the worker touches these.
        self._decoder = Decoder()
        self._encoder: ThinEncoder | None = None

    async def run(self) -> None:
        """Feed until closed, or until the source ends."""
        self._ask_for_key(0)
        try:
            async for frames in self._tap:
                self._take(frames)
                self._work()
        finally:
            self.close()

    def mute(self, is_muted: bool) -> None:
        """What waits is dropped, and what the worker still makes is not sent."""
        self.local.mute(is_muted)
        self._waiting.clear()
        self._needs_key = True

    def close(self) -> None:
        """Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._tap.close()
            self.local.close()
            self._runner.close()

    def _take(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._newest_us = frame.arrived_us
            if frame.is_key:
                # What waits before it is of no use any more, unless it is being caught up with.
                if self._needs_key:
                    self._waiting.clear()
                self._needs_key = False
            elif frame.lost_before:
                self._needs_key = True
            if self._needs_key:
                self._ask_for_key(frame.arrived_us)
            elif self._is_behind(frame):
                self._counters["thin_overflow"] += 1
                self._waiting.clear()
                self._needs_key = True
                self._ask_for_key(frame.arrived_us)
            else:
                self._waiting.append(frame)

    def _is_behind(self, frame: Frame) -> bool:
        waiting = self._waiting
        if not waiting:
            return False
        behind_us = frame.arrived_us - waiting[0].arrived_us
        return behind_us > _MAX_BEHIND_US or len(waiting) >= _MAX_WAITING

    def _ask_for_key(self, now_us: int) -> None:
        if now_us - self._key_asked_us >= _KEY_INTERVAL_US:
            self._key_asked_us = now_us
            self._tap.source.request_keyframe(0)

    def _handle_key_wanted(self, encoding: int) -> None:
        self._is_key_wanted = True

    def _work(self) -> None:
        if self._is_busy or self._is_closed or not self._waiting:
            return
        batch = list(self._waiting)
        self._waiting.clear()
        self._is_busy = self._runner.submit(lambda: self._make(batch), self._handle_made)

    def _handle_made(self, was_made: bool | None) -> None:
        self._is_busy = False
        if not was_made:
            self._counters["thin_broken"] += 1
            self._waiting.clear()
            self._needs_key = True
        self._work()

    # ---- in the worker -------------------------------------------------------------------------

    def _make(self, frames: list[Frame]) -> bool:
        """Decode all, show some; False if it has to begin again with a key frame."""
        began_s = self._cpu_s()
        try:
            for frame in frames[:-1]:
                self._make_one(frame, is_shown=self._newest_us - frame.arrived_us <= _LATE_US)
            self._make_one(frames[-1], is_shown=True)
        except av.error.FFmpegError:
            self._decoder.reset()
            return False
        finally:
            self.busy_s += self._cpu_s() - began_s
        return True

    def _make_one(self, frame: Frame, *, is_shown: bool) -> None:
        encoder = self._encoder = self._encoder or ThinEncoder(frame.codec)
        is_shown = is_shown and encoder.wants(frame.captured_us)
        picture = self._decoder.decode([frame], is_shown=is_shown)
        if picture is None or not is_shown:
            return
        is_key = self._is_key_wanted
        for data in encoder.encode(picture, frame.captured_us, is_key=is_key):
            self._is_key_wanted = self._is_key_wanted and not is_key
            ts_rtp = frame.captured_us * 9 // 100  # µs to 90 kHz
            self.local.push_frame(frame.codec, ts_rtp, data)
            self._counters["thin_frames"] += 1
