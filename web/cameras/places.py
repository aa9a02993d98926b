"""Cameras in rooms: each is a participant of its room while that is live, pulled while watched."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from livekit.protocol import models

from sfu.errors import CameraError
from signaling.errors import JoinError
from signaling.service import LocalParticipant, SignalingService
from web.cameras.pulls import Pull
from web.cameras.store import Camera, CameraStore
from web.http.problems import not_found
from web.rooms.kinds import CAMERA_KIND, KIND_ATTRIBUTE

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
        self._places: dict[str, Place] = {}
        self._problems: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Follow rooms from now on."""
        self._signaling.hooks.on_room_started.append(self._on_room_started)

    async def close(self) -> None:
        """Take every camera out."""
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._leave(camera_id) for camera_id in list(self._places)))

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

    async def move(self, camera_id: str, room: str) -> Camera:
        """Put a camera into another room, now and from now on."""
        camera = await self._store.find(camera_id)
        if camera is None:
            raise not_found("That camera")
        if camera.room != room:
            async with self._lock:
                await self._leave(camera_id)
                await self._store.move(camera_id, room)
            camera = Camera(camera.id, camera.name, room, camera.created_at_s)
        await self._enter_if_live(camera)
        return camera

    async def remove(self, camera_id: str) -> None:
        """Take a camera out and forget it."""
        async with self._lock:
            await self._leave(camera_id)
            if not await self._store.remove(camera_id):
                raise not_found("That camera")

    async def settle(self) -> None:
        """Wait until the room news so far has been acted on."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_room_started(self, room: models.Room) -> None:
        self._spawn(self._enter_all(room.name))

    async def _enter_all(self, room: str) -> None:
        for camera in await self._store.all():
            if camera.room == room:
                await self._enter_if_live(camera)

    async def _enter_if_live(self, camera: Camera) -> None:
        async with self._lock:
            is_live = any(room.name == camera.room for room in self._signaling.list_rooms())
            if is_live and camera.id not in self._places:
                await self._enter(camera)

    async def _enter(self, camera: Camera) -> None:
        url = await self._store.url(camera.id)
        self._problems.pop(camera.id, None)
        if url is None:
            self._problems[camera.id] = "lost_key"
            return
        try:
            pull = self._opener.open(f"camera-{camera.id}", url)
        except CameraError as error:
            self._problems[camera.id] = error.code.removeprefix("camera_")
            return
        try:
            participant = self._signaling.add_local_participant(
                camera.room,
                f"{CAMERA_KIND}-{camera.id}",
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
            self._spawn(place.pull.close())

    async def _leave(self, camera_id: str) -> None:
        self._problems.pop(camera_id, None)
        place = self._places.pop(camera_id, None)
        if place is not None:
            place.pull.on_state = None
            place.participant.close()
            await place.pull.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("camera_task_failed", exc_info=task.exception())
