"""The thread that decodes: bounded, harmless, back in the loop."""

from __future__ import annotations

import asyncio
import threading

from sfu.stills.worker import _MAX_JOBS, StillWorker


async def test_results_come_back_in_the_loop() -> None:
    worker = StillWorker()
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int | None] = loop.create_future()
    threads: list[int] = []

    def work() -> int:
        threads.append(threading.get_ident())
        return 7

    def finish(result: int | None) -> None:
        threads.append(threading.get_ident())
        done.set_result(result)

    assert worker.submit(work, finish)
    assert await done == 7
    assert threads[0] != threading.get_ident() == threads[1]
    worker.close()


async def test_a_bug_is_no_result_and_the_thread_lives() -> None:
    worker = StillWorker()
    loop = asyncio.get_running_loop()
    first: asyncio.Future[None] = loop.create_future()
    second: asyncio.Future[int | None] = loop.create_future()

    def fail() -> None:
        raise ValueError("planted")

    worker.submit(fail, first.set_result)
    worker.submit(lambda: 1, second.set_result)
    assert await first is None and await second == 1
    worker.close()
    worker.close()
    assert not worker.submit(lambda: 1, lambda _result: None)


async def test_what_waits_is_bounded() -> None:
    worker = StillWorker()
    gate, begun = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        gate.wait(10)

    worker.submit(block, lambda _result: None)
    assert await asyncio.to_thread(begun.wait, 10)
    taken = [worker.submit(lambda: 1, lambda _result: None) for _ in range(_MAX_JOBS + 5)]
    assert taken.count(False) == 5
    worker.close()
    gate.set()
