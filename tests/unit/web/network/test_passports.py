"""When a passport is drawn up, and when the last one will do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from line_samples import GOOD

from web.network import passports as passports_module
from web.network.passports import KEPT_S, Passports


class FakeStore:
    retention_s = 1000.0

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, float]] = []

    async def place(self, room: str, role: str, name: str, since_s: float) -> list[Any]:
        self.asked.append((room, role, name, since_s))
        return [GOOD] * 60


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
    return Passports(fake, wall_s=clock)


async def test_all_who_ask_in_a_minute_get_the_same(
    passports: Passports, store: FakeStore, clock: Clock
) -> None:
    found = await asyncio.gather(*(passports.of("hongqiao") for _ in range(20)))
    assert all(one is found[0] for one in found) and found[0].minutes == 10
    assert store.asked == [("hongqiao", "walker", "", 4000.0)]
    clock.now_s += KEPT_S
    assert await passports.of("hongqiao") is not found[0]
    assert passports.num_drawn_up == 2


async def test_a_name_and_a_clock_are_another_passport(
    passports: Passports, store: FakeStore
) -> None:
    await passports.of("hongqiao")
    await passports.of("hongqiao", name="张敏")
    await passports.of("hongqiao", utc_offset_s=3600)
    await passports.of("xuhui")
    assert [(room, name) for room, _, name, _ in store.asked] == [
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
