"""Roles, invitations, seats and sessions without a server around them."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from web_fakes import API_KEY, FakeSignaling

from web.people.entrance import Entrance
from web.people.invites import Invites
from web.people.roles import ROLES, Role, rights_of
from web.rooms.catalogue import RoomCatalogue
from web.settings.database import MIGRATIONS, Database


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "test.sqlite3")
    await database.open()
    yield database
    await database.close()


def test_only_hosts_manage_and_only_viewers_are_silent() -> None:
    for role in map(Role, ROLES):
        video = rights_of(role, "r")
        assert video.room == "r"
        assert video.room_admin is (role is Role.HOST)
        assert video.room_record is (role is Role.HOST)
        assert video.can_publish is (role is not Role.VIEWER)
        assert not (video.room_create or video.room_list or video.hidden or video.ingress_admin)


async def test_invitations_end_by_time(database: Database) -> None:
    clock = Clock()
    invites = Invites(database, wall_s=clock)
    code = await invites.make("r", Role.WALKER, name="张敏", lifetime_s=60)
    found = await invites.find(code)
    assert found is not None
    assert (found.room, found.role, found.name) == ("r", Role.WALKER, "张敏")
    clock.now_s += 61
    assert await invites.find(code) is None
    await invites.make("r", Role.GUEST)
    rows = await database.rows("SELECT COUNT(*) FROM invites")
    assert rows[0][0] == 1, "expired ones are cleared away"


async def test_codes_are_long_and_stored_as_hashes(database: Database, tmp_path: Path) -> None:
    invites = Invites(database, wall_s=Clock())
    codes = {await invites.make("r", Role.GUEST) for _ in range(50)}
    assert len(codes) == 50
    assert all(len(code) >= 22 for code in codes)
    await database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    stored = (tmp_path / "test.sqlite3").read_bytes()
    assert not any(code.encode() in stored for code in codes)
    assert await invites.find("x" * 10_000) is None
    assert await invites.find("\ud800") is None


async def test_database_is_private_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "again.sqlite3"
    for _ in range(2):
        database = Database(path)
        await database.open()
        await RoomCatalogue(database, wall_s=Clock()).make("Weekly", name="weekly")
        assert (await database.rows("PRAGMA user_version"))[0][0] == len(MIGRATIONS)
        for file in tmp_path.glob("again.sqlite3*"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await database.close()


async def test_room_titles(database: Database) -> None:
    rooms = RoomCatalogue(database, wall_s=Clock())
    made = await rooms.make("Weekly")
    assert await rooms.title(made.name) == "Weekly"
    assert await rooms.title("unknown") == "unknown"
    assert (await rooms.make("", name=made.name)).title == "Weekly"
    assert (await rooms.make("Other", name=made.name)).title == "Other"
    assert [room.name for room in await rooms.latest()] == [made.name]


def test_a_seat_says_nothing_about_the_device() -> None:
    entrance = Entrance(FakeSignaling(), api_key=API_KEY, seat_key=b"a", wall_s=Clock())
    other = Entrance(FakeSignaling(), api_key=API_KEY, seat_key=b"b", wall_s=Clock())
    seat = entrance.seat("r", Role.GUEST, "A", device="device-1")
    assert seat.identity == entrance.seat("r", Role.GUEST, "B", device="device-1").identity
    assert seat.identity.startswith("guest-")
    assert "device" not in seat.identity
    identities = {
        seat.identity,
        entrance.seat("s", Role.GUEST, "A", device="device-1").identity,
        entrance.seat("r", Role.HOST, "A", device="device-1").identity,
        other.seat("r", Role.GUEST, "A", device="device-1").identity,
    }
    assert len(identities) == 4
