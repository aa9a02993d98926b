"""A clock that moves when it is told to."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine
from typing import Any


class ManualTimer:
    """One deferred call."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualClock:
    """Stands in for `signaling.clock.Clock`. Coroutines run when spawned, and must not wait."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._count = 0
        self._due: list[tuple[float, int, ManualTimer]] = []

    def now_s(self) -> float:
        return self._now_s

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + round(self._now_s * 1000)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(call)
        self._count += 1
        heapq.heappush(self._due, (self._now_s + delay_s, self._count, timer))
        return timer

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise AssertionError("a spawned coroutine waits")

    def advance(self, seconds: float = 0.0) -> None:
        """Moves on and makes all calls that became due, in order."""
        end_s = self._now_s + seconds
        while self._due and self._due[0][0] <= end_s + 1e-9:
            due_s, _, timer = heapq.heappop(self._due)
            self._now_s = max(self._now_s, due_s)
            if not timer.is_cancelled:
                timer.call()
        self._now_s = end_s
