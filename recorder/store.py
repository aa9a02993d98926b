"""The list of recordings: one SQLite table, read and written in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from recorder.errors import RecorderClosedError, RecordingNotFoundError
from recorder.model import Recording, RecordingState, TrackFile

__all__ = ["RecordingStore"]

_Result = TypeVar("_Result")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    id TEXT PRIMARY KEY,
    room TEXT NOT NULL,
    title TEXT NOT NULL,
    started_at_s REAL NOT NULL,
    ended_at_s REAL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    cut_short TEXT NOT NULL,
    progress REAL NOT NULL,
    duration_s REAL NOT NULL,
    size_bytes INTEGER NOT NULL,
    file_name TEXT NOT NULL,
    mime TEXT NOT NULL,
    participants TEXT NOT NULL,
    tracks TEXT NOT NULL,
    is_published INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS recordings_by_time ON recordings (started_at_s DESC);
CREATE INDEX IF NOT EXISTS recordings_by_room ON recordings (room, started_at_s DESC);
"""
_COLUMNS = (
    "id, room, title, started_at_s, ended_at_s, state, reason, cut_short, progress, duration_s, "
    "size_bytes, file_name, mime, participants, tracks, is_published"
)


class RecordingStore:
    """Recordings by id. Open it before use; methods may be awaited from one event loop."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self._path = path
        self._executor = ThreadPoolExecutor(1, "recorder-store")
        self._database: sqlite3.Connection | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Make the file and the table where they are missing."""
        await self._run(self._open)

    async def close(self) -> None:
        """Close the file; idempotent."""
        if self._is_closed:
            return
        closing = asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._is_closed = True
        await closing
        self._executor.shutdown(wait=False)

    async def put(self, recording: Recording) -> None:
        """Insert or replace one recording."""
        await self._run(lambda: _put(self._connection, recording))

    async def update(self, recording_id: str, **fields: Any) -> Recording:
        """Change some fields, and return the recording as it is then."""

        def change(database: sqlite3.Connection) -> Recording:
            changed = replace(_select(database, recording_id), **fields)
            _put(database, changed)
            return changed

        return await self._run(lambda: change(self._connection))

    async def get(self, recording_id: str) -> Recording:
        """One recording. Raises RecordingNotFoundError."""
        return await self._run(lambda: _select(self._connection, recording_id))

    async def list(
        self, *, room: str | None = None, published_only: bool = False, limit: int = 200
    ) -> tuple[Recording, ...]:
        """Recordings, newest first."""
        where = ["1"] + ["room = :room"] * (room is not None) + ["is_published"] * published_only
        statement = (
            f"SELECT {_COLUMNS} FROM recordings WHERE {' AND '.join(where)} "
            "ORDER BY started_at_s DESC, id LIMIT :limit"
        )
        arguments = {"room": room, "limit": limit}

        def select() -> tuple[Recording, ...]:
            rows = self._connection.execute(statement, arguments).fetchall()
            return tuple(map(_to_recording, rows))

        return await self._run(select)

    async def delete(self, recording_id: str) -> None:
        """Forget a recording; harmless when there is none."""

        def delete(database: sqlite3.Connection) -> None:
            with database:
                database.execute("DELETE FROM recordings WHERE id = ?", (recording_id,))

        await self._run(lambda: delete(self._connection))

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise RecorderClosedError("the store of recordings is not open")
        return self._database

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=10.0)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
        self._database = database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self._is_closed:
            raise RecorderClosedError("the store of recordings is closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _put(database: sqlite3.Connection, recording: Recording) -> None:
    fields = asdict(recording)
    fields["state"] = str(recording.state)
    fields["participants"] = json.dumps(recording.participants, ensure_ascii=False)
    fields["tracks"] = json.dumps(fields["tracks"], ensure_ascii=False)
    marks = ", ".join(f":{column}" for column in _COLUMNS.split(", "))
    with database:
        database.execute(f"INSERT OR REPLACE INTO recordings ({_COLUMNS}) VALUES ({marks})", fields)


def _select(database: sqlite3.Connection, recording_id: str) -> Recording:
    statement = f"SELECT {_COLUMNS} FROM recordings WHERE id = ?"
    row = database.execute(statement, (recording_id,)).fetchone()
    if row is None:
        raise RecordingNotFoundError(recording_id)
    return _to_recording(row)


def _to_recording(row: sqlite3.Row) -> Recording:
    fields = dict(row)
    fields["state"] = RecordingState(fields["state"])
    fields["participants"] = tuple(json.loads(fields["participants"]))
    fields["tracks"] = tuple(TrackFile(**track) for track in json.loads(fields["tracks"]))
    fields["is_published"] = bool(fields["is_published"])
    return Recording(**fields)
