"""`/rtc` and `/rtc/v1`: access token and request checked first, then the upgrade."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog
from aiohttp import web

from signaling.errors import AuthError, JoinError
from signaling.join import JoinParams
from signaling.service import SignalingService
from signaling.tokens import Grants
from web.http.callers import caller_address
from web.http.operations import Operation
from web.http.rates import RateLimit
from web.rtc.deflate import TakesDeflated
from web.rtc.line import Line
from web.rtc.socket import CODE_GOING_AWAY, CODE_INTERNAL, SocketConnection, read_messages

log = structlog.get_logger("web.rtc")

MAX_MESSAGE_BYTES = 1 << 20
CLOSE_TIMEOUT_S = 2.0
QUERY = {
    "access_token": "access token, if there is no Authorization header",
    "join_request": "on /rtc/v1: base64url of a WrappedJoinRequest",
}


class RtcRoutes:
    """Signaling connections over WebSocket."""

    def __init__(
        self,
        signaling: SignalingService,
        *,
        failures: RateLimit,
        now_s: Callable[[], float],
    ) -> None:
        """Take the service, the limit on failed tries per caller, and a monotonic clock."""
        self._signaling = signaling
        self._failures = failures
        self._now_s = now_s
        self.counters: Counter[str] = Counter()
        self.num_open = 0

    def operations(self) -> list[Operation]:
        """Return the routes."""
        operations = []
        for version in ("", "/v1"):
            operations.append(
                Operation(
                    "GET",
                    f"/rtc{version}",
                    self.handle_socket,
                    "LiveKit signaling over WebSocket, binary frames",
                    "livekit",
                    access="token",
                    query=QUERY,
                    answers={101: "WebSocket.", 401: "The token is not valid.", 404: "No upgrade."},
                )
            )
            operations.append(
                Operation(
                    "GET",
                    f"/rtc{version}/validate",
                    self.handle_validate,
                    "Whether a connection with these arguments would be let in",
                    "livekit",
                    access="token",
                    query=QUERY,
                    answers={200: "`success`", 401: "The token is not valid."},
                )
            )
        return operations

    async def handle_validate(self, request: web.Request) -> web.Response:
        """Say in words why a connection would be refused; clients ask after a failed upgrade."""
        self._admit(request)
        return web.Response(text="success")

    async def handle_socket(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until its socket ends."""
        ws = TakesDeflated(
            timeout=CLOSE_TIMEOUT_S,
            autoping=False,
            max_msg_size=MAX_MESSAGE_BYTES,
        )
        if not ws.can_prepare(request):
            raise web.HTTPNotFound(text="this address speaks WebSocket only")
        grants, params = self._admit(request)
        transport = request.transport
        line = Line(transport.get_extra_info("socket") if transport else None)
        # Released by the writer: the upgrade, the join and the answer leave together.
        line.cork()
        await ws.prepare(request)
        connection = SocketConnection(ws, transport.abort if transport else lambda: None, line)
        self.num_open += 1
        self.counters["rtc_opened"] += 1
        try:
            await self._serve(ws, connection, grants, params)
        finally:
            self.num_open -= 1
        return ws

    async def _serve(
        self,
        ws: web.WebSocketResponse,
        connection: SocketConnection,
        grants: Grants,
        params: JoinParams,
    ) -> None:
        tasks = [
            asyncio.create_task(connection.write()),
            asyncio.create_task(connection.ping(self._now_s)),
        ]
        peer = self._signaling.open(grants, params, connection)
        try:
            await read_messages(ws, connection, peer.handle_message, self._now_s)
        except ConnectionError:
            self.counters["rtc_lost"] += 1
        except Exception:
            # A bug of ours ends this connection; the client comes back, the others never notice.
            self.counters["rtc_failed"] += 1
            log.exception("connection_failed")
            connection.close(CODE_INTERNAL)
        finally:
            peer.handle_closed()
            connection.close(CODE_GOING_AWAY)
            tasks[1].cancel()
            await asyncio.wait(tasks[:1], timeout=CLOSE_TIMEOUT_S)
            tasks[0].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _admit(self, request: web.Request) -> tuple[Grants, JoinParams]:
        """Check token and arguments, or raise the HTTP answer that says what is wrong."""
        caller = caller_address(request)
        try:
            grants = self._signaling.authenticate(bearer_token(request))
            params = self._signaling.parse_join(
                request.query, is_v1=request.path.startswith("/rtc/v1")
            )
            self._signaling.validate(grants, params)
        except (AuthError, JoinError) as error:
            self.counters[f"rtc_refused_{error.code}"] += 1
            # Whoever has a valid token is let in, however many bad ones come from his address:
            # a whole office, or a mobile network, may stand behind one.
            if isinstance(error, AuthError) and self._failures.take(caller):
                raise web.HTTPTooManyRequests(text="too many failed tries, wait a little") from None
            log.debug("refused", code=error.code, caller=caller)
            raise plain_error(error.http_status, error.message) from None
        return grants, params


def bearer_token(request: web.Request) -> str:
    """Return the access token of a request: from the header, else from the query."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.query.get("access_token", "")


def plain_error(status: int, text: str) -> web.HTTPException:
    """Return an HTTP error with a plain-text body, as LiveKit clients expect it."""
    error = web.HTTPBadRequest(text=text)
    error.set_status(status)
    return error
