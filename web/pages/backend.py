"""What the pages ask of the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web


@dataclass(frozen=True, slots=True)
class InviteView:
    """An invitation as the person who opens its link sees it."""

    code: str
    room: str
    title: str
    role: str
    """`guest` (talks), `viewer` (watches), `walker` (films a store) or `host`."""
    name: str
    """The person's name if the link carries it, else empty: then the page asks once."""
    host_name: str = ""
    """Who invites, for the join page; empty if not known."""
    phone: str = ""
    """A number to call when nothing works; empty hides the offer."""


@dataclass(frozen=True, slots=True)
class SharedReplay:
    """A recording as somebody sees it who was given a link to it."""

    recording: str
    title: str
    let_in: Callable[[web.Request, web.StreamResponse], None]
    """Lets the browser that asked play this recording and nothing else."""


@dataclass(frozen=True, slots=True)
class Usual:
    """How the line usually is where somebody is about to film."""

    grade: str
    advice: str
    """Keys of the words, `network.grade.…` and `network.advice.…`."""


class PageBackend(Protocol):
    """The server as the pages see it; the composition root hands one in."""

    def host_name(self, request: web.Request) -> str | None:
        """Return the name of the host signed in with this request, or None for a stranger."""

    async def invite(self, code: str) -> InviteView | None:
        """Return the invitation behind a link, or None if it is unknown, used up or withdrawn."""

    async def usual(self, room: str, name: str) -> Usual | None:
        """Return how the line of a walker usually is; None if that is not known, or not soon."""

    async def room_title(self, room: str) -> str:
        """Return what to call a room on a page; its name if it has no title."""

    async def recording_title(self, recording_id: str) -> str | None:
        """Return a recording's title, or None if there is no such recording."""

    async def shared_replay(self, code: str) -> SharedReplay | None:
        """Return the recording behind a link, or None if it is unknown, expired or withdrawn."""
