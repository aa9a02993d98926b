"""What the pages ask of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from aiohttp import web

from web.access.sessions import HostSessions
from web.network.passports import Passports
from web.pages.backend import InviteView, SharedReplay, Usual
from web.people.invites import Invites
from web.recordings.shares import Shares
from web.rooms.catalogue import RoomCatalogue

USUAL_WAIT_S: Final = 0.5
"""A page does not wait longer for what is only advice."""


class Backend:
    """Answers the pages from the parts of the server (a `PageBackend`)."""

    def __init__(
        self,
        *,
        sessions: HostSessions,
        invites: Invites,
        catalogue: RoomCatalogue,
        shares: Shares,
        passports: Passports,
        recording_title: Callable[[str], Awaitable[str | None]],
    ) -> None:
        """Take the parts."""
        self._sessions = sessions
        self._invites = invites
        self._catalogue = catalogue
        self._shares = shares
        self._passports = passports
        self._recording_title = recording_title

    def host_name(self, request: web.Request) -> str | None:
        """Return "" for a host (a session has no name; the page asks), None for a stranger."""
        return "" if self._sessions.is_host(request) else None

    async def invite(self, code: str) -> InviteView | None:
        """Return the invitation behind a link."""
        found = await self._invites.find(code)
        if found is None:
            return None
        title = await self._catalogue.title(found.room)
        return InviteView(
            code=code, room=found.room, title=title, role=found.role.value, name=found.name
        )

    async def usual(self, room: str, name: str) -> Usual | None:
        """Return how the line of a walker usually is."""
        try:
            async with asyncio.timeout(USUAL_WAIT_S):
                passport = await self._passports.usual(room, name=name, is_walker=True)
        except TimeoutError:
            return None
        if passport is None:
            return None
        return Usual(passport.advice.grade, passport.advice.advice)

    async def room_title(self, room: str) -> str:
        """Return what to call a room."""
        return await self._catalogue.title(room)

    async def recording_title(self, recording_id: str) -> str | None:
        """Return a recording's title, or None."""
        return await self._recording_title(recording_id)

    async def shared_replay(self, code: str) -> SharedReplay | None:
        """Return the recording behind a link."""
        share = await self._shares.find(code)
        if share is None:
            return None
        title = await self._recording_title(share.recording)
        if title is None:
            return None
        return SharedReplay(share.recording, title, partial(self._shares.let_in, share))
