"""Rooms people made: their titles and stores, kept beyond the life of the live room."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from web.settings.database import Database

MAX_NAME_CHARS: Final = 64
MAX_TITLE_CHARS: Final = 120
MAX_PLACE_CHARS: Final = 60
NAME_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters that look like digits: names are read out over the phone."""
SHOWN_ROOMS: Final = 100
SHOWN_PLACES: Final = 100
MAX_ROOMS_OF_PLACE: Final = 500
"""Lines are remembered for 30 days: 16 walks a day."""


@dataclass(frozen=True, slots=True)
class KnownRoom:
    """A room somebody made here.

    Attributes:
        name: in addresses and tokens.
        title: what people call it.
        created_at_s: Unix time.
        place: the store it is in; "" = nobody has said.
    """

    name: str
    title: str
    created_at_s: float
    place: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a room is.

    Attributes:
        name: of the store; "" = nobody has said.
        rooms: all that are in the same store, the latest first; without a store the room alone.
    """

    name: str
    rooms: tuple[str, ...]


_COLUMNS: Final = "name, title, created_at_s, place"


class RoomCatalogue:
    """Titles and stores of rooms."""

    def __init__(self, database: Database, *, wall_s: Callable[[], float]) -> None:
        """Take the database and the wall clock."""
        self._database = database
        self._wall_s = wall_s

    async def make(self, title: str = "", *, name: str = "") -> KnownRoom:
        """Add a room; an existing name keeps its title unless a new one is given."""
        name = name or "".join(secrets.choice(NAME_ALPHABET) for _ in range(10))
        await self._database.change(
            "INSERT INTO rooms (name, title, created_at_s) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET title = excluded.title WHERE excluded.title != ''",
            (name, title, self._wall_s()),
        )
        known = await self.find(name)
        assert known is not None, "it was just written"
        return known

    async def change(
        self, name: str, *, place: str | None = None, title: str = ""
    ) -> KnownRoom | None:
        """Say in which store a room is ("" = none, None = as before), and what to call it.

        Returns:
            The room as it is now; None if nobody made it here.
        """
        await self._database.change(
            "UPDATE rooms SET place = coalesce(?, place), title = coalesce(nullif(?, ''), title)"
            " WHERE name = ?",
            (None if place is None else clean_place(place), title, name),
        )
        return await self.find(name)

    async def find(self, name: str) -> KnownRoom | None:
        """Return a room, or None if nobody made it here."""
        rows = await self._database.rows(f"SELECT {_COLUMNS} FROM rooms WHERE name = ?", (name,))
        return KnownRoom(*rows[0]) if rows else None

    async def title(self, name: str) -> str:
        """Return what to call a room: its title, else its name."""
        known = await self.find(name)
        return (known.title if known else "") or name

    async def latest(self) -> list[KnownRoom]:
        """Return the rooms made last, newest first."""
        rows = await self._database.rows(
            f"SELECT {_COLUMNS} FROM rooms ORDER BY created_at_s DESC LIMIT ?", (SHOWN_ROOMS,)
        )
        return [KnownRoom(*row) for row in rows]

    async def places(self) -> list[str]:
        """Return the stores that rooms were made for, the latest first."""
        rows = await self._database.rows(
            "SELECT place FROM rooms WHERE place != '' GROUP BY place"
            " ORDER BY max(created_at_s) DESC LIMIT ?",
            (SHOWN_PLACES,),
        )
        return [place for (place,) in rows]

    async def place_of(self, room: str) -> Place:
        """Return where a room is."""
        known = await self.find(room)
        if known is None or not known.place:
            return Place("", (room,))
        rows = await self._database.rows(
            "SELECT name FROM rooms WHERE place = ? ORDER BY created_at_s DESC LIMIT ?",
            (known.place, MAX_ROOMS_OF_PLACE),
        )
        return Place(known.place, tuple(name for (name,) in rows))


def clean_place(text: str) -> str:
    """Return a store's name as it is compared: what looks the same is the same."""
    return " ".join(unicodedata.normalize("NFKC", text).split())[:MAX_PLACE_CHARS]
