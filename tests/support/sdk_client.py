"""The PyPI `livekit` SDK (real libwebrtc) as a client whose media can be checked by content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from livekit import rtc
from signaling_server import RunningServer

LIMIT_S = 30.0
RATE_HZ = 48_000
BARS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
WIDTH, HEIGHT = 1280, 720
TONE_AMPLITUDE = 12_000
_TOLERANCE = 48  # of a colour channel, after chroma subsampling and a starting encoder


async def until(condition: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
    """Waits for a condition and returns what made it true."""
    async with asyncio.timeout(limit_s):
        while not (found := condition()):
            await asyncio.sleep(0.02)
        return found


class SdkClient:
    """One room connection, with what it heard of."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.room = rtc.Room()
        self.tracks: dict[str, rtc.RemoteTrack] = {}
        self.data: list[rtc.DataPacket] = []
        self.heard: list[str] = []
        self.reason: int | None = None
        self.speakers: list[set[str]] = []
        self._tasks: list[asyncio.Task[None]] = []
        room = self.room
        room.on("track_subscribed", self._handle_subscribed)
        room.on("track_unsubscribed", lambda t, p, _: self.tracks.pop(p.sid, None))
        room.on("data_received", self.data.append)
        room.on(
            "active_speakers_changed",
            lambda speakers: self.speakers.append({s.identity for s in speakers}),
        )
        for name in ("reconnecting", "reconnected", "token_refreshed"):
            room.on(name, lambda *_, name=name: self.heard.append(name))
        room.on("disconnected", self._handle_disconnected)

    def _handle_subscribed(
        self, track: rtc.RemoteTrack, publication: rtc.RemoteTrackPublication, _: object
    ) -> None:
        self.tracks[publication.sid] = track

    def _handle_disconnected(self, reason: int) -> None:
        self.heard.append("disconnected")
        self.reason = reason

    @property
    def me(self) -> rtc.LocalParticipant:
        """The local participant."""
        return self.room.local_participant

    def other(self, identity: str) -> rtc.RemoteParticipant | None:
        """A remote participant, once it is known."""
        return self.room.remote_participants.get(identity)

    async def publish_tone(
        self, hz: float, source_kind: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_MICROPHONE
    ) -> rtc.LocalTrackPublication:
        """Publishes a sine wave, as microphone unless told otherwise."""
        source = rtc.AudioSource(RATE_HZ, 1)
        track = rtc.LocalAudioTrack.create_audio_track("mic", source)
        self._tasks.append(asyncio.create_task(_play_tone(source, hz)))
        return await self.me.publish_track(track, rtc.TrackPublishOptions(source=source_kind))

    async def publish_bars(self, **options: Any) -> rtc.LocalTrackPublication:
        """Publishes colour bars as camera."""
        source = rtc.VideoSource(WIDTH, HEIGHT)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        self._tasks.append(asyncio.create_task(_show_bars(source)))
        options.setdefault("source", rtc.TrackSource.SOURCE_CAMERA)
        return await self.me.publish_track(track, rtc.TrackPublishOptions(**options))

    async def track(self, kind: str, count: int = 1) -> rtc.RemoteTrack:
        """The newest of `count` received tracks of a kind, when they are there."""
        wanted = rtc.TrackKind.KIND_VIDEO if kind == "video" else rtc.TrackKind.KIND_AUDIO

        def find() -> list[rtc.RemoteTrack] | None:
            found = [track for track in self.tracks.values() if track.kind == wanted]
            return found if len(found) >= count else None

        return (await until(find))[-1]

    async def close(self) -> None:
        """Stops media and leaves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()


@asynccontextmanager
async def sdk_clients(
    server: RunningServer, *identities: str, **options: Any
) -> AsyncIterator[list[SdkClient]]:
    """Connects clients one after the other, and disconnects them at the end."""
    clients: list[SdkClient] = []
    try:
        for identity in identities:
            clients.append(client := SdkClient(identity))
            await connect(client, server, **options)
        yield clients
    finally:
        for client in clients:
            await client.close()


async def connect(client: SdkClient, server: RunningServer, **options: Any) -> None:
    """Connects a client to the server's usual room."""
    async with asyncio.timeout(LIMIT_S):
        await client.room.connect(
            server.url, server.token(client.identity), rtc.RoomOptions(**options)
        )


async def _play_tone(source: rtc.AudioSource, hz: float) -> None:
    block = RATE_HZ // 100
    start = 0
    while True:
        phase = 2 * np.pi * hz * (np.arange(block) + start) / RATE_HZ
        samples = (np.sin(phase) * TONE_AMPLITUDE).astype(np.int16)
        start += block
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE_HZ, 1, block))


async def _show_bars(source: rtc.VideoSource) -> None:
    image = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    for index, colour in enumerate(BARS):
        image[:, index * WIDTH // 4 : (index + 1) * WIDTH // 4, :3] = colour
    frame = rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, image.tobytes())
    while True:
        source.capture_frame(frame)
        await asyncio.sleep(1 / 20)


async def hear_hz(track: rtc.RemoteTrack, limit_s: float = LIMIT_S) -> float:
    """The frequency of the tone that arrives; waits through silence."""
    stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
    heard: list[np.ndarray] = []
    try:
        async with asyncio.timeout(limit_s):
            async for event in stream:
                samples = np.frombuffer(event.frame.data, np.int16).astype(np.float64)
                if np.abs(samples).max() < TONE_AMPLITUDE / 4:
                    heard.clear()
                    continue
                heard.append(samples)
                if sum(map(len, heard)) >= RATE_HZ // 2:
                    break
    finally:
        await stream.aclose()
    signal = np.concatenate(heard)
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    return float(np.argmax(spectrum) * RATE_HZ / len(signal))


async def see_bars(
    track: rtc.RemoteTrack,
    *,
    is_enough: Callable[[int, int], bool] = lambda width, height: True,
    limit_s: float = LIMIT_S,
) -> tuple[int, int]:
    """Waits for a picture of the right size with the colour bars; returns its width and height."""
    stream = rtc.VideoStream(track, capacity=2)
    try:
        async with asyncio.timeout(limit_s):
            async for event in stream:
                frame = event.frame
                if is_enough(frame.width, frame.height) and _has_bars(frame):
                    return frame.width, frame.height
    finally:
        await stream.aclose()
    raise AssertionError("the picture ended")


def _has_bars(frame: rtc.VideoFrame) -> bool:
    picture = frame.convert(rtc.VideoBufferType.RGBA)
    pixels = np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 4)
    row = pixels[picture.height // 2].astype(int)
    for index, colour in enumerate(BARS):
        middle = row[(2 * index + 1) * picture.width // 8, :3]
        if np.abs(middle - np.array(colour)).max() > _TOLERANCE:
            return False
    return True
