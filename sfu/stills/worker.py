"""One thread of low priority that decodes and compresses, so that the event loop never does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

__all__ = ["Runner", "StillWorker"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_MAX_JOBS = 64
# Media and the event loop go first; a still may come a second later.
_NICENESS = 10


class Runner(Protocol):
    """Runs work elsewhere and brings the result back."""

    def submit(self, work: Callable[[], Result], on_done: Callable[[Result | None], None]) -> bool:
        """Run `work` in a thread; `on_done` hears its result in the loop, None after a bug.

        Returns False, and does nothing, when too much waits.
        """

    def close(self) -> None:
        """Stop after the work at hand. Idempotent."""


class StillWorker:
    """A `Runner` with one daemon thread, started by the first work."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, *, niceness: int = _NICENESS
    ) -> None:
        """Takes the running loop unless given one.

        `niceness` is of the thread: how far others go first, 0…19.
        """
        self._niceness = niceness
        self._loop = loop or asyncio.get_running_loop()
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(_MAX_JOBS)
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, work: Callable[[], Result], on_done: Callable[[Result | None], None]) -> bool:
        """See Runner."""
        if self._is_closed:
            return False
        try:
            self._jobs.put_nowait(lambda: self._work(work, on_done))
        except queue.Full:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="stills", daemon=True)
            self._thread.start()
        return True

    def close(self) -> None:
        """See Runner."""
        self._is_closed = True
        with contextlib.suppress(queue.Full):  # then the thread ends with the work that waits
            self._jobs.put_nowait(None)

    def _run(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # Linux only; as root or not
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while not self._is_closed:
            job = self._jobs.get()
            if job is None:
                return
            job()

    def _work(self, work: Callable[[], Result], on_done: Callable[[Result | None], None]) -> None:
        result: Result | None = None
        try:
            result = work()
        except Exception:
            logger.exception("a still could not be made")
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(on_done, result)
