from __future__ import annotations

import asyncio
from typing import Any

from signaling.clock import LoopClock


async def test_calls_come_later_and_in_order() -> None:
    clock = LoopClock()
    called: list[int] = []
    clock.call_later(0.0, lambda: called.append(1))
    clock.call_later(0.0, lambda: called.append(2)).cancel()
    assert called == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert called == [1] and clock.now_s() > 0 and clock.wall_ms() > 1_600_000_000_000


async def test_failures_of_spawned_work_are_reported_not_raised() -> None:
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context))

    async def fail() -> None:
        raise RuntimeError("a bug")

    async def succeed() -> int:
        return 1

    clock = LoopClock(loop)
    clock.spawn(fail())
    clock.spawn(succeed())
    for _ in range(3):
        await asyncio.sleep(0)
    assert [str(context["exception"]) for context in reported] == ["a bug"]
    loop.set_exception_handler(None)
