"""What signaling refuses, and how it says so.

SignalingError
├── AuthError      a token that proves nothing (HTTP 401)
├── JoinError      a connection request that cannot be served (HTTP 400, 403, 404, 503)
├── TwirpError     a RoomService call that failed; `code` is the Twirp code
└── MisuseError    the caller of this package broke its contract

A peer that sends rubbish raises none of these: it is counted and dropped, or told so on the wire.
"""

from __future__ import annotations

__all__ = ["AuthError", "JoinError", "MisuseError", "SignalingError", "TwirpError"]


class SignalingError(Exception):
    """Base of this package's errors. `code` is stable and may be shown to clients."""

    def __init__(self, code: str, message: str) -> None:
        """Takes the stable code and words for a reader of logs."""
        super().__init__(message)
        self.code = code
        self.message = message


class AuthError(SignalingError):
    """The access token is missing, malformed, expired, or signed by nobody we know."""

    def __init__(self, code: str, message: str, *, http_status: int = 401) -> None:
        """See SignalingError; also the HTTP status to answer with."""
        super().__init__(code, message)
        self.http_status = http_status


class JoinError(SignalingError):
    """The token is good, but this connection cannot be opened."""

    def __init__(self, code: str, message: str, *, http_status: int = 400) -> None:
        """See SignalingError; also the HTTP status to answer with."""
        super().__init__(code, message)
        self.http_status = http_status


# https://twitchtv.github.io/twirp/docs/spec_v7.html#error-codes
TWIRP_HTTP_STATUS = {
    "invalid_argument": 400,
    "malformed": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "bad_route": 404,
    "already_exists": 409,
    "failed_precondition": 412,
    "resource_exhausted": 429,
    "internal": 500,
    "unimplemented": 501,
    "unavailable": 503,
}


class TwirpError(SignalingError):
    """A failed RoomService call."""

    @property
    def http_status(self) -> int:
        """The HTTP status that goes with the code."""
        return TWIRP_HTTP_STATUS[self.code]

    def to_json(self) -> dict[str, str]:
        """The body of the error response."""
        return {"code": self.code, "msg": self.message}


class MisuseError(SignalingError):
    """A caller inside the process broke the contract of this package."""
