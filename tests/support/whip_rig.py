"""A server with WHIP and WHEP over loopback, and aiortc as encoder and player."""

from __future__ import annotations

import asyncio
import fractions
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import numpy as np
from aiohttp.test_utils import TestServer
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from av import AudioFrame, VideoFrame
from web_fakes import API_KEY, API_SECRET, make_token

from sfu.config import MediaConfig
from sfu.server import MediaServer
from signaling.clock import LoopClock
from signaling.config import SignalingConfig
from signaling.service import SignalingService
from web.http.rates import RateLimit
from web.server.app import build_app
from web.whip.routes import WhipRoutes

WIDTH, HEIGHT, FPS = 320, 240, 15
BITS = 8
TONE_HZ = 1000
AUDIO_HZ = 48_000
SDP_TYPE = "application/sdp"


@dataclass
class Rig:
    media: MediaServer
    signaling: SignalingService
    routes: WhipRoutes
    http: aiohttp.ClientSession
    url: str

    async def call(
        self, method: str, path: str, *, token: str = "", body: str = "", **headers: str
    ) -> tuple[int, Mapping[str, str], str]:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.url}{path}"
        async with self.http.request(method, url, data=body.encode(), headers=headers) as answer:
            return answer.status, answer.headers, await answer.text()

    async def post(self, path: str, sdp: str, *, token: str) -> tuple[int, Mapping[str, str], str]:
        return await self.call("POST", path, token=token, body=sdp, Content_Type=SDP_TYPE)


@asynccontextmanager
async def running_server() -> AsyncIterator[Rig]:
    media = MediaServer(MediaConfig(hosts=("0.0.0.0",), udp_port=0, tcp_port=None))
    await media.start()
    signaling = SignalingService(
        media,
        SignalingConfig(keys={API_KEY: API_SECRET}),
        clock=LoopClock(),
        token_bytes=secrets.token_bytes,
    )
    signaling.start()
    failures = RateLimit(burst=1000, per_s=100, clock=time.monotonic)
    routes = WhipRoutes(signaling, media, failures=failures)
    server = TestServer(build_app(routes.operations(), [], is_behind_proxy=False))
    await server.start_server()
    async with aiohttp.ClientSession() as http:
        yield Rig(media, signaling, routes, http, str(server.make_url("")).rstrip("/"))
    await routes.close()
    await signaling.drain()
    await server.close()
    await media.close()


def room_token(identity: str, room: str = "shop", **video: object) -> str:
    return make_token(identity=identity, room_join=True, room=room, **video)


class NumberedPicture(MediaStreamTrack):
    """Frames that show their own number as `BITS` bright or dark blocks."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._start_s = time.monotonic()

    async def recv(self) -> VideoFrame:
        delay_s = self._start_s + self._number / FPS - time.monotonic()
        await asyncio.sleep(max(0.0, delay_s))
        frame = VideoFrame.from_ndarray(draw_number(self._number % 2**BITS), format="rgb24")
        frame.pts = self._number
        frame.time_base = fractions.Fraction(1, FPS)
        self._number += 1
        return frame


def draw_number(number: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    step = WIDTH // BITS
    for bit in range(BITS):
        block = image[HEIGHT // 4 : HEIGHT // 2, bit * step : (bit + 1) * step]
        block[:] = 220 if number >> bit & 1 else 30
    return image


def read_number(frame: VideoFrame) -> int:
    grey = frame.to_ndarray(format="gray")
    height, width = grey.shape
    step = width // BITS
    number = 0
    for bit in range(BITS):
        middle = grey[height * 5 // 16 : height * 7 // 16, bit * step + step // 4 :][:, : step // 2]
        number |= int(middle.mean() > 125) << bit
    return number


class Tone(MediaStreamTrack):
    """A pure tone."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = 0
        self._start_s = time.monotonic()

    async def recv(self) -> AudioFrame:
        size = AUDIO_HZ // 50
        delay_s = self._start_s + self._samples / AUDIO_HZ - time.monotonic()
        await asyncio.sleep(max(0.0, delay_s))
        phase = (self._samples + np.arange(size)) * (2 * np.pi * TONE_HZ / AUDIO_HZ)
        wave = (np.sin(phase) * 12_000).astype(np.int16)
        frame = AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = AUDIO_HZ
        frame.pts = self._samples
        frame.time_base = fractions.Fraction(1, AUDIO_HZ)
        self._samples += size
        return frame


def loudest_hz(frames: list[AudioFrame]) -> float:
    """The strongest frequency in a run of frames."""
    parts = [frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0] for frame in frames]
    wave = np.concatenate(parts).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * frames[0].sample_rate / len(wave))


def new_peer() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def negotiate(rig: Rig, peer: RTCPeerConnection, path: str, token: str) -> Mapping[str, str]:
    """Posts the peer's offer and applies the answer; returns the answer's headers."""
    await peer.setLocalDescription(await peer.createOffer())
    status, headers, body = await rig.post(path, peer.localDescription.sdp, token=token)
    assert status == 201, body
    await peer.setRemoteDescription(RTCSessionDescription(body, "answer"))
    return headers


async def publish(
    rig: Rig, *tracks: MediaStreamTrack, identity: str = "encoder", codec: str = ""
) -> tuple[RTCPeerConnection, Mapping[str, str]]:
    """Publishes tracks by WHIP."""
    peer = new_peer()
    for track in tracks:
        transceiver = peer.addTransceiver(track, direction="sendonly")
        prefer(transceiver, codec)
    return peer, await negotiate(rig, peer, "/whip/shop", room_token(identity))


def prefer(transceiver: object, codec: str) -> None:
    """Offers only one video codec and its RTX."""
    from aiortc import RTCRtpSender

    if codec and transceiver.kind == "video":  # type: ignore[attr-defined]
        wanted = (f"video/{codec}".lower(), "video/rtx")
        codecs = RTCRtpSender.getCapabilities("video").codecs
        kept = [c for c in codecs if c.mimeType.lower() in wanted]
        transceiver.setCodecPreferences(kept)  # type: ignore[attr-defined]


async def until(condition: object, limit_s: float = 15.0) -> None:
    """Waits for a condition in real time."""
    async with asyncio.timeout(limit_s):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.02)
