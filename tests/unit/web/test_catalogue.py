"""Rooms' titles and stores, with real SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from web.rooms import catalogue as catalogue_module
from web.rooms.catalogue import Place, RoomCatalogue, clean_place
from web.settings.database import MIGRATIONS, Database


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


@pytest.fixture
async def catalogue(tmp_path: Path) -> AsyncIterator[RoomCatalogue]:
    database = Database(tmp_path / "test.sqlite3")
    await database.open()
    yield RoomCatalogue(database, wall_s=Clock())
    await database.close()


async def test_rooms_of_one_store_are_found_from_each_of_them(catalogue: RoomCatalogue) -> None:
    for name, place in (("one", "虹桥店"), ("two", "徐汇店"), ("three", "虹桥店"), ("four", "")):
        await catalogue.make(name=name)
        await catalogue.change(name, place=place)
    both = Place("虹桥店", ("three", "one"))
    assert await catalogue.place_of("one") == both == await catalogue.place_of("three")
    assert await catalogue.place_of("four") == Place("", ("four",)), "no store is not a store"
    assert await catalogue.place_of("nobody's") == Place("", ("nobody's",))
    assert await catalogue.places() == ["虹桥店", "徐汇店"], "the latest first"


async def test_what_is_not_said_stays_and_a_store_can_be_taken_back(
    catalogue: RoomCatalogue,
) -> None:
    await catalogue.make("walk", name="one")
    await catalogue.change("one", place="虹桥店")
    changed = await catalogue.change("one", title="new")
    assert changed is not None and (changed.title, changed.place) == ("new", "虹桥店")
    changed = await catalogue.change("one", place="")
    assert changed is not None and (changed.title, changed.place) == ("new", "")
    assert await catalogue.places() == []
    assert await catalogue.change("unknown", place="x") is None
    again = await catalogue.make("walk again", name="one")
    assert again.title == "walk again"


async def test_a_store_with_very_many_walks_is_known_by_the_latest(
    catalogue: RoomCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_module, "MAX_ROOMS_OF_PLACE", 2)
    for number in range(4):
        await catalogue.make(name=f"walk-{number}")
        await catalogue.change(f"walk-{number}", place="虹桥店")
    assert (await catalogue.place_of("walk-0")).rooms == ("walk-3", "walk-2")


@pytest.mark.parametrize("text", ["虹桥店 3", "　虹桥店　3 ", "虹桥店 ３", "虹桥店\u00a03"])
def test_what_looks_the_same_is_the_same_store(text: str) -> None:
    assert clean_place(text) == "虹桥店 3"


async def test_rooms_of_before_have_no_store(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with sqlite3.connect(path) as old:
        for script in MIGRATIONS[:-1]:
            old.executescript(script)
        old.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
        old.execute("INSERT INTO rooms VALUES ('one', 'walk', 1.0)")
    database = Database(path)
    await database.open()
    catalogue = RoomCatalogue(database, wall_s=Clock())
    known = await catalogue.find("one")
    assert known is not None and (known.title, known.place) == ("walk", "")
    await database.close()
