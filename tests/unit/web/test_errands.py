"""Work that nobody waits for is not lost."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from web.ops.errands import Errands


async def test_all_is_waited_for_also_what_an_errand_begins() -> None:
    errands, done = Errands("test"), []

    async def first() -> None:
        await asyncio.sleep(0)
        errands.run(second())
        done.append("first")

    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    errands.run(first())
    await errands.settle()
    assert done == ["first", "second"]


async def test_what_goes_wrong_is_written_down_and_stops_nothing_else() -> None:
    done = []

    async def fail() -> None:
        raise ValueError("a bug")

    async def work() -> None:
        done.append(True)

    with capture_logs() as logs:
        errands = Errands("test")
        errands.run(fail())
        errands.run(work())
        await errands.settle()
    assert done and [entry["event"] for entry in logs] == ["errand_failed"]


async def test_the_end_takes_all_with_it() -> None:
    errands = Errands("test")
    errands.run(asyncio.Event().wait())  # type: ignore[arg-type]
    await errands.cancel()
    await errands.settle()
