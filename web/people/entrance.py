"""Entering a room: from an invitation, or as a host, to an access token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from signaling.service import SignalingService
from signaling.tokens import Grants
from web.people.roles import PAGE_ATTRIBUTE, ROLE_ATTRIBUTE, Role, rights_of

TOKEN_LIFETIME_S: Final = 6 * 3600
IDENTITY_HEX_CHARS: Final = 20


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody's place in a room and the token that takes it."""

    identity: str
    role: Role
    room: str
    name: str
    token: str


class Entrance:
    """Gives out seats."""

    def __init__(
        self,
        signaling: SignalingService,
        *,
        api_key: str,
        seat_key: bytes,
        wall_s: Callable[[], float],
    ) -> None:
        """Take who signs, with which API key, and the key that hides devices in identities."""
        self._signaling = signaling
        self._api_key = api_key
        self._seat_key = seat_key
        self._wall_s = wall_s

    def seat(self, room: str, role: Role, name: str, *, device: str = "") -> Seat:
        """Give a seat; the same device in the same role comes back to the same one.

        A page that was reloaded then replaces its old self instead of sitting beside a ghost.
        The identity says nothing about the device: others in the room see it.
        """
        place = f"{room}\0{role}\0{device or secrets.token_hex(16)}"
        digest = hmac.new(self._seat_key, place.encode(), hashlib.sha256).hexdigest()
        identity = f"{role}-{digest[:IDENTITY_HEX_CHARS]}"
        grants = Grants(
            api_key=self._api_key,
            identity=identity,
            name=name,
            attributes={ROLE_ATTRIBUTE: role.value, PAGE_ATTRIBUTE: "1"},
            video=rights_of(role, room),
            expires_s=int(self._wall_s()) + TOKEN_LIFETIME_S,
        )
        return Seat(identity, role, room, name, self._signaling.sign(grants))
