"""The history of lines on disk: sessions, who was there, and a sample every ten seconds.

No address of anybody is kept. What is older than the retention goes, and the oldest sessions go
when there are too many samples.
"""

from __future__ import annotations

import math
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
"""Of all people of a session; each has the same share of it, so nobody's curve costs another's."""
MAX_PLACE_SAMPLES: Final = 20_000
"""55 hours; a passport is of the latest."""
PRUNE_STEP_SAMPLES: Final = 20_000
"""Deleted at once, some 50 ms: other questions to the database wait no longer than that."""

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

    How many samples there are is counted once, at the first pruning, and kept up from then on:
    counting two million rows takes as long as everything else here together. So this is the only
    writer of its tables.

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
        self._num_samples: int | None = None  # None = not counted yet

    async def add(self, batch: Sequence[NewSample]) -> None:
        """Write samples in one transaction; of two in the same second the first one stays."""
        added = await self._database.transact(lambda connection: _add(connection, batch))
        if self._num_samples is not None:
            self._num_samples += added

    async def end(self, session: str, at_s: int) -> None:
        """Note that a session is over."""
        await self._database.change(
            "UPDATE line_sessions SET ended_at_s = ? WHERE id = ?", (at_s, session)
        )

    async def prune(self, now_s: float) -> int:
        """Forget what is too old or too much; returns how many sessions went.

        In steps of bounded size, each its own transaction.
        """
        if self._num_samples is None:
            ((self._num_samples,),) = await self._database.rows("SELECT count(*) FROM line_samples")
        num_gone = 0
        before_s = now_s - self.retention_s
        old = await self._database.rows(
            "SELECT id FROM line_sessions WHERE started_at_s < ? ORDER BY started_at_s, id",
            (before_s,),
        )
        for (session,) in old:
            num_gone += await self._prune_session(session, before_s)
        while self._num_samples > self._max_samples:
            oldest = await self._database.rows(
                "SELECT id FROM line_sessions ORDER BY started_at_s, id LIMIT 1"
            )
            if not oldest:
                break
            num_gone += await self._prune_session(oldest[0][0], math.inf)
        return num_gone

    async def _prune_session(self, session: str, before_s: float) -> int:
        """Forget what a session has from before a time; returns 1 if nothing of it is left."""
        while True:
            num_samples, is_done, num_sessions = await self._database.transact(
                lambda connection: _prune_step(connection, session, before_s)
            )
            assert self._num_samples is not None, "prune() counts first"
            self._num_samples -= num_samples
            if is_done:
                return num_sessions

    async def sessions(self, room: str) -> list[Session]:
        """Sessions of a room, newest first."""
        rows = await self._database.rows(
            f"{_SELECT_SESSIONS} WHERE room = ? ORDER BY started_at_s DESC, id LIMIT ?",
            (room, MAX_SESSIONS_SHOWN),
        )
        return [Session(*row) for row in rows]

    async def ended(self, limit: int) -> list[Session]:
        """The latest sessions of all rooms that are known to have ended."""
        rows = await self._database.rows(
            f"{_SELECT_SESSIONS} WHERE ended_at_s IS NOT NULL"
            " ORDER BY started_at_s DESC, id LIMIT ?",
            (limit,),
        )
        return [Session(*row) for row in rows]

    async def quality(
        self, room: str, session: str
    ) -> tuple[Session, list[tuple[Person, list[Sample]]]] | None:
        """One session, if it is of this room, and who was in it, with their samples, oldest first.

        Of one moment: pruning between two questions cannot show a session without its people.
        """
        return await self._database.read(
            lambda connection: _read_quality(connection, room, session)
        )

    async def place(
        self, rooms: Sequence[str], role: str, name: str, since_s: float
    ) -> list[Sample]:
        """The latest samples of people in some rooms: of a role, or of everybody with a name."""
        who, value = ("name", name) if name else ("role", role)
        return await self._database.read(
            lambda connection: _read_place(connection, rooms, who, value, since_s)
        )


_SELECT_SESSIONS: Final = (
    "SELECT id, room, started_at_s, ended_at_s,"
    " (SELECT count(*) FROM line_people WHERE session = line_sessions.id) FROM line_sessions"
)


