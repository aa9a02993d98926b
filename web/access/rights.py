"""Who may call what: a host's session cookie, or an access token with the right grant."""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from signaling.errors import AuthError
from signaling.service import SignalingService
from web.access.sessions import HostSessions
from web.http.callers import caller_address
from web.http.problems import Problem, too_many
from web.http.rates import RateLimit

Grant = Literal["room_create", "room_list", "room_admin", "room_record"]


class Access:
    """Decides whether a caller of the JSON API is a host."""

    def __init__(
        self, sessions: HostSessions, signaling: SignalingService, *, failures: RateLimit
    ) -> None:
        """Take who knows sessions, who knows tokens, and the limit on failed tries."""
        self.sessions = sessions
        self.failures = failures
        self._signaling = signaling

    def require(self, request: web.Request, grant: Grant, *, room: str = "") -> None:
        """Let a host session or a token with this grant pass.

        Args:
            request: the call.
            grant: what the token must hold.
            room: with `room_admin`, and with `room_record` where the token names a room, the room.

        Raises:
            Problem: 401 nobody known, 403 known but not allowed, 429 too many wrong tokens.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            if self.sessions.is_host(request):
                return
            raise Problem(401, "sign_in", "Please sign in first.")
        caller = caller_address(request)
        if wait_s := self.failures.wait_s(caller):
            raise too_many(wait_s)
        try:
            if scheme.lower() != "bearer":
                raise AuthError("invalid_token", "a Bearer token is required")
            video = self._signaling.authenticate(token.strip()).video
        except AuthError as error:
            self.failures.take(caller)
            raise Problem(401, error.code, "The access token is not valid.") from None
        is_granted: bool = getattr(video, grant)
        needs_room = grant == "room_admin" or bool(video.room)
        if not is_granted or (room and needs_room and video.room != room):
            raise Problem(403, "not_allowed", f"The access token lacks {grant}.")
        if not room and video.room and grant == "room_record":
            # A token for one room must not open what belongs to others.
            raise Problem(403, "not_allowed", "The access token is for one room only.")
