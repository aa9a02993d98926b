"""SQLite behind one worker thread, in order, so that the event loop never waits."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Answer = TypeVar("Answer")

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE rooms (
        name TEXT PRIMARY KEY, title TEXT NOT NULL, created_at_s REAL NOT NULL
    ) STRICT;
    CREATE TABLE invites (
        code_hash BLOB PRIMARY KEY, room TEXT NOT NULL, role TEXT NOT NULL, name TEXT NOT NULL,
        created_at_s REAL NOT NULL, expires_at_s REAL NOT NULL
    ) STRICT;
    CREATE TABLE cameras (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, room TEXT NOT NULL, sealed_url BLOB NOT NULL,
        created_at_s REAL NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE recording_shares (
        id TEXT PRIMARY KEY, code_hash BLOB NOT NULL UNIQUE, recording TEXT NOT NULL,
        created_at_s REAL NOT NULL, expires_at_s REAL NOT NULL
    ) STRICT;
    CREATE INDEX recording_shares_by_recording ON recording_shares (recording);
    """,
    """
    CREATE TABLE line_sessions (
        id TEXT PRIMARY KEY, room TEXT NOT NULL, started_at_s INTEGER NOT NULL,
        ended_at_s INTEGER
    ) STRICT;
    CREATE INDEX line_sessions_by_room ON line_sessions (room, started_at_s);
    CREATE INDEX line_sessions_by_time ON line_sessions (started_at_s);
    CREATE TABLE line_people (
        id INTEGER PRIMARY KEY, session TEXT NOT NULL, identity TEXT NOT NULL, name TEXT NOT NULL,
        role TEXT NOT NULL, UNIQUE (session, identity)
    ) STRICT;
    CREATE TABLE line_samples (
        person INTEGER NOT NULL, at_s INTEGER NOT NULL, up_kbps INTEGER NOT NULL,
        up_loss_permille INTEGER NOT NULL, up_fps INTEGER, down_kbps INTEGER NOT NULL,
        down_loss_permille INTEGER NOT NULL, rtt_ms INTEGER NOT NULL,
        estimate_kbps INTEGER NOT NULL, step TEXT NOT NULL, is_lost INTEGER NOT NULL,
        resumes INTEGER NOT NULL, load_percent INTEGER NOT NULL, PRIMARY KEY (person, at_s)
    ) STRICT, WITHOUT ROWID;
    """,
    "ALTER TABLE line_samples ADD COLUMN up_step TEXT NOT NULL DEFAULT 'full';",
    """
    ALTER TABLE rooms ADD COLUMN place TEXT NOT NULL DEFAULT '';
    CREATE INDEX rooms_by_place ON rooms (place, created_at_s);
    """,
)
"""Applied in order; `user_version` counts those that are done. Never edit one that was released."""


class Database:
    """The server's own tables (rooms' titles, invitations, cameras, links to recordings, lines)."""

    def __init__(self, path: Path) -> None:
        """Remember the file; `open` opens it."""
        self._path = path
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, make it private and bring its tables up to date."""
        await self._in_worker(self._connect)

    async def close(self) -> None:
        """Finish what was asked for and close the file."""

        def close() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        await self._in_worker(close)
        self._worker.shutdown(wait=False)

    async def rows(self, statement: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Run a query."""
        return await self._in_worker(lambda: self._open_one().execute(statement, values).fetchall())

    async def change(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run one change in its own transaction; returns how many rows it touched."""

        def change() -> int:
            with self._open_one() as connection:
                return connection.execute(statement, values).rowcount

        return await self._in_worker(change)

    async def transact(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Run several changes in one transaction, in the worker; an exception undoes them all."""

        def run() -> Answer:
            with self._open_one() as connection:
                return work(connection)

        return await self._in_worker(run)

    async def read(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Run several queries on what one moment shows, in the worker."""

        def run() -> Answer:
            connection = self._open_one()
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.rollback()

        return await self._in_worker(run)

    async def _in_worker(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _open_one(self) -> sqlite3.Connection:
        assert self._connection is not None, "open() comes first"
        return self._connection

    def _connect(self) -> None:
        # Made private before SQLite writes to it; its -wal and -shm files take over the mode.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        self._path.chmod(0o600)
        connection = sqlite3.connect(self._path, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (done,) = connection.execute("PRAGMA user_version").fetchone()
        for number, script in enumerate(MIGRATIONS[done:], start=done + 1):
            connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
        self._connection = connection
