"""The history of lines on disk, with real SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from line_samples import GOOD

from web.network import store as store_module
from web.network.lines import Sample
from web.network.store import LineStore, NewSample, Person
from web.settings.database import Database

DAY_S = 86_400
ZHANG = Person("walker-1", "张敏", "walker")
HOST = Person("host-1", "Li", "host")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(tmp_path / "db.sqlite3")
    await made.open()
    yield made
    await made.close()


def new(
    at_s: int,
    *,
    session: str = "RM_1",
    room: str = "hongqiao",
    person: Person = ZHANG,
    rtt_ms: int = 60,
) -> NewSample:
    started_s = at_s // DAY_S * DAY_S
    return NewSample(session, room, started_s, person, GOOD._replace(at_s=at_s, rtt_ms=rtt_ms))


async def people_of(store: LineStore, session: str = "RM_1") -> list[tuple[Person, list[Sample]]]:
    found = await store.quality("hongqiao", session)
    assert found is not None
    return found[1]


async def test_what_is_written_is_read(database: Database) -> None:
    store = LineStore(database)
    frozen = new(30)
    frozen = frozen._replace(sample=frozen.sample._replace(up_fps=None, is_lost=True))
    await store.add([new(10), new(20), frozen, new(20, person=HOST)])
    (session,) = await store.sessions("hongqiao")
    assert session == ("RM_1", "hongqiao", 0, None, 2)
    people = await people_of(store)
    assert [person for person, _ in people] == [ZHANG, HOST]
    assert [sample.at_s for sample in people[0][1]] == [10, 20, 30]
    assert people[0][1][2] == frozen.sample and people[0][1][2].is_lost is True
    await store.end("RM_1", 99)
    found = await store.quality("hongqiao", "RM_1")
    assert found is not None and found[0] == ("RM_1", "hongqiao", 0, 99, 2)


async def test_the_same_second_twice_is_one_sample_and_the_newest_name_wins(
    database: Database,
) -> None:
    store = LineStore(database)
    await store.add([new(10), new(10, rtt_ms=999)])
    await store.add([new(20, person=ZHANG._replace(name="张敏敏"))])
    ((person, samples),) = await people_of(store)
    assert person.name == "张敏敏" and [sample.rtt_ms for sample in samples] == [60, 60]


async def test_a_session_is_of_its_room_only(database: Database) -> None:
    store = LineStore(database)
    await store.add([new(10)])
    assert await store.quality("other", "RM_1") is None
    assert await store.quality("hongqiao", "' OR 1=1 --") is None
    assert await store.quality("hongqiao", "RM_9") is None
    assert await store.sessions("nowhere") == []


async def test_a_place_is_its_walkers_or_one_name(database: Database) -> None:
    store = LineStore(database)
    await store.add(
        [
            new(10),
            new(20, person=HOST),
            new(30, person=Person("walker-2", "李强", "walker"), session="RM_2"),
            new(40, room="xuhui", session="RM_3"),
        ]
    )

    async def times(**wanted: str) -> list[int]:
        found = await store.place(
            [wanted.pop("room", "hongqiao")],
            **{"role": "walker", "name": "", **wanted},
            since_s=0,
        )
        return sorted(sample.at_s for sample in found)

    assert await times() == [10, 30]
    assert await times(name="李强") == [30]
    assert await times(name="Li") == [20]
    assert await times(room="unknown") == []
    assert [s.at_s for s in await store.place(["hongqiao"], "walker", "", 15)] == [30]
    both = await store.place(["xuhui", "hongqiao"], "walker", "", 0)
    assert sorted(sample.at_s for sample in both) == [10, 30, 40]
    assert await store.place([], "walker", "", 0) == []


async def test_what_is_too_old_goes_and_the_rest_stays(database: Database) -> None:
    store = LineStore(database, retention_s=30 * DAY_S)
    await store.add([new(DAY_S), new(20 * DAY_S, session="RM_2")])
    # A room that has lived all the time loses its early days only.
    await store.add([new(2 * DAY_S, session="RM_3"), new(40 * DAY_S, session="RM_3")])
    assert await store.prune(40 * DAY_S) == 1
    assert {session.id for session in await store.sessions("hongqiao")} == {"RM_2", "RM_3"}
    ((_, samples),) = await people_of(store, "RM_3")
    assert [sample.at_s for sample in samples] == [40 * DAY_S]
    assert await store.prune(40 * DAY_S) == 0
    assert await store.prune(400 * DAY_S) == 2
    for table in ("line_sessions", "line_people", "line_samples"):
        ((count,),) = await database.rows(f"SELECT count(*) FROM {table}")
        assert count == 0


async def test_too_many_samples_cost_the_oldest_sessions(database: Database) -> None:
    store = LineStore(database, max_samples=10)
    for day in range(1, 5):
        await store.add([new(day * DAY_S + n, session=f"RM_{day}") for n in range(4)])
    assert await store.prune(5 * DAY_S) == 2
    assert {session.id for session in await store.sessions("hongqiao")} == {"RM_3", "RM_4"}


async def test_samples_are_counted_once(database: Database) -> None:
    store = LineStore(database, max_samples=10)
    statements: list[str] = []
    await database.transact(lambda connection: connection.set_trace_callback(statements.append))
    await store.add([new(DAY_S + n) for n in range(8)])
    assert await store.prune(2 * DAY_S) == 0
    # One of them is known already and does not count; eleven are too many.
    await store.add([new(2 * DAY_S + n, session="RM_2") for n in range(3)] + [new(DAY_S)])
    assert await store.prune(2 * DAY_S) == 1
    assert await store.prune(2 * DAY_S) == 0
    await store.add([new(2 * DAY_S + 100 + n, session="RM_3") for n in range(7)])
    assert await store.prune(2 * DAY_S) == 0
    assert sum("count(*)" in statement for statement in statements) == 1
    ((count,),) = await database.rows("SELECT count(*) FROM line_samples")
    assert count == store._num_samples == 10


async def test_much_is_forgotten_in_steps(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PRUNE_STEP_SAMPLES", 3)
    store = LineStore(database)
    await store.add([new(n, person=person) for n in range(10) for person in (ZHANG, HOST)])
    await store.add([new(40 * DAY_S, person=HOST)])
    sizes: list[int] = []
    step = store_module._prune_step

    def watched(connection: sqlite3.Connection, session: str, before_s: float) -> Any:
        done = step(connection, session, before_s)
        sizes.append(done[0])
        return done

    monkeypatch.setattr(store_module, "_prune_step", watched)
    assert await store.prune(50 * DAY_S) == 0
    assert max(sizes) == 3 and sum(sizes) == 20
    ((person, samples),) = await people_of(store)
    assert person == HOST and [sample.at_s for sample in samples] == [40 * DAY_S]
    assert await store.prune(400 * DAY_S) == 1 and store._num_samples == 0


class Interrupted:
    """A connection on which somebody else does something after the first statement."""

    def __init__(self, connection: sqlite3.Connection, path: Path, statements: list[str]) -> None:
        self._connection = connection
        self._path = path
        self._statements = statements

    def execute(self, *arguments: Any) -> Rows:
        rows = self._connection.execute(*arguments).fetchall()
        other = sqlite3.connect(self._path, isolation_level=None)
        while self._statements:
            other.execute(self._statements.pop(0))
        other.close()
        return Rows(rows)


class Rows(list[Any]):
    """What a cursor still gives."""

    def fetchall(self) -> list[Any]:
        return self

    def fetchone(self) -> Any:
        return self[0] if self else None


@pytest.mark.parametrize(
    "statements",
    [
        [f"DELETE FROM line_{table}" for table in ("samples", "people", "sessions")],
        [
            "INSERT INTO line_people VALUES (99, 'RM_1', 'late', 'Late', 'walker')",
            "INSERT INTO line_samples SELECT 99, at_s, up_kbps, up_loss_permille, up_fps,"
            " down_kbps, down_loss_permille, rtt_ms, estimate_kbps, step, is_lost, resumes,"
            " load_percent, up_step FROM line_samples WHERE person = 1",
        ],
    ],
    ids=["deleted", "added"],
)
async def test_what_changes_between_two_questions_is_not_seen(
    database: Database,
    tmp_path: Path,
    statements: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = LineStore(database)
    await store.add([new(10), new(20), new(20, person=HOST)])
    before = await store.quality("hongqiao", "RM_1")
    read = database.read

    async def interrupted(work: Callable[[Any], Any]) -> Any:
        path = tmp_path / "db.sqlite3"
        return await read(lambda connection: work(Interrupted(connection, path, statements)))

    monkeypatch.setattr(database, "read", interrupted)
    assert before is not None and await store.quality("hongqiao", "RM_1") == before
    monkeypatch.undo()
    assert await store.quality("hongqiao", "RM_1") != before, "it did happen"


async def test_everybody_has_a_share_of_what_is_shown(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_SAMPLES_SHOWN", 6)
    store = LineStore(database)
    await store.add([new(n) for n in range(5)])
    await store.add([new(100 + n, person=HOST) for n in range(5)])
    assert [[sample.at_s for sample in samples] for _, samples in await people_of(store)] == [
        [2, 3, 4],
        [102, 103, 104],
    ]


async def test_a_passport_is_of_the_latest(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_PLACE_SAMPLES", 5)
    store = LineStore(database)
    for day in (1, 2, 3):
        await store.add([new(day * DAY_S + n, session=f"RM_{day}") for n in range(3)])
    found = await store.place(["hongqiao"], "walker", "", 0)
    assert sorted(sample.at_s - sample.at_s // DAY_S * DAY_S for sample in found) == [0, 1, 1, 2, 2]
    assert {sample.at_s // DAY_S for sample in found} == {2, 3}


async def test_no_address_is_in_the_tables(database: Database) -> None:
    rows = await database.rows(
        "SELECT name FROM pragma_table_info('line_people') UNION ALL"
        " SELECT name FROM pragma_table_info('line_samples') UNION ALL"
        " SELECT name FROM pragma_table_info('line_sessions')"
    )
    assert not {name for (name,) in rows if "ip" in name.split("_") or "address" in name}
