"""RED with real libwebrtc: publishers send it, and decode it when it is ordered for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from livekit import rtc
from sdk_client import LIMIT_S, hear_hz, sdk_clients, until
from signaling_server import RunningServer, run_server

from signaling.config import SignalingConfig

HEADERS_BYTES = 38
"""Of a packet of these clients: 12, extensions, authentication tag."""

pytestmark = pytest.mark.filterwarnings("default")  # the SDK warns about its own internals


@pytest.fixture(params=["single", "dual"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[RunningServer]:
    """Once as clients prefer it, once answering 404 on /rtc/v1."""
    config = SignalingConfig(keys={}, is_single_pc_enabled=request.param == "single")
    async with run_server(config) as running:
        yield running


def order_red(server: RunningServer, distance: int) -> None:
    """For every sink there is."""
    registry = server.media._registry  # the downlink decides in earnest; here the test does
    for handle in registry.sinks:
        registry.engine.set_red(handle, distance)


async def inbound(track: rtc.RemoteTrack) -> Any:
    """What the receiver says of its audio stream."""
    for stats in await track.get_stats():
        if stats.WhichOneof("stats") == "inbound_rtp":
            return stats.inbound_rtp
    raise AssertionError("no stream")


class Counts(NamedTuple):
    """Of the one publisher, since it came."""

    packets: int
    wire_bytes: int
    frames: int
    frame_bytes: int

    @classmethod
    def of(cls, server: RunningServer) -> Counts:
        snapshot = server.media.snapshot()
        (encoding,) = snapshot.encodings
        (sender,) = [row for row in snapshot.transports if row["received_packets"]]
        wire = sender["received_packets"], sender["received_bytes"]
        return cls(*map(int, (*wire, encoding["packets"], encoding["bytes"])))


async def frames_beyond_one(server: RunningServer) -> float:
    """What a packet carries beside the frame it is for, in frames: two seconds of sound are
    looked at, as Opus begins with bigger frames than it goes on with."""
    before = Counts.of(server)
    await until(lambda: Counts.of(server).frames >= before.frames + 100)
    after = Counts.of(server)
    packet = (after.wire_bytes - before.wire_bytes) / (after.packets - before.packets)
    frame = (after.frame_bytes - before.frame_bytes) / (after.frames - before.frames)
    return (packet - HEADERS_BYTES - frame) / frame


async def test_sound_in_red_is_decoded(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        track = await bob.track("audio")
        assert abs(await hear_hz(track) - 440) < 5
        before = (await inbound(track)).inbound
        for distance in (2, 1, 0, 2):
            order_red(server, distance)
            sent = server.media.counters()["red_sent"]
            assert abs(await hear_hz(track) - 440) < 5
            if distance:
                await until(lambda n=sent: server.media.counters()["red_sent"] > n + 20)
        # All that came was RED, but for the moments without: who could not read it would have
        # made up seconds.
        after = (await inbound(track)).inbound
        assert after.concealed_samples - before.concealed_samples < 9_600


async def test_a_publisher_that_offers_red_sends_it_once_that_is_wanted(
    server: RunningServer,
) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        assert abs(await hear_hz(await bob.track("audio")) - 440) < 5
        extra = await frames_beyond_one(server)
        (room,) = server.signaling._registry.rooms.values()
        (track,) = room.tracks.values()
        link = room.by_sid[track.publisher_sid].link
        assert link is not None
        if not link.is_single:
            # Nobody can ask it later.
            assert extra > 0.8, extra
            return
        assert extra < 0.2, extra
        link.publisher.add_red(track.mid)
        async with asyncio.timeout(LIMIT_S):
            while await frames_beyond_one(server) < 0.8:
                pass
        assert abs(await hear_hz(await bob.track("audio")) - 440) < 5
