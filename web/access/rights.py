"""Who may call what: a host's session cookie, or an access token with the right grant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from signaling.errors import AuthError
from signaling.service import SignalingService
from signaling.tokens import VideoGrant
from web.access.sessions import HostSessions
from web.http.callers import caller_address
from web.http.problems import Problem, too_many
from web.http.rates import RateLimit

Grant = Literal["room_create", "room_list", "room_admin", "room_record"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a signed-in host (`video` is None), or the bearer of a token."""

    video: VideoGrant | None

    def may(self, grant: Grant, *, room: str = "") -> bool:
        """Tell whether this caller holds a grant, for one room or (`room` empty) for all.

        A token that names a room opens nothing of other rooms. `room_admin` always needs the room.
        """
        if self.video is None:
            return True
        if not getattr(self.video, grant):
            return False
        if grant == "room_admin":
            return bool(room) and self.video.room == room
        # LiveKit gives rooms to be made, and lists of them, whatever room a token names.
        is_of_any = grant in ("room_create", "room_list") and not room
        return is_of_any or self.video.room in ("", room)


class Access:
    """Decides who a caller of the JSON API is and what he may do."""

    def __init__(
        self, sessions: HostSessions, signaling: SignalingService, *, failures: RateLimit
    ) -> None:
        """Take who knows sessions, who knows tokens, and the limit on failed tries."""
        self.sessions = sessions
        self.failures = failures
        self._signaling = signaling

    def identify(self, request: web.Request) -> Caller:
        """Return the caller.

        Raises:
            Problem: 401 nobody known, 429 too many wrong tokens.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            if self.sessions.is_host(request):
                return Caller(None)
            raise Problem(401, "sign_in", "Please sign in first.")
        address = caller_address(request)
        try:
            if scheme.lower() != "bearer":
                raise AuthError("invalid_token", "a Bearer token is required")
            return Caller(self._signaling.authenticate(token.strip()).video)
        except AuthError as error:
            if wait_s := self.failures.take(address):
                raise too_many(wait_s) from None
            raise Problem(401, error.code, "The access token is not valid.") from None

    def require(self, request: web.Request, grant: Grant, *, room: str = "") -> None:
        """Let the caller pass, or raise `Problem` with 401, 403 or 429."""
        if not self.identify(request).may(grant, room=room):
            raise Problem(403, "not_allowed", f"The access token does not grant {grant} here.")
