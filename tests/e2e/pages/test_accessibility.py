"""For everybody: axe-core, targets, zoom, keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from testkit.axe import violations
from testkit.people import Host

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOO_SMALL = """
() => [...document.querySelectorAll("button, a.button, select, input, textarea")]
  .filter((node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
  .map((node) => [node.id || node.className, node.closest("label") ?? node])
  .map(([name, node]) => [name, node.getBoundingClientRect()])
  .filter(([, box]) => box.width > 1 && (box.width < 43.5 || box.height < 43.5))
  .map(([name, box]) => `${name} ${Math.round(box.width)}×${Math.round(box.height)}`)
"""


async def no_sideways(page: Any) -> bool:
    return bool(
        await page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
@pytest.mark.parametrize("phone", [True, False], ids=["phone", "desktop"])
async def test_home_recordings_and_sign_in(server, browser, person, phone, language) -> None:
    reader = await person(phone=phone, language=language)
    await reader.goto("/")
    assert await violations(reader.page) == []
    key = (server.data / "host-key").read_text().strip()
    await reader.call("POST", "/api/session", {"key": key})
    for path in ("/", "/recordings"):
        await reader.goto(path)
        await reader.page.wait_for_selector("#recording-list:not([aria-busy])")
        if path == "/":
            await reader.page.click("#add-camera")
        assert await violations(reader.page) == []
        assert await reader.page.evaluate(TOO_SMALL) == []
        assert await no_sideways(reader.page)


async def test_invitation_dialog(host) -> None:
    await host.show_tools()
    await host.tap("#invite")
    await host.page.wait_for_selector(".invite-code img")
    assert await violations(host.page) == []
    await host.page.keyboard.press("Escape")


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
@pytest.mark.parametrize("role", ["guest", "viewer", "walker"])
async def test_joining_and_being_there(host, person, role: str, language: str) -> None:
    guest = await person(phone=True, language=language)
    await guest.goto(await host.invite(role, "Zhang Min"))
    assert await violations(guest.page) == []
    assert await guest.page.evaluate(TOO_SMALL) == []
    assert await no_sideways(guest.page)
    main = await guest.page.locator("#enter").bounding_box()
    assert main is not None
    assert main["height"] >= 56
    await guest.tap("#enter")
    await guest.page.wait_for_selector("#stage:not([hidden])")
    await guest.page.wait_for_timeout(500)
    assert await violations(guest.page) == []
    assert await guest.page.evaluate(TOO_SMALL) == []


async def test_the_main_button_is_in_sight_at_double_size(host, person) -> None:
    guest = await person(phone=True)
    await guest.page.set_viewport_size({"width": 195, "height": 422})
    await guest.goto(await host.invite("guest", "张敏 虹桥店"))
    box = await guest.page.locator("#enter").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 422
    assert await no_sideways(guest.page)


async def test_a_meeting_by_keyboard_only(server, browser) -> None:
    desk = await Host.open(server, browser)
    await desk.sign_in()
    page = desk.page
    await page.focus("#start-meeting")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#enter:enabled")
    await page.focus("#name")
    await page.keyboard.type("李经理")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#stage:not([hidden])")
    await page.keyboard.press("?")
    await page.wait_for_selector("#keys-dialog")
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.wait_for_selector("#keys-dialog", state="detached")
    await page.keyboard.press("p")
    await page.wait_for_selector("#people:not([hidden])")
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.wait_for_selector("#panel", state="hidden")
    await desk.close()


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
async def test_an_invitation_fits_a_phone_with_all_it_can_say(server, person, language) -> None:
    desk = await person(phone=True, language=language)
    await desk.goto("/")
    key = (server.data / "host-key").read_text().strip()
    await desk.call("POST", "/api/session", {"key": key})
    weak = {"grade": "weak", "advice": "shelf_first", "limit": "up"}
    await desk.page.route("**/api/places/*/network*", lambda route: route.fulfill(json=weak))
    await desk.goto("/")
    await desk.tap("#start-walk")
    await desk.page.wait_for_selector(".invite-code img")
    await desk.page.wait_for_selector("dialog .notice:visible")
    dialog = desk.page.locator("dialog")
    assert await dialog.evaluate("(one) => one.scrollHeight - one.clientHeight") == 0
    code = await desk.page.locator(".invite-code img").bounding_box()
    assert code["width"] >= 130, "a code that a phone across the table still reads"
