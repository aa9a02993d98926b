"""Turns come at their time, and a machine that cannot keep up is noticed."""

from __future__ import annotations

import asyncio

from virtual_loop import VirtualLoop, pass_virtual, run_virtual

from sfu.downlink.ticker import Ticker


def test_turns_come_at_the_interval_until_stopped() -> None:
    async def story() -> list[float]:
        loop, turns = asyncio.get_running_loop(), []
        ticker = Ticker(0.1, lambda: turns.append(round(loop.time(), 3)))
        ticker.start()
        await pass_virtual(0.55)
        ticker.stop()
        ticker.stop()
        await pass_virtual(1.0)
        return turns

    assert run_virtual(story()) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_what_was_missed_is_not_made_up_for_and_lateness_shows() -> None:
    async def story() -> tuple[list[bool], int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        late: list[bool] = []

        def turn() -> None:
            late.append(ticker.is_late)
            if len(late) <= 4:
                loop._virtual.slept_s += 0.7  # somebody held the loop meanwhile

        ticker = Ticker(0.1, turn)
        ticker.start()
        await pass_virtual(4.0)
        ticker.stop()
        return late, len(late)

    late, count = run_virtual(story())
    assert late[:3] == [False, False, False] and late[3]
    assert not late[-1]
    assert count <= 4 + 13
