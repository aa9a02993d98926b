"""Beside the SDK's everyday use: local cameras, dynacast, bad neighbours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from fractions import Fraction

import aiohttp
import av
import numpy as np
import pytest
from livekit import rtc
from livekit.protocol import models
from livekit.protocol import rtc as signal
from sdk_client import BARS, hear_hz, sdk_clients, see_bars, until
from signaling_server import RunningServer, run_server

from sfu.ids import Codec
from signaling.config import SignalingConfig, Timeouts

pytestmark = pytest.mark.filterwarnings("default")

WIDTH, HEIGHT, FPS = 640, 360, 15


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with run_server() as running:
        yield running


def encode_bars(count: int) -> list[bytes]:
    """VP8 frames of the colour bars, the first one a key frame."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for index, colour in enumerate(BARS):
        image[:, index * WIDTH // 4 : (index + 1) * WIDTH // 4] = colour
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.bit_rate = Fraction(1, FPS), 600_000
    encoder.options = {"deadline": "realtime", "lag-in-frames": "0", "g": str(FPS)}
    frames = []
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts = index
        frames += [bytes(packet) for packet in encoder.encode(frame)]
    return frames


@contextlib.asynccontextmanager
async def running_camera(server: RunningServer) -> AsyncIterator[models.TrackInfo]:
    source = server.media.create_local_source(is_audio=False, label="camera")

    async def feed() -> None:
        frames = encode_bars(FPS)
        ts_rtp = 0
        while True:
            for data in frames:
                source.push_frame(Codec.VP8, ts_rtp, data)
                ts_rtp += 90_000 // FPS
                await asyncio.sleep(1 / FPS)

    camera = server.signaling.add_local_participant("room", "camera", name="Shelf")
    task = asyncio.create_task(feed())
    try:
        yield camera.publish(
            source,
            models.TrackInfo(
                source=models.TrackSource.CAMERA, width=WIDTH, height=HEIGHT, mime_type="video/VP8"
            ),
        )
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        camera.close()
        source.close()


async def test_a_camera_of_this_process_is_seen(server: RunningServer) -> None:
    async with sdk_clients(server, "early") as (early,), running_camera(server) as info:
        await see_bars(await early.track("video"))
        other = early.other("camera")
        assert other is not None and other.name == "Shelf"
        async with sdk_clients(server, "late") as (late,):
            size = await see_bars(await late.track("video"))
            assert size == (WIDTH, HEIGHT) and info.sid in late.tracks
    await until(lambda: not server.signaling.find_source("room", info.sid))


async def test_dynacast_stops_and_starts_layers_at_the_publisher(server: RunningServer) -> None:
    def active() -> list[bool]:
        rows = server.media.snapshot().encodings
        return [bool(row["is_active"]) for row in rows if row["codec"] == Codec.VP8]

    async with sdk_clients(server, "alice", "bob", dynacast=True) as (alice, bob):
        publication = await alice.publish_bars()
        track = await bob.track("video")
        await see_bars(track, is_enough=lambda w, h: w == 1280)
        await until(lambda: active() == [True, True, True])
        remote = bob.other("alice").track_publications[publication.sid]  # type: ignore[union-attr]
        remote.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)
        await until(lambda: active() == [True, False, False])
        remote.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_HIGH)
        await see_bars(track, is_enough=lambda w, h: w == 1280)
        remote.set_subscribed(False)
        await until(lambda: not any(active()))
        tap = server.media.open_tap(server.signaling.find_source("room", publication.sid))  # type: ignore[arg-type]
        await until(lambda: active() == [True, True, True])
        tap.close()


@contextlib.asynccontextmanager
async def raw_socket(
    server: RunningServer, identity: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session:
        url = f"{server.url}/rtc?protocol=16&access_token={server.token(identity)}"
        async with session.ws_connect(url) as socket:
            join = signal.SignalResponse.FromString(await socket.receive_bytes())
            assert join.WhichOneof("message") == "join"
            yield socket


async def test_a_flood_ends_its_sender_and_nobody_else_notices(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        track = await bob.track("audio")
        async with raw_socket(server, "mallory") as socket:
            ping = signal.SignalRequest(ping=1).SerializeToString()
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                for _ in range(10_000):
                    await socket.send_bytes(ping)
            last = None
            async for message in socket:
                last = signal.SignalResponse.FromString(message.data)
                if last.WhichOneof("message") == "leave":
                    break
            assert last is not None
            assert last.leave.reason == models.DisconnectReason.PARTICIPANT_REMOVED
        assert server.signaling.counters["closed_flooding"] == 1
        assert abs(await hear_hz(track) - 440) < 5
        # Nothing but perhaps a fresh token, which comes a moment after the media.
        assert {*alice.heard, *bob.heard} <= {"token_refreshed"}
        await until(lambda: bob.other("mallory") is None)


async def test_rubbish_ends_nobody_else(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        track = await bob.track("audio")
        async with raw_socket(server, "mallory") as socket:
            for data in (b"", b"\xff" * 1000, bytes(range(256)) * 100):
                await socket.send_bytes(data)
            offer = signal.SessionDescription(type="offer", sdp="v=0\r\nrubbish")
            await socket.send_bytes(signal.SignalRequest(offer=offer).SerializeToString())
            kinds = []
            async for message in socket:
                response = signal.SignalResponse.FromString(message.data)
                kinds.append(response.WhichOneof("message"))
            assert kinds[-1] == "leave"
        assert server.signaling.counters["message_malformed"] >= 1
        assert abs(await hear_hz(track) - 440) < 5


async def test_a_client_that_never_answers_is_let_go() -> None:
    # What it is by default is waited for in bad_input/test_bad_input_signaling.py.
    config = SignalingConfig(keys={}, timeouts=Timeouts(answer_s=2.0))
    async with run_server(config) as server, raw_socket(server, "mute") as socket:
        kinds = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(12):
                async for message in socket:
                    response = signal.SignalResponse.FromString(message.data)
                    kinds.append(response.WhichOneof("message"))
        assert "offer" in kinds and kinds[-1] == "leave"
        assert server.signaling.counters["negotiation_timeout"] == 1
