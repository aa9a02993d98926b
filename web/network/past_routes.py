"""`/api/sessions`: what was over lately, whatever the room, for who leads all rooms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from web.access.rights import Access
from web.http.operations import Operation, list_answer
from web.network.history_routes import SESSION_SCHEMA, TEXT, show_session
from web.network.store import LineStore

SHOWN_SESSIONS: Final = 20


class PastRoutes:
    """The latest sessions that have ended. How they were is asked of each room."""

    def __init__(
        self, store: LineStore, access: Access, *, title_of: Callable[[str], Awaitable[str]]
    ) -> None:
        """Take the history, who may ask, and who knows the titles of rooms."""
        self._store = store
        self._access = access
        self._title_of = title_of

    def operations(self) -> list[Operation]:
        """Return the route."""
        shown = {**SESSION_SCHEMA["properties"], "title": TEXT}
        one: dict[str, Any] = {"type": "object", "properties": shown}
        return [
            Operation(
                "GET",
                "/api/sessions",
                self.handle_list,
                "Sessions of all rooms that have ended, the latest first",
                "network",
                answers={200: list_answer("sessions", one)},
            )
        ]

    async def handle_list(self, request: web.Request) -> web.Response:
        """List sessions."""
        self._access.require(request, "room_list")
        ended = await self._store.ended(SHOWN_SESSIONS)
        sessions = [{**show_session(one), "title": await self._title_of(one.room)} for one in ended]
        return web.json_response({"sessions": sessions})
