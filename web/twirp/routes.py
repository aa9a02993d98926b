"""`/twirp/<service>/<method>`: protobuf or JSON in, the same out, Twirp errors."""

from __future__ import annotations

import json

import structlog
from aiohttp import web

from signaling.errors import AuthError, TwirpError
from signaling.service import SignalingService
from web.http.bodies import read_bounded
from web.http.callers import caller_address
from web.http.operations import Operation
from web.http.problems import Problem
from web.http.rates import RateLimit
from web.rtc.routes import bearer_token

log = structlog.get_logger("web.twirp")

MAX_BODY_BYTES = 1 << 20
PROTOBUF = "application/protobuf"
JSON = "application/json"


class TwirpRoutes:
    """The server API: RoomService and its neighbours."""

    def __init__(self, signaling: SignalingService, *, failures: RateLimit) -> None:
        """Take the service and the limit on failed tries per caller."""
        self._signaling = signaling
        self._failures = failures

    def operations(self) -> list[Operation]:
        """Return the route."""
        return [
            Operation(
                "POST",
                "/twirp/{service}/{method}",
                self.handle_call,
                "LiveKit server API (Twirp, protobuf or JSON)",
                "livekit",
                access="token",
                answers={
                    200: "The response message, in the encoding of the request.",
                    400: "A Twirp error: code and msg.",
                    401: "The token is not valid.",
                },
            )
        ]

    async def handle_call(self, request: web.Request) -> web.Response:
        """Answer one call."""
        caller = caller_address(request)
        content_type = request.content_type
        if content_type not in (PROTOBUF, JSON):
            text = f"unexpected Content-Type: {content_type[:80]!r}"
            return error_response(404, "bad_route", text)
        try:
            grants = self._signaling.authenticate(bearer_token(request))
            body = await read_bounded(request, MAX_BODY_BYTES)
            answer = await self._signaling.call(
                request.match_info["service"],
                request.match_info["method"],
                grants,
                body,
                is_json=content_type == JSON,
                request_id=request.headers.get("X-Livekit-Request-Id", "")[:64],
            )
        except AuthError as error:
            if self._failures.take(caller):
                return error_response(429, "resource_exhausted", "too many failed tries")
            return error_response(error.http_status, "unauthenticated", error.message)
        except TwirpError as error:
            return error_response(error.http_status, error.code, error.message)
        except Problem as problem:
            return error_response(413, "resource_exhausted", problem.message)
        except Exception:
            log.exception("twirp_failed", method=request.match_info["method"][:64])
            return error_response(500, "internal", "the call failed here")
        return web.Response(body=answer, content_type=content_type)


def error_response(status: int, code: str, message: str) -> web.Response:
    """Return a Twirp error, which is JSON whatever the request was."""
    return web.Response(
        body=json.dumps({"code": code, "msg": message}).encode(),
        status=status,
        content_type=JSON,
    )
