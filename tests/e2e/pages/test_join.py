"""Coming in by a link: taps, names, refusals, languages."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from playwright.async_api import Route
from testkit.people import Host
from testkit.server import ROOT, run_server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_guest_needs_two_taps_and_types_nothing(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏 虹桥店"))
    # Budget J3: three with the system's permission prompt, which fake devices answer themselves.
    assert guest.taps == 2
    await host.until_tile("张敏 虹桥店")


async def test_nothing_opens_before_a_tap(host, person) -> None:
    guest = await person(phone=True)
    await guest.goto(await host.invite("guest", "张敏"))
    await guest.page.wait_for_selector("#enter")
    assert await guest.page.evaluate("asked.media") == []
    await guest.tap("#preview-start")
    await guest.until_seen("#preview")
    await guest.page.wait_for_selector('#ticks li[data-state="ok"] >> nth=2')
    assert len(await guest.page.evaluate("asked.media")) == 1
    await guest.tap("#enter")
    await guest.until_in()
    # What the preview opened is what the room sends: the phone is not asked again.
    assert len(await guest.page.evaluate("asked.media")) == 1


async def test_a_name_is_asked_for_once(host, person) -> None:
    link = await host.invite("guest")
    guest = await person(phone=True)
    await guest.goto(link)
    await guest.tap("#enter")
    assert await guest.page.is_visible("#name-error")
    await guest.page.fill("#name", "王芳")
    await guest.tap("#enter")
    await guest.until_in()
    await guest.goto(link)
    assert await guest.page.inner_text("#who-name") == "王芳"
    assert await guest.page.is_hidden("#name")


async def test_a_viewer_is_never_asked_for_a_camera(host, person) -> None:
    viewer = await person(phone=True)
    await viewer.enter(await host.invite("viewer", "赵磊"))
    await viewer.until_tile("李经理")
    assert await viewer.page.evaluate("asked.media") == []
    assert await viewer.page.is_hidden("#talk-tools")


async def test_only_listening_opens_nothing(host, person) -> None:
    guest = await person(phone=True)
    await guest.goto(await host.invite("guest", "陈静"))
    await guest.tap("#listen")
    await guest.until_in()
    await guest.until_tile("李经理")
    assert await guest.page.evaluate("asked.media") == []


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ("NotAllowedError", "还没有允许使用摄像头或麦克风"),
        ("NotFoundError", "没有找到摄像头或麦克风"),
        ("NotReadableError", "正被别的软件占用"),
    ],
)
async def test_a_refused_camera_is_explained(host, person, refusal: str, words: str) -> None:
    guest = await person(phone=True)
    await guest.goto(await host.invite("guest", "李强"))
    await guest.page.evaluate("(name) => { globalThis.refuse = name; }", refusal)
    await guest.tap("#enter")
    await guest.page.wait_for_selector("#trouble:not([hidden])")
    said = await guest.page.inner_text("#trouble")
    assert words in said
    assert "Error" not in said
    await guest.page.evaluate("globalThis.refuse = ''")
    await guest.tap("#trouble button")
    await guest.until_seen("#preview")


async def test_a_dead_link_says_what_to_do(person) -> None:
    guest = await person(phone=True, language="en-US")
    answer = await guest.page.goto(guest.server.url + "/j/aaaaaaaaaaaaaaaaaaaaaa")
    assert answer.status == 404
    assert "does not open any more" in await guest.page.inner_text("h1")


async def test_the_language_follows_the_browser_and_the_choice_is_kept(person) -> None:
    reader = await person(language="en-US")
    await reader.goto("/")
    assert await reader.page.get_attribute("html", "lang") == "en"
    await reader.page.click('a[hreflang="zh-CN"]')
    await reader.page.wait_for_selector('html[lang="zh-CN"]')
    await reader.goto("/recordings")
    assert await reader.page.get_attribute("html", "lang") == "zh-CN"


async def test_a_wrong_key_is_told_in_words(person) -> None:
    stranger = await person()
    await stranger.goto("/")
    await stranger.page.fill("#key", "not the key")
    await stranger.page.click("[type=submit]")
    await stranger.page.wait_for_selector("#key-error:not([hidden])")
    assert "钥匙不对" in await stranger.page.inner_text("#key-error")


async def test_an_address_without_a_camera_says_so_however_often_it_is_tried(host, person) -> None:
    rep = await person(phone=True)
    # As on a plain address of a local network: the browser offers no devices.
    await rep.page.add_init_script(
        """
        Object.defineProperty(globalThis, "isSecureContext", { value: false });
        Object.defineProperty(navigator, "mediaDevices", { value: undefined });
        """
    )
    await rep.goto(await host.invite("walker", "王芳"))
    told = rep.page.locator("#trouble:has-text('请改用以 https 开头的链接打开')")
    await told.wait_for()
    await rep.page.click("#preview-start")
    await rep.page.wait_for_timeout(500)
    assert await told.count() == 1, await rep.page.inner_text("#trouble")


async def test_the_machine_itself_enters_where_links_lead_elsewhere(browser, tmp_path) -> None:
    """As at a first start: links name the machine's address, its owner has opened localhost."""
    with run_server(tmp_path / "data", "--public-url", "http://192.0.2.77:7880") as here:
        desk = await Host.open(here, browser)
        await desk.start_meeting()
        assert (await desk.invite("guest")).startswith("http://192.0.2.77:7880/j/")
        await desk.until_seen(".tile video")
        await desk.close()


