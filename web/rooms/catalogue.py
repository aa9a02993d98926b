"""Rooms people made: their titles, kept beyond the life of the live room."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from web.settings.database import Database

MAX_NAME_CHARS: Final = 64
MAX_TITLE_CHARS: Final = 120
NAME_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters that look like digits: names are read out over the phone."""
SHOWN_ROOMS: Final = 100


@dataclass(frozen=True, slots=True)
class KnownRoom:
    """A room somebody made here."""

    name: str
    title: str
    created_at_s: float


class RoomCatalogue:
    """Titles of rooms."""

    def __init__(self, database: Database, *, wall_s: Callable[[], float]) -> None:
        """Take the database and the wall clock."""
        self._database = database
        self._wall_s = wall_s

    async def make(self, title: str = "", *, name: str = "") -> KnownRoom:
        """Add a room; an existing name keeps its title unless a new one is given."""
        name = name or "".join(secrets.choice(NAME_ALPHABET) for _ in range(10))
        await self._database.change(
            "INSERT INTO rooms VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET title = excluded.title WHERE excluded.title != ''",
            (name, title, self._wall_s()),
        )
        known = await self.find(name)
        assert known is not None, "it was just written"
        return known

    async def find(self, name: str) -> KnownRoom | None:
        """Return a room, or None if nobody made it here."""
        rows = await self._database.rows("SELECT * FROM rooms WHERE name = ?", (name,))
        return KnownRoom(*rows[0]) if rows else None

    async def title(self, name: str) -> str:
        """Return what to call a room: its title, else its name."""
        known = await self.find(name)
        return (known.title if known else "") or name

    async def latest(self) -> list[KnownRoom]:
        """Return the rooms made last, newest first."""
        rows = await self._database.rows(
            "SELECT * FROM rooms ORDER BY created_at_s DESC LIMIT ?", (SHOWN_ROOMS,)
        )
        return [KnownRoom(*row) for row in rows]
