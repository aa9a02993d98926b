"""Time and tasks as arguments: what signaling asks of its surroundings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

__all__ = ["Clock", "LoopClock", "Timer"]


class Timer(Protocol):
    """A call that has not happened yet."""

    def cancel(self) -> None:
        """Idempotent; a call that already ran is left alone."""


class Clock(Protocol):
    """Reads time and defers calls. All calls run on the thread that made the clock."""

    def now_s(self) -> float:
        """Monotonic seconds."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Runs `call` once, not before `delay_s` has passed, and never from inside this method."""

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Runs a coroutine to its end; its failure is logged, not raised."""


class LoopClock:
    """The clock of a running asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Takes the running loop unless given one."""
        self._loop = loop or asyncio.get_running_loop()
        # asyncio keeps only weak references to tasks
        self._tasks: set[asyncio.Task[object]] = set()

    def now_s(self) -> float:
        """See Clock."""
        return self._loop.time()

    def wall_ms(self) -> int:
        """See Clock."""
        return time.time_ns() // 1_000_000

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """See Clock."""
        return self._loop.call_later(delay_s, call)

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """See Clock."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": "a signaling task failed", "exception": error, "task": task}
            )
