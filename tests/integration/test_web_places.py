"""Stores over HTTP: who names them, and what a second walk knows of the first."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from line_samples import GOOD
from web_fakes import make_token
from web_rig import Rig, run_rig

from web.network.store import NewSample, Person

CHECK = "/api/network-check"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with run_rig(tmp_path) as made:
        yield made


async def walk_badly(rig: Rig, room: str) -> None:
    """Ten minutes of somebody whose picture did not get out."""
    held = GOOD._replace(up_step="sound", up_fps=0, up_kbps=40)
    now_s = int(time.time())
    await rig.lines.add(
        [
            NewSample("RM_1", room, now_s - 600, Person("walker-1", "张敏", "walker"), sample)
            for sample in (held._replace(at_s=now_s - 600 + 10 * n) for n in range(60))
        ]
    )


async def make_room(rig: Rig, **changes: str) -> str:
    """Make a room and say where it is; returns its name."""
    _, room = await rig.call("POST", "/api/rooms", {"title": "walk"})
    if changes:
        status, _ = await rig.call("PATCH", f"/api/rooms/{room['name']}", changes)
        assert status == 200
    return str(room["name"])


async def usual_of(rig: Rig, room: str, role: str, name: str = "") -> Any:
    """What a check from an invitation tells of how it usually is."""
    invite = {"room": room, "role": role, "name": name}
    _, invited = await rig.call("POST", "/api/invites", invite)
    _, begun = await rig.call("POST", CHECK, {"code": invited["code"]})
    _, told = await rig.call("POST", f"{CHECK}/{begun['id']}/result", {})
    return told["usual"] and told["usual"]["advice"]


async def test_a_second_walk_to_a_store_knows_the_first(rig: Rig) -> None:
    await rig.sign_in()
    first = await make_room(rig, place="虹桥店")
    await walk_badly(rig, first)
    second, elsewhere = await make_room(rig, place="　虹桥店 "), await make_room(rig)
    for room, advice in (
        (first, "voice_first"),
        (second, "voice_first"),
        (elsewhere, "no_history"),
    ):
        _, told = await rig.call("GET", f"/api/places/{room}/network")
        assert (told["place"], told["advice"]) == (room, advice)
    assert await usual_of(rig, second, "walker", "李强") == "voice_first"
    assert await usual_of(rig, second, "guest", "李强") is None, "a guest is not in the store"
    assert await usual_of(rig, elsewhere, "walker") is None


async def test_stores_are_offered_the_latest_first(rig: Rig) -> None:
    await rig.sign_in()
    for place in ("虹桥店", "徐汇店", "虹桥店", "静安店"):
        room = await make_room(rig, place=place, title=f"{place} 巡店")
    _, told = await rig.call("PATCH", f"/api/rooms/{room}", {"place": ""})
    assert told == {"name": room, "title": "静安店 巡店", "place": ""}
    assert await rig.call("GET", "/api/places") == (200, {"places": ["虹桥店", "徐汇店"]})


async def test_only_who_makes_rooms_names_their_store(rig: Rig) -> None:
    """Else somebody with one room could look into any store."""
    await rig.sign_in()
    room = await make_room(rig, place="虹桥店")
    rig.client.session.cookie_jar.clear()
    path, change = f"/api/rooms/{room}", {"place": "徐汇店"}
    admin = make_token(room_admin=True, room=room)
    assert (await rig.call("PATCH", path, change, token=admin))[0] == 403
    assert (await rig.call("GET", "/api/places", token=admin))[0] == 403
    assert (await rig.call("PATCH", path, change))[0] == 401
    # Nor who makes rooms, if the token is for another one.
    other = make_token(room_create=True, room_admin=True, room="other")
    assert (await rig.call("PATCH", path, change, token=other))[0] == 403
    maker = make_token(room_create=True, room_list=True)
    for bad in ({"place": "x" * 61}, {"place": 1}, {"place": "a\x00b"}, {"other": "x"}, []):
        assert (await rig.call("PATCH", path, bad, token=maker))[0] == 400
    assert (await rig.call("PATCH", "/api/rooms/unknown", change, token=maker))[0] == 404
    assert (await rig.call("GET", "/api/places", token=maker))[1] == {"places": ["虹桥店"]}
