"""The whole line: a phone films a shelf, HQ and a guest watch and talk beside a fixed camera, all
of it is recorded, and a trainee replays it from a link."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser
from testkit.axe import violations
from testkit.people import Host, OpenPerson, Person, open_people
from testkit.server import AislecastServer, run_server

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

CAMERA = Path(__file__).parents[2] / "support" / "rtsp_camera.py"
RECORDED_MS = 8_000
FINISH_S = 120.0
CAMERA_TILE = '.tile[data-kind="camera"]'
WALK_TILE = '.tile[data-kind="walk"]'


@asynccontextmanager
async def gstreamer_camera() -> AsyncIterator[str]:
    """A fixed camera that is not ours; yields its address."""
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3", str(CAMERA), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        ready = await asyncio.wait_for(process.stdout.readline(), 30)
        yield f"rtsp://127.0.0.1:{int(ready.split()[1])}/live"
    finally:
        process.kill()
        await process.wait()


async def start_recording(host: Host, *others: Person) -> None:
    await host.show_tools()
    await host.tap("#record")
    for one in (host, *others):
        await one.page.wait_for_selector("#rec:not([hidden])")


async def stop_recording(host: Host, *others: Person) -> list[str]:
    """Stop, and follow the recording until it is finished; returns the states in their order."""
    await host.show_tools()
    await host.tap("#record")
    for one in (host, *others):
        await one.page.wait_for_selector("#rec", state="hidden")
    states: list[str] = []
    async with asyncio.timeout(FINISH_S):
        while "ready" not in states:
            (recording,) = (await host.call("GET", "/api/recordings"))["recordings"]
            if recording["state"] not in states:
                states.append(recording["state"])
            await asyncio.sleep(0.05)
    return states


async def share_from_list(host: Host) -> str:
    """Share the newest recording as HQ does; returns the link."""
    await host.goto("/recordings")
    row = host.page.locator("a.row[data-state=ready]")
    await row.wait_for()
    assert "可看" in await row.inner_text()
    await host.tap(".row-share")
    await host.tap("dialog .main:has-text('生成链接')")
    await host.page.wait_for_selector("dialog .invite-picture img")
    link = await host.page.input_value("dialog .invite-link")
    await host.page.wait_for_selector(".share-list li:has-text('还剩 14 天')")
    assert await violations(host.page) == []
    return link


async def watch(trainee: Person, link: str) -> None:
    """Open the link, play with one tap, and seek."""
    await trainee.goto(link)
    await trainee.page.wait_for_selector("#big-play:visible")
    await trainee.tap("#big-play")
    assert trainee.taps == 1
    await trainee.until("() => document.querySelector('#film').currentTime > 0.5")
    await trainee.until_moving("#film")
    await trainee.page.evaluate(
        "() => { const s = document.querySelector('#seek'); s.value = '700';"
        "s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); }"
    )
    await trainee.until(
        "() => { const film = document.querySelector('#film');"
        " return film.currentTime > film.duration * 0.65 && !film.seeking; }"
    )
    assert await trainee.page.locator("#share").count() == 0
    assert await violations(trainee.page) == []


def status_for_strangers(server: AislecastServer, path: str) -> int:
    try:
        with urllib.request.urlopen(server.url + path, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@asynccontextmanager
async def walk(browser: Browser, data: Path) -> AsyncIterator[tuple[Host, OpenPerson]]:
    """HQ in a meeting with a camera, on a server of its own; everybody leaves before it ends."""
    async with gstreamer_camera() as camera_url:
        with run_server(data, "--camera-network", "127.0.0.0/8") as server:
            async with open_people(server, browser) as person:
                host = await person(Host)
                await host.start_meeting()
                camera = {"name": "虹桥店 收银台", "url": camera_url, "room": host.room}
                await host.call("POST", "/api/cameras", camera)
                yield host, person


async def test_from_the_shelf_to_the_trainee(browser: Browser, tmp_path: Path) -> None:
    async with walk(browser, tmp_path / "data") as (host, person):
        guest = await person()
        await guest.enter(await host.invite("guest", "张敏"))
        rep = await person(phone=True)
        await rep.enter(await host.invite("walker", "王芳 虹桥店"))

        for one, name in ((host, "张敏"), (guest, "李经理")):
            await one.until_tile(name)
            await one.until_moving(f"{WALK_TILE}.large video")
            await one.until_moving(f"{CAMERA_TILE} video")
            assert "店内摄像头" in await one.page.text_content(f"{CAMERA_TILE} .plate-badge")
        await rep.until_seen("#film")
        await rep.until_moving("#hq-face video")

        await start_recording(host, guest, rep)
        await host.page.keyboard.press("c")
        await host.page.fill("#chat-text", "请把镜头转到冰柜")
        await host.page.keyboard.press("Enter")
        await guest.page.wait_for_selector(".toast:has-text('李经理：请把镜头转到冰柜')")
        await host.page.keyboard.press("Escape")
        await host.page.wait_for_timeout(RECORDED_MS)
        states = await stop_recording(host, guest, rep)
        assert [state for state in states if state != "recording"] == ["finishing", "ready"]

        link = await share_from_list(host)
        (recording,) = (await host.call("GET", "/api/recordings"))["recordings"]
        assert {one["name"] for one in recording["participants"]} == {
            *("李经理", "张敏", "王芳 虹桥店", "虹桥店 收银台")
        }
        await watch(await person(phone=True), link)
        trainee = await person(language="en-US")
        await watch(trainee, link)
        assert status_for_strangers(host.server, f"/api/recordings/{recording['id']}/file") == 401

        await host.tap(".share-list button")
        await host.page.wait_for_selector(".share-list li", state="detached")
        await trainee.page.reload()
        assert "does not open any more" in await trainee.page.inner_text("h1")


async def test_the_demonstration_store_moves(browser: Browser, tmp_path: Path) -> None:
    with run_server(tmp_path / "data", "--demo") as server:
        async with open_people(server, browser) as person:
            host = await person(Host)
            await host.sign_in()
            await host.page.wait_for_selector('[data-room="demo-store"]', timeout=90_000)
            await host.goto("/room/demo-store")
            await host.page.fill("#name", "李经理")
            await host.tap("#enter")
            await host.until_in()
            people = host.page.locator('.tile[data-kind="person"]:not([aria-label^="李经理"])')
            await people.nth(1).wait_for()
            names = [await one.get_attribute("aria-label") for one in await people.all()]
            assert len(names) == 2
            for tile in (WALK_TILE, CAMERA_TILE, *(f'.tile[aria-label="{one}"]' for one in names)):
                await host.until_moving(f"{tile} video")
