"""A publisher or a viewer with the `livekit` SDK (real libwebrtc), as a process of its own.

Started by `people.py`, perhaps inside a weak client's namespace. One JSON object a line:

    stdin   {"role": "viewer", "url": …, "token": …, "seconds": 55}   then   "go", perhaps "stop"
    stdout  {"ready": true}, {"joined": µs}, {"seen": µs} (viewer) and at the end its report

`{"role": "joiner", "tokens": […]}` connects and leaves again, once for every token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
from livekit import rtc
from weaknet.picture import HEIGHT, WIDTH, Scene, read
from weaknet.sound import BLOCK, RATE_HZ, Voice, is_heard
from weaknet.stills import TOPIC as STILL_TOPIC
from weaknet.stills import StillReader

FRAMES_PER_S = 20
MAX_BITRATE_BPS = 900_000
JOIN_TIMEOUT_S = 60.0
_ROOM_EVENTS = ("reconnecting", "reconnected", "participant_connected", "participant_disconnected")


def now_us() -> int:
    """The machine's monotonic clock."""
    return time.monotonic_ns() // 1000


def tell(**what: Any) -> None:
    """One line to who started us."""
    print(json.dumps(what), flush=True)


class Client:
    """What publisher and viewer have in common: one connection and its events."""

    def __init__(self, order: dict[str, Any]) -> None:
        """Not connected yet."""
        self.room = rtc.Room()
        self.events: list[tuple[int, str]] = []
        self.go_us = self.end_us = 0
        self.joined_us: int | None = None
        self._order = order
        self._tasks: set[asyncio.Task[None]] = set()
        for name in _ROOM_EVENTS:
            self.room.on(name, lambda *_, name=name: self.events.append((now_us(), name)))
        self.room.on("disconnected", lambda r: self.events.append((now_us(), f"disconnected {r}")))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run until `leave`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def join(self) -> None:
        """Connect, once: how long that takes is a figure."""
        self.go_us = now_us()
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            await self.room.connect(
                self._order["url"], self._order["token"], rtc.RoomOptions(connect_timeout=30.0)
            )
        self.joined_us = now_us()
        tell(joined=self.joined_us)

    async def leave(self) -> None:
        """Stop what runs, then disconnect; a dead line must not hold us."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await self.room.disconnect()


class Publisher(Client):
    """Camera and microphone."""

    def __init__(self, order: dict[str, Any]) -> None:
        """Nothing captured yet."""
        super().__init__(order)
        self._captured_us: list[int] = []

    async def run(self, is_over: asyncio.Event) -> None:
        """Connect and send until told to stop."""
        await self.join()
        me = self.room.local_participant
        voice = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
        microphone = rtc.LocalAudioTrack.create_audio_track("microphone", voice)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        self.spawn(self._speak(voice))
        await me.publish_track(microphone, options)
        scene = rtc.VideoSource(WIDTH, HEIGHT)
        camera = rtc.LocalVideoTrack.create_video_track("camera", scene)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            video_codec=rtc.VideoCodec.VP8,
            simulcast=True,
            video_encoding=rtc.VideoEncoding(
                max_bitrate=MAX_BITRATE_BPS, max_framerate=FRAMES_PER_S
            ),
        )
        self.spawn(self._show(scene))
        await me.publish_track(camera, options)
        await is_over.wait()

    async def _speak(self, source: rtc.AudioSource) -> None:
        voice = Voice()
        while True:
            await source.capture_frame(rtc.AudioFrame(voice.block(), RATE_HZ, 1, BLOCK))

    async def _show(self, source: rtc.VideoSource) -> None:
        scene = Scene()
        start_s = time.monotonic()
        for number in range(1 << 30):
            picture = scene.frame(number)
            await asyncio.sleep(max(0.0, start_s + number / FRAMES_PER_S - time.monotonic()))
            self._captured_us.append(now_us())
            frame = rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.I420, picture)
            source.capture_frame(frame)

    def report(self) -> dict[str, Any]:
        """When each number was captured."""
        return {
            "go_us": self.go_us,
            "joined_us": self.joined_us,
            "captured_us": self._captured_us,
            "events": self.events,
        }


class Viewer(Client):
    """Looks at and listens to whoever is there."""

    def __init__(self, order: dict[str, Any]) -> None:
        """Nothing seen yet."""
        super().__init__(order)
        self._tracks: dict[str, rtc.RemoteTrack] = {}
        self._shown: list[tuple[int, int, int]] = []
        self._heard: list[tuple[int, bool]] = []
        self._levels: list[tuple[int, ...]] = []
        self._stills_us: list[int] = []
        self._still_reader = StillReader()
        self._unreadable = 0
        self.room.on("track_subscribed", self._handle_track)
        self.room.on("data_received", self._handle_data)

    def _handle_track(self, track: rtc.RemoteTrack, *_: object) -> None:
        is_video = track.kind == rtc.TrackKind.KIND_VIDEO
        self._tracks["video" if is_video else "audio"] = track
        self.spawn(self._look(track) if is_video else self._listen(track))

    def _handle_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == STILL_TOPIC and self._still_reader.receive(packet.data):
            self._stills_us.append(now_us())

    async def run(self, is_over: asyncio.Event) -> None:
        """Connect and look for as long as asked."""
        await self.join()
        self.spawn(self._count())
        left_s = self._order["seconds"] - (now_us() - self.go_us) / 1e6
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(is_over.wait(), left_s)
        await self._note_levels()
        self.end_us = now_us()

    async def _look(self, track: rtc.RemoteTrack) -> None:
        async for event in rtc.VideoStream(track):
            at_us, frame = now_us(), event.frame
            if frame.type != rtc.VideoBufferType.I420:
                frame = frame.convert(rtc.VideoBufferType.I420)
            luma = np.frombuffer(frame.data, np.uint8, frame.width * frame.height)
            number = read(luma.reshape(frame.height, frame.width))
            if number is None:
                self._unreadable += 1
                continue
            if not self._shown:
                tell(seen=at_us)
            self._shown.append((at_us, number, frame.height))

    async def _listen(self, track: rtc.RemoteTrack) -> None:
        async for event in rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1):
            heard = is_heard(np.frombuffer(event.frame.data, np.int16))
            if not self._heard or self._heard[-1][1] != heard:
                self._heard.append((now_us(), heard))

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(1)
            await self._note_levels()

    async def _note_levels(self) -> None:
        counted = {"video": (0, 0, 0, 0), "audio": (0, 0, 0, 0)}
        for kind, track in list(self._tracks.items()):
            for each in await track.get_stats():
                if each.WhichOneof("stats") == "inbound_rtp":
                    inbound = each.inbound_rtp.inbound
                    counted[kind] = (
                        inbound.bytes_received,
                        inbound.concealed_samples,
                        inbound.silent_concealed_samples,
                        inbound.total_samples_received,
                    )
        video, audio = counted["video"], counted["audio"]
        self._levels.append((now_us(), video[0], *audio))

    def report(self) -> dict[str, Any]:
        """Everything noted, as `measures.Notes` takes it."""
        return {
            "go_us": self.go_us,
            "end_us": self.end_us or now_us(),
            "joined_us": self.joined_us,
            "shown": self._shown,
            "stills_us": self._stills_us,
            "heard": self._heard,
            "levels": self._levels,
            "events": self.events,
            "unreadable": self._unreadable,
        }


class Joiner:
    """Joins again and again."""

    def __init__(self, order: dict[str, Any]) -> None:
        """Nothing tried yet."""
        self._order = order
        self._joins_s: list[float | None] = []

    async def run(self, is_over: asyncio.Event) -> None:
        """One connection after the other."""
        for token in self._order["tokens"]:
            client = Client({**self._order, "token": token})
            try:
                await client.join()
            except (rtc.ConnectError, TimeoutError):
                self._joins_s.append(None)
            else:
                assert client.joined_us is not None
                self._joins_s.append((client.joined_us - client.go_us) / 1e6)
            await client.leave()
            if is_over.is_set():
                return

    async def leave(self) -> None:
        """Nobody is connected any more."""

    def report(self) -> dict[str, Any]:
        """How long each took; null: it failed."""
        return {"joins_s": self._joins_s}


async def main() -> None:
    """Do as told on stdin; its end is a stop."""
    loop = asyncio.get_running_loop()
    order = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    client = {"publisher": Publisher, "viewer": Viewer, "joiner": Joiner}[order["role"]](order)
    tell(ready=True)
    if (await loop.run_in_executor(None, sys.stdin.readline)).strip() != "go":
        return
    is_over = asyncio.Event()
    waiting = loop.run_in_executor(None, sys.stdin.readline)
    waiting.add_done_callback(lambda _: is_over.set())
    failure = None
    try:
        await client.run(is_over)
    except (rtc.ConnectError, TimeoutError) as error:
        failure = f"{type(error).__name__}: {error}"
    tell(report=client.report(), failure=failure)
    await client.leave()


if __name__ == "__main__":
    asyncio.run(main())
