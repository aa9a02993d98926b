"""What the server tells a page about its line: words, stills in tiles; and from nobody else."""

from __future__ import annotations

import json
import struct
import time
from typing import Any

import pytest
from livekit import api
from playwright.async_api import Route
from testkit.axe import violations

pytestmark = pytest.mark.asyncio(loop_scope="session")

_WEBP = """
async () => {
  const canvas = new OffscreenCanvas(320, 180);
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#20c060";
  pen.fillRect(0, 0, 320, 180);
  const file = await canvas.convertToBlob({ type: "image/webp", quality: 0.8 });
  return [...new Uint8Array(await file.arrayBuffer())];
}
"""
_GIVE_ROOM = """
;{
  const { Room } = LivekitClient;
  LivekitClient.Room = class extends Room {
    constructor(...options) { super(...options); globalThis.theRoom = this; }
  };
}
"""
_LOADS = """
(url) => new Promise((done) => {
  const image = new Image();
  image.onload = () => done(true);
  image.onerror = () => done(false);
  image.src = url;
})
"""
_HOLD = """
(state) => {
  for (const one of theRoom.remoteParticipants.values())
    for (const film of one.videoTrackPublications.values()) {
      film.track.setStreamState(state);
      theRoom.emit("trackStreamStateChanged", film, state, one);
    }
}
"""
_KEEP_SAID = """
() => {
  const line = document.querySelector("#line");
  globalThis.said = [];
  new MutationObserver(() => said.push(line.textContent)).observe(line, { childList: true });
}
"""
_STOP_FILM = """
(place) => {
  const video = document.querySelector(`${place} video`);
  video.srcObject.getVideoTracks()[0].enabled = false;
  video.pause();
}
"""
_GO_ON = """
(place) => {
  const video = document.querySelector(`${place} video`);
  video.srcObject.getVideoTracks()[0].enabled = true;
  return video.play();
}
"""
_TILE = '.tile[aria-label="李经理"]'
_FORGE = """
([topic, text]) => theRoom.localParticipant.publishData(
  new TextEncoder().encode(text), { reliable: true, topic })
"""


async def tell(person: Any, room: str, topic: str, data: bytes) -> None:
    """Send from the server, as the ladder does: to everybody in the room but HQ."""
    async with person.server.admin() as admin:
        found = await admin.room.list_participants(api.ListParticipantsRequest(room=room))
        others = [one.identity for one in found.participants if not one.identity.startswith("host")]
        await admin.room.send_data(
            api.SendDataRequest(
                room=room, data=data, kind=0, topic=topic, destination_identities=others
            )
        )


async def camera_of(person: Any, room: str, name: str) -> str:
    """The sid of somebody's camera."""
    async with person.server.admin() as admin:
        found = await admin.room.list_participants(api.ListParticipantsRequest(room=room))
    return next(
        track.sid
        for one in found.participants
        if one.name == name
        for track in one.tracks
        if track.source == api.TrackSource.CAMERA
    )


async def tell_step(person: Any, room: str, step: str, reason: str = "downlink") -> None:
    """Send what the ladder says."""
    data = json.dumps({"step": step, "reason": reason}).encode()
    await tell(person, room, "aislecast.network", data)


async def give_room(route: Route) -> None:
    """Hand the page's room to the test."""
    answer = await route.fetch()
    await route.fulfill(response=answer, body=await answer.text() + _GIVE_ROOM)


def chunks(track: str, file: bytes, *, number: int, taken_ms: int) -> list[bytes]:
    """Cut a picture as signaling/PROTOCOL.md says."""
    parts = [file[at : at + 900] for at in range(0, len(file), 900)]
    sid = track.encode()
    return [
        struct.pack(">BBHHIHHQB", 1, 1, 320, 180, number, index, len(parts), taken_ms, len(sid))
        + sid
        + part
        for index, part in enumerate(parts)
    ]


async def tell_still(person: Any, room: str, parts: list[bytes]) -> None:
    """Send a picture as the server does."""
    for part in parts:
        await tell(person, room, "aislecast.still", part)


