"""Links that let a colleague watch one recording, until they expire or are withdrawn.

Like invitations, only a hash of the code is stored. Opening the link gives the browser a cookie
for this recording alone; the code itself is in no address a player or a proxy would keep. Each
request looks the link up again, so that withdrawing one ends what is being watched.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from web.http.callers import is_https
from web.settings.database import Database

DEFAULT_LIFETIME_S: Final = 14 * 24 * 3600
MAX_LIFETIME_S: Final = 366 * 24 * 3600
COOKIE: Final = "aislecast_replay"
COOKIE_LIFETIME_S: Final = 12 * 3600
CODE_BYTES: Final = 16
ID_BYTES: Final = 9
MAX_CODE_CHARS: Final = 64
MAX_SHARES: Final = 50
"""Live links of one recording; more are hardly meant."""


@dataclass(frozen=True, slots=True)
class Share:
    """One link, without its code."""

    id: str
    recording: str
    created_at_s: float
    expires_at_s: float


class Shares:
    """Makes, finds and withdraws links, and knows again whoever opened one."""

    def __init__(self, database: Database, *, key: bytes, wall_s: Callable[[], float]) -> None:
        """Take the database, a server secret and the wall clock."""
        self._database = database
        self._mac_key = hashlib.sha256(b"aislecast replay\0" + key).digest()
        self._wall_s = wall_s

    async def make(
        self, recording: str, *, lifetime_s: float = DEFAULT_LIFETIME_S
    ) -> tuple[Share, str] | None:
        """Store a link; returns it and its code, or None where there are too many already."""
        now_s = self._wall_s()
        await self._database.change(
            "DELETE FROM recording_shares WHERE expires_at_s <= ?", (now_s,)
        )
        if len(await self.of_recording(recording)) >= MAX_SHARES:
            return None
        code = secrets.token_urlsafe(CODE_BYTES)
        share = Share(secrets.token_urlsafe(ID_BYTES), recording, now_s, now_s + lifetime_s)
        await self._database.change(
            "INSERT INTO recording_shares VALUES (?, ?, ?, ?, ?)",
            (share.id, _hash(code), recording, share.created_at_s, share.expires_at_s),
        )
        return share, code

    async def find(self, code: str) -> Share | None:
        """Return the link of a code; None if it is unknown, expired or withdrawn."""
        if len(code) > MAX_CODE_CHARS:
            return None
        return await self._one("code_hash = ?", _hash(code))

    async def of_recording(self, recording: str) -> list[Share]:
        """Return the live links of a recording, newest first."""
        rows = await self._database.rows(
            "SELECT id, recording, created_at_s, expires_at_s FROM recording_shares"
            " WHERE recording = ? AND expires_at_s > ? ORDER BY created_at_s DESC",
            (recording, self._wall_s()),
        )
        return [Share(*row) for row in rows]

    async def shared(self) -> frozenset[str]:
        """Return the recordings that have a live link."""
        rows = await self._database.rows(
            "SELECT DISTINCT recording FROM recording_shares WHERE expires_at_s > ?",
            (self._wall_s(),),
        )
        return frozenset(row[0] for row in rows)

    async def withdraw(self, recording: str, share_id: str) -> bool:
        """Make a link open nothing; tells whether it did before."""
        return bool(
            await self._database.change(
                "DELETE FROM recording_shares WHERE recording = ? AND id = ?",
                (recording, share_id),
            )
        )

    async def withdraw_all(self, recording: str) -> None:
        """Withdraw every link of a recording, because it is removed."""
        await self._database.change(
            "DELETE FROM recording_shares WHERE recording = ?", (recording,)
        )

    def let_in(self, share: Share, request: web.Request, response: web.StreamResponse) -> None:
        """Give whoever opened the link a cookie that this recording's addresses get."""
        left_s = min(COOKIE_LIFETIME_S, int(share.expires_at_s - self._wall_s()))
        response.set_cookie(
            COOKIE,
            f"{share.id}.{self._mac(share.id, share.recording)}",
            max_age=max(1, left_s),
            path=f"/api/recordings/{share.recording}",
            httponly=True,
            secure=is_https(request),
            samesite="Lax",
        )

    async def may_watch(self, request: web.Request, recording: str) -> bool:
        """Tell whether the caller came by a live link to this very recording."""
        share_id, _, mac = request.cookies.get(COOKIE, "").rpartition(".")
        expected = self._mac(share_id, recording)
        # Names of cookies are no secret; a path of a cookie is no protection. The MAC is.
        if not share_id or not hmac.compare_digest(_bytes(mac), _bytes(expected)):
            return False
        share = await self._one("id = ?", share_id)
        return share is not None and share.recording == recording

    async def _one(self, where: str, value: object) -> Share | None:
        rows = await self._database.rows(
            "SELECT id, recording, created_at_s, expires_at_s FROM recording_shares"
            f" WHERE {where} AND expires_at_s > ?",
            (value, self._wall_s()),
        )
        return Share(*rows[0]) if rows else None

    def _mac(self, share_id: str, recording: str) -> str:
        content = _bytes(f"{share_id}\0{recording}")
        return hmac.new(self._mac_key, content, hashlib.sha256).hexdigest()


def _hash(code: str) -> bytes:
    return hashlib.sha256(_bytes(code)).digest()


def _bytes(text: str) -> bytes:
    # Callers send what they like; half a surrogate pair must not be a fault of ours.
    return text.encode("utf-8", "surrogatepass")
