"""`/api/places`: the stores whose rooms are known; which store a room is in."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from web.access.rights import Access
from web.http.bodies import Shape, Text, read_json
from web.http.operations import Operation, list_answer
from web.http.problems import not_found
from web.rooms.catalogue import MAX_PLACE_CHARS, MAX_TITLE_CHARS, RoomCatalogue

ROOM_CHANGES: Final = Shape(
    {
        "place": Text(MAX_PLACE_CHARS, is_required=False, meaning="the store; empty = none"),
        "title": Text(MAX_TITLE_CHARS, is_required=False, meaning="empty = as before"),
    }
)
TEXT: Final = {"type": "string"}
ROOM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"name": TEXT, "title": TEXT, "place": TEXT},
}


class PlaceRoutes:
    """Stores as hosts name them.

    A room shows how its store's line is to whoever administers the room. So naming its store needs
    the right to make rooms: with a room alone nobody may look into another store.
    """

    def __init__(self, catalogue: RoomCatalogue, access: Access) -> None:
        """Take who knows rooms, and who may ask."""
        self._catalogue = catalogue
        self._access = access

    def operations(self) -> list[Operation]:
        """Return the routes."""
        return [
            Operation(
                "GET",
                "/api/places",
                self.handle_list,
                "Stores that rooms were made for, the latest first",
                "rooms",
                answers={200: list_answer("places", TEXT)},
            ),
            Operation(
                "PATCH",
                "/api/rooms/{room}",
                self.handle_change,
                "Say which store a room is in, or what to call it",
                "rooms",
                body=ROOM_CHANGES,
                answers={200: ROOM_SCHEMA, 404: "No such room was made here."},
            ),
        ]

    async def handle_list(self, request: web.Request) -> web.Response:
        """List stores."""
        self._access.require(request, "room_list")
        return web.json_response({"places": await self._catalogue.places()})

    async def handle_change(self, request: web.Request) -> web.Response:
        """Change a room."""
        name = request.match_info["room"]
        self._access.require(request, "room_create", room=name)
        body = await read_json(request, ROOM_CHANGES)
        room = await self._catalogue.change(
            name, place=body.get("place"), title=body.get("title", "")
        )
        if room is None:
            raise not_found("That room")
        return web.json_response({"name": room.name, "title": room.title, "place": room.place})
