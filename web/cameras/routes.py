"""`/api/cameras`: adding, listing and removing cameras. An address goes in and never comes out."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from web.access.rights import Access
from web.cameras.places import CameraPlaces
from web.cameras.pulls import MAX_URL_CHARS
from web.cameras.store import MAX_CAMERAS, Camera, CameraStore
from web.http.bodies import Shape, Text, read_json
from web.http.operations import Operation, list_answer
from web.http.problems import Problem
from web.rooms.catalogue import MAX_NAME_CHARS, RoomCatalogue

MAX_CAMERA_CHARS = 60
NEW_CAMERA = Shape(
    {
        "name": Text(MAX_CAMERA_CHARS),
        "url": Text(MAX_URL_CHARS, meaning="rtsp://user:password@host/path; never returned"),
        "room": Text(MAX_NAME_CHARS, is_required=False, meaning="default: a room of its own"),
    }
)
PLACE = Shape({"camera": Text(32, meaning="id of the camera")})
CAMERA_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "room": {"type": "string"},
        "state": {"type": "string", "enum": ["idle", "connecting", "live", "failed"]},
        "error_code": {"type": "string"},
    },
}


class CameraRoutes:
    """Cameras as hosts manage them."""

    def __init__(
        self,
        store: CameraStore,
        places: CameraPlaces,
        catalogue: RoomCatalogue,
        access: Access,
    ) -> None:
        """Take the parts."""
        self._store = store
        self._places = places
        self._catalogue = catalogue
        self._access = access

    def operations(self) -> list[Operation]:
        """Return the routes."""
        return [
            Operation(
                "GET",
                "/api/cameras",
                self.handle_list,
                "Cameras and how they are",
                "cameras",
                answers={200: list_answer("cameras", CAMERA_SCHEMA)},
            ),
            Operation(
                "POST",
                "/api/cameras",
                self.handle_add,
                "Add a camera",
                "cameras",
                body=NEW_CAMERA,
                answers={201: CAMERA_SCHEMA, 400: "`bad_url`"},
            ),
            Operation(
                "DELETE",
                "/api/cameras/{id}",
                self.handle_remove,
                "Remove a camera",
                "cameras",
                answers={204: "It is gone."},
            ),
            Operation(
                "POST",
                "/api/rooms/{room}/cameras",
                self.handle_place,
                "Put a camera into a room",
                "cameras",
                body=PLACE,
                answers={200: CAMERA_SCHEMA},
            ),
        ]

    async def handle_list(self, request: web.Request) -> web.Response:
        """List cameras."""
        self._access.require(request, "room_list")
        cameras = [self._show(camera) for camera in await self._places.all()]
        return web.json_response({"cameras": cameras})

    async def handle_add(self, request: web.Request) -> web.Response:
        """Add a camera; without a room it gets one with its own name."""
        self._access.require(request, "room_create")
        body = await read_json(request, NEW_CAMERA)
        if len(await self._store.all()) >= MAX_CAMERAS:
            raise Problem(409, "too_many_cameras", f"There are {MAX_CAMERAS} cameras already.")
        room = body.get("room")
        if room is None:
            room = (await self._catalogue.make(body["name"])).name
        camera = await self._places.add(body["name"], room, body["url"])
        return web.json_response(self._show(camera), status=201)

    async def handle_remove(self, request: web.Request) -> web.Response:
        """Remove a camera."""
        self._access.require(request, "room_create")
        await self._places.remove(request.match_info["id"])
        return web.Response(status=204)

    async def handle_place(self, request: web.Request) -> web.Response:
        """Put a camera into a room."""
        room = request.match_info["room"]
        self._access.require(request, "room_admin", room=room)
        # Taking a camera out of another room is more than a token for this room allows.
        self._access.require(request, "room_create")
        body = await read_json(request, PLACE)
        return web.json_response(self._show(await self._places.move(body["camera"], room)))

    def _show(self, camera: Camera) -> dict[str, Any]:
        state, error_code = self._places.state(camera.id)
        return {
            "id": camera.id,
            "name": camera.name,
            "room": camera.room,
            "state": state,
            "error_code": error_code,
        }
