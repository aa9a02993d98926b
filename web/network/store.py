"""The history of lines on disk: sessions, who was there, and a sample every ten seconds.

No address of anybody is kept. What is older than the retention goes, and the oldest sessions go
when there are too many samples.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from web.network.lines import Sample
from web.settings.database import Database

RETENTION_S: Final = 30 * 24 * 3600
MAX_SAMPLES: Final = 2_000_000
"""Some 100 MB: 25 people in calls for 10 hours a day, for a month of working days."""
MAX_SESSIONS_SHOWN: Final = 100
MAX_PEOPLE_SHOWN: Final = 1_000
MAX_SAMPLES_SHOWN: Final = 60_000
MAX_PLACE_SAMPLES: Final = 20_000
"""55 hours; a passport is of the latest."""

_COLUMNS: Final = ", ".join(Sample._fields)
_MARKS: Final = ", ".join("?" * len(Sample._fields))


class Session(NamedTuple):
    """One life of a room."""

    id: str
    room: str
    started_at_s: int
    ended_at_s: int | None  # None = it goes on, or the server was stopped hard
    num_people: int


class Person(NamedTuple):
    """Somebody in a session."""

    identity: str
    name: str
    role: str


class NewSample(NamedTuple):
    """A sample on its way to the disk."""

    session: str
    room: str
    started_at_s: int
    person: Person
    sample: Sample


class LineStore:
    """Reads and writes the history.

    Attributes:
        retention_s: how long it is kept.
    """

    def __init__(
        self,
        database: Database,
        *,
        retention_s: float = RETENTION_S,
        max_samples: int = MAX_SAMPLES,
    ) -> None:
        """Take the database and the bounds."""
        self._database = database
        self.retention_s = retention_s
        self._max_samples = max_samples

    async def add(self, batch: Sequence[NewSample]) -> None:
        """Write samples in one transaction; of two in the same second the first one stays."""
        await self._database.transact(lambda connection: _add(connection, batch))

    async def end(self, session: str, at_s: int) -> None:
        """Note that a session is over."""
        await self._database.change(
            "UPDATE line_sessions SET ended_at_s = ? WHERE id = ?", (at_s, session)
        )

    async def prune(self, now_s: float) -> int:
        """Forget what is too old or too much; returns how many sessions went."""
        before_s = now_s - self.retention_s
        return await self._database.transact(
            lambda connection: _prune(connection, before_s, self._max_samples)
        )

    async def sessions(self, room: str) -> list[Session]:
        """Sessions of a room, newest first."""
        rows = await self._database.rows(
            f"{_SELECT_SESSIONS} WHERE room = ? ORDER BY started_at_s DESC, id LIMIT ?",
            (room, MAX_SESSIONS_SHOWN),
        )
        return [Session(*row) for row in rows]

    async def session(self, room: str, session: str) -> Session | None:
        """One session, if it is of this room."""
        rows = await self._database.rows(
            f"{_SELECT_SESSIONS} WHERE room = ? AND id = ?", (room, session)
        )
        return Session(*rows[0]) if rows else None

    async def people(self, session: str) -> list[tuple[Person, list[Sample]]]:
        """Who was in a session, with their samples, oldest first."""
        people = await self._database.rows(
            "SELECT id, identity, name, role FROM line_people WHERE session = ? ORDER BY id"
            " LIMIT ?",
            (session, MAX_PEOPLE_SHOWN),
        )
        rows = await self._database.rows(
            f"SELECT person, {_COLUMNS} FROM line_samples WHERE person IN"
            " (SELECT id FROM line_people WHERE session = ? ORDER BY id LIMIT ?)"
            " ORDER BY at_s DESC LIMIT ?",
            (session, MAX_PEOPLE_SHOWN, MAX_SAMPLES_SHOWN),
        )
        found: dict[int, list[Sample]] = {row[0]: [] for row in people}
        for row in reversed(rows):
            found[row[0]].append(_sample(row[1:]))
        return [(Person(*row[1:]), found[row[0]]) for row in people]

    async def place(self, room: str, role: str, name: str, since_s: float) -> list[Sample]:
        """The latest samples of people in a room: of a role, or of everybody with a name."""
        who, value = ("name", name) if name else ("role", role)
        rows = await self._database.rows(
            f"SELECT {_COLUMNS} FROM line_samples WHERE at_s >= ? AND person IN"
            " (SELECT line_people.id FROM line_people"
            "  JOIN line_sessions ON line_sessions.id = line_people.session"
            f"  WHERE line_sessions.room = ? AND line_people.{who} = ?)"
            " ORDER BY at_s DESC LIMIT ?",
            (since_s, room, value, MAX_PLACE_SAMPLES),
        )
        return [_sample(row) for row in rows]


_SELECT_SESSIONS: Final = (
    "SELECT id, room, started_at_s, ended_at_s,"
    " (SELECT count(*) FROM line_people WHERE session = line_sessions.id) FROM line_sessions"
)


def _sample(values: Sequence[object]) -> Sample:
    sample = Sample(*values)  # type: ignore[arg-type]
    return sample._replace(is_lost=bool(sample.is_lost))


def _add(connection: sqlite3.Connection, batch: Sequence[NewSample]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO line_sessions VALUES (?, ?, ?, NULL)",
        list(dict.fromkeys((new.session, new.room, new.started_at_s) for new in batch)),
    )
    # The newest name wins.
    connection.executemany(
        "INSERT INTO line_people (session, identity, name, role) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (session, identity) DO UPDATE SET name = excluded.name",
        list(dict.fromkeys((new.session, *new.person) for new in batch)),
    )
    connection.executemany(
        f"INSERT OR IGNORE INTO line_samples (person, {_COLUMNS})"
        f" SELECT id, {_MARKS} FROM line_people WHERE session = ? AND identity = ?",
        [(*new.sample, new.session, new.person.identity) for new in batch],
    )


def _prune(connection: sqlite3.Connection, before_s: float, max_samples: int) -> int:
    old = connection.execute(
        "SELECT id FROM line_sessions WHERE started_at_s < ?", (before_s,)
    ).fetchall()
    num_gone = sum(_prune_session(connection, session, before_s) for (session,) in old)
    (left,) = connection.execute("SELECT count(*) FROM line_samples").fetchone()
    while left > max_samples:
        (session,) = connection.execute(
            "SELECT id FROM line_sessions ORDER BY started_at_s, id LIMIT 1"
        ).fetchone()
        num_gone += _prune_session(connection, session, float("inf"))
        (left,) = connection.execute("SELECT count(*) FROM line_samples").fetchone()
    return num_gone


def _prune_session(connection: sqlite3.Connection, session: str, before_s: float) -> bool:
    """Forget what a session has from before a time; True if nothing of it is left."""
    connection.execute(
        "DELETE FROM line_samples WHERE at_s < ? AND person IN"
        " (SELECT id FROM line_people WHERE session = ?)",
        (before_s, session),
    )
    connection.execute(
        "DELETE FROM line_people WHERE session = ? AND NOT EXISTS"
        " (SELECT 1 FROM line_samples WHERE person = line_people.id)",
        (session,),
    )
    gone = connection.execute(
        "DELETE FROM line_sessions WHERE id = ? AND NOT EXISTS"
        " (SELECT 1 FROM line_people WHERE session = line_sessions.id)",
        (session,),
    )
    return bool(gone.rowcount)
