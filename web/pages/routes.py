"""The page routes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from web.pages.backend import InviteView, PageBackend
from web.pages.language import COOKIE, LANGUAGES
from web.pages.render import Renderer

_YEAR_S = 365 * 24 * 3600
_WALK_TEXTS = (
    "stage.",
    "join.",
    "walk.",
    "quality.",
    "network.",
    "uplink.",
    "still.",
    "check.",
    "device.",
    "record.",
)
_ROOM_TEXTS = (
    "stage.",
    "join.",
    "room.",
    "quality.",
    "network.",
    "still.",
    "check.",
    "device.",
    "record.",
    "chat.",
    "people.",
    "hand.",
    "invite.",
    "keys.",
)


class Pages:
    """Handlers of the page routes."""

    def __init__(self, backend: PageBackend, renderer: Renderer) -> None:
        """Keep what the handlers need."""
        self._backend = backend
        self._renderer = renderer

    async def home(self, request: web.Request) -> web.Response:
        """What is live, cameras, recordings; strangers get the sign-in page."""
        host = self._backend.host_name(request)
        if host is None:
            return self._sign_in(request, status=200)
        return self._renderer.page(
            request,
            "home.html",
            texts=("home.", "invite.", "camera.", "recordings.", "share.", "network.", "check."),
            host=host,
            section="home",
        )

    async def join(self, request: web.Request) -> web.Response:
        """The page behind an invitation."""
        invite = await self._backend.invite(request.match_info["code"])
        if invite is None:
            return self._renderer.page(request, "no_link.html", status=404, kind="nolink")
        if invite.role == "walker":
            return await self._walk_page(request, invite, is_host=False)
        return self._room_page(request, invite, is_host=False)

    async def room(self, request: web.Request) -> web.Response:
        """HQ's own entrance to a room."""
        host = self._backend.host_name(request)
        if host is None:
            return self._sign_in(request, status=401)
        return self._room_page(request, await self._own(request, host, "host"), is_host=True)

    async def walk(self, request: web.Request) -> web.Response:
        """A walk by somebody who is signed in as host."""
        host = self._backend.host_name(request)
        if host is None:
            return self._sign_in(request, status=401)
        own = await self._own(request, host, "walker")
        return await self._walk_page(request, own, is_host=True)

    async def recordings(self, request: web.Request) -> web.Response:
        """The list of recordings."""
        host = self._backend.host_name(request)
        if host is None:
            return self._sign_in(request, status=401)
        return self._renderer.page(
            request,
            "recordings.html",
            texts=("recordings.", "share."),
            host=host,
            section="recordings",
        )

    async def replay(self, request: web.Request) -> web.Response:
        """One recording, to be watched."""
        if self._backend.host_name(request) is None:
            return self._sign_in(request, status=401)
        recording_id = request.match_info["id"]
        title = await self._backend.recording_title(recording_id)
        if title is None:
            return self._renderer.page(request, "no_page.html", status=404)
        return self._replay_page(request, recording_id, title, is_host=True)

    async def shared_replay(self, request: web.Request) -> web.Response:
        """The page behind a link to one recording: for trainees, without an account."""
        shared = await self._backend.shared_replay(request.match_info["code"])
        if shared is None:
            return self._renderer.page(request, "no_link.html", status=404, kind="nolink.replay")
        response = self._replay_page(request, shared.recording, shared.title, is_host=False)
        shared.let_in(request, response)
        return response

    def _replay_page(
        self, request: web.Request, recording_id: str, title: str, *, is_host: bool
    ) -> web.Response:
        return self._renderer.page(
            request,
            "replay.html",
            texts=("replay.", "keys.") + (("share.", "network.", "check.") if is_host else ()),
            data={"recording": recording_id, "is_host": is_host},
            title=title,
            is_host=is_host,
        )

    async def language(self, request: web.Request) -> web.Response:
        """Keep the language and go back to where the person was."""
        tag = request.match_info["tag"]
        if tag not in LANGUAGES:
            raise web.HTTPNotFound
        response = web.Response(status=303, headers={"Location": _local(request.query.get("to"))})
        response.set_cookie(COOKIE, tag, max_age=_YEAR_S, path="/", samesite="Lax")
        return response

    def _sign_in(self, request: web.Request, *, status: int) -> web.Response:
        return self._renderer.page(request, "sign_in.html", texts=("signin.",), status=status)

    async def _own(self, request: web.Request, host: str, role: str) -> InviteView:
        """The entrance of a host looks like an invitation that carries his name."""
        name = request.match_info["name"]
        title = await self._backend.room_title(name)
        return InviteView(code="", room=name, title=title, role=role, name=host)

    def _room_page(
        self, request: web.Request, invite: InviteView, *, is_host: bool
    ) -> web.Response:
        return self._renderer.page(
            request,
            "room.html",
            texts=_ROOM_TEXTS,
            data=self._entrance(invite, is_host),
            invite=invite,
            leads=invite.role == "host",
        )

    async def _walk_page(
        self, request: web.Request, invite: InviteView, *, is_host: bool
    ) -> web.Response:
        return self._renderer.page(
            request,
            "walk.html",
            texts=_WALK_TEXTS,
            data=self._entrance(invite, is_host),
            invite=invite,
            usual=await self._backend.usual(invite.room, invite.name),
        )

    def _entrance(self, invite: InviteView, is_host: bool) -> dict[str, Any]:
        """What the browser code must know to join."""
        return {
            "code": invite.code,
            "room": invite.room if is_host else "",
            "title": invite.title,
            "role": invite.role,
            "name": invite.name,
            "is_host": is_host,
            "leads": invite.role == "host",
            "phone": invite.phone,
            "awake_film": self._renderer.assets.url("media/awake.mp4"),
        }


def add_page_routes(app: web.Application, backend: PageBackend) -> None:
    """Add all pages and the static files to an application."""
    renderer = Renderer()
    pages = Pages(backend, renderer)
    app.router.add_get("/", pages.home)
    app.router.add_get("/j/{code}", pages.join)
    app.router.add_get("/r/{code}", pages.shared_replay)
    app.router.add_get("/room/{name}", pages.room)
    app.router.add_get("/walk/{name}", pages.walk)
    app.router.add_get("/recordings", pages.recordings)
    app.router.add_get("/recordings/{id}", pages.replay)
    app.router.add_get("/language/{tag}", pages.language)
    app.router.add_get("/static/{digest}/{name:.+}", renderer.assets.handle)


def _local(target: str | None) -> str:
    """Return a path on this server; anything else becomes the home page (no open redirect)."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc or "\n" in target or "\r" in target else target
