"""The stills of one source: read its tap now and then, have the rest done by the worker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import av.error
import numpy as np
import numpy.typing as npt

from sfu.stills.pending import PendingFrames
from sfu.stills.picture import (
    CAMERA_SIZE,
    MIME,
    SCREEN_SIZE,
    Decoder,
    PictureSize,
    compress,
    find_change,
    look_at,
)
from sfu.stills.worker import Runner
from sfu.tap import Frame

if TYPE_CHECKING:
    from sfu.tap import Tap

__all__ = ["Rhythm", "Still", "StillFeed"]

# In levels of 0..255 of the block that changed most (see `find_change`): a pointer that moves
# stays below the first, a line of text that appears is above it. The second is what an encoder
# that sharpens a standing picture does.
_CHANGED = 2.0
_REFINED = 0.2


class Still(NamedTuple):
    """One picture of a source."""

    captured_us: int  # the engine's clock
    width: int
    height: int
    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a source is looked at, in µs of the engine's clock.

    Attributes:
        camera_us: between two stills of a camera.
        screen_us: between two looks at a screen.
        first_us: between two looks until there is a first still.
        key_us: between two requests for a key frame; the engine has its own bound besides.
        sparing_us: between two of them while only key frames are decoded.
    """

    camera_us: int = 3_000_000
    screen_us: int = 2_000_000
    first_us: int = 500_000
    key_us: int = 3_000_000
    sparing_us: int = 5_000_000


class _Made(NamedTuple):
    """What the worker made of a run of frames."""

    still: Still | None
    is_broken: bool = False
    is_too_large: bool = False


class StillFeed:
    """Stills of one source for all who want them.

    ``step`` runs in the event loop and takes microseconds; decoding runs in the worker, one run of
    frames of a feed at a time. A camera gives a still each time, a screen when it has changed and
    once more when it stands still (encoders sharpen a standing picture).

    Attributes:
        due_us: when ``step`` wants to be called.
        last: the newest still.
        busy_s: what the worker has spent on it so far, in seconds of a processor.
    """

    def __init__(
        self,
        tap: Tap,
        runner: Runner,
        *,
        is_screen: bool,
        counters: Counter[str],
        on_still: Callable[[Still], None],
        rhythm: Rhythm | None = None,
        cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """Takes a tap, which it closes in the end, and the clock of a thread's processor time."""
        self._tap = tap
        self._runner = runner
        self._is_screen = is_screen
        self._counters = counters
        self._on_still = on_still
        self._rhythm = rhythm or Rhythm()
        self._pending = PendingFrames()
        self._is_busy = False
        self._is_closed = False
        self._key_asked_us: int | None = None
        self._encoding = 0
        self.due_us = 0
        self.last: Still | None = None
        self.busy_s = 0.0
        self._cpu_s = cpu_s
        # Only the worker touches these.
        self._decoder = Decoder()
        self._size: PictureSize = SCREEN_SIZE if is_screen else CAMERA_SIZE
        self._shown: npt.NDArray[np.float32] | None = None
        self._is_settling = False

    @property
    def is_sparing(self) -> bool:
        """Whether only key frames are decoded, one every few seconds, because the rest costs too
        much."""
        return self._pending.is_sparing

    def spare(self, is_sparing: bool) -> None:
        """Decode only key frames from now on, or everything again."""
        self._pending.is_sparing = is_sparing

    @property
    def has_ended(self) -> bool:
        """The source is gone."""
        return self._tap.source.is_closed or self._tap.is_closed

    def step(self, now_us: int) -> None:
        """Read what has arrived and have a still made of it."""
        frames = self._tap.drain()
        if frames:
            self._encoding = frames[-1].encoding
        overflows = self._pending.overflows
        self._pending.add(frames)
        if self._pending.overflows > overflows:
            self._counters["stills_overflow"] += self._pending.overflows - overflows
        self.due_us = now_us + self._interval_us()
        if self._is_busy:
            self._counters["stills_behind"] += 1
            return
        run = self._pending.take()
        if self._pending.wants_key(now_us):
            self._ask_for_key(now_us)
        if not run:
            return
        self._is_busy = True
        if not self._runner.submit(lambda: self._measure(run), self._handle_made):
            self._is_busy = False
            self._counters["stills_busy"] += 1
            self._pending.give_up()

    def close(self) -> None:
        """Stop reading. Idempotent; a still under way is dropped."""
        self._is_closed = True
        self._tap.close()

    def _interval_us(self) -> int:
        if self.last is None:
            return self._rhythm.first_us
        return self._rhythm.screen_us if self._is_screen else self._rhythm.camera_us

    def _ask_for_key(self, now_us: int) -> None:
        asked_us = self._key_asked_us
        least_us = self._rhythm.sparing_us if self.is_sparing else self._rhythm.key_us
        if asked_us is None or now_us - asked_us >= least_us:
            self._key_asked_us = now_us
            self._tap.source.request_keyframe(self._encoding)

    def _handle_made(self, made: _Made | None) -> None:
        self._is_busy = False
        if made is None or made.is_broken:
            self._counters["stills_undecodable"] += 1
            self._pending.give_up()
            return
        if made.is_too_large:
            self._counters["stills_too_large"] += 1
        # What was on its way when its publisher switched it off is not shown any more.
        if made.still is not None and not self._is_closed and not self._tap.source.is_muted:
            self._counters["stills_made"] += 1
            self.last = made.still
            self._on_still(made.still)

    # ---- in the worker -------------------------------------------------------------------------

    def _measure(self, frames: list[Frame]) -> _Made:
        began_s = self._cpu_s()
        try:
            return self._make(frames)
        finally:
            self.busy_s += self._cpu_s() - began_s

    def _make(self, frames: list[Frame]) -> _Made:
        try:
            picture = self._decoder.decode(frames)
        except av.error.FFmpegError:
            self._decoder.reset()
            return _Made(None, is_broken=True)
        if picture is None:
            return _Made(None)
        if self._is_screen and not self._has_changed(look_at(picture)):
            return _Made(None)
        compressed = compress(picture, self._size)
        if compressed is None:
            return _Made(None, is_too_large=True)
        width, height, data = compressed
        return _Made(Still(frames[-1].captured_us, width, height, MIME, data))

    def _has_changed(self, look: npt.NDArray[np.float32]) -> bool:
        change = float("inf") if self._shown is None else find_change(self._shown, look)
        was_settling = self._is_settling
        self._is_settling = change > _CHANGED
        if self._is_settling or (was_settling and change > _REFINED):
            self._shown = look
            return True
        return False
