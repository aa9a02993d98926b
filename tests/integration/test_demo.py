"""The demonstration store on the real engine: every track moves, and rests when nobody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import av
import pytest
from livekit.protocol import models

from sfu.config import MediaConfig
from sfu.ids import Codec
from sfu.server import MediaServer
from sfu.source import Source
from sfu.tap import Frame
from web.cameras.pulls import Pull
from web.demo.scenes import load_scenes
from web.demo.store import DemoStore

ROOM = "demo-store"


class Guest:
    def __init__(self, name: str) -> None:
        self.name = name
        self.tracks: list[tuple[Source, models.TrackInfo]] = []
        self.has_left = False

    def publish(self, source: Source, info: models.TrackInfo) -> models.TrackInfo:
        self.tracks.append((source, info))
        return info

    def close(self) -> None:
        self.has_left = True


class Stage:
    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}

    def add_local_participant(
        self,
        room_name: str,
        identity: str,
        *,
        name: str = "",
        attributes: Mapping[str, str] | None = None,
        keeps_room: bool = False,
    ) -> Guest:
        assert room_name == ROOM and keeps_room
        self.guests[identity] = Guest(name)
        return self.guests[identity]


class Cameras:
    def __init__(self) -> None:
        self.pulls: dict[str, Pull] = {}

    async def lend(
        self, camera_id: str, name: str, room: str, open_pull: Callable[[], Pull]
    ) -> None:
        assert name and room == ROOM
        self.pulls[camera_id] = open_pull()

    async def remove(self, camera_id: str) -> None:
        await self.pulls[camera_id].close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
async def media() -> AsyncIterator[MediaServer]:
    media = MediaServer(MediaConfig(hosts=("127.0.0.1",), udp_port=0, tcp_port=None))
    await media.start()
    yield media
    await media.close()


async def read(media: MediaServer, source: Source, count: int) -> list[Frame]:
    """Watch a source until ``count`` frames came."""
    frames: list[Frame] = []
    tap = media.open_tap(source)
    async with asyncio.timeout(20):
        async for batch in tap:
            frames += batch
            if len(frames) >= count:
                break
    tap.close()
    return frames


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.02)


def decode(codec: str, frames: list[Frame]) -> int:
    decoder = av.CodecContext.create(codec, "r")
    return sum(len(decoder.decode(av.Packet(frame.data))) for frame in frames)


async def test_everybody_is_there_and_moves(media: MediaServer, folder: Path) -> None:
    stage = Stage()
    cameras = Cameras()
    store = DemoStore(media, stage, cameras, folder, room=ROOM)
    await store.start()
    assert list(stage.guests) == ["demo-walk", "demo-host", "demo-dealer"]
    [(walk, walk_info)] = stage.guests["demo-walk"].tracks
    assert [layer.width for layer in walk_info.layers] == [160, 320, 640]
    (video, _), (voice, voice_info) = stage.guests["demo-host"].tracks
    assert voice_info.type == models.TrackType.AUDIO
    camera = cameras.pulls["demo"].source

    walked, seen, heard, watched = await asyncio.gather(
        read(media, walk, 60),
        read(media, video, 30),
        read(media, voice, 60),
        read(media, camera, 30),
    )
    assert walked[0].is_key and decode("vp8", walked) == len(walked)
    assert decode("vp8", seen) == len(seen)
    assert {frame.codec for frame in heard} == {Codec.OPUS}
    assert watched[0].is_key and decode("h264", watched) >= len(watched) - 2
    steps = {b.ts_rtp_ext - a.ts_rtp_ext for a, b in zip(heard, heard[1:], strict=False)}
    assert 960 in steps

    rested = media.snapshot()
    await asyncio.sleep(0.4)
    assert not any(source.is_watched for source in (walk, video, voice))
    later = media.snapshot()
    is_walk = rested.encodings["source"] == walk.handle
    assert sum(rested.encodings[is_walk]["frames"]) == sum(later.encodings[is_walk]["frames"])

    await store.close()
    await store.close()
    assert all(guest.has_left for guest in stage.guests.values())
    assert walk.is_closed and camera.is_closed


async def test_second_start_uses_the_kept_media(folder: Path) -> None:
    first = await load_scenes(folder)
    [kept] = folder.iterdir()
    written = kept.stat().st_mtime_ns
    assert await load_scenes(folder) == first
    assert kept.stat().st_mtime_ns == written
