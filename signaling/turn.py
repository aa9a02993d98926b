"""Time-limited credentials for a TURN server, as coturn's `use-auth-secret` checks them."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass

from signaling.config import IceServer, SignalingConfig

__all__ = ["TurnAccess", "list_ice_servers"]


@dataclass(frozen=True, repr=False)
class TurnAccess:
    """A TURN server and the secret that we share with it (draft-uberti-behave-turn-rest-00).

    Attributes:
        urls: RFC 7065, for example ``turns:turn.example.com:443?transport=tcp``.
        secret: never leaves the process; clients get what is derived from it.
        lifetime_s: how long a client may use what it got. The server asks only when something is
            allocated, so a call may go on beyond it; a client that comes back gets new ones.
    """

    urls: tuple[str, ...]
    secret: str
    lifetime_s: int = 6 * 3600

    def issue(self, user: str, wall_s: float) -> IceServer:
        """Make credentials. `user` counts for the server's quota per user."""
        username = f"{int(wall_s) + self.lifetime_s}:{user}"
        # The scheme fixes SHA-1; as an HMAC key it is sound.
        digest = hmac.digest(self.secret.encode(), username.encode(), "sha1")
        return IceServer(self.urls, username, base64.b64encode(digest).decode())


def list_ice_servers(config: SignalingConfig, user: str, wall_s: float) -> list[IceServer]:
    """Return every server that a client is told of."""
    servers = list(config.ice_servers)
    if config.turn is not None:
        servers.append(config.turn.issue(user, wall_s))
    return servers
