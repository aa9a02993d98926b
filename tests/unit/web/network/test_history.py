"""From signaling's samples to the store: batches, bounds, what is kept."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from livekit.protocol import models

from signaling.hooks import Hooks
from signaling.lines import LineSample
from web.network.history import MAX_BATCH, MAX_WAITING, LineHistory, to_sample
from web.network.lines import Sample
from web.network.load import LoadMeter
from web.network.store import LineStore, NewSample
from web.settings.database import Database


class FakeStore:
    def __init__(self) -> None:
        self.batches: list[list[NewSample]] = []
        self.ended: list[tuple[str, int]] = []
        self.pruned: list[float] = []
        self.error: Exception | None = None

    async def add(self, batch: list[NewSample]) -> None:
        if self.error:
            raise self.error
        self.batches.append(list(batch))

    async def end(self, session: str, at_s: int) -> None:
        self.ended.append((session, at_s))


def make(store: Any) -> LineHistory:
    load = LoadMeter(cpu_s=lambda: 0.0, now_s=lambda: 0.0, num_cpus=2)
    load.percent = 33
    return LineHistory(store, Hooks(), load=load, wall_s=lambda: 1500.7, now_s=lambda: 0.0)


ROOM = models.Room(sid="RM_1", name="hongqiao", creation_time=1000)
ZHANG = models.ParticipantInfo(identity="walker-1", name="张敏", attributes={"role": "walker"})


async def test_a_sample_is_kept_with_who_and_where_and_no_address() -> None:
    store = FakeStore()
    history = make(store)
    line = LineSample(
        up_loss=0.0214,
        up_bps=412_345,
        up_fps=14.6,
        down_bps=99_700,
        rtt_ms=81.4,
        step="reduced",
        up_step="slow",
        resumes=2,
    )
    history.handle_sample(ROOM, ZHANG, line)
    history.handle_finished(ROOM)
    await history.flush()
    (((session, room, started_s, person, sample),),) = store.batches
    assert (session, room, started_s, person) == (
        "RM_1",
        "hongqiao",
        1000,
        ("walker-1", "张敏", "walker"),
    )
    assert sample == Sample(1500, 412, 21, 15, 100, 0, 81, 0, "reduced", False, 2, 33, "slow")
    assert store.ended == [("RM_1", 1500)]
    await history.flush()
    assert len(store.batches) == 1


def test_absurd_figures_are_kept_within_bounds() -> None:
    line = LineSample(
        up_loss=9.0, up_bps=-5, up_fps=1e9, down_bps=10**18, rtt_ms=1e12, estimate_bps=2**60
    )
    sample = to_sample(line, at_s=1, load_percent=0)
    assert sample.up_loss_permille == 1000 and sample.up_kbps == 0 and sample.up_fps == 1000
    assert sample.down_kbps == sample.estimate_kbps == 100_000_000 and sample.rtt_ms == 60_000


async def test_what_waits_is_bounded_and_written_in_batches() -> None:
    store = FakeStore()
    history = make(store)
    for _ in range(MAX_WAITING + 7):
        history.handle_sample(ROOM, ZHANG, LineSample())
    assert history.counters["samples_dropped"] == 7
    await history.flush()
    assert len(store.batches[0]) == MAX_BATCH
    for _ in range(5):
        await history.flush()
    assert sum(map(len, store.batches)) == MAX_WAITING == history.counters["samples_kept"]


async def test_a_disk_that_fails_is_counted_and_nothing_else() -> None:
    store = FakeStore()
    store.error = sqlite3.OperationalError("disk full")
    history = make(store)
    history.handle_sample(ROOM, ZHANG, LineSample())
    await history.flush()
    assert history.counters["samples_dropped"] == 1
    store.error = None
    history.handle_sample(ROOM, ZHANG, LineSample())
    await history.flush()
    assert len(store.batches) == 1


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite3")
    await database.open()
    store = LineStore(database)
    history = make(store)
    history.start()
    history.handle_sample(ROOM, ZHANG, LineSample())
    await history.close()
    await history.close()
    assert [session.id for session in await store.sessions("hongqiao")] == ["RM_1"]
    await database.close()


class Clock:
    cpu_s = 0.0
    now_s = 0.0


@pytest.mark.parametrize(
    ("cpu_s", "elapsed_s", "lag_s", "expected"),
    [
        (0.0, 10.0, 0.0, 0),
        (10.0, 10.0, 0.0, 50),
        (19.0, 10.0, 0.0, 95),
        (99.0, 10.0, 0.0, 100),
        (1.0, 10.0, 0.25, 50),
        (1.0, 10.0, 3.0, 100),
        (1.0, 10.0, -1.0, 5),
        (1.0, 0.0, 0.0, 0),
    ],
)
def test_load_is_processors_or_lateness(
    cpu_s: float, elapsed_s: float, lag_s: float, expected: int
) -> None:
    clock = Clock()
    meter = LoadMeter(cpu_s=lambda: clock.cpu_s, now_s=lambda: clock.now_s, num_cpus=2)
    clock.cpu_s, clock.now_s = cpu_s, elapsed_s
    meter.note_lag(lag_s)
    assert meter.measure() == expected == meter.percent
    clock.now_s += 10
    assert meter.measure() == 0, "the next one starts anew"
