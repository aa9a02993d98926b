"""A meeting of two browsers: pictures, chat, a shared screen, a server that dies and returns."""

from __future__ import annotations

from pathlib import Path

import pytest
from testkit.people import Host
from testkit.server import run_server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_both_see_each_other(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await guest.until_tile("李经理")
    await host.until("() => document.querySelector('#count-words').textContent === '2 人'")
    assert set(await host.members()) == {"李经理", "张敏"}
    for name in ("李经理", "张敏"):
        assert await host.tracks_of(name) == {"CAMERA": False, "MICROPHONE": False}
    for one in (host, guest):
        assert await one.page.locator(".tile video").count() == 2, "oneself and the other"


async def test_muting_is_seen_by_the_others(host, person) -> None:
    guest = await person()
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await guest.page.keyboard.press("m")
    await host.page.wait_for_selector('.tile[aria-label="张敏"] .plate-sign:not([hidden])')
    assert await host.tracks_of("张敏") == {"CAMERA": False, "MICROPHONE": True}
    await guest.page.keyboard.press("v")
    await host.page.wait_for_selector('.tile[aria-label="张敏"].dark-tile')
    assert await host.tracks_of("张敏") == {"CAMERA": True, "MICROPHONE": True}
    await guest.page.keyboard.press("v")
    await host.until_tile("张敏")
    assert await host.tracks_of("张敏") == {"CAMERA": False, "MICROPHONE": True}


async def test_chat_goes_both_ways(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await host.page.keyboard.press("c")
    await host.page.fill("#chat-text", "大家好 https://example.com/a <b>")
    await host.page.keyboard.press("Enter")
    await guest.page.wait_for_selector(".toast:has-text('李经理：大家好')")
    await guest.show_tools()
    await guest.tap("#chat-open")
    line = guest.page.locator(".chat-text")
    assert await line.inner_text() == "大家好 https://example.com/a <b>"
    assert await line.locator("a").get_attribute("href") == "https://example.com/a"
    await guest.page.fill("#chat-text", "收到")
    await guest.tap("#chat-form button")
    await host.page.wait_for_selector(".chat-lines li:not(.mine) >> text=收到")
    assert not await host.page.locator(".chat-lines .failed").count()


async def test_a_shared_screen_becomes_large(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await host.page.keyboard.press("s")
    await guest.until_seen('.tile.large[data-source="screen"] video')
    assert await guest.page.locator(".tile.large").count() == 1
    assert "SCREEN_SHARE" in await host.tracks_of("李经理")
    await host.page.keyboard.press("s")
    await guest.page.wait_for_selector('.tile[data-source="screen"]', state="detached")
    assert "SCREEN_SHARE" not in await host.tracks_of("李经理")


async def test_enlarging_and_back(host, person) -> None:
    guest = await person()
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await host.show_tools()
    tile = host.page.locator('.tile[aria-label="张敏"]')
    before = await tile.bounding_box()
    await tile.hover()
    await host.page.click('.tile[aria-label="张敏"] .tile-pin')
    await host.page.wait_for_selector('.tile.large[aria-label="张敏"]')
    # It grows for some tenths of a second, and shrinks as long.
    width = (
        """() => document.querySelector('.tile[aria-label="张敏"]').getBoundingClientRect().width"""
    )
    await host.until(f"(before) => ({width})() > 1.1 * before", before["width"])
    await host.page.keyboard.press("l")
    await host.page.wait_for_selector(".tile.large", state="detached")
    await host.until(f"(before) => ({width})() < 1.01 * before", before["width"])
    assert await tile.bounding_box() == pytest.approx(before, abs=1)


async def test_the_bars_leave_the_picture_and_the_recording_sign_stays(host) -> None:
    await host.show_tools()
    await host.tap("#record")
    await host.page.wait_for_selector("#rec:not([hidden])")
    await host.page.mouse.move(700, 400)
    await host.page.evaluate("document.activeElement.blur()")
    await host.page.wait_for_selector("#stage.calm")
    seen = "(id) => getComputedStyle(document.getElementById(id)).opacity"
    assert await host.page.evaluate(seen, "rec") == "1"
    await host.show_tools()
    await host.page.wait_for_selector("#stage:not(.calm)")
    await host.tap("#record")
    await host.page.wait_for_selector("#rec", state="hidden")


async def test_leaving_and_coming_back(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    identity = (await host.members())["张敏"].identity
    await guest.show_tools()
    await guest.tap("#leave-top")
    await guest.page.wait_for_selector("#cover:has-text('您已离开')")
    await host.page.wait_for_selector('.tile[aria-label="张敏"]', state="detached")
    assert set(await host.members()) == {"李经理"}
    await guest.tap("#cover .main")
    await guest.page.wait_for_selector("#enter")
    await guest.tap("#enter")
    await host.until_tile("张敏")
    assert (await host.members())["张敏"].identity == identity, "the same seat"


async def test_a_server_that_dies_and_returns_costs_no_tap(browser, person, tmp_path: Path) -> None:
    with run_server(tmp_path / "data") as server:
        host = await Host.open(server, browser)
        await host.start_meeting()
        guest = await person(phone=True, on=server)
        await guest.enter(await host.invite("guest", "张敏"))
        await guest.until_tile("李经理")
        taps = guest.taps
        server.kill()
        await guest.page.wait_for_selector("#cover:has-text('正在重连，请不用操作')")
        server.start()
        await guest.page.wait_for_selector("#cover", state="hidden", timeout=60_000)
        await guest.until_tile("李经理")
        await host.until_tile("张敏")
        assert guest.taps == taps
        # Broken sockets are in the console of every browser; the pictures above are the proof.
        host.trouble.clear()
        guest.trouble.clear()
        await guest.page.close()
        await host.close()
