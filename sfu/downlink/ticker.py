"""The turns of the loop, and whether this machine keeps up with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Ticker"]

# Late by so much, several times in a row: this machine is what is too slow.
_LATE_S = 0.4
_LATE_TICKS = 3
# Whatever is late, others on the event loop get a turn between two of ours.
_MIN_PAUSE_S = 0.02


class Ticker:
    """Calls at an interval, on the running event loop, until stopped.

    Attributes:
        is_late: the last turns came far too late.
        calm_interval_s: turns may come at this longer interval, until somebody hurries; None =
            they may not.
    """

    def __init__(self, call: Callable[[], None], interval_s: float) -> None:
        """Starts nothing. What `call` raises is its own affair: it must not."""
        self._interval_s = interval_s
        self._call = call
        self._due_s = 0.0
        self._num_late = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = True
        self.is_late = False
        self.calm_interval_s: float | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        loop = asyncio.get_running_loop()
        self._is_stopped = False
        self._due_s = loop.time() + self._interval_s
        self._timer = loop.call_at(self._due_s, self._run)

    def stop(self) -> None:
        """Idempotent."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hurry(self) -> None:
        """Something is new: the next turn comes within the short interval."""
        if self.calm_interval_s is None:
            return
        self.calm_interval_s = None
        if self._timer is not None:
            loop = asyncio.get_running_loop()
            self._timer.cancel()
            self._due_s = min(self._due_s, loop.time() + self._interval_s)
            self._timer = loop.call_at(self._due_s, self._run)

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._num_late = self._num_late + 1 if now_s - self._due_s > _LATE_S else 0
        self.is_late = self._num_late >= _LATE_TICKS
        # Before what may hurry: the turn itself grants, and listeners answer with wishes.
        self._timer = None
        self._call()
        # What was missed is not made up for: the next turn sees it all.
        interval_s = self.calm_interval_s or self._interval_s
        self._due_s = max(self._due_s + interval_s, now_s + _MIN_PAUSE_S)
        if not self._is_stopped:
            self._timer = loop.call_at(self._due_s, self._run)
