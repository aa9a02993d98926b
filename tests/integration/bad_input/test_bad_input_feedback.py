"""A viewer with keys of its own that asks for everything and reports nonsense."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator

from testkit.hostile_viewer import (
    fir,
    hostile_viewer,
    nack_everything,
    pli,
    receiver_report,
    remb,
    transport_cc,
)
from testkit.server import AislecastServer

STORM_S = 16
STEP_S = 0.01


async def steps(seconds: float) -> AsyncIterator[int]:
    """A hundred a second by the clock: a busy machine makes up for what it missed."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for number in range(int(seconds / STEP_S)):
        await asyncio.sleep(max(0.0, start_s + number * STEP_S - loop.time()))
        yield number


async def test_key_frames_asked_for_a_hundred_times_a_second(
    server: AislecastServer, counts, room
) -> None:
    async with hostile_viewer(server, room) as viewer:
        ssrc = viewer.video_ssrc
        async for number in steps(STORM_S):
            await viewer.send_rtcp(pli(ssrc) if number % 2 else fir(ssrc, number))
        # One at the start, and then after half a second, half, one, two, four and eight more.
        assert 1 <= counts["keyframe_requests_sent"] <= 9
        assert counts["keyframe_requests_refused"] >= 500
        assert viewer.pc.connectionState == "connected"


async def test_reports_of_nonsense_and_requests_for_everything(
    server: AislecastServer, counts, room
) -> None:
    rng = random.Random(4)
    before_bytes = server.metrics()["process_resident_memory_bytes"]
    async with hostile_viewer(server, room) as viewer:
        ssrc = viewer.video_ssrc
        async for number in steps(6):
            await viewer.send_rtcp(transport_cc(rng))
            await viewer.send_rtcp(receiver_report(ssrc, rng))
            rate = (63, 0x3FFFF) if number % 2 else (0, 0)
            await viewer.send_rtcp(remb(ssrc, *rate))
            if number % 50 == 0:
                for packet in nack_everything(ssrc):
                    await viewer.send_rtcp(packet)
        assert counts["nacks_received"] > 65_536
        assert counts["rtx_missed"] > 0.9 * counts["nacks_received"]
        assert viewer.pc.connectionState == "connected"
    metrics = server.metrics()
    assert all(math.isfinite(value) for value in metrics.values()), metrics
    assert metrics["process_resident_memory_bytes"] - before_bytes < 20e6
