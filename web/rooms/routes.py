"""`/api/rooms`: what is live, and making a room."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from signaling.service import SignalingService
from web.access.rights import Access
from web.http.bodies import Shape, Text, read_json
from web.http.operations import Operation, list_answer
from web.rooms.catalogue import MAX_TITLE_CHARS, RoomCatalogue
from web.rooms.kinds import CAMERA_KIND, KIND_ATTRIBUTE

NEW_ROOM = Shape({"title": Text(MAX_TITLE_CHARS, is_required=False, meaning="what people call it")})
ROOM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "title": {"type": "string"},
        "is_live": {"type": "boolean"},
        "num_people": {"type": "integer"},
        "started_at": {"type": ["string", "null"], "format": "date-time"},
        "is_recording": {"type": "boolean"},
    },
}


class RoomRoutes:
    """Rooms as hosts see them."""

    def __init__(
        self, signaling: SignalingService, catalogue: RoomCatalogue, access: Access
    ) -> None:
        """Take who knows live rooms, who knows titles, and who may ask."""
        self._signaling = signaling
        self._catalogue = catalogue
        self._access = access

    def operations(self) -> list[Operation]:
        """Return the routes."""
        return [
            Operation(
                "GET",
                "/api/rooms",
                self.handle_list,
                "Live rooms first, then those made lately",
                "rooms",
                answers={200: list_answer("rooms", ROOM_SCHEMA)},
            ),
            Operation(
                "POST",
                "/api/rooms",
                self.handle_make,
                "Make a room",
                "rooms",
                body=NEW_ROOM,
                answers={201: ROOM_SCHEMA},
            ),
        ]

    def _count_people(self, room: str) -> int:
        """How many others see there; a store camera is nobody."""
        return sum(
            one.attributes.get(KIND_ATTRIBUTE) != CAMERA_KIND and not one.permission.hidden
            for one in self._signaling.list_participants(room)
        )

    async def handle_list(self, request: web.Request) -> web.Response:
        """List rooms."""
        self._access.require(request, "room_list")
        known = {room.name: room for room in await self._catalogue.latest()}
        answer = []
        live_names = set()
        for live in sorted(self._signaling.list_rooms(), key=lambda room: -room.creation_time):
            live_names.add(live.name)
            answer.append(
                {
                    "name": live.name,
                    "title": await self._catalogue.title(live.name),
                    "is_live": True,
                    "num_people": self._count_people(live.name),
                    "started_at": datetime.fromtimestamp(live.creation_time, UTC).isoformat(),
                    "is_recording": live.active_recording,
                }
            )
        answer += [
            _quiet_room(room.name, room.title)
            for room in known.values()
            if room.name not in live_names
        ]
        return web.json_response({"rooms": answer})

    async def handle_make(self, request: web.Request) -> web.Response:
        """Make a room; it goes live when the first one enters."""
        self._access.require(request, "room_create")
        body = await read_json(request, NEW_ROOM)
        room = await self._catalogue.make(body.get("title", ""))
        return web.json_response(_quiet_room(room.name, room.title), status=201)


def _quiet_room(name: str, title: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": title or name,
        "is_live": False,
        "num_people": 0,
        "started_at": None,
        "is_recording": False,
    }
