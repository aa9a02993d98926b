"""Networks that go away: nobody is thrown out, nobody has to tap."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Route

pytestmark = pytest.mark.asyncio(loop_scope="session")

_SPIED = """
;{
  const { Room } = LivekitClient;
  LivekitClient.Room = class extends Room {
    constructor(...options) {
      super(...options);
      globalThis.theRoom = this;
      globalThis.renewed = 0;
      globalThis.events = [];
      for (const name of ["SignalReconnecting", "Reconnecting", "Reconnected", "Disconnected"]) {
        this.on(LivekitClient.RoomEvent[name], () => events.push(name));
      }
    }
    simulateScenario(name, value) { renewed += 1; return super.simulateScenario(name, value); }
  };
}
"""
_NETWORK = """
class FakeConnection extends EventTarget { type = "wifi"; }
const fake = new FakeConnection();
Object.defineProperty(navigator, "connection", { value: fake });
globalThis.moveTo = (type) => { fake.type = type; fake.dispatchEvent(new Event("change")); };
"""
_DEAD_LINE = """
RTCRtpReceiver.prototype.getStats = RTCRtpSender.prototype.getStats = async () => new Map();
"""


async def spy(route: Route) -> None:
    """Hand the page's room to the test."""
    answer = await route.fetch()
    await route.fulfill(response=answer, body=await answer.text() + _SPIED)


async def spied(person: Any) -> Any:
    """Somebody with a phone whose room the test can look at."""
    guest = await person(phone=True)
    await guest.page.route("**/livekit-client.umd.js", spy)
    await guest.page.add_init_script(_NETWORK)
    return guest


async def test_entering_waits_for_a_network(host, person) -> None:
    guest = await person(phone=True)
    await guest.goto(await host.invite("guest", "张敏"))
    await guest.page.wait_for_selector("#enter:enabled")
    await guest.page.context.set_offline(True)
    await guest.tap("#enter")
    await guest.page.wait_for_selector("#trouble:has-text('一有网络就自动进入')")
    await guest.page.wait_for_timeout(2000)
    await guest.page.context.set_offline(False)
    await guest.page.wait_for_selector("#stage:not([hidden])")
    await host.until_tile("张敏")
    assert guest.taps == 1
    # With a place in the room already, it is the socket that finds no network; the console says so.
    assert all("WebSocket connection" in one for one in guest.trouble), guest.trouble
    guest.trouble.clear()


async def test_offline_and_back_keeps_the_seat(host, person) -> None:
    guest = await spied(person)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    sid = await guest.page.evaluate("theRoom.localParticipant.sid")
    await guest.page.context.set_offline(True)
    await guest.page.wait_for_timeout(5000)
    assert await guest.page.is_visible("#stage")
    await guest.page.context.set_offline(False)
    await guest.until("() => theRoom.state === 'connected'")
    await guest.until_tile("李经理")
    await host.until_tile("张敏")
    assert await host.page.locator('.tile[aria-label="张敏"]').count() == 1
    assert await guest.page.evaluate("theRoom.localParticipant.sid") == sid
    assert "Disconnected" not in await guest.page.evaluate("events")
    assert guest.taps == 2
    # Refused fetches are in the console of every browser that is offline.
    guest.trouble.clear()


async def test_another_network_renews_a_dead_line_and_leaves_a_live_one_alone(host, person) -> None:
    guest = await spied(person)
    await guest.enter(await host.invite("guest", "张敏"))
    await guest.until_tile("李经理")
    await guest.page.evaluate("moveTo('cellular')")
    await guest.page.wait_for_timeout(1500)
    assert await guest.page.evaluate("renewed") == 0
    await guest.page.evaluate(_DEAD_LINE)
    await guest.page.evaluate("moveTo('cellular')")
    await guest.page.wait_for_timeout(1000)
    assert await guest.page.evaluate("renewed") == 0
    await guest.page.evaluate("moveTo('wifi')")
    await guest.until(
        "() => events.includes('SignalReconnecting') && events.at(-1) === 'Reconnected'"
    )
    assert await guest.page.evaluate("renewed") == 1
    await guest.until_tile("李经理")
    assert await host.page.locator('.tile[aria-label="张敏"]').count() == 1


async def test_while_only_the_signalling_is_gone_the_stage_stays_in_reach(host, person) -> None:
    guest = await spied(person)
    await guest.enter(await host.invite("guest", "张敏"))
    await guest.until_tile("李经理")
    await guest.page.evaluate("theRoom.emit(LivekitClient.RoomEvent.SignalReconnecting)")
    await guest.page.wait_for_selector("#cover:has-text('声音和画面照常')")
    await guest.show_tools()
    await guest.tap("#microphone")
    await guest.page.wait_for_selector("#microphone.is-off")
    await host.page.wait_for_selector('.tile[aria-label="张敏"] .plate-sign:not([hidden])')
    assert (await host.tracks_of("张敏"))["MICROPHONE"] is True, "it is no picture of a button"
    await guest.page.evaluate("theRoom.emit(LivekitClient.RoomEvent.Reconnected)")
    await guest.page.wait_for_selector("#cover", state="hidden")


async def test_a_page_that_the_phone_put_away_returns_to_the_room_by_itself(host, person) -> None:
    guest = await spied(person)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    # What the library does when the browser freezes a page in the background.
    await guest.page.evaluate("theRoom.disconnect()")
    await guest.until("() => events.includes('Disconnected')")
    await guest.until("() => theRoom.state === 'connected'")
    await guest.page.wait_for_selector("#cover", state="hidden")
    await host.until_tile("张敏")
    await guest.until_tile("李经理")
    assert guest.taps == 2


async def test_waits_grow_and_are_spread(person) -> None:
    reader = await person()
    await reader.goto("/")
    waits = await reader.page.evaluate(
        """async () => {
          const { waitMs, patientPolicy } = await import("/static/x/js/room/comeback.js");
          return {
            least: [0, 1, 5, 50].map((tries) => waitMs(tries, () => 0)),
            most: [0, 1, 5, 50].map((tries) => waitMs(tries, () => 0.999)),
            library: [1000, 599_000, 601_000].map((elapsedMs) =>
              patientPolicy.nextRetryDelayInMs({ retryCount: 40, elapsedMs })),
          };
        }"""
    )
    assert waits["least"] == sorted(waits["least"])
    assert waits["least"][0] >= 200
    assert waits["most"][-1] <= 15_000
    assert all(low * 2.5 < high for low, high in zip(waits["least"], waits["most"], strict=True))
    assert waits["library"][1] is not None
    assert waits["library"][2] is None
