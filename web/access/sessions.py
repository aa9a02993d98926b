"""Host sessions: a signed cookie for whoever showed the host key. Nothing is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from aiohttp import web

from web.http.callers import is_https

COOKIE: Final = "aislecast_host"
LIFETIME_S: Final = 30 * 24 * 3600


class HostSessions:
    """Signs hosts in and knows them again.

    The cookie is `expiry.nonce.mac`; the MAC key comes from the host key, so that replacing
    the host key signs everybody out.
    """

    def __init__(self, host_key: str, *, wall_s: Callable[[], float]) -> None:
        """Take the host key and the wall clock."""
        self._host_key = host_key
        self._mac_key = hashlib.sha256(b"aislecast host session\0" + host_key.encode()).digest()
        self._wall_s = wall_s

    def is_key(self, key: str) -> bool:
        """Tell whether this is the host key, in constant time."""
        return hmac.compare_digest(key.strip().encode(), self._host_key.encode())

    def sign_in(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give the caller a session."""
        expires_s = int(self._wall_s()) + LIFETIME_S
        content = f"{expires_s}.{secrets.token_urlsafe(9)}"
        response.set_cookie(
            COOKIE,
            f"{content}.{self._mac(content)}",
            max_age=LIFETIME_S,
            path="/",
            httponly=True,
            secure=is_https(request),
            # Not Strict: a host who follows a link from a chat must still be known.
            samesite="Lax",
        )

    def sign_out(self, response: web.StreamResponse) -> None:
        """Take the session away."""
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax")

    def is_host(self, request: web.Request) -> bool:
        """Tell whether the caller has a valid session."""
        content, _, mac = request.cookies.get(COOKIE, "").rpartition(".")
        if not content or not hmac.compare_digest(_bytes(mac), _bytes(self._mac(content))):
            return False
        expires = content.partition(".")[0]
        return expires.isascii() and expires.isdigit() and int(expires) > self._wall_s()

    def _mac(self, content: str) -> str:
        return hmac.new(self._mac_key, _bytes(content), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    # A cookie may hold any byte; half a surrogate pair must not be a fault of ours.
    return text.encode("utf-8", "surrogatepass")
