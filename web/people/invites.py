"""Invitations: short links that open one room in one role until they expire.

Only a hash of the code is stored: who reads the database cannot enter a room with it. The code
has 128 random bits, so it cannot be guessed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from web.people.roles import Role
from web.settings.database import Database

DEFAULT_LIFETIME_S: Final = 7 * 24 * 3600
MAX_LIFETIME_S: Final = 366 * 24 * 3600
CODE_BYTES: Final = 16
MAX_CODE_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Invite:
    """What a code opens."""

    room: str
    role: Role
    name: str
    expires_at_s: float


class Invites:
    """Makes, finds and withdraws invitations."""

    def __init__(self, database: Database, *, wall_s: Callable[[], float]) -> None:
        """Take the database and the wall clock."""
        self._database = database
        self._wall_s = wall_s

    async def make(
        self, room: str, role: Role, *, name: str = "", lifetime_s: float = DEFAULT_LIFETIME_S
    ) -> str:
        """Store an invitation and return its code, which cannot be read back later."""
        code = secrets.token_urlsafe(CODE_BYTES)
        now_s = self._wall_s()
        await self._database.change("DELETE FROM invites WHERE expires_at_s <= ?", (now_s,))
        await self._database.change(
            "INSERT INTO invites VALUES (?, ?, ?, ?, ?, ?)",
            (_hash(code), room, role.value, name, now_s, now_s + lifetime_s),
        )
        return code

    async def find(self, code: str) -> Invite | None:
        """Return what a code opens; None if it is unknown, expired or withdrawn."""
        if len(code) > MAX_CODE_CHARS:
            return None
        rows = await self._database.rows(
            "SELECT room, role, name, expires_at_s FROM invites"
            " WHERE code_hash = ? AND expires_at_s > ?",
            (_hash(code), self._wall_s()),
        )
        if not rows:
            return None
        room, role, name, expires_at_s = rows[0]
        return Invite(room, Role(role), name, expires_at_s)

    async def withdraw(self, code: str) -> bool:
        """Make a code open nothing; tells whether it did before."""
        return bool(
            await self._database.change("DELETE FROM invites WHERE code_hash = ?", (_hash(code),))
        )


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()
