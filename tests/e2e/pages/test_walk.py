"""A rep walks a store with a phone."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_taps_and_the_shelf_is_at_hq(host, person) -> None:
    rep = await person(phone=True)
    await rep.enter(await host.invite("walker", "王芳 静安店"))
    # Budget J6: three with the system's permission prompt.
    assert rep.taps == 2
    await rep.until_seen("#film")
    await host.until_seen('.tile.large[data-kind="walk"] video')
    asked = await rep.page.evaluate("asked")
    assert "environment" in str(asked["media"][0]["video"])
    assert asked["wakeLock"] >= 1 or await rep.page.locator(".awake-film").count() == 1


async def test_hq_is_small_on_the_reps_screen(host, person) -> None:
    rep = await person(phone=True)
    await rep.enter(await host.invite("walker", "王芳"))
    await rep.until_seen("#hq-face video")
    assert await rep.page.inner_text("#hq-name") == "李经理"
    assert "1 人在看" in await rep.page.inner_text("#status")
    film = await rep.page.locator("#film").bounding_box()
    assert film is not None
    assert (film["width"], film["height"]) == (390, 844)


async def test_three_layers_reach_the_server_with_detail_first(host, person) -> None:
    rep = await person(phone=True)
    await rep.goto(await host.invite("walker", "王芳"))
    await rep.page.evaluate(
        """() => {
          const add = RTCPeerConnection.prototype.addTransceiver;
          RTCPeerConnection.prototype.addTransceiver = function (track, init) {
            const made = add.call(this, track, init);
            if (track.kind === "video") globalThis.filmed = made.sender;
            return made;
          };
        }"""
    )
    await rep.tap("#enter")
    await rep.until("() => globalThis.filmed?.getParameters().encodings.length === 3")
    encodings = await rep.page.evaluate("filmed.getParameters().encodings")
    assert max(layer["maxBitrate"] for layer in encodings) <= 1_300_000
    assert min(layer["maxBitrate"] for layer in encodings) <= 100_000
    assert await rep.page.evaluate("filmed.track.contentHint") == "detail"


async def test_a_lost_camera_comes_back_by_itself(host, person) -> None:
    rep = await person(phone=True)
    await rep.enter(await host.invite("walker", "王芳"))
    await host.until_seen('.tile[data-kind="walk"] video')
    # What a phone call does: the device track ends under the page.
    await rep.page.evaluate(
        """() => {
          const track = document.querySelector("#film").srcObject.getVideoTracks()[0];
          track.stop();
          track.dispatchEvent(new Event("ended"));
        }"""
    )
    await rep.until_seen("#film", num_frames=10)
    await host.until_seen('.tile[data-kind="walk"] video', num_frames=10)
    await rep.page.wait_for_selector("#camera-off", state="hidden")
    assert rep.taps == 2, "nobody had to tap for it"
    assert (await host.tracks_of("王芳"))["CAMERA"] is False


async def test_flip_daylight_and_mute(host, person) -> None:
    rep = await person(phone=True)
    await rep.enter(await host.invite("walker", "王芳"))
    await rep.until_seen("#film")
    await rep.tap("#more")
    await rep.tap("text=翻转镜头")
    await rep.until("() => asked.media.some((one) => JSON.stringify(one).includes('\"user\"'))")
    await rep.tap("#more")
    await rep.tap("text=强光模式")
    await rep.page.wait_for_selector('html[data-theme="daylight"]')
    await rep.tap("#microphone")
    await host.page.wait_for_selector('.tile[data-kind="walk"] .plate-sign:not([hidden])')
    assert await host.tracks_of("王芳") == {"CAMERA": False, "MICROPHONE": True}


async def test_the_end_is_one_tap_and_can_be_undone(host, person) -> None:
    rep = await person(phone=True)
    await rep.enter(await host.invite("walker", "王芳"))
    await rep.until_seen("#film")
    await rep.tap("#end")
    await rep.page.wait_for_selector("#cover:has-text('巡店结束了')")
    await host.page.wait_for_selector('.tile[data-kind="walk"]', state="detached")
    assert "王芳" not in await host.members()
    await rep.tap("#cover .main")
    await rep.page.wait_for_selector("#enter")
    await rep.tap("#enter")
    await host.until_seen('.tile[data-kind="walk"] video')
    assert "王芳" in await host.members()


async def test_it_works_on_its_side(host, person) -> None:
    rep = await person(phone=True)
    await rep.enter(await host.invite("walker", "王芳"))
    await rep.page.set_viewport_size({"width": 844, "height": 390})
    for selector in ("#end", "#microphone", "#more"):
        box = await rep.page.locator(selector).bounding_box()
        assert box is not None
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 390