_IS_LOST: Final = Sample._fields.index("is_lost")


def _sample(values: Sequence[object]) -> Sample:
    known = list(values)
    known[_IS_LOST] = bool(known[_IS_LOST])
    return Sample(*known)  # type: ignore[arg-type]


def _read_quality(
    connection: sqlite3.Connection, room: str, session: str
) -> tuple[Session, list[tuple[Person, list[Sample]]]] | None:
    row = connection.execute(
        f"{_SELECT_SESSIONS} WHERE room = ? AND id = ?", (room, session)
    ).fetchone()
    if row is None:
        return None
    people = connection.execute(
        "SELECT id, identity, name, role FROM line_people WHERE session = ? ORDER BY id LIMIT ?",
        (session, MAX_PEOPLE_SHOWN),
    ).fetchall()
    share = MAX_SAMPLES_SHOWN // max(1, len(people))
    return Session(*row), [
        (Person(*names), _read_person(connection, person, share)) for person, *names in people
    ]


def _read_person(connection: sqlite3.Connection, person: int, most: int) -> list[Sample]:
    # The primary key is the order: no more rows are read than are shown.
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM line_samples WHERE person = ? ORDER BY at_s DESC LIMIT ?",
        (person, most),
    ).fetchall()
    return [_sample(row) for row in reversed(rows)]


def _read_place(
    connection: sqlite3.Connection, rooms: Sequence[str], who: str, value: str, since_s: float
) -> list[Sample]:
    """Session by session, newest first, until there are enough.

    A store is walked once after the other, so what is left out is older than what is taken, and a
    year of calls is not sorted for the sake of its last days.
    """
    found: list[Sample] = []
    sessions = connection.execute(
        f"SELECT id FROM line_sessions WHERE room IN ({', '.join('?' * len(rooms))})"
        " ORDER BY started_at_s DESC, id",
        tuple(rooms),
    )
    for (session,) in sessions:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM line_samples WHERE at_s >= ? AND person IN"
            f" (SELECT id FROM line_people WHERE session = ? AND {who} = ?)"
            " ORDER BY at_s DESC LIMIT ?",
            (since_s, session, value, MAX_PLACE_SAMPLES - len(found)),
        )
        found.extend(_sample(row) for row in rows)
        if len(found) >= MAX_PLACE_SAMPLES:
            break
    return found


def _add(connection: sqlite3.Connection, batch: Sequence[NewSample]) -> int:
    """Write samples; returns how many are new."""
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
    added = connection.executemany(
        f"INSERT OR IGNORE INTO line_samples (person, {_COLUMNS})"
        f" SELECT id, {_MARKS} FROM line_people WHERE session = ? AND identity = ?",
        [(*new.sample, new.session, new.person.identity) for new in batch],
    )
    return max(0, added.rowcount)


def _prune_step(
    connection: sqlite3.Connection, session: str, before_s: float
) -> tuple[int, bool, int]:
    """Forget a bounded part of a session; returns samples gone, whether that was all, sessions."""
    left = PRUNE_STEP_SAMPLES
    people = connection.execute(
        "SELECT id FROM line_people WHERE session = ?", (session,)
    ).fetchall()
    for (person,) in people:
        # Not every SQLite is built with DELETE … LIMIT.
        gone = connection.execute(
            "DELETE FROM line_samples WHERE person = ? AND at_s IN (SELECT at_s FROM line_samples"
            " WHERE person = ? AND at_s < ? ORDER BY at_s LIMIT ?)",
            (person, person, before_s, left),
        )
        left -= gone.rowcount
        if left <= 0:
            return PRUNE_STEP_SAMPLES, False, 0
    connection.execute(
        "DELETE FROM line_people WHERE session = ? AND NOT EXISTS"
        " (SELECT 1 FROM line_samples WHERE person = line_people.id)",
        (session,),
    )
    ended = connection.execute(
        "DELETE FROM line_sessions WHERE id = ? AND NOT EXISTS"
        " (SELECT 1 FROM line_people WHERE session = line_sessions.id)",
        (session,),
    )
    return PRUNE_STEP_SAMPLES - left, True, ended.rowcount
