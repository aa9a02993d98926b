"""Links to recordings: who may do what, for every address of a recording."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from recordings_rig import FILM, HOST_KEY, Rig, open_rig
from web_fakes import make_token

from recorder.model import RecordingState
from web.access.sessions import COOKIE as HOST_COOKIE
from web.access.sessions import HostSessions
from web.recordings.shares import COOKIE, MAX_SHARES

DAY_S = 86_400


class Clock:
    now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def rig(tmp_path: Path, clock: Clock) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, clock) as rig:
        yield rig


async def share(rig: Rig, recording_id: str, **body: int) -> dict[str, Any]:
    status, made = await rig.call("POST", f"/api/recordings/{recording_id}/shares", json=body)
    assert status == 201, made
    return made


async def open_link(rig: Rig, url: str) -> SimpleCookie:
    """What a browser holds after it opened the link."""
    rig.client.session.cookie_jar.clear()
    answer = await rig.client.get(url[url.index("/r/") :])
    assert answer.status == 200, await answer.text()
    rig.client.session.cookie_jar.clear()
    return answer.cookies


async def ask(rig: Rig, method: str, path: str, who: dict[str, str], **headers: str):
    rig.client.session.cookie_jar.clear()
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in who.items())}
    sent = {"X-Requested-With": "aislecast", **headers, **(cookies if who else {})}
    async with rig.client.request(method, path, headers=sent) as answer:
        return answer.status, await answer.read()


def host_cookie() -> dict[str, str]:
    response = web.Response()
    HostSessions(HOST_KEY, wall_s=time.time).sign_in(make_mocked_request("GET", "/"), response)
    return {HOST_COOKIE: response.cookies[HOST_COOKIE].value}


async def test_who_may_do_what(rig: Rig) -> None:
    mine = await rig.add_ready()
    other = await rig.add_ready(id="cd" * 16)
    link = await share(rig, mine.id)
    of_mine = {COOKIE: (await open_link(rig, link["url"]))[COOKIE].value}
    of_other = {COOKIE: (await open_link(rig, (await share(rig, other.id))["url"]))[COOKIE].value}
    people = {
        "host": host_cookie(),
        "holder": of_mine,
        "other holder": of_other,
        "nobody": {},
        "forger": {COOKIE: of_mine[COOKIE].replace(".", "x.", 1)},
    }
    api = f"/api/recordings/{mine.id}"
    matrix = {
        # method, path, Range: what host, holder, other holder, nobody, forger are answered
        ("GET", "/api/recordings", ""): (200, 401, 401, 401, 401),
        ("GET", f"/recordings/{mine.id}", ""): (200, 401, 401, 401, 401),
        ("GET", api, ""): (200, 200, 401, 401, 401),
        ("GET", f"{api}/file", ""): (200, 200, 401, 401, 401),
        ("HEAD", f"{api}/file", ""): (200, 200, 401, 401, 401),
        ("GET", f"{api}/file", "bytes=1000-1999"): (206, 206, 401, 401, 401),
        ("GET", f"{api}/file", "bytes=-1"): (206, 206, 401, 401, 401),
        ("GET", f"{api}/file?download=1", ""): (200, 401, 401, 401, 401),
        ("GET", f"{api}/shares", ""): (200, 401, 401, 401, 401),
        ("POST", f"{api}/shares", ""): (201, 401, 401, 401, 401),
        ("DELETE", f"{api}/shares/{link['id']}", ""): (204, 401, 401, 401, 401),
        ("DELETE", api, ""): (204, 401, 401, 401, 401),
    }
    for (method, path, wanted), answers in matrix.items():
        headers = {"Range": wanted} if wanted else {}
        # The host last: some of what he does ends the others' right.
        for name, expected in reversed(list(zip(people, answers, strict=True))):
            status, body = await ask(rig, method, path, people[name], **headers)
            assert status == expected, (name, method, path, wanted, status)
            if expected == 401 and "/file" in path:
                assert FILM[1000:1100] not in body
            if expected == 206:
                assert body == (FILM[1000:2000] if wanted != "bytes=-1" else FILM[-1:])


@pytest.mark.parametrize("path", ["", "/file"])
async def test_a_token_for_another_room_does_not_hide_behind_a_link(rig: Rig, path: str) -> None:
    recording = await rig.add_ready()
    cookies = await open_link(rig, (await share(rig, recording.id))["url"])
    token = make_token(room_record=True, room="other")
    who = {COOKIE: cookies[COOKIE].value}
    got = await ask(
        rig, "GET", f"/api/recordings/{recording.id}{path}", who, Authorization=f"Bearer {token}"
    )
    assert got[0] == 200, "the link still plays"
    status, _ = await ask(
        rig, "DELETE", f"/api/recordings/{recording.id}", who, Authorization=f"Bearer {token}"
    )
    assert status == 404


async def test_the_cookie_is_for_this_recording_and_not_for_scripts(rig: Rig) -> None:
    recording = await rig.add_ready()
    link = await share(rig, recording.id)
    cookie = (await open_link(rig, link["url"]))[COOKIE]
    assert cookie["path"] == f"/api/recordings/{recording.id}"
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert 0 < int(cookie["max-age"]) <= 12 * 3600
    code = link["url"].rpartition("/")[2]
    assert code not in cookie.value
    page = await (await rig.client.get(f"/r/{code}")).text()
    data = page[page.index('id="page-data"') :]
    assert code not in data


async def test_a_link_that_is_taken_back_stops_what_plays(rig: Rig) -> None:
    recording = await rig.add_ready()
    link = await share(rig, recording.id)
    who = {COOKIE: (await open_link(rig, link["url"]))[COOKIE].value}
    file = f"/api/recordings/{recording.id}/file"
    assert (await ask(rig, "GET", file, who, Range="bytes=0-9"))[0] == 206
    path = f"/api/recordings/{recording.id}/shares"
    assert (await rig.call("DELETE", f"{path}/{link['id']}"))[0] == 204
    assert (await ask(rig, "GET", file, who, Range="bytes=0-9"))[0] == 401
    assert (await rig.call("DELETE", f"{path}/{link['id']}"))[0] == 404


async def test_a_link_expires_with_its_cookie(rig: Rig, clock: Clock) -> None:
    recording = await rig.add_ready()
    link = await share(rig, recording.id, lifetime_s=3600)
    cookies = await open_link(rig, link["url"])
    assert int(cookies[COOKIE]["max-age"]) <= 3600
    assert (await rig.call("GET", "/api/recordings"))[1]["recordings"][0]["is_shared"] is True
    clock.now_s += 3601
    who = {COOKIE: cookies[COOKIE].value}
    assert (await ask(rig, "GET", f"/api/recordings/{recording.id}/file", who))[0] == 401
    assert (await rig.call("GET", f"/api/recordings/{recording.id}/shares"))[1] == {"shares": []}
    assert (await rig.call("GET", "/api/recordings"))[1]["recordings"][0]["is_shared"] is False


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("why", ["wrong", "expired", "withdrawn", "removed", "strange"])
async def test_a_dead_link_says_so_in_plain_words(
    rig: Rig, clock: Clock, why: str, language: str
) -> None:
    recording = await rig.add_ready()
    link = await share(rig, recording.id)
    path = link["url"][link["url"].index("/r/") :]
    if why == "wrong":
        path = path[:-1] + ("A" if path[-1] != "A" else "B")
    elif why == "expired":
        clock.now_s += 15 * DAY_S
    elif why == "withdrawn":
        await rig.call("DELETE", f"/api/recordings/{recording.id}/shares/{link['id']}")
    elif why == "removed":
        await rig.call("DELETE", f"/api/recordings/{recording.id}")
    else:
        path = "/r/%ff%00" + "x" * 500
    answer = await rig.client.get(path, headers={"Accept-Language": language})
    text = await answer.text()
    assert answer.status == 404
    assert COOKIE not in answer.cookies
    assert ("分享的人收回了它" if language == "zh-CN" else "whoever shared it") in text


async def test_holders_of_a_link_learn_no_more_than_the_film_shows(rig: Rig) -> None:
    recording = await rig.add_ready(room="secret-room")
    cookies = await open_link(rig, (await share(rig, recording.id))["url"])
    who = {COOKIE: cookies[COOKIE].value}
    status, body = await ask(rig, "GET", f"/api/recordings/{recording.id}", who)
    assert status == 200
    assert b"secret-room" not in body
    assert b"is_shared" not in body


async def test_only_what_is_finished_is_shared_and_not_without_end(rig: Rig) -> None:
    recording = await rig.add_ready()
    unfinished = await rig.add_ready(id="cd" * 16, state=RecordingState.FINISHING)
    path = f"/api/recordings/{unfinished.id}/shares"
    assert (await rig.call("POST", path, json={}))[1]["code"] == "not_possible"
    for bad in ({"lifetime_s": 1}, {"lifetime_s": 10**9}, {"forever": True}):
        path = f"/api/recordings/{recording.id}/shares"
        assert (await rig.call("POST", path, json=bad))[0] == 400
    for _ in range(MAX_SHARES):
        await share(rig, recording.id)
    assert (await rig.call("POST", path, json={}))[1]["code"] == "too_many_links"


@pytest.mark.parametrize("value", ["", ".", "a.b", "\udcff.\udcff", "x" * 4000, "a.b.c"])
async def test_rubbish_in_the_cookie_opens_nothing(rig: Rig, value: str) -> None:
    recording = await rig.add_ready()
    assert not await rig.shares.may_watch(SimpleNamespace(cookies={COOKIE: value}), recording.id)
