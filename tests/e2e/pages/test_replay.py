"""Recording a meeting and watching it afterwards, with seeking."""

from __future__ import annotations

import pytest
from playwright.async_api import Route

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


async def test_recorded_then_replayed(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await host.show_tools()
    await host.tap("#record")
    for one in (host, guest):
        await one.page.wait_for_selector("#rec:not([hidden])")
    await host.page.wait_for_timeout(13_000)
    await host.show_tools()
    await host.tap("#record")
    await guest.page.wait_for_selector("#rec", state="hidden")
    await host.show_tools()
    await host.tap("#leave")
    await host.page.wait_for_selector("#cover:not([hidden])")

    await host.goto("/recordings")
    listed = (await host.call("GET", "/api/recordings"))["recordings"]
    row = f'a.row[data-id="{next(one["id"] for one in listed if one["room"] == host.room)}"]'
    await host.page.wait_for_selector(row, timeout=120_000)
    assert "可看" in await host.page.inner_text(row)
    await host.page.click(row)
    await host.page.wait_for_selector("#big-play:visible")
    await host.page.click("#big-play")
    await host.until("() => document.querySelector('#film').currentTime > 1")
    duration_s, width = await host.page.evaluate(
        "(({ duration, videoWidth }) => [duration, videoWidth])(document.querySelector('#film'))"
    )
    assert duration_s > 10
    assert width > 0

    await host.page.keyboard.press("ArrowRight")
    await host.until("() => document.querySelector('#film').currentTime > 10")
    await host.page.keyboard.press("ArrowLeft")
    await host.until("() => document.querySelector('#film').currentTime < 8")
    await host.page.evaluate(
        "() => { const s = document.querySelector('#seek'); s.value = '600';"
        "s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); }"
    )
    await host.until(
        "() => { const film = document.querySelector('#film');"
        " return film.currentTime > film.duration * 0.55 && !film.seeking; }"
    )
    await host.page.select_option("#speed", "1.5")
    assert await host.page.evaluate("document.querySelector('#film').playbackRate") == 1.5
    assert "张敏" in await host.page.inner_text("#replay-people")


async def test_a_recording_that_broke_off_says_so(host) -> None:
    async def listed(route: Route) -> None:
        film = {
            "id": "ab" * 16,
            "title": "虹桥店 巡店",
            "room": "r",
            "state": "ready",
            "progress": None,
            "started_at": "2020-01-01T00:00:00+00:00",
            "duration_s": 12.5,
            "size_bytes": 1000,
            "participants": [],
            "error_code": None,
            "cut_short": "server_stopped",
            "is_shared": False,
        }
        await route.fulfill(json={"recordings": [film]})

    await host.page.route("**/api/recordings", listed)
    await host.goto("/recordings")
    await host.page.wait_for_selector("a.row:has-text('服务器中途停止，录到那一刻为止')")
