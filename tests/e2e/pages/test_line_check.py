"""How the line is, was and usually is: the check before a call, and the words for hosts."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Route
from testkit.axe import violations
from testkit.people import Host, Person, open_people
from testkit.server import run_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

_LOST = {
    "identity": "",
    "name": "张敏",
    "role": "guest",
    "cause": "uplink",
    "sentence": "why.uplink.loss",
    "bad_s": 130,
    "total_s": 600,
}


async def answer_lines(page: Any, identity: str) -> None:
    """A history that would take minutes to make."""
    begun = "2020-01-01T00:00:00+00:00"
    session = {"id": "s1", "room": "r", "started_at": begun, "ended_at": None, "num_people": 2}

    async def sessions(route: Route) -> None:
        await route.fulfill(json={"sessions": [session]})

    async def quality(route: Route) -> None:
        await route.fulfill(json={**session, "people": [{**_LOST, "identity": identity}]})

    await page.route("**/api/rooms/*/sessions", sessions)
    await page.route("**/api/rooms/*/sessions/s1/quality", quality)


@pytest.mark.alone
async def test_the_check_says_in_words_how_the_line_is(host, person) -> None:
    rep = await person(phone=True)
    await rep.goto(await host.invite("walker", "王芳"))
    await rep.tap("#check")
    await rep.page.wait_for_selector("#check-words:has-text('正在查网络')")
    await rep.page.wait_for_selector("#check-words:has-text('可以直接开始')", timeout=15_000)
    assert await rep.page.inner_text("#check-words") == "网络很好，可以直接开始"
    assert await violations(rep.page) == []
    # It was an offer: entering works as ever.
    await rep.tap("#enter")
    await rep.until_in()


async def test_a_meeting_is_not_advised_what_only_walks_have(host, person) -> None:
    async def answer(route: Route) -> None:
        weak = {"grade": "weak", "advice": "shelf_first", "limit": "up", "usual": None}
        await route.fulfill(json=weak)

    guest = await person(phone=True)
    await guest.page.route("**/api/network-check/*/result", answer)
    await guest.goto(await host.invite("guest", "张敏"))
    await guest.tap("#check")
    await guest.page.wait_for_selector("#check-words:has-text('网络较弱')", timeout=20_000)
    words = await guest.page.inner_text("#check-words")
    assert words == "网络较弱，可以开始，画面会小一些、慢一些"


CHECK_S = 6.0


async def check(guest: Any) -> tuple[str, float]:
    """Press, and read the words; how many seconds that took, by the page's own clock."""
    found = await guest.page.evaluate(
        """() => new Promise((done) => {
          const words = document.getElementById("check-words");
          const bar = document.getElementById("check-bar");
          const [began, running] = [performance.now(), "正在查网络"];
          let hasMoved = false;
          document.getElementById("check").click();
          const timer = setInterval(() => {
            hasMoved ||= !bar.hidden && bar.value > 0.2;
            if (!words.textContent || words.textContent.includes(running)) return;
            clearInterval(timer);
            done([words.textContent, (performance.now() - began) / 1000, hasMoved, bar.hidden]);
          }, 20);
        })"""
    )
    words, seconds, has_moved, is_hidden = found
    assert is_hidden and (has_moved or seconds < 2), "progress is shown while it runs"
    return words, seconds


@pytest.mark.alone
@pytest.mark.parametrize(
    ("latency_ms", "down_kbps", "up_kbps", "expected"),
    [
        (60, 8_000, 8_000, "网络很好"),
        (300, 400, 250, "网络较弱"),
        (1000, 60, 40, "网络很弱"),
    ],
)
async def test_the_check_is_over_in_time_however_bad_the_line(
    host, person, latency_ms: int, down_kbps: int, up_kbps: int, expected: str
) -> None:
    guest = await person(phone=True)
    await guest.goto(await host.invite("guest", "张敏"))
    session = await guest.page.context.new_cdp_session(guest.page)
    line = {
        "offline": False,
        "latency": latency_ms,
        "downloadThroughput": down_kbps * 125,
        "uploadThroughput": up_kbps * 125,
    }
    await session.send("Network.emulateNetworkConditions", line)
    words, seconds = await check(guest)
    await session.detach()
    assert seconds < CHECK_S + 0.5
    assert expected in words, (words, seconds)


async def check_without(host: Host, guest: Person, silent: str) -> tuple[str, float]:
    """A check of which the server never answers these parts; "" is its beginning."""

    async def answer_late(route: Route) -> None:
        await asyncio.sleep(15)
        await route.abort()

    await guest.goto(await host.invite("guest", "张敏"))
    path = f"/api/network-check/[^/]+/({silent})$" if silent else "/api/network-check$"
    await guest.page.route(re.compile(path), answer_late)
    found = await check(guest)
    await guest.page.unroute_all(behavior="ignoreErrors")
    return found


