"""An event loop whose time jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["pass_virtual", "run_virtual", "take_turns"]

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Never sleeps: says how long it would have, if nothing is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.slept_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing is left that could wake this loop"
            self.slept_s += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0 s. Work takes no time; only timers do."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.slept_s


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in a loop of its own, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


async def pass_virtual(duration_s: float) -> None:
    """Lets virtual time pass."""
    assert isinstance(asyncio.get_running_loop(), VirtualLoop), "real time is not waited for"
    await asyncio.sleep(duration_s)


async def take_turns() -> None:
    """Lets everything else that is ready go first; in a virtual loop time passes with it, too."""
    is_virtual = isinstance(asyncio.get_running_loop(), VirtualLoop)
    await asyncio.sleep(0.01 if is_virtual else 0)