async def test_what_came_half_is_loaded_again_and_says_so_meanwhile(host, person) -> None:
    guest = await person(phone=True)
    held = asyncio.Event()
    tries = 0

    async def fail_twice(route: Route) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await held.wait()
        await (route.abort() if tries <= 2 else route.continue_())

    await guest.page.route("**/bundle/js/room/main.js", fail_twice)
    link = await host.invite("guest", "张敏")
    await guest.page.goto(link, wait_until="commit")
    await guest.page.wait_for_selector("#enter:disabled:has-text('正在打开')")
    assert await guest.page.is_disabled("#listen"), "a tap on it would be lost"
    held.set()
    await guest.page.wait_for_selector("#enter:enabled:has-text('进入会议')")
    assert tries >= 3
    guest.trouble.clear()  # the scripts that were taken away


_COUNT_OPENED = """
globalThis.opened = 0;
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wish) => { globalThis.opened += 1; return open(wish); };
"""


async def test_the_entrance_works_before_what_is_behind_it_has_come(host, person) -> None:
    guest = await person(phone=True)
    held = asyncio.Event()
    library, stage = 0, 0

    async def hold_and_lose(route: Route) -> None:
        nonlocal library
        library += 1
        await held.wait()
        await (route.abort() if library == 1 else route.continue_())

    async def lose_once(route: Route) -> None:
        nonlocal stage
        stage += 1
        await (route.abort() if stage == 1 else route.continue_())

    await guest.page.route("**/livekit-client.umd.js", hold_and_lose)
    await guest.page.route("**/bundle/js/room/stage.js*", lose_once)
    await guest.page.add_init_script(_COUNT_OPENED)
    joins: list[str] = []
    guest.page.on("request", lambda one: joins.append(one.url) if "/api/join" in one.url else None)
    await guest.page.goto(await host.invite("guest"), wait_until="commit")
    await guest.page.fill("#name", "王芳")
    await guest.page.click("#preview-start")
    await guest.tap("#enter:enabled:has-text('进入会议')")
    await guest.page.wait_for_selector("#enter[aria-busy]:has-text('正在进入')")
    await guest.page.press("#name", "Enter")
    assert await guest.page.is_hidden("#trouble")
    held.set()
    await guest.page.wait_for_selector("#stage:not([hidden])")
    await host.until_tile("王芳")
    assert (library, guest.taps) == (2, 1) and stage >= 2
    assert len(joins) == 1, "whoever taps again while he waits enters once"
    assert await guest.page.evaluate("opened") == 1, "the camera that was tried is the one used"
    guest.trouble.clear()  # what was taken away