async def test_every_step_is_one_line_that_goes_by_itself(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    line = guest.page.locator("#line")
    assert await line.get_attribute("aria-live") == "polite"
    for step, words in (
        ("reduced", "画面先小一点"),
        ("half_rate", "已先保证声音"),
        ("quarter_rate", "画面慢一些"),
        ("stills", "一张张清晰照"),
        ("audio_only", "先只留声音"),
        ("full", "画面恢复了"),
    ):
        await tell_step(guest, host.room, step)
        await guest.page.wait_for_selector(f"#line:has-text('{words}')")
    await guest.page.wait_for_selector('#quality[data-level="3"]')
    await guest.until("() => document.querySelector('#line').textContent === ''")
    await tell_step(guest, host.room, "half_rate", "server")
    await guest.page.wait_for_selector("#line:has-text('这会儿人多')")
    await guest.page.wait_for_selector('#quality[data-level="1"]')
    # HQ has no part in it.
    assert await host.page.inner_text("#line") == ""


async def test_on_a_walk_the_words_are_about_hqs_picture(host, person) -> None:
    rep = await person(phone=True, language="en")
    await rep.enter(await host.invite("walker", "王芳"))
    for step, words in (
        ("reduced", "Network a bit weak; you see HQ smaller"),
        ("half_rate", "Network a bit weak; you see HQ more slowly"),
        ("quarter_rate", "Network weak; you see HQ slowly, sound goes on"),
        ("stills", "Network weak; you see photos of HQ, sound goes on"),
        ("audio_only", "Network weak; you cannot see HQ now, sound goes on"),
        ("full", "The network is good again; you see HQ as before"),
    ):
        await tell_step(rep, host.room, step)
        await rep.page.wait_for_selector(f"#line:has-text('{words}')")


async def test_a_short_dip_stays_unsaid(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await guest.page.evaluate(_KEEP_SAID)
    await tell_step(guest, host.room, "half_rate")
    await tell_step(guest, host.room, "full")
    await guest.page.wait_for_timeout(2500)
    assert await guest.page.evaluate("said.filter(Boolean)") == []


async def test_a_still_takes_the_place_of_the_film_until_it_moves_again(host, person) -> None:
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await guest.until_tile("李经理")
    await host.page.keyboard.press("v")
    await guest.page.wait_for_selector('.tile[aria-label="李经理"].dark-tile')
    await host.page.keyboard.press("v")
    await guest.until_tile("李经理")
    # The film stands still: no frame comes while the sender's camera is held.
    camera = await camera_of(guest, host.room, "李经理")
    await guest.page.evaluate(_STOP_FILM, _TILE)
    file = bytes(await guest.page.evaluate(_WEBP))
    # A phone's clock may be minutes wrong: age is told by the journey of the fastest picture.
    ahead_ms = int(time.time() * 1000) + 600_000
    await tell_still(guest, host.room, chunks(camera, file, number=1, taken_ms=ahead_ms))
    still = f"{_TILE} .tile-still"
    await guest.page.wait_for_selector(f"{still}:not([hidden])")
    assert await guest.page.get_attribute(still, "alt") == "李经理 的照片"
    assert await guest.page.evaluate("(s) => document.querySelector(s).naturalWidth", still) == 320
    await guest.page.wait_for_selector(".tile-age:has-text('3 秒前')")
    # The next replaces it; half a picture and rubbish change nothing.
    first = await guest.page.get_attribute(still, "src")
    await tell_still(guest, host.room, chunks(camera, file, number=2, taken_ms=ahead_ms + 5000))
    await guest.until(
        "(old) => ![old, null, undefined].includes("
        "document.querySelector('.tile-still[src]')?.getAttribute('src'))",
        first,
    )
    assert not await guest.page.evaluate(_LOADS, first)
    await tell(guest, host.room, "aislecast.still", b"\x01\x01rubbish")
    await tell(
        guest, host.room, "aislecast.still", chunks(camera, b"x" * 2000, number=3, taken_ms=1)[1]
    )
    await guest.page.evaluate(_GO_ON, _TILE)
    await guest.page.wait_for_selector(still, state="hidden")
    await guest.page.wait_for_selector(f"{_TILE} .tile-age", state="hidden")


async def test_only_the_server_is_believed(host, person) -> None:
    forger = await person()
    await forger.page.route("**/livekit-client.umd.js", give_room)
    await forger.enter(await host.invite("guest", "陈静"))
    guest = await person(phone=True)
    await guest.enter(await host.invite("guest", "张敏"))
    await guest.until_tile("陈静")
    await forger.until_tile("张敏")
    # Without pictures the server itself has nothing to say, however busy the machine is.
    for one, name in ((host, "李经理"), (forger, "陈静")):
        await one.show_tools()
        await one.page.click("#camera")
        await guest.page.wait_for_selector(f'.tile[aria-label^="{name}"] video', state="hidden")
    await forger.page.evaluate(
        _FORGE, ["aislecast.network", '{"step": "audio_only", "reason": "downlink"}']
    )
    await forger.page.evaluate(_FORGE, ["lk.other", "x"])
    await guest.page.wait_for_timeout(3000)
    assert await guest.page.inner_text("#line") == ""
    assert await guest.page.get_attribute("#quality", "data-level") == "3"


async def test_a_rep_sees_hqs_stills_where_the_film_was(host, person) -> None:
    rep = await person(phone=True)
    await rep.enter(await host.invite("walker", "王芳"))
    await rep.until_seen("#hq-face video")
    camera = await camera_of(rep, host.room, "李经理")
    await rep.page.evaluate(_STOP_FILM, "#hq-face")
    await rep.page.wait_for_selector("#hq-face .tile-age:has-text('秒前')")
    file = bytes(await rep.page.evaluate(_WEBP))
    now_ms = int(time.time() * 1000)
    await tell_still(rep, host.room, chunks("TR_else", file, number=1, taken_ms=now_ms))
    await tell_still(rep, host.room, chunks(camera, file, number=2, taken_ms=now_ms))
    still = "#hq-face .tile-still:not([hidden])"
    await rep.page.wait_for_selector(still)
    assert await rep.page.get_attribute(still, "alt") == "李经理 的照片"
    boxes = [await rep.page.locator(one).bounding_box() for one in (still, "#hq-face")]
    assert boxes[0] == boxes[1]
    await rep.page.wait_for_selector("#hq-face .tile-age:has-text('3 秒前')")
    await rep.page.evaluate(_GO_ON, "#hq-face")
    await rep.page.wait_for_selector("#hq-face .tile-still", state="hidden")
    await rep.page.wait_for_selector("#hq-face .tile-age", state="hidden")
    await rep.until_seen("#hq-face video")


async def test_a_page_listens_to_packets_without_sender_alone(person) -> None:
    reader = await person()
    await reader.goto("/")
    heard = await reader.page.evaluate(
        """async () => {
          globalThis.LivekitClient = { RoomEvent: { DataReceived: "data" } };
          const { listenToServer } = await import("/static/x/js/room/from_server.js");
          let tell = null;
          const heard = [];
          const room = { on: (event, listener) => { tell = listener; } };
          listenToServer(room, { mine: ([number]) => heard.push(number) });
          const packet = (number) => new Uint8Array([number]);
          tell(packet(1), undefined, 0, "mine", 0, "");
          tell(packet(2), { identity: "forger" }, 0, "mine", 0, "forger");
          tell(packet(3), undefined, 0, "mine", 0, "somebody-who-left");
          tell(packet(4), undefined, 0, "other", 0, "");
          tell(packet(5), undefined, 0, undefined, 0, undefined);
          tell(packet(6), undefined, 0, "constructor", 0, undefined);
          return heard;
        }"""
    )
    assert heard == [1]


async def test_pictures_that_are_held_are_words_enough(host, person) -> None:
    """On a line that is full the server's words get stuck; signalling comes another way."""
    guest = await person(phone=True)
    await guest.page.route("**/livekit-client.umd.js", give_room)
    await guest.enter(await host.invite("guest", "张敏"))
    await guest.until_tile("李经理")
    for state, words in (("paused", "先只留声音"), ("active", "画面恢复了")):
        await guest.page.evaluate(_HOLD, state)
        await guest.page.wait_for_selector(f"#line:has-text('{words}')")
    # What the server says comes first: here it is stills, which are no silence.
    await tell_step(guest, host.room, "stills")
    await guest.page.wait_for_selector("#line:has-text('一张张清晰照')")
    await guest.page.evaluate(_KEEP_SAID)
    await guest.page.evaluate(_HOLD, "paused")
    await guest.page.wait_for_timeout(5000)
    assert "先只留声音" not in "".join(await guest.page.evaluate("said"))


async def test_how_the_network_was_is_told_after_a_meeting_nobody_recorded(host, person) -> None:
    guest = await person()
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    # The first sample of a line is written after ten seconds.
    await host.page.wait_for_timeout(12_000)
    async with host.server.admin() as admin:
        await admin.room.delete_room(api.DeleteRoomRequest(room=host.room))
    await host.goto("/")
    row = host.page.locator(f'#past-list [data-room="{host.room}"]')
    await row.wait_for()
    assert "2 人" in await row.inner_text()
    await row.click()
    await host.page.wait_for_selector("dialog .line-list li >> nth=1")
    told = await host.page.inner_text("dialog .line-list")
    assert "张敏" in told and "李经理" in told and "网络正常" in told, told
    assert await violations(host.page) == []
