"""Real libwebrtc behind the downlink loop, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from livekit import rtc
from sdk_client import sdk_clients, see_bars, until
from signaling_server import RunningServer, run_server

from sfu.downlink import Step
from sfu.ids import Layers
from sfu.source import Sink
from sfu.transport import Transport

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with run_server() as running:
        yield running


def line_of(server: RunningServer, identity: str) -> Transport:
    link = server.signaling._registry.rooms["room"].participants[identity].link
    assert link is not None
    return link.primary


def video_of(line: Transport) -> Sink | None:
    return next((sink for sink in line.sinks if not sink.source.is_audio), None)


async def test_a_subscriber_is_measured_and_gets_everything(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        await alice.publish_bars(
            simulcast=True, video_encoding=rtc.VideoEncoding(max_bitrate=900_000, max_framerate=20)
        )
        await see_bars(await bob.track("video"))
        line = line_of(server, "bob")
        sink = await until(lambda: video_of(line))
        top = len(sink.source.specs) - 1
        assert top >= 1
        await until(lambda: sink.layers.spatial == top and not sink.layers.paused, 8.0)
        downlink = server.media.downlink
        assert downlink is not None
        await until(lambda: (downlink.estimate_of(line) or 0) > 600_000, 8.0)
        await asyncio.sleep(3.0)
        assert sink.layers.spatial == top
        assert downlink.step_of(line) is Step.FULL
        counters = server.media.counters()
        assert counters.get("downlink_errors", 0) == counters.get("callback_errors", 0) == 0


async def test_the_thin_version_goes_on_where_the_layers_were(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_bars(simulcast=True)
        track = await bob.track("video")
        await see_bars(track)
        sink = await until(lambda: video_of(line_of(server, "bob")))
        assert server.media.downlink is not None
        server.media.downlink.stop()
        stream = rtc.VideoStream(track)
        try:
            sink.grant(Layers(0, 7, False), is_thin=True)
            assert sink.is_thin
            await next_frame(stream, lambda frame: max(frame.width, frame.height) == 320)
            sink.grant(Layers(1, 7, False))
            assert not sink.is_thin
            await next_frame(stream, lambda frame: max(frame.width, frame.height) > 320)
        finally:
            await stream.aclose()
        counters = server.media.counters()
        assert counters["thin_started"] == 1
        assert counters["thin_frames"] > 0
        assert counters.get("thin_broken", 0) == counters.get("thin_refused", 0) == 0


async def next_frame(
    stream: rtc.VideoStream, is_right: Callable[[rtc.VideoFrame], bool]
) -> rtc.VideoFrame:
    """The next frame of a kind, within some seconds."""
    async with asyncio.timeout(8.0):
        async for event in stream:
            if is_right(event.frame):
                return event.frame
    raise AssertionError("the stream has ended")