async def test_a_server_that_does_not_answer_is_not_waited_for(
    browser: Browser, tmp_path: Path
) -> None:
    silences = ("ping", "down", "up", "ping|down|up|result", "")
    # Each waits for as long as a check may take, so all wait at once; a server allows one address
    # no more checks in a minute than these, so it is none that others ask.
    with run_server(tmp_path / "data") as server:
        async with open_people(server, browser) as person:
            host = await person(Host)
            await host.start_meeting()
            guests = [await person(phone=True) for _ in silences]
            checks = zip(guests, silences, strict=True)
            found = await asyncio.gather(*(check_without(host, *one) for one in checks))
    for silent, (words, seconds) in zip(silences, found, strict=True):
        assert seconds < CHECK_S + 0.5, silent
        # What is known counts: one way alone, or that nothing comes through.
        is_known = silent in ("ping", "down", "up")
        assert ("网络没通" in words) == (not is_known), (silent, words)


async def test_a_line_on_which_only_pings_come_back_is_very_weak(
    browser: Browser, tmp_path: Path
) -> None:
    with run_server(tmp_path / "data") as server:
        async with open_people(server, browser) as person:
            host = await person(Host)
            await host.start_meeting()
            silences = ("result", "down|up")
            guests = [await person(phone=True) for _ in silences]
            checks = zip(guests, silences, strict=True)
            found = await asyncio.gather(*(check_without(host, *one) for one in checks))
    for words, seconds in found:
        assert seconds < CHECK_S + 0.5
        assert "网络很弱" in words


async def test_entering_does_not_wait_for_the_check(host, person) -> None:
    guest = await person(phone=True)

    async def answer_late(route: Route) -> None:
        await asyncio.sleep(1)
        await route.continue_()

    await guest.page.route("**/ping", answer_late)
    await guest.goto(await host.invite("guest", "张敏"))
    await guest.tap("#check")
    await guest.page.wait_for_selector("#check-words:has-text('正在查网络')")
    await guest.tap("#enter")
    await guest.until_in()
    assert await guest.page.text_content("#check-words") == ""
    await guest.page.unroute_all(behavior="ignoreErrors")


async def test_a_check_that_cannot_be_made_stands_in_nobodys_way(host, person) -> None:
    guest = await person(phone=True)

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json={"code": "too_many_requests", "message": ""})

    await guest.page.route("**/api/network-check", refuse)
    await guest.goto(await host.invite("guest", "张敏"))
    await guest.tap("#check")
    await guest.page.wait_for_selector("#check-words:has-text('不影响进入')")
    assert "429" not in await guest.page.inner_text("body"), "no technical words"
    await guest.tap("#enter")
    await guest.until_in()
    assert "张敏" in await host.members()


async def test_a_host_asks_why_somebodys_line_was_bad(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await answer_lines(host.page, (await host.members())["张敏"].identity)
    assert "张敏：发出的声音和画面在路上丢了不少" in await host.ask_why("张敏")
    assert await guest.page.locator(".toast").count() == 0, "it is not said to everybody"


async def test_the_real_history_answers_and_a_guest_may_not_ask(host, person) -> None:
    path = f"/api/rooms/{host.room}/sessions"
    # A session is known with its first samples.
    while not (sessions := (await host.call("GET", path))["sessions"]):
        await host.page.wait_for_timeout(500)
    assert sessions[0]["ended_at"] is None
    guest = await person(phone=True)
    await guest.goto(await host.invite("guest", "张敏"))
    status = await guest.page.evaluate(
        "(path) => fetch(path).then((answer) => answer.status)",
        path,
    )
    assert status in (401, 403)


async def test_an_invitation_to_a_walk_says_how_the_line_usually_is(host) -> None:
    async def passport(route: Route) -> None:
        await route.fulfill(json={"grade": "weak", "advice": "shelf_first", "limit": "up"})

    await host.page.route("**/api/places/*/network*", passport)
    await host.show_tools()
    await host.tap("#invite")
    await host.page.wait_for_selector(".invite-code img")
    assert await host.page.locator("dialog .notice:visible").count() == 0
    await host.page.click('[data-kind="walker"]')
    await host.page.wait_for_selector("dialog .notice:has-text('平时：网络较弱')")
    assert await violations(host.page) == []
    await host.page.keyboard.press("Escape")
