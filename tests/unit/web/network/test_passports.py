"""When a passport is drawn up, and when the last one will do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from line_samples import GOOD

from web.network import passports as passports_module
from web.network.passports import KEPT_S, Passports
from web.rooms.catalogue import Place


class FakeStore:
    retention_s = 1000.0

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], str, str, float]] = []
        self.samples = [GOOD] * 60
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: OSError | None = None

    async def place(
        self, rooms: tuple[str, ...], role: str, name: str, since_s: float
    ) -> list[Any]:
        self.asked.append((rooms, role, name, since_s))
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return self.samples


async def place_of(room: str) -> Place:
    """Two walks were in one store."""
    rooms = ("walk-2", "walk-1")
    return Place("虹桥店", rooms) if room in rooms else Place("", (room,))


class Clock:
    now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passports(store: FakeStore, clock: Clock) -> Passports:
    fake: Any = store
    return Passports(fake, place_of=place_of, wall_s=clock)


async def test_all_who_ask_in_a_minute_get_the_same(
    passports: Passports, store: FakeStore, clock: Clock
) -> None:
    found = await asyncio.gather(*(passports.of("hongqiao") for _ in range(20)))
    assert all(one is found[0] for one in found) and found[0].minutes == 10
    assert store.asked == [(("hongqiao",), "walker", "", 4000.0)]
    clock.now_s += KEPT_S
    assert await passports.of("hongqiao") is not found[0]
    assert passports.num_drawn_up == 2


async def test_who_gives_up_waiting_ends_nothing(passports: Passports, store: FakeStore) -> None:
    store.may_answer.clear()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await passports.of("hongqiao")
    waiting = asyncio.create_task(passports.of("hongqiao"))
    await asyncio.sleep(0)
    store.may_answer.set()
    assert (await waiting).minutes == 10
    assert await passports.of("hongqiao") is await waiting
    assert len(store.asked) == passports.num_drawn_up == 1
    assert not passports._drawing


async def test_what_could_not_be_read_is_asked_for_again(
    passports: Passports, store: FakeStore
) -> None:
    store.error = OSError("disk")
    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            await passports.of("hongqiao")
    store.error = None
    assert (await passports.of("hongqiao")).minutes == 10


async def test_a_name_and_a_clock_are_another_passport(
    passports: Passports, store: FakeStore
) -> None:
    await passports.of("hongqiao")
    await passports.of("hongqiao", name="张敏")
    await passports.of("hongqiao", utc_offset_s=3600)
    await passports.of("xuhui")
    assert [(rooms[0], name) for rooms, _, name, _ in store.asked] == [
        ("hongqiao", ""),
        ("hongqiao", "张敏"),
        ("hongqiao", ""),
        ("xuhui", ""),
    ]


async def test_a_clock_set_back_keeps_nothing(passports: Passports, clock: Clock) -> None:
    await passports.of("hongqiao")
    clock.now_s -= 100
    await passports.of("hongqiao")
    assert passports.num_drawn_up == 2


async def test_what_is_kept_is_bounded(
    passports: Passports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passports_module, "MAX_KEPT", 3)
    for number in range(10):
        await passports.of(f"room-{number}")
    assert len(passports._kept) == 3
    await passports.of("room-9")
    assert passports.num_drawn_up == 10
    await passports.of("room-0")
    assert passports.num_drawn_up == 11


async def test_rooms_of_one_store_have_one_passport(passports: Passports, store: FakeStore) -> None:
    assert await passports.of("walk-1") is await passports.of("walk-2")
    assert store.asked == [(("walk-2", "walk-1"), "walker", "", 4000.0)]


async def test_one_persons_line_is_shown_of_the_room_alone(
    passports: Passports, store: FakeStore
) -> None:
    await passports.of("walk-1", name="张敏")
    assert store.asked == [(("walk-1",), "walker", "张敏", 4000.0)]


@pytest.mark.parametrize(
    ("room", "name", "is_walker", "asked"),
    [
        ("walk-1", "张敏", True, [(("walk-2", "walk-1"), "")]),
        ("walk-1", "", True, [(("walk-2", "walk-1"), "")]),
        ("meeting", "张敏", True, [(("meeting",), "张敏")]),
        ("meeting", "", True, [(("meeting",), "")]),
        ("walk-1", "张敏", False, [(("walk-1",), "张敏")]),
        ("walk-1", "", False, []),
    ],
)
async def test_what_is_usual_is_of_the_store_for_walkers_and_of_oneself_for_others(
    passports: Passports, store: FakeStore, room: str, name: str, is_walker: bool, asked: list[Any]
) -> None:
    found = await passports.usual(room, name=name, is_walker=is_walker)
    assert [(rooms, who) for rooms, _, who, _ in store.asked] == asked
    assert (found is not None) == bool(asked)


async def test_what_is_not_known_is_not_usual(passports: Passports, store: FakeStore) -> None:
    store.samples = []
    assert await passports.usual("walk-1", name="", is_walker=True) is None
