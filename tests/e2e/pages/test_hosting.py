"""What leading a meeting means: muting, asking to leave, hands; for hosts by key and by link."""

from __future__ import annotations

import pytest
from testkit.axe import violations

pytestmark = pytest.mark.asyncio(loop_scope="session")

_HEADER_FITS = """(level) => {
  const quality = document.querySelector("#quality");
  quality.dataset.level = level;
  document.querySelector("#quality-words").textContent = "Network very weak";
  const bars = quality.querySelector(".bars").getBoundingClientRect();
  const end = document.querySelector("#quality").getBoundingClientRect().right;
  return bars.width > 15 && bars.right <= innerWidth && end <= innerWidth;
}"""
_TRY = """
async ([path, body]) => {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "X-Requested-With": "aislecast", "Content-Type": "application/json",
               Authorization: `Bearer ${tokens.at(-1)}` },
    body: JSON.stringify(body),
  });
  return answer.status;
}
"""
_KEEP_TOKENS = """
globalThis.tokens = [];
const original = fetch;
globalThis.fetch = async (path, options) => {
  const answer = await original(path, options);
  if (path === "/api/join" && answer.ok) tokens.push((await answer.clone().json()).token);
  return answer;
};
"""


async def open_menu(host, name: str) -> None:
    if not await host.page.is_visible("#people"):
        await host.page.keyboard.press("p")
    await host.page.click(f'#people button[aria-label="管理 {name}"]')


async def test_a_host_mutes_somebody_who_is_told_and_may_speak_again(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await open_menu(host, "张敏")
    await host.page.click("text=关掉麦克风")
    await guest.page.wait_for_selector(".toast:has-text('主持人关了您的麦克风')")
    await guest.page.wait_for_selector("#microphone.is-off")
    await host.page.wait_for_selector('.tile[aria-label="张敏"] .plate-sign:not([hidden])')
    assert await host.tracks_of("张敏") == {"CAMERA": False, "MICROPHONE": True}
    await guest.show_tools()
    await guest.tap("#microphone")
    await host.page.wait_for_selector('.tile[aria-label="张敏"] .plate-sign', state="hidden")
    assert await host.tracks_of("张敏") == {"CAMERA": False, "MICROPHONE": False}


async def test_asking_somebody_to_leave_can_be_undone(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await open_menu(host, "张敏")
    await host.page.click("text=请离开房间")
    await host.page.wait_for_selector("#people:has-text('即将离开')")
    await host.page.click(".toast button:has-text('撤销')")
    await host.page.wait_for_timeout(5_500)
    assert await guest.page.is_hidden("#cover")
    await open_menu(host, "张敏")
    await host.page.click("text=请离开房间")
    await guest.page.wait_for_selector("#cover:has-text('主持人请您离开了')")
    await host.page.wait_for_selector('.tile[aria-label="张敏"]', state="detached")


async def test_hands_are_seen_in_their_order_and_lowered(host, person) -> None:
    first, second = await person(phone=True), await person()
    await first.enter(await host.invite("guest", "张敏"))
    await second.enter(await host.invite("guest", "李强"))
    await second.page.keyboard.press("h")
    await host.page.wait_for_selector(".toast:has-text('李强 举手了')")
    await first.show_tools()
    await first.tap("#more")
    await first.tap(".menu-item:has-text('举手')")
    await host.page.wait_for_selector('.tile[aria-label="张敏"] .plate-hand:not([hidden])')
    await host.page.keyboard.press("p")
    await host.page.wait_for_selector(".person.hand-up >> nth=1")
    assert await violations(host.page) == []
    names = await host.page.locator(".person b").all_inner_texts()
    assert names == ["李强", "张敏", "李经理（我）"]
    await open_menu(host, "李强")
    await host.page.click("text=请放下手")
    await second.page.wait_for_selector('#hand[aria-pressed="false"]')
    await host.page.wait_for_selector('.tile[aria-label="李强"] .plate-hand', state="hidden")


async def test_a_guest_may_do_none_of_it(host, person) -> None:
    guest = await person()
    await guest.page.add_init_script(_KEEP_TOKENS)
    await guest.enter(await host.invite("guest", "张敏"))
    await guest.page.keyboard.press("p")
    assert await guest.page.locator("#people .icon-button[aria-haspopup]").count() == 0
    assert await guest.page.locator("#record").count() == 0
    room, leader = host.room, "host-1"
    for path, body in (
        ("/twirp/livekit.RoomService/RemoveParticipant", {"room": room, "identity": leader}),
        ("/twirp/livekit.RoomService/MutePublishedTrack", {"room": room, "identity": leader}),
        (f"/api/rooms/{room}/recording", {}),
        ("/api/invites", {"room": room, "role": "host"}),
        ("/api/rooms/other/hand", {"hand": "up"}),
    ):
        assert await guest.page.evaluate(_TRY, [path, body]) in (401, 403), path


async def test_a_host_who_came_by_a_link_leads_like_any_other(host, person) -> None:
    deputy = await person()
    await deputy.enter(await host.invite("host", "赵磊"))
    await deputy.until_tile("李经理")
    await deputy.show_tools()
    await deputy.tap("#record")
    await host.page.wait_for_selector("#rec:not([hidden])")
    await deputy.page.wait_for_selector("#record[aria-pressed=true]")
    guest = await person(phone=True, language="en-US")
    await guest.enter(await host.invite("guest", "Anna"))
    await guest.page.wait_for_selector("#rec:not([hidden])")
    # The bars stay whole beside the recording's sign, whatever words stand there.
    for level in ("3", "0"):
        assert await guest.page.evaluate(_HEADER_FITS, level)
    await deputy.show_tools()
    await deputy.tap("#record")
    await host.page.wait_for_selector("#rec", state="hidden")
    await deputy.show_tools()
    await deputy.tap("#invite")
    await deputy.page.wait_for_selector("dialog .invite-picture img")
    assert "/j/" in await deputy.page.input_value("dialog .invite-link")
    await deputy.page.keyboard.press("Escape")
    await open_menu(deputy, "李经理")
    await deputy.page.click("text=关掉麦克风")
    await host.page.wait_for_selector("#microphone.is-off")


async def test_who_is_alone_is_told_and_can_invite(host, person) -> None:
    await host.show_tools()
    assert "只有您一个人" in await host.page.inner_text("#alone")
    await host.page.click("#alone-invite")
    await host.page.wait_for_selector("dialog .invite-picture img")
    await host.page.keyboard.press("Escape")
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.page.wait_for_selector("#alone", state="hidden")
    assert await guest.page.is_hidden("#alone")
