"""History of lines, passports and the check before a call, over HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from line_samples import GOOD
from web_fakes import FakeSignaling, make_token

from web.access.rights import Access
from web.access.sessions import HostSessions
from web.http.rates import RateLimit
from web.network import check_routes, history_routes
from web.network import passports as passports_module
from web.network import store as store_module
from web.network.check_routes import CheckRoutes
from web.network.checks import (
    DOWN_BYTES,
    MAX_CALLER_STREAMS,
    MAX_STREAMS,
    UP_BYTES,
    NetworkChecks,
)
from web.network.history_routes import MAX_POINTS, LineRoutes
from web.network.lines import Sample
from web.network.passports import Passports
from web.network.past_routes import PastRoutes
from web.network.store import LineStore, NewSample, Person
from web.people.invites import Invites
from web.people.roles import Role
from web.rooms.catalogue import RoomCatalogue
from web.server.app import build_app
from web.settings.database import Database

OURS = {"X-Requested-With": "aislecast"}
ZHANG = Person("walker-1", "张敏", "walker")
LOSSY = GOOD._replace(down_loss_permille=150, step="stills", estimate_kbps=90)
BEFORE = "/api/network-check"


class Rig:
    def __init__(self, client: TestClient, store: LineStore, invites: Invites) -> None:
        self.client = client
        self.store = store
        self.invites = invites
        self.checks = NetworkChecks(now_s=time.monotonic)
        self.token = make_token(room_admin=True, room="hongqiao")

    async def call(
        self, method: str, path: str, *, token: str | None = None, **more: Any
    ) -> tuple[int, Any]:
        token = self.token if token is None else token
        headers = {**OURS, **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self.client.request(method, path, headers=headers, **more) as answer:
            if answer.content_type.endswith("json"):
                return answer.status, await answer.json(content_type=None)
            return answer.status, await answer.read()

    async def remember(self, *samples: Sample, person: Person = ZHANG) -> int:
        start_s = int(time.time()) // 10 * 10 - 10 * len(samples)
        await self.store.add(
            [
                NewSample(
                    "RM_1", "hongqiao", start_s, person, one._replace(at_s=start_s + 10 * (n + 1))
                )
                for n, one in enumerate(samples)
            ]
        )
        return start_s

    async def begin(self, **body: str) -> str:
        status, answer = await self.call("POST", BEFORE, json=body)
        assert status == 201, answer
        return f"{BEFORE}/{answer['id']}"


async def title_of(room: str) -> str:
    return f"title of {room}"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    database = Database(tmp_path / "test.sqlite3")
    await database.open()
    failures = RateLimit(burst=50, per_s=1, clock=time.monotonic)
    signaling: Any = FakeSignaling()
    access = Access(HostSessions("key", wall_s=time.time), signaling, failures=failures)
    store, invites = LineStore(database), Invites(database, wall_s=time.time)
    place_of = RoomCatalogue(database, wall_s=time.time).place_of
    passports = Passports(store, place_of=place_of, wall_s=time.time)
    lines = LineRoutes(store, access, passports=passports)
    checks = NetworkChecks(now_s=time.monotonic)
    routes = CheckRoutes(checks, invites, access, usual=passports.usual, now_s=time.monotonic)
    past = PastRoutes(store, access, title_of=title_of)
    operations = [*lines.operations(), *past.operations(), *routes.operations()]
    app = build_app(operations, [], is_behind_proxy=False)
    async with TestClient(TestServer(app)) as client:
        made = Rig(client, store, invites)
        made.checks = checks
        yield made
    await database.close()


# --- history


async def test_why_it_was_bad_with_the_times(rig: Rig) -> None:
    start_s = await rig.remember(GOOD, LOSSY, LOSSY, LOSSY, GOOD)
    await rig.remember(GOOD, GOOD, person=Person("host-1", "Li", "host"))
    status, listed = await rig.call("GET", "/api/rooms/hongqiao/sessions")
    assert status == 200 and [one["id"] for one in listed["sessions"]] == ["RM_1"]
    assert listed["sessions"][0]["num_people"] == 2 and listed["sessions"][0]["ended_at"] is None
    status, told = await rig.call("GET", "/api/rooms/hongqiao/sessions/RM_1/quality")
    assert status == 200
    zhang, host = told["people"]
    assert (zhang["name"], zhang["cause"], zhang["sentence"]) == (
        "张敏",
        "downlink",
        "why.downlink.loss",
    )
    assert (zhang["bad_s"], zhang["total_s"]) == (30, 50)
    (stretch,) = zhang["stretches"]
    assert stretch["from"] == check_iso(start_s + 10) and stretch["to"] == check_iso(start_s + 40)
    assert stretch["worst_loss_percent"] == 15.0
    assert host["sentence"] == "why.none" and host["stretches"] == []
    assert [point["down_loss_percent"] for point in zhang["points"]] == [0.5, 15.0, 15.0, 15.0, 0.5]


async def test_what_ended_lately_in_any_room(rig: Rig) -> None:
    await rig.remember(GOOD)
    for number in range(1, 24):
        sample = GOOD._replace(at_s=10 * number)
        new = NewSample(f"RM_o{number}", f"room-{number}", 10 * number, ZHANG, sample)
        await rig.store.add([new])
        await rig.store.end(f"RM_o{number}", 10 * number + 5)
    lists = make_token(room_list=True)
    status, answer = await rig.call("GET", "/api/sessions", token=lists)
    assert status == 200
    # The latest first, no more than a page shows, and none that goes on.
    assert [one["id"] for one in answer["sessions"]] == [f"RM_o{n}" for n in range(23, 3, -1)]
    first = answer["sessions"][0]
    assert (first["title"], first["num_people"]) == ("title of room-23", 1)
    assert first["ended_at"] == check_iso(235)
    assert (await rig.call("GET", "/api/sessions"))[0] == 403
    assert (await rig.call("GET", "/api/sessions", token=""))[0] == 401


def check_iso(at_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at_s))


async def test_a_long_session_is_thinned_and_keeps_its_worst(rig: Rig) -> None:
    await rig.remember(*[GOOD] * 700, LOSSY, *[GOOD] * 700)
    _, told = await rig.call("GET", "/api/rooms/hongqiao/sessions/RM_1/quality")
    points = told["people"][0]["points"]
    assert len(points) <= MAX_POINTS
    assert max(point["down_loss_percent"] for point in points) == 15.0


@pytest.mark.parametrize(
    "path",
    [
        "/api/rooms/hongqiao/sessions",
        "/api/rooms/hongqiao/sessions/RM_1/quality",
        "/api/places/hongqiao/network",
    ],
)
async def test_only_whoever_administers_the_room_sees_it(rig: Rig, path: str) -> None:
    await rig.remember(GOOD)
    assert (await rig.call("GET", path))[0] == 200
    assert (await rig.call("GET", path, token=""))[0] == 401
    assert (await rig.call("GET", path, token="forged"))[0] == 401
    for grants in (
        {"room_admin": True, "room": "other"},
        {"room_join": True, "room": "hongqiao"},
        {"room_list": True, "room_create": True},
    ):
        assert (await rig.call("GET", path, token=make_token(**grants)))[0] == 403


async def test_a_session_of_another_room_is_not_found(rig: Rig) -> None:
    await rig.remember(GOOD)
    other = make_token(room_admin=True, room="other")
    for room, session in (("other", "RM_1"), ("other", "RM_404"), ("other", "'--")):
        path = f"/api/rooms/{room}/sessions/{session}/quality"
        assert (await rig.call("GET", path, token=other))[0] == 404


async def test_long_histories_are_worked_on_beside_the_event_loop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.remember(*[LOSSY] * 60)
    threads: dict[str, set[int]] = {}

    def watch(module: ModuleType, name: str) -> None:
        work = getattr(module, name)

        def watched(*arguments: Any, **more: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return work(*arguments, **more)

        monkeypatch.setattr(module, name, watched)

    watch(store_module, "_sample")
    watch(history_routes, "_write_quality")
    watch(passports_module, "draw_up")
    for path in ("/api/rooms/hongqiao/sessions/RM_1/quality", "/api/places/hongqiao/network"):
        assert (await rig.call("GET", path))[0] == 200
    assert set(threads) == {"_sample", "_write_quality", "draw_up"}
    assert threading.get_ident() not in set().union(*threads.values())


# --- passport


async def test_the_passport_of_a_place(rig: Rig) -> None:
    await rig.remember(*[LOSSY] * 30, *[GOOD] * 30)
    await rig.remember(*[GOOD] * 60, person=Person("host-1", "Li", "host"))
    _, told = await rig.call("GET", "/api/places/hongqiao/network?utc_offset_minutes=480")
    assert (told["place"], told["minutes"]) == ("hongqiao", 10)
    assert told["down_kbps"]["p10"] == 90 and told["down_kbps"]["p90"] == 2000
    assert told["weak_share"] == 0.5 and len(told["weak_by_hour"]) == 24
    assert (told["grade"], told["advice"], told["limit"]) == ("weak", "shelf_first", "down")
    _, one = await rig.call("GET", "/api/places/hongqiao/network?name=Li")
    assert one["advice"] == "all_good"


async def test_an_unknown_place_is_unknown_not_an_error(rig: Rig) -> None:
    nowhere = make_token(room_admin=True, room="nowhere")
    status, told = await rig.call("GET", "/api/places/nowhere/network", token=nowhere)
    assert status == 200 and told["advice"] == "no_history" and told["down_kbps"] is None


@pytest.mark.parametrize(
    "query",
    [
        "utc_offset_minutes=abc",
        "utc_offset_minutes=99999",
        "utc_offset_minutes=--1",
        "name=" + "x" * 200,
    ],
)
async def test_bad_questions_are_refused(rig: Rig, query: str) -> None:
    assert (await rig.call("GET", f"/api/places/hongqiao/network?{query}"))[0] == 400


# --- check


async def test_a_check_from_an_invitation_end_to_end(rig: Rig) -> None:
    await rig.remember(*[LOSSY] * 60)
    code = await rig.invites.make("hongqiao", Role.WALKER, name="张敏")
    status, begun = await rig.call("POST", BEFORE, json={"code": code}, token="")
    assert status == 201 and begun["max_up_bytes"] == UP_BYTES
    path = f"{BEFORE}/{begun['id']}"
    for _ in range(3):
        assert (await rig.call("GET", f"{path}/ping", token=""))[0] == 204
    status, received = await rig.call("GET", f"{path}/down", token="")
    assert status == 200 and 0 < len(received) <= DOWN_BYTES
    status, told = await rig.call("POST", f"{path}/up", data=bytes(500_000), token="")
    assert status == 200 and told["bytes"] == 500_000 and told["kbps"] > 0
    result = {"down_kbps": 5000, "up_kbps": 300, "rtt_ms": 80, "lost_percent": 0}
    status, told = await rig.call("POST", f"{path}/result", json=result, token="")
    assert status == 200
    assert (told["grade"], told["advice"], told["limit"]) == ("weak", "shelf_first", "up")
    assert told["usual"] == {"grade": "bad", "advice": "voice_first", "limit": "down"}


async def test_our_own_measure_of_the_way_up_counts_where_the_browser_has_none(rig: Rig) -> None:
    path = await rig.begin()
    await rig.call("POST", f"{path}/up", data=bytes(1_000_000))
    _, told = await rig.call("POST", f"{path}/result", json={"down_kbps": 5000})
    assert told["grade"] == "good" and told["usual"] is None


async def test_a_check_needs_a_right(rig: Rig) -> None:
    for body in ({}, {"code": "forged-code-of-somebody"}):
        status, told = await rig.call("POST", BEFORE, json=body, token="")
        assert status in (401, 404), told
    for method, part in (("GET", "ping"), ("GET", "down"), ("POST", "up"), ("POST", "result")):
        status, _ = await rig.call(method, f"{BEFORE}/forged/{part}", token="")
        assert status == 404


async def test_checks_per_caller_are_limited(rig: Rig) -> None:
    statuses = [(await rig.call("POST", BEFORE, json={}))[0] for _ in range(8)]
    assert statuses.count(201) == 5 and set(statuses) == {201, 429}


async def test_parts_are_done_once(rig: Rig) -> None:
    path = await rig.begin()
    assert (await rig.call("POST", f"{path}/up", data=b"x"))[0] == 200
    assert (await rig.call("POST", f"{path}/up", data=b"x"))[0] == 409
    assert (await rig.call("GET", f"{path}/down"))[0] == 200
    assert (await rig.call("GET", f"{path}/down"))[0] == 409


@pytest.mark.parametrize("kbps", [-1, 10**9, "fast", 1.5, None])
async def test_absurd_results_are_refused(rig: Rig, kbps: Any) -> None:
    path = await rig.begin()
    status, told = await rig.call("POST", f"{path}/result", json={"down_kbps": kbps, "x": 1})
    assert status == 400, told


async def test_a_huge_upload_is_cut_off(rig: Rig) -> None:
    path = await rig.begin()
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(2000):
            sent += 65_536
            yield bytes(65_536)

    try:
        status, told = await rig.call("POST", f"{path}/up", data=body())
    except aiohttp.ClientError:
        pass  # closed while we were still sending
    else:
        assert status == 200 and told["bytes"] < UP_BYTES + 1_000_000
    assert sent < 60_000_000


async def test_an_upload_the_browser_gave_up_still_counts(rig: Rig) -> None:
    path = await rig.begin()
    url = rig.client.make_url(f"{path}/up")
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {url.path} HTTP/1.1\r\nHost: {url.authority}\r\nX-Requested-With: aislecast\r\n"
    writer.write(f"{head}Content-Length: 1000000\r\n\r\n".encode() + bytes(100_000))
    await writer.drain()
    await asyncio.sleep(0.3)
    writer.close()
    async with asyncio.timeout(10):
        while next(iter(rig.checks._checks.values())).up_kbps is None:
            await asyncio.sleep(0.02)
    _, told = await rig.call("POST", f"{path}/result", json={})
    assert told["grade"] != "unknown"


async def test_slow_callers_are_let_go(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("UP_S", 0.2), ("DOWN_S", 0.2), ("GRACE_S", 0.2)):
        monkeypatch.setattr(check_routes, name, value)
    path = await rig.begin()

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100
            await asyncio.sleep(0.05)

    try:
        _, told = await rig.call("POST", f"{path}/up", data=drip())
        assert told["bytes"] < 2000
    except aiohttp.ClientError:
        pass
    # One who asks and then reads nothing.
    url = rig.client.make_url(f"{path}/down")
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=1024)
    writer.write(f"GET {url.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(10):
        while rig.checks.num_streams == 0:
            await asyncio.sleep(0.01)
        while rig.checks.num_streams:
            await asyncio.sleep(0.05)
    writer.close()
    del reader


async def test_all_streams_taken_is_said_so(rig: Rig) -> None:
    path = await rig.begin()
    with ExitStack() as held:
        for number in range(MAX_STREAMS):
            held.enter_context(rig.checks.stream(f"192.0.2.{number}"))
        status, told = await rig.call("GET", f"{path}/down")
        assert status == 503 and told["code"] == "busy"
    assert (await rig.call("GET", f"{path}/down"))[0] == 200, "it was not used up"


async def test_one_address_has_a_few_streams_at_once(rig: Rig) -> None:
    path = await rig.begin()
    with ExitStack() as held:
        for _ in range(MAX_CALLER_STREAMS):
            held.enter_context(rig.checks.stream("127.0.0.1"))
        for method, part in (("GET", "down"), ("POST", "up")):
            url = f"{path}/{part}"
            async with rig.client.request(method, url, headers=OURS) as answer:
                told = await answer.json(content_type=None)
            assert (answer.status, told["code"]) == (429, "too_many_requests")
            assert int(answer.headers["Retry-After"]) > 0
    assert (await rig.call("GET", f"{path}/down"))[0] == 200, "it was not used up"
    assert rig.checks.num_streams == 0
