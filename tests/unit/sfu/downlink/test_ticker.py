"""Turns come at their time, and a machine that cannot keep up is noticed."""

from __future__ import annotations

import asyncio

from virtual_loop import VirtualLoop, pass_virtual, run_virtual

from sfu.downlink.ticker import Ticker


def test_turns_come_at_the_interval_until_stopped() -> None:
    async def story() -> list[float]:
        loop, turns = asyncio.get_running_loop(), []
        ticker = Ticker(lambda: turns.append(round(loop.time(), 3)), 0.1)
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

        ticker = Ticker(turn, 0.1)
        ticker.start()
        await pass_virtual(4.0)
        ticker.stop()
        return late, len(late)

    late, count = run_virtual(story())
    assert late[:3] == [False, False, False] and late[3]
    assert not late[-1]
    assert count <= 4 + 13


def test_calm_turns_come_seldom_until_somebody_hurries() -> None:
    async def story() -> list[float]:
        loop, turns = asyncio.get_running_loop(), []

        def turn() -> None:
            turns.append(round(loop.time(), 3))
            ticker.calm_interval_s = 0.4

        ticker = Ticker(turn, 0.1)
        ticker.start()
        await pass_virtual(0.75)
        ticker.hurry()
        ticker.hurry()
        await pass_virtual(0.3)
        ticker.stop()
        ticker.hurry()
        await pass_virtual(1.0)
        return turns

    # Calm from the first turn on; the third would have come at 0.9.
    assert run_virtual(story()) == [0.1, 0.5, 0.85]


def test_a_turn_may_stop_the_turns() -> None:
    async def story() -> int:
        count = 0

        def turn() -> None:
            nonlocal count
            count += 1
            ticker.stop()

        ticker = Ticker(turn, 0.1)
        ticker.start()
        await pass_virtual(1.0)
        return count

    assert run_virtual(story()) == 1
