"""The history of lines on disk, with real SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from line_samples import GOOD

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


async def test_what_is_written_is_read(database: Database) -> None:
    store = LineStore(database)
    frozen = new(30)
    frozen = frozen._replace(sample=frozen.sample._replace(up_fps=None, is_lost=True))
    await store.add([new(10), new(20), frozen, new(20, person=HOST)])
    (session,) = await store.sessions("hongqiao")
    assert session == ("RM_1", "hongqiao", 0, None, 2)
    people = await store.people("RM_1")
    assert [person for person, _ in people] == [ZHANG, HOST]
    assert [sample.at_s for sample in people[0][1]] == [10, 20, 30]
    assert people[0][1][2] == frozen.sample and people[0][1][2].is_lost is True
    await store.end("RM_1", 99)
    assert await store.session("hongqiao", "RM_1") == ("RM_1", "hongqiao", 0, 99, 2)


async def test_the_same_second_twice_is_one_sample_and_the_newest_name_wins(
    database: Database,
) -> None:
    store = LineStore(database)
    await store.add([new(10), new(10, rtt_ms=999)])
    await store.add([new(20, person=ZHANG._replace(name="张敏敏"))])
    ((person, samples),) = await store.people("RM_1")
    assert person.name == "张敏敏" and [sample.rtt_ms for sample in samples] == [60, 60]


async def test_a_session_is_of_its_room_only(database: Database) -> None:
    store = LineStore(database)
    await store.add([new(10)])
    assert await store.session("other", "RM_1") is None
    assert await store.session("hongqiao", "' OR 1=1 --") is None
    assert await store.sessions("nowhere") == [] and await store.people("RM_9") == []


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
            **{"room": "hongqiao", "role": "walker", "name": "", **wanted}, since_s=0
        )
        return sorted(sample.at_s for sample in found)

    assert await times() == [10, 30]
    assert await times(name="李强") == [30]
    assert await times(name="Li") == [20]
    assert await times(room="unknown") == []
    assert [s.at_s for s in await store.place("hongqiao", "walker", "", 15)] == [30]


async def test_what_is_too_old_goes_and_the_rest_stays(database: Database) -> None:
    store = LineStore(database, retention_s=30 * DAY_S)
    await store.add([new(DAY_S), new(20 * DAY_S, session="RM_2")])
    # A room that has lived all the time loses its early days only.
    await store.add([new(2 * DAY_S, session="RM_3"), new(40 * DAY_S, session="RM_3")])
    assert await store.prune(40 * DAY_S) == 1
    assert {session.id for session in await store.sessions("hongqiao")} == {"RM_2", "RM_3"}
    ((_, samples),) = await store.people("RM_3")
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


async def test_no_address_is_in_the_tables(database: Database) -> None:
    rows = await database.rows(
        "SELECT name FROM pragma_table_info('line_people') UNION ALL"
        " SELECT name FROM pragma_table_info('line_samples') UNION ALL"
        " SELECT name FROM pragma_table_info('line_sessions')"
    )
    assert not {name for (name,) in rows if "ip" in name.split("_") or "address" in name}
