"""`/api/network-check`: a check of the line before a call, measured by the browser and by us."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from web.access.rights import Access
from web.http.bodies import Shape, Text, Whole, read_json
from web.http.callers import caller_address
from web.http.operations import Operation
from web.http.problems import Problem
from web.network.advice import Figures, advise
from web.network.checks import (
    DOWN_BYTES,
    DOWN_S,
    GRACE_S,
    MAX_PINGS,
    UP_BYTES,
    UP_S,
    Check,
    NetworkChecks,
)
from web.network.history_routes import ADVICE_MEMBERS, show_advice
from web.network.passport import Passport
from web.people.invites import MAX_CODE_CHARS, Invites
from web.people.roles import Role

BLOCK_BYTES: Final = 32_768
SEND_BUFFER_BYTES: Final = 131_072
MAX_KBPS: Final = 10_000_000
BEGIN: Final = Shape(
    {"code": Text(MAX_CODE_CHARS, is_required=False, meaning="from an invitation link")}
)
RESULT: Final = Shape(
    {
        "down_kbps": Whole(0, MAX_KBPS, is_required=False, meaning="bytes that arrived by time"),
        "up_kbps": Whole(0, MAX_KBPS, is_required=False, meaning="default: as measured here"),
        "rtt_ms": Whole(0, 60_000, is_required=False, meaning="middle of the pings"),
        "lost_percent": Whole(0, 100, is_required=False, meaning="pings that did not come back"),
    }
)
NUMBER: Final = {"type": "number"}
BEGUN_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "down_ms": NUMBER,
        "up_ms": {**NUMBER, "description": "send for so long, then end the body"},
        "max_up_bytes": {"type": "integer"},
        "max_pings": {"type": "integer"},
    },
}
UP_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "bytes": {"type": "integer"},
        "duration_ms": NUMBER,
        "kbps": {"type": ["number", "null"]},
    },
}
RESULT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        **ADVICE_MEMBERS,
        "usual": {
            "type": ["object", "null"],
            "properties": ADVICE_MEMBERS,
            "description": "how the line of this place or person usually is, if that is known",
        },
    },
}

GetUsual = Callable[..., Awaitable[Passport | None]]


class CheckRoutes:
    """The check over HTTP: begin, then down, up and pings in any order, then the result.

    Whoever may enter a room may check the line: an invitation, a host session or an access token
    begins a check, and its id is the right to the rest.
    """

    def __init__(
        self,
        checks: NetworkChecks,
        invites: Invites,
        access: Access,
        *,
        usual: GetUsual,
        now_s: Callable[[], float],
    ) -> None:
        """Take the parts; `usual` tells how a line usually is, as `Passports.usual`."""
        self._checks = checks
        self._invites = invites
        self._access = access
        self._usual_of = usual
        self._now_s = now_s
        # Nothing between us and the browser can make random bytes smaller.
        self._block = secrets.token_bytes(BLOCK_BYTES)

    def operations(self) -> list[Operation]:
        """Return the routes."""
        path = "/api/network-check"
        table: list[tuple[str, str, Any, str, Shape | None, dict[int, str | dict[str, Any]]]] = [
            (
                "POST",
                path,
                self.handle_begin,
                "Begin a check of the line; needs an invitation, a session or a token",
                BEGIN,
                {201: BEGUN_SCHEMA, 404: "`link_gone`", 429: "Too many.", 503: "`busy`"},
            ),
            (
                "GET",
                f"{path}/{{id}}/ping",
                self.handle_ping,
                "An empty answer, to measure the delay with",
                None,
                {204: "Here.", 404: "No such check."},
            ),
            (
                "GET",
                f"{path}/{{id}}/down",
                self.handle_down,
                "Random bytes for two seconds, 4 MB at most; once",
                None,
                {
                    200: "application/octet-stream",
                    409: "`already_done`",
                    429: "Too many at once.",
                    503: "`busy`",
                },
            ),
            (
                "POST",
                f"{path}/{{id}}/up",
                self.handle_up,
                "Takes any bytes for two seconds, 3 MB at most; once",
                None,
                {
                    200: UP_SCHEMA,
                    409: "`already_done`",
                    429: "Too many at once.",
                    503: "`busy`",
                },
            ),
            (
                "POST",
                f"{path}/{{id}}/result",
                self.handle_result,
                "What the browser measured in, grade and advice out",
                RESULT,
                {200: RESULT_SCHEMA, 404: "No such check."},
            ),
        ]
        return [
            Operation(
                method,
                address,
                handler,
                summary,
                "network",
                access="anyone",
                body=body,
                answers=answers,
            )
            for method, address, handler, summary, body, answers in table
        ]

    async def handle_begin(self, request: web.Request) -> web.Response:
        """Begin a check."""
        self._checks.admit(caller_address(request))
        body = await read_json(request, BEGIN)
        room, name, is_walker = "", "", False
        if code := body.get("code"):
            invite = await self._invites.find(code)
            if invite is None:
                raise Problem(404, "link_gone", "This link does not work any more.")
            room, name, is_walker = invite.room, invite.name, invite.role is Role.WALKER
        else:
            self._access.identify(request)
        check_id = self._checks.begin(room=room, name=name, is_walker=is_walker)
        answer = {
            "id": check_id,
            "down_ms": DOWN_S * 1000,
            "up_ms": UP_S * 1000,
            "max_up_bytes": UP_BYTES,
            "max_pings": MAX_PINGS,
        }
        return web.json_response(answer, status=201)

    async def handle_ping(self, request: web.Request) -> web.Response:
        """Answer at once."""
        self._take(request, "ping")
        return web.Response(status=204)

    async def handle_down(self, request: web.Request) -> web.StreamResponse:
        """Send random bytes until time or bytes are used up."""
        with self._checks.stream(caller_address(request)):
            self._take(request, "down")
            response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
            _keep_buffer_short(request)
            await response.prepare(request)
            until_s = self._now_s() + DOWN_S
            left = DOWN_BYTES
            try:
                async with asyncio.timeout(DOWN_S + GRACE_S):
                    while left > 0 and self._now_s() < until_s:
                        await response.write(self._block[: min(left, BLOCK_BYTES)])
                        left -= BLOCK_BYTES
                    await response.write_eof()
            except TimeoutError:
                # A line so slow, or a caller who reads nothing, gets no more.
                _cut(request)
            except ConnectionError:
                pass  # the browser's time was over first
            return response

    async def handle_up(self, request: web.Request) -> web.Response:
        """Take bytes until time or bytes are used up, and say how fast they came."""
        with self._checks.stream(caller_address(request)):
            check = self._take(request, "up")
            size, is_whole = 0, False
            started_s = self._now_s()
            try:
                async with asyncio.timeout(UP_S + GRACE_S):
                    async for part in request.content.iter_any():
                        size += len(part)
                        # Noted as it comes: if the browser gives up, how far it came still counts.
                        check.note_up(size, self._now_s() - started_s)
                        if size >= UP_BYTES:
                            break
                    is_whole = request.content.at_eof()
            except (TimeoutError, ConnectionError):
                # Late, or the browser's time was over first.
                check.note_up(size, self._now_s() - started_s)
        response = web.json_response(
            {"bytes": size, "duration_ms": round(check.up_s * 1000), "kbps": check.up_kbps}
        )
        if not is_whole:
            response.force_close()
        return response

    async def handle_result(self, request: web.Request) -> web.Response:
        """Grade what was measured."""
        body = await read_json(request, RESULT)
        check = self._take(request, "result")
        lost = body.get("lost_percent")
        advice = advise(
            Figures(
                down_kbps=body.get("down_kbps"),
                up_kbps=body.get("up_kbps", check.up_kbps),
                rtt_ms=body.get("rtt_ms"),
                loss=None if lost is None else lost / 100,
            )
        )
        return web.json_response({**show_advice(advice), "usual": await self._usual(check)})

    async def _usual(self, check: Check) -> dict[str, str] | None:
        if not check.room:
            return None
        passport = await self._usual_of(check.room, name=check.name, is_walker=check.is_walker)
        return None if passport is None else show_advice(passport.advice)

    def _take(self, request: web.Request, kind: str) -> Check:
        return self._checks.take(request.match_info["id"], kind)


def _keep_buffer_short(request: web.Request) -> None:
    """A kernel that takes megabytes at once would send them after the check is over."""
    found = request.transport.get_extra_info("socket") if request.transport else None
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
