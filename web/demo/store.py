"""The demonstration store in a room: a shelf walk, two people who talk, and one RTSP camera."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from livekit.protocol import models

from sfu.ids import Codec, EncodingSpec
from sfu.ingest.rtsp import RtspCamera
from sfu.ingest.rtsp_stream import CameraConfig
from sfu.local import LocalSource, SourceFactory
from sfu.source import Source
from web.cameras.pulls import Pull, RtspPull
from web.demo.camera import LoopCamera
from web.demo.loops import Loop, VideoSize
from web.demo.player import LoopPlayer
from web.demo.scenes import PEOPLE_SIZE, WALK_SIZES, load_scenes
from web.http.problems import Problem
from web.rooms.kinds import KIND_ATTRIBUTE, WALK_KIND

__all__ = ["DemoCameras", "DemoGuest", "DemoStage", "DemoStore"]

_CAMERA_ID = "demo"
_LOOPBACK = CameraConfig(allowed_networks=("127.0.0.0/8",))
_QUALITIES = (models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH)


class DemoGuest(Protocol):
    """A participant of this process, as signaling makes them."""

    def publish(self, source: Source, info: models.TrackInfo) -> models.TrackInfo:
        """Announce a track."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class DemoStage(Protocol):
    """Lets participants of this process into a room; the signaling service is one."""

    def add_local_participant(
        self,
        room_name: str,
        identity: str,
        *,
        name: str = ...,
        attributes: Mapping[str, str] | None = ...,
        keeps_room: bool = ...,
    ) -> DemoGuest:
        """Make a participant and, where needed, its room."""
        ...


class DemoCameras(Protocol):
    """The store's cameras, as hosts see them; `CameraPlaces` is one."""

    async def lend(
        self, camera_id: str, name: str, room: str, open_pull: Callable[[], Pull]
    ) -> None:
        """Put a camera among them, and into its room."""
        ...

    async def remove(self, camera_id: str) -> None:
        """Take it away."""
        ...


class DemoStore:
    """Stands from :meth:`start` to :meth:`close`; costs nothing while nobody watches."""

    def __init__(
        self,
        media: SourceFactory,
        stage: DemoStage,
        cameras: DemoCameras,
        folder: Path,
        *,
        room: str,
    ) -> None:
        """Makes nothing yet; ``folder`` keeps the encoded media."""
        self._media = media
        self._stage = stage
        self._cameras = cameras
        self._folder = folder
        self._room = room
        self._guests: list[DemoGuest] = []
        self._sources: list[LocalSource] = []
        self._players: list[asyncio.Task[None]] = []
        self._server: LoopCamera | None = None

    async def start(self) -> None:
        """Make or load the media, open the camera, and enter the room."""
        loops = await load_scenes(self._folder)
        epoch_s = asyncio.get_running_loop().time()
        walk = self._enter("demo-walk", "货架巡店 Shelf walk", {KIND_ATTRIBUTE: WALK_KIND})
        layers = [loops[f"walk-{index}"] for index in range(len(WALK_SIZES))]
        self._play(walk, "walk", layers, WALK_SIZES, epoch_s)
        for identity, name, label in (
            ("demo-host", "总部 HQ", "host"),
            ("demo-dealer", "经销商 Dealer", "dealer"),
        ):
            guest = self._enter(identity, name)
            self._play(guest, label, [loops[label]], [PEOPLE_SIZE], epoch_s)
            self._play(guest, f"{label}-voice", [loops[f"{label}-voice"]], [], epoch_s)
        await self._open_camera(loops["camera"])

    async def close(self) -> None:
        """Leave the room and stop everything; idempotent."""
        players, self._players = self._players, []
        for player in players:
            player.cancel()
        for player in players:
            with contextlib.suppress(asyncio.CancelledError):
                await player
        for guest in self._guests:
            guest.close()
        self._guests.clear()
        for source in self._sources:
            source.close()
        self._sources.clear()
        if self._server is not None:
            with contextlib.suppress(Problem):  # a host has taken it away
                await self._cameras.remove(_CAMERA_ID)
            await self._server.close()
            self._server = None

    def _enter(
        self, identity: str, name: str, attributes: Mapping[str, str] | None = None
    ) -> DemoGuest:
        guest = self._stage.add_local_participant(
            self._room, identity, name=name, attributes=attributes, keeps_room=True
        )
        self._guests.append(guest)
        return guest

    def _play(
        self,
        guest: DemoGuest,
        label: str,
        loops: Sequence[Loop],
        sizes: Sequence[VideoSize],
        epoch_s: float,
    ) -> None:
        is_audio = loops[0].codec is Codec.OPUS
        rids = [EncodingSpec(rid) for rid in ("q", "h", "f")[: len(loops)]]
        source = self._media.create_local_source(
            is_audio=is_audio,
            label=f"demo {label}",
            encodings=rids if len(rids) > 1 else [EncodingSpec()],
        )
        self._sources.append(source)
        self._players.append(asyncio.create_task(LoopPlayer(source, loops, epoch_s).run()))
        guest.publish(source, _track_info(label, is_audio=is_audio, sizes=sizes))

    async def _open_camera(self, loop: Loop) -> None:
        server = self._server = LoopCamera(loop)
        await server.start()

        def open_pull() -> Pull:
            return RtspPull(
                RtspCamera(server.url, self._media, label="demo camera", config=_LOOPBACK)
            )

        await self._cameras.lend(_CAMERA_ID, "1 号机 Cam 1", self._room, open_pull)


def _track_info(name: str, *, is_audio: bool, sizes: Sequence[VideoSize]) -> models.TrackInfo:
    if is_audio:
        return models.TrackInfo(
            name=name,
            type=models.TrackType.AUDIO,
            source=models.TrackSource.MICROPHONE,
            mime_type="audio/opus",
        )
    info = models.TrackInfo(
        name=name,
        type=models.TrackType.VIDEO,
        source=models.TrackSource.CAMERA,
        mime_type="video/VP8",
        width=sizes[-1].width,
        height=sizes[-1].height,
    )
    # One layer counts as high; several begin at low.
    for size, quality in zip(sizes, _QUALITIES[-len(sizes) :], strict=True):
        info.layers.add(
            quality=quality, width=size.width, height=size.height, bitrate=size.bitrate_bps
        )
    return info
