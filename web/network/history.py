"""Keeps how everybody's line was: from signaling's samples to the store, in batches."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog
from livekit.protocol import models

from signaling.hooks import Hooks
from signaling.lines import LineSample
from web.network.lines import Sample
from web.network.load import LoadMeter
from web.network.store import LineStore, NewSample, Person
from web.people.roles import ROLE_ATTRIBUTE

log = structlog.get_logger("web.network")

FLUSH_S: Final = 10.0
PRUNE_S: Final = 3600.0
TICK_S: Final = 1.0
MAX_WAITING: Final = 20_000
MAX_BATCH: Final = 5_000
MAX_NAME_CHARS: Final = 120
MAX_KBPS: Final = 100_000_000
MAX_RTT_MS: Final = 60_000


class LineHistory:
    """Samples wait in memory, bounded, and are written every ten seconds."""

    def __init__(
        self,
        store: LineStore,
        hooks: Hooks,
        *,
        load: LoadMeter,
        wall_s: Callable[[], float],
        now_s: Callable[[], float],
    ) -> None:
        """Take the parts; `start` begins to listen."""
        self._store = store
        self._hooks = hooks
        self._load = load
        self._wall_s = wall_s
        self._now_s = now_s
        self._waiting: list[NewSample] = []
        self._ended: list[tuple[str, int]] = []
        self._task: asyncio.Task[None] | None = None
        self.counters: Counter[str] = Counter()

    def start(self) -> None:
        """Follow rooms from now on, in the running event loop."""
        self._hooks.on_quality.append(self.handle_sample)
        self._hooks.on_room_finished.append(self.handle_finished)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Write what waits and stop. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self.flush()

    def handle_sample(
        self, room: models.Room, person: models.ParticipantInfo, line: LineSample
    ) -> None:
        """Take one sample."""
        if len(self._waiting) >= MAX_WAITING:
            self.counters["samples_dropped"] += 1
            return
        self._waiting.append(
            NewSample(
                room.sid,
                room.name,
                room.creation_time,
                Person(
                    person.identity,
                    (person.name or person.identity)[:MAX_NAME_CHARS],
                    person.attributes.get(ROLE_ATTRIBUTE, "")[:MAX_NAME_CHARS],
                ),
                to_sample(line, at_s=int(self._wall_s()), load_percent=self._load.percent),
            )
        )

    def handle_finished(self, room: models.Room) -> None:
        """Note the end of a room's life."""
        if len(self._ended) < MAX_WAITING:
            self._ended.append((room.sid, int(self._wall_s())))

    async def flush(self) -> None:
        """Write what waits; after a failure of the disk it is given up and counted."""
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        ended, self._ended = self._ended, []
        try:
            if batch:
                await self._store.add(batch)
                self.counters["samples_kept"] += len(batch)
            for session, at_s in ended:
                await self._store.end(session, at_s)
        except sqlite3.Error as error:
            self.counters["samples_dropped"] += len(batch)
            log.warning("line_history_not_written", why=type(error).__name__)

    async def _run(self) -> None:
        started_s = self._now_s()
        flush_s, prune_s = started_s + FLUSH_S, started_s + TICK_S
        while True:
            due_s = self._now_s() + TICK_S
            await asyncio.sleep(TICK_S)
            now_s = self._now_s()
            self._load.note_lag(now_s - due_s)
            if now_s >= flush_s:
                flush_s = now_s + FLUSH_S
                self._load.measure()
                await self.flush()
            if now_s >= prune_s:
                prune_s = now_s + PRUNE_S
                await self._prune()

    async def _prune(self) -> None:
        try:
            gone = await self._store.prune(self._wall_s())
        except sqlite3.Error as error:
            log.warning("line_history_not_pruned", why=type(error).__name__)
        else:
            self.counters["sessions_pruned"] += gone


def to_sample(line: LineSample, *, at_s: int, load_percent: int) -> Sample:
    """What is kept of a sample; every figure within bounds."""
    return Sample(
        at_s=at_s,
        up_kbps=_within(line.up_bps / 1000, MAX_KBPS),
        up_loss_permille=_within(line.up_loss * 1000, 1000),
        up_fps=None if line.up_fps is None else _within(line.up_fps, 1000),
        down_kbps=_within(line.down_bps / 1000, MAX_KBPS),
        down_loss_permille=_within(line.down_loss * 1000, 1000),
        rtt_ms=_within(line.rtt_ms, MAX_RTT_MS),
        estimate_kbps=_within(line.estimate_bps / 1000, MAX_KBPS),
        step=line.step,
        is_lost=line.is_lost,
        resumes=line.resumes,
        load_percent=load_percent,
        up_step=line.up_step,
    )


def _within(value: float, most: int) -> int:
    return round(min(max(value, 0.0), most))
