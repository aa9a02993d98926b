"""A player without transport-wide feedback (aiortc over WHEP) behind a line that gets narrow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from livekit import rtc
from sdk_client import SdkClient, sdk_clients, until
from signaling_server import RunningServer, run_server
from whip_rig import SDP_TYPE, new_peer

pytestmark = pytest.mark.filterwarnings("default")  # the SDK warns about its own internals

WIDTH, HEIGHT, FPS = 640, 360, 15
NARROW_BPS = 250_000
WAITING_PACKETS = 25


class NarrowLine:
    """What comes to a peer passes at a given rate, one packet after the other."""

    def __init__(self, peer: RTCPeerConnection) -> None:
        ice = peer.getTransceivers()[0].receiver.transport.transport
        self._connection: Any = ice._connection
        self._receive = self._connection.recvfrom
        self._connection.recvfrom = self.recvfrom
        self.rate_bps = float("inf")

    async def recvfrom(self) -> tuple[bytes, int]:
        while True:
            datagram: tuple[bytes, int] = await self._receive()
            if self.rate_bps == float("inf"):
                return datagram
            if self._connection._queue.qsize() > WAITING_PACKETS:
                continue
            await asyncio.sleep(len(datagram[0]) * 8 / self.rate_bps)
            return datagram


async def show_noise(client: SdkClient) -> None:
    """A picture that costs what it may cost, in two layers."""
    source = rtc.VideoSource(WIDTH, HEIGHT)
    track = rtc.LocalVideoTrack.create_video_track("camera", source)
    encoding = rtc.VideoEncoding(max_bitrate=800_000, max_framerate=FPS)
    options = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA, simulcast=True, video_encoding=encoding
    )

    async def draw() -> None:
        rng = np.random.default_rng(1)
        while True:
            boxes = rng.integers(0, 256, (HEIGHT // 4, WIDTH // 4), np.uint8)
            luma = boxes.repeat(4, 0).repeat(4, 1)
            data = np.concatenate([luma.ravel(), np.full(WIDTH * HEIGHT // 2, 128, np.uint8)])
            i420 = rtc.VideoBufferType.I420
            source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, i420, bytearray(data.tobytes())))
            await asyncio.sleep(1 / FPS)

    client._tasks.append(asyncio.create_task(draw()))
    await client.me.publish_track(track, options)


async def drain(track: MediaStreamTrack) -> None:
    with contextlib.suppress(MediaStreamError):
        while True:
            await track.recv()


@asynccontextmanager
async def playing(server: RunningServer) -> AsyncIterator[RTCPeerConnection]:
    peer = new_peer()
    peer.addTransceiver("audio", direction="recvonly")
    video = peer.addTransceiver("video", direction="recvonly").receiver
    await peer.setLocalDescription(await peer.createOffer())
    headers = {"Authorization": f"Bearer {server.token('tv')}", "Content-Type": SDP_TYPE}
    async with aiohttp.ClientSession(headers=headers) as http:
        url = f"{server.url}/whep/room"
        async with http.post(url, data=peer.localDescription.sdp) as answer:
            body = await answer.text()
            assert answer.status == 201, body
        assert "transport-cc" not in body
        await peer.setRemoteDescription(RTCSessionDescription(body, "answer"))
        reading = asyncio.create_task(drain(video.track))
        try:
            yield peer
        finally:
            reading.cancel()
            await peer.close()


@pytest.mark.alone
async def test_a_player_without_transport_feedback_is_fitted_to_its_line() -> None:
    async with run_server() as server, sdk_clients(server, "alice") as (alice,):
        await alice.publish_tone(440)
        await show_noise(alice)
        await until(lambda: server.signaling.snapshot()["tracks"] == 2)
        registry = server.media._registry
        async with playing(server) as peer:
            sink = await until(
                lambda: next((s for s in registry.sinks.values() if s.wish is not None), None)
            )

            def row() -> Any:
                rows = server.media.snapshot().transports
                return rows[rows["transport"] == sink.transport.handle][0]

            def estimate_bps() -> float:
                return registry.downlink.estimate_of(sink.transport) or 0.0

            await until(lambda: sink.layers.spatial == 1 and not sink.layers.paused)
            await until(lambda: row()["remb_bps"] > 0)
            line = NarrowLine(peer)
            line.rate_bps = NARROW_BPS
            await asyncio.sleep(8)  # it falls, and finds what fits
            estimates, has_picture = [], []
            for _ in range(20):
                await asyncio.sleep(0.5)
                estimates.append(estimate_bps())
                has_picture.append(not sink.layers.paused)
                assert sink.layers.spatial == 0
            assert row()["has_twcc"] == 0
            assert max(estimates) < 1.4 * NARROW_BPS, estimates
            assert sum(has_picture) >= 15, "it keeps the picture that fits"
            line.rate_bps = float("inf")
            await until(lambda: estimate_bps() > 1.4 * NARROW_BPS, 40)
