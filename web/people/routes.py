"""Signing in as host, inviting, entering a room, QR codes of links."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import segno
from aiohttp import web

from web.access.rights import Access
from web.http.bodies import Choice, Shape, Text, Whole, read_json
from web.http.callers import caller_address, origin
from web.http.operations import Operation
from web.http.problems import Problem, not_found, too_many
from web.http.rates import RateLimit
from web.people.entrance import Entrance
from web.people.invites import DEFAULT_LIFETIME_S, MAX_CODE_CHARS, MAX_LIFETIME_S, Invites
from web.people.roles import ROLES, Role
from web.rooms.catalogue import MAX_NAME_CHARS, RoomCatalogue

MAX_PERSON_CHARS = 60
LINK_PATH = re.compile(r"^/([jr]/[\w-]{8,64}|(room|walk)/[\w%.~-]{1,200})?$")

SIGN_IN = Shape({"key": Text(200, meaning="the host key printed at start")})
INVITE = Shape(
    {
        "room": Text(MAX_NAME_CHARS),
        "role": Choice(ROLES),
        "name": Text(MAX_PERSON_CHARS, is_required=False, meaning="who it is for"),
        "lifetime_s": Whole(60, MAX_LIFETIME_S, is_required=False),
    }
)
JOIN = Shape(
    {
        "code": Text(MAX_CODE_CHARS, is_required=False, meaning="from an invitation link"),
        "room": Text(MAX_NAME_CHARS, is_required=False, meaning="hosts only, instead of a code"),
        "name": Text(MAX_PERSON_CHARS, is_required=False),
        "device": Text(64, is_required=False, meaning="random, kept by the browser: same seat"),
        "as": Choice(("host", "walker"), is_required=False, meaning="hosts only"),
    }
)
TEXT = {"type": "string"}
JOIN_ANSWER = {
    "type": "object",
    "properties": {
        name: TEXT for name in ("url", "token", "room", "title", "role", "identity", "name")
    },
}


class PeopleRoutes:
    """Hosts, guests and their links."""

    def __init__(
        self,
        *,
        access: Access,
        invites: Invites,
        entrance: Entrance,
        catalogue: RoomCatalogue,
        joins: RateLimit,
        public_url: Callable[[web.Request], str] = origin,
    ) -> None:
        """Take what the routes stand on; `public_url` gives the address links start with."""
        self._access = access
        self._invites = invites
        self._entrance = entrance
        self._catalogue = catalogue
        self._joins = joins
        self._public_url = public_url

    def operations(self) -> list[Operation]:
        """Return the routes."""
        return [
            Operation(
                "POST",
                "/api/session",
                self.handle_sign_in,
                "Sign in as host",
                "people",
                access="anyone",
                body=SIGN_IN,
                answers={204: "A session cookie was set.", 401: "`bad_key`"},
            ),
            Operation(
                "DELETE",
                "/api/session",
                self.handle_sign_out,
                "Sign out",
                "people",
                access="anyone",
                answers={204: "The session is over."},
            ),
            Operation(
                "POST",
                "/api/invites",
                self.handle_invite,
                "Make a link into a room",
                "people",
                body=INVITE,
                answers={
                    201: {
                        "type": "object",
                        "properties": {name: TEXT for name in ("url", "code", "qr_svg_url")},
                    }
                },
            ),
            Operation(
                "DELETE",
                "/api/invites/{code}",
                self.handle_withdraw,
                "Withdraw a link",
                "people",
                answers={204: "It opens nothing any more."},
            ),
            *self._entering(),
        ]

    def _entering(self) -> list[Operation]:
        return [
            Operation(
                "POST",
                "/api/join",
                self.handle_join,
                "Exchange an invitation (or a host session) for an access token",
                "people",
                access="anyone",
                body=JOIN,
                answers={200: JOIN_ANSWER, 404: "`link_gone`"},
            ),
            Operation(
                "GET",
                "/api/qr",
                self.handle_qr,
                "QR code (SVG) of a link on this server",
                "people",
                query={"path": "such as /j/… or /r/…"},
                answers={200: "image/svg+xml"},
            ),
        ]

    async def handle_sign_in(self, request: web.Request) -> web.Response:
        """Exchange the host key for a session."""
        body = await read_json(request, SIGN_IN)
        self._check_key(request, body["key"])
        response = web.Response(status=204)
        self._access.sessions.sign_in(request, response)
        return response

    async def handle_sign_out(self, _request: web.Request) -> web.Response:
        """End the session of this browser."""
        response = web.Response(status=204)
        self._access.sessions.sign_out(response)
        return response

    def _check_key(self, request: web.Request, key: str) -> None:
        caller = caller_address(request)
        if wait_s := self._access.failures.wait_s(caller):
            raise too_many(wait_s)
        if not self._access.sessions.is_key(key):
            self._access.failures.take(caller)
            raise Problem(401, "bad_key", "That is not the host key.")

    async def handle_invite(self, request: web.Request) -> web.Response:
        """Make an invitation."""
        body = await read_json(request, INVITE)
        self._access.require(request, "room_admin", room=body["room"])
        code = await self._invites.make(
            body["room"],
            Role(body["role"]),
            name=body.get("name", ""),
            lifetime_s=body.get("lifetime_s", DEFAULT_LIFETIME_S),
        )
        answer = {
            "url": f"{self._public_url(request)}/j/{code}",
            "code": code,
            "qr_svg_url": f"/api/qr?path=/j/{code}",
        }
        return web.json_response(answer, status=201)

    async def handle_withdraw(self, request: web.Request) -> web.Response:
        """Withdraw an invitation."""
        code = request.match_info["code"]
        invite = await self._invites.find(code)
        self._access.require(request, "room_admin", room=invite.room if invite else "")
        if not await self._invites.withdraw(code):
            raise not_found("That link")
        return web.Response(status=204)

    async def handle_join(self, request: web.Request) -> web.Response:
        """Give a seat in a room."""
        if wait_s := self._joins.take(caller_address(request)):
            raise too_many(wait_s)
        body = await read_json(request, JOIN)
        room, role, name = await self._place(request, body)
        if not name:
            raise Problem(400, "name_missing", "Please say who you are.")
        seat = self._entrance.seat(room, role, name, device=body.get("device", ""))
        return web.json_response(
            {
                # Where the caller came from, not where links lead: it is there already.
                "url": origin(request).replace("http", "ws", 1),
                "token": seat.token,
                "room": room,
                "title": await self._catalogue.title(room),
                "role": role.value,
                "identity": seat.identity,
                "name": name,
            }
        )

    async def _place(self, request: web.Request, body: dict[str, str]) -> tuple[str, Role, str]:
        name = body.get("name", "")
        if code := body.get("code"):
            invite = await self._invites.find(code)
            if invite is None:
                raise Problem(404, "link_gone", "This link does not work any more.")
            # The name in a link was given by the host; nobody may put another one over it.
            return invite.room, invite.role, invite.name or name
        if room := body.get("room"):
            self._access.require(request, "room_admin", room=room)
            return room, Role(body.get("as", Role.HOST)), name
        raise Problem(400, "bad_request", "A code or a room is needed.")

    async def handle_qr(self, request: web.Request) -> web.Response:
        """Draw a link of this server."""
        # A picture of a link tells nothing but the link; strangers may not make us draw.
        self._access.identify(request)
        path = request.query.get("path", "")
        if not LINK_PATH.match(path):
            raise Problem(400, "bad_request", "path must be a link of this server.")
        picture = io.BytesIO()
        code = segno.make(self._public_url(request) + path, error="m", micro=False)
        code.save(
            picture, kind="svg", scale=8, border=2, xmldecl=False, svgclass=None, lineclass=None
        )
        return web.Response(body=picture.getvalue(), content_type="image/svg+xml")