async def test_a_browser_too_old_for_the_library_is_told_so(host, person) -> None:
    guest = await person(phone=True)
    await guest.page.route("**/livekit-client.umd.js", lambda route: route.fulfill(body=""))
    await guest.goto(await host.invite("guest", "张敏"))
    await guest.tap("#enter")
    await guest.page.wait_for_selector("#trouble:has-text('这个浏览器')")
    assert not await guest.page.get_attribute("#enter", "aria-busy")


_TYPE_AT_ONCE = """
addEventListener("DOMContentLoaded", () => { document.getElementById("name").value = "王芳"; })
"""


async def test_what_stays_half_is_not_loaded_for_ever(host, person) -> None:
    guest = await person(phone=True)
    await guest.page.route("**/bundle/js/room/main.js", lambda route: route.abort())
    loads: list[str] = []
    guest.page.on("domcontentloaded", lambda page: loads.append(page.url))
    # Typed within the half second before it would load again, however busy the machine is.
    await guest.page.add_init_script(_TYPE_AT_ONCE)
    await guest.page.goto(await host.invite("guest"), wait_until="commit")
    await guest.page.wait_for_selector("#not-whole:has-text('再试一次')")
    await guest.page.wait_for_timeout(1500)
    assert await guest.page.input_value("#name") == "王芳"
    assert len(loads) == 1, "what was typed is not thrown away"
    guest.trouble.clear()


async def test_the_library_is_the_same_however_it_is_packed(person, server) -> None:
    reader = await person()
    await reader.goto("/")
    came = await reader.page.evaluate(
        """async () => {
          const found = await fetch("/static/x/vendor/livekit-client/livekit-client.umd.js");
          const digest = await crypto.subtle.digest("SHA-256", await found.arrayBuffer());
          return [found.headers.get("content-encoding"), [...new Uint8Array(digest)]];
        }"""
    )
    file = ROOT / "web/static/vendor/livekit-client/livekit-client.umd.js"
    assert came == ["br", list(hashlib.sha256(file.read_bytes()).digest())]


async def test_the_place_is_asked_for_before_the_tap_and_once(host, person) -> None:
    guest = await person(phone=True)
    joins: list[str] = []

    def note(request: Any) -> None:
        if "/api/join" in request.url:
            joins.append(request.post_data_json["name"])

    guest.page.on("request", note)
    link = await host.invite("guest", "张敏")
    async with guest.page.expect_response("**/api/join"):
        await guest.goto(link)
    # Nobody came: nobody is in the room by it.
    assert joins == ["张敏"]
    assert await host.page.locator('.tile[aria-label="张敏"]').count() == 0
    await guest.tap("#enter")
    await guest.until_in()
    assert joins == ["张敏"]
    await host.until_tile("张敏")


async def test_another_name_than_expected_gets_a_place_of_its_own(host, person) -> None:
    guest = await person(phone=True)
    link = await host.invite("guest")
    await guest.page.add_init_script("localStorage.setItem('aislecast.name', '张敏')")
    async with guest.page.expect_response("**/api/join"):
        await guest.goto(link)
    await guest.tap("#not-me")
    await guest.page.fill("#name", "王芳")
    await guest.tap("#enter")
    await guest.until_in()
    await host.until_tile("王芳")


async def test_a_place_refused_before_the_tap_is_asked_for_again(host, person) -> None:
    guest = await person(phone=True)
    tries = 0

    async def lose_once(route: Route) -> None:
        nonlocal tries
        tries += 1
        await (route.abort() if tries == 1 else route.continue_())

    await guest.page.route("**/api/join", lose_once)
    async with guest.page.expect_event("requestfailed", lambda one: "/api/join" in one.url):
        await guest.goto(await host.invite("guest", "张敏"))
    await guest.tap("#enter")
    await guest.until_in()
    assert tries == 2
