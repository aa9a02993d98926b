"""Cameras in rooms: each is a participant of its room while that is live, pulled while watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog
from livekit.protocol import models

from sfu.errors import CameraError
from signaling.errors import JoinError
from signaling.service import LocalParticipant, SignalingService
from web.cameras.pulls import Pull
from web.cameras.store import Camera, CameraStore
from web.http.problems import not_found
from web.ops.errands import Errands
from web.rooms.kinds import CAMERA_KIND, CAMERA_PREFIX, KIND_ATTRIBUTE

log = structlog.get_logger("web.cameras")

STATE_ATTRIBUTE: Final = "state"


class Opener(Protocol):
    """Opens cameras."""

    async def check(self, url: str) -> None:
        """Refuse, with a `Problem`, what may not be opened."""

    def open(self, label: str, url: str) -> Pull:
        """Make a camera that connects when it is watched."""


@dataclass(slots=True)
class Place:
    """A camera that sits in a live room."""

    camera: Camera
    pull: Pull
    participant: LocalParticipant


@dataclass(slots=True)
class Lent:
    """A camera that another part of this process has; it is kept nowhere."""

    camera: Camera
    open: Callable[[], Pull]


class CameraPlaces:
    """Puts cameras into their rooms and takes them out.

    Room news comes from signaling's hooks. All changes run one after the other in one task,
    so that a room that ends while a camera enters it leaves nothing behind.
    """

    def __init__(
        self,
        store: CameraStore,
        signaling: SignalingService,
        opener: Opener,
    ) -> None:
        """Take the parts."""
        self._store = store
        self._signaling = signaling
        self._opener = opener
        self._lent: dict[str, Lent] = {}
        self._places: dict[str, Place] = {}
        self._problems: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._errands = Errands("web.cameras")

    def start(self) -> None:
        """Follow rooms from now on."""
        self._signaling.hooks.on_room_started.append(self._on_room_started)

    async def close(self) -> None:
        """Take every camera out."""
        await self._errands.cancel()
        await asyncio.gather(*(self._leave(camera_id) for camera_id in list(self._places)))

    async def all(self) -> list[Camera]:
        """Return all cameras: those that are kept, then those that are lent."""
        return [*await self._store.all(), *(lent.camera for lent in self._lent.values())]

    def state(self, camera_id: str) -> tuple[str, str]:
        """Return a camera's state and, if it failed, the code of the reason."""
        if camera_id in self._problems:
            return "failed", self._problems[camera_id]
        place = self._places.get(camera_id)
        if place is None:
            return "idle", ""
        return place.pull.state, place.pull.error_code

    async def add(self, name: str, room: str, url: str) -> Camera:
        """Keep a camera and put it into its room if that is live.

        Raises:
            Problem: the address is not allowed.
        """
        await self._opener.check(url)
        camera = await self._store.add(name, room, url)
        await self._enter_if_live(camera)
        return camera

    async def lend(
        self, camera_id: str, name: str, room: str, open_pull: Callable[[], Pull]
    ) -> None:
        """Put a camera into its room that is there until `remove`, or until this process ends.

        Args:
            open_pull: makes it each time its room begins; whoever lends it answers for its address.
        """
        camera = Camera(camera_id, name, room, 0.0)
        self._lent[camera_id] = Lent(camera, open_pull)
        await self._enter_if_live(camera)

    async def move(self, camera_id: str, room: str) -> Camera:
        """Put a camera into another room, now and from now on."""
        lent = self._lent.get(camera_id)
        camera = lent.camera if lent else await self._store.find(camera_id)
        if camera is None:
            raise not_found("That camera")
        if camera.room != room:
            camera = replace(camera, room=room)
            async with self._lock:
                await self._leave(camera_id)
                if lent:
                    lent.camera = camera
                else:
                    await self._store.move(camera_id, room)
        await self._enter_if_live(camera)
        return camera

    async def remove(self, camera_id: str) -> None:
        """Take a camera out and forget it."""
        async with self._lock:
            await self._leave(camera_id)
            was_lent = self._lent.pop(camera_id, None) is not None
            if not was_lent and not await self._store.remove(camera_id):
                raise not_found("That camera")

    async def settle(self) -> None:
        """Wait until the room news so far has been acted on."""
        await self._errands.settle()

    def _on_room_started(self, room: models.Room) -> None:
        self._errands.run(self._enter_all(room.name))

    async def _enter_all(self, room: str) -> None:
        for camera in await self.all():
            if camera.room == room:
                await self._enter_if_live(camera)

    async def _enter_if_live(self, camera: Camera) -> None:
        async with self._lock:
            is_live = any(room.name == camera.room for room in self._signaling.list_rooms())
            if is_live and camera.id not in self._places:
                await self._enter(camera)

    async def _open(self, camera: Camera) -> Pull | None:
        if lent := self._lent.get(camera.id):
            return lent.open()
        url = await self._store.url(camera.id)
        self._problems.pop(camera.id, None)
        if url is None:
            self._problems[camera.id] = "lost_key"
            return None
        try:
            return self._opener.open(f"camera-{camera.id}", url)
        except CameraError as error:
            self._problems[camera.id] = error.code.removeprefix("camera_")
            return None

    async def _enter(self, camera: Camera) -> None:
        pull = await self._open(camera)
        if pull is None:
            return
        try:
            participant = self._signaling.add_local_participant(
                camera.room,
                f"{CAMERA_PREFIX}{camera.id}",
                name=camera.name,
                attributes={KIND_ATTRIBUTE: CAMERA_KIND, STATE_ATTRIBUTE: pull.state},
                on_closed=lambda: self._on_participant_closed(camera.id),
            )
            participant.publish(
                pull.source,
                models.TrackInfo(
                    type=models.VIDEO,
                    source=models.CAMERA,
                    name=camera.name,
                    mime_type="video/H264",
                    width=1280,
                    height=720,
                ),
            )
        except JoinError as error:
            self._problems[camera.id] = error.code
            await pull.close()
            return
        self._places[camera.id] = Place(camera, pull, participant)
        pull.on_state = lambda: self._on_state(camera.id)

    def _on_state(self, camera_id: str) -> None:
        place = self._places.get(camera_id)
        if place is not None:
            log.info("camera", camera=camera_id, state=place.pull.state, why=place.pull.error_code)
            shown = place.pull.error_code or place.pull.state
            place.participant.update(attributes={STATE_ATTRIBUTE: shown})

    def _on_participant_closed(self, camera_id: str) -> None:
        """The room ended or a host removed the camera."""
        place = self._places.pop(camera_id, None)
        if place is not None:
            self._errands.run(place.pull.close())

    async def _leave(self, camera_id: str) -> None:
        self._problems.pop(camera_id, None)
        place = self._places.pop(camera_id, None)
        if place is not None:
            place.pull.on_state = None
            place.participant.close()
            await place.pull.close()
