"""Sessions negotiate with Chromium: no media flows, only what it makes of our descriptions."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from fake_transport import CANDIDATES, FakeSource, FakeTransport
from playwright.async_api import Page, async_playwright
from testkit.browser_check import find_chromium

from sfu.ids import Codec
from sfu.session import OfferedTrack, Session, Subscription, TrackClaim

SCRIPT = """() => {
  const pc = window.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  window.tracks = [];
  pc.ontrack = e => tracks.push([e.transceiver.mid, e.streams.map(s => s.id).join()]);
  window.offer = async () => {
    await pc.setLocalDescription(await pc.createOffer());
    return pc.localDescription.sdp;
  };
  window.apply = sdp => pc.setRemoteDescription({type: 'answer', sdp});
  window.reply = async sdp => {
    await pc.setRemoteDescription({type: 'offer', sdp});
    await pc.setLocalDescription(await pc.createAnswer());
    return pc.localDescription.sdp;
  };
  window.directions = () => Object.fromEntries(
    pc.getTransceivers().map(t => [t.mid, t.currentDirection]));
  window.publish = () => {
    const canvas = document.createElement('canvas');
    canvas.getContext('2d').fillRect(0, 0, 9, 9);
    const sendEncodings = [
      {rid: 'q', scaleResolutionDownBy: 4}, {rid: 'h', scaleResolutionDownBy: 2}, {rid: 'f'}];
    window.sending = pc.addTransceiver(
      canvas.captureStream(5).getVideoTracks()[0], {direction: 'sendonly', sendEncodings});
  };
}"""


class Browser:
    """One Chromium peer connection and the session that faces it."""

    def __init__(self, page: Page, role: Literal["answerer", "offerer"]) -> None:
        self.page = page
        self._role = role
        self.transport = FakeTransport()
        self.session = Session(
            self.transport,  # type: ignore[arg-type]
            CANDIDATES,
            role=role,
            rng=random.Random(1),
        )
        self.claimed: list[OfferedTrack] = []

    def subscribe(self, codec: Codec, track: str) -> Subscription:
        return self.session.subscribe(
            FakeSource(codec.is_audio),  # type: ignore[arg-type]
            stream_id=f"PA_1|{track}",
            track_id=track,
            codecs=[codec],
        )

    def _claim(self, track: OfferedTrack) -> TrackClaim:
        self.claimed.append(track)
        return TrackClaim()

    async def negotiate(self, **arguments: bool) -> tuple[dict[str, str], list[Any]]:
        """One round; returns what Chromium agreed by mid, and the tracks it announced."""
        if self._role == "offerer":
            answer = await self.page.evaluate(
                "sdp => reply(sdp)", self.session.create_offer(**arguments)
            )
            self.session.handle_answer(answer)
        else:
            answer = self.session.handle_offer(await self.page.evaluate("offer()"), self._claim)
            await self.page.evaluate("sdp => apply(sdp)", answer)
        return (
            await self.page.evaluate("directions()"),
            await self.page.evaluate("tracks.splice(0)"),
        )


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    path = find_chromium()
    assert path is not None, "no Chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = await browser.new_page()
        await page.goto("about:blank")
        await page.evaluate(SCRIPT)
        yield page
        await browser.close()


async def test_one_connection_from_join_to_unpublish(page: Page) -> None:
    browser = Browser(page, "answerer")
    await page.evaluate(
        """() => {
          for (const kind of ['audio', 'video'])
            for (let i = 0; i < 3; i++) pc.addTransceiver(kind, {direction: 'recvonly'});
          pc.createDataChannel('_reliable');
        }"""
    )
    directions, tracks = await browser.negotiate()
    assert set(directions.values()) == {"inactive"} and tracks == []

    first = browser.subscribe(Codec.VP8, "TR_v")
    browser.subscribe(Codec.OPUS, "TR_a")
    directions, tracks = await browser.negotiate()
    assert directions["0"] == directions["3"] == "recvonly"
    assert sorted(tracks) == [["0", "PA_1|TR_a"], ["3", "PA_1|TR_v"]]

    # Simulcast in a section added later needs what the earlier ones agreed on.
    await page.evaluate("publish()")
    directions, tracks = await browser.negotiate()
    assert directions["7"] == "sendonly" and browser.claimed[0].rids == ("q", "h", "f")
    parameters = await page.evaluate("sending.sender.getParameters()")
    assert [encoding["rid"] for encoding in parameters["encodings"]] == ["q", "h", "f"]
    uris = " ".join(extension["uri"] for extension in parameters["headerExtensions"])
    assert "sdes:rtp-stream-id" in uris and "sdes:mid" in uris and "transport-wide-cc" in uris
    assert parameters["codecs"][0]["mimeType"] == "video/VP8"

    browser.session.unsubscribe(first)
    directions, _ = await browser.negotiate()
    assert directions["3"] == "inactive"
    browser.subscribe(Codec.H264, "TR_w")
    directions, tracks = await browser.negotiate()
    assert directions["3"] == "recvonly" and tracks == [["3", "PA_1|TR_w"]]

    await page.evaluate("pc.restartIce()")
    await browser.negotiate()
    assert browser.transport.restarts == 1

    await page.evaluate("sending.direction = 'inactive'")
    await browser.negotiate()
    assert browser.session.published == {} and browser.transport.sources[0].is_closed
    await page.evaluate("sending.stop()")
    await browser.negotiate()
    await page.evaluate("pc.addTransceiver('video', {direction: 'recvonly'})")
    directions, _ = await browser.negotiate()
    assert directions["8"] == "inactive"  # took the stopped section's place under a new mid


async def test_our_offers_are_answered_and_sections_reused(page: Page) -> None:
    browser = Browser(page, "offerer")
    directions, _ = await browser.negotiate()
    assert directions == {}
    removed = browser.subscribe(Codec.VP8, "TR_0")
    browser.subscribe(Codec.OPUS, "TR_1")
    browser.subscribe(Codec.H264, "TR_2")
    directions, tracks = await browser.negotiate()
    assert set(directions.values()) == {"recvonly"} and len(tracks) == 3
    assert [sink.mid for sink in browser.transport.sinks] == ["1", "2", "3"]
    extensions, payloads = browser.transport.media[-1]
    assert {"mid", "twcc", "abs_send_time", "dependency"} <= set(extensions)
    assert "video_orientation" not in extensions, "phones must turn their picture themselves"
    assert (96, Codec.VP8, 97) in payloads and (108, Codec.H264, 109) in payloads

    browser.session.unsubscribe(removed)
    directions, _ = await browser.negotiate()
    assert directions["1"] == "inactive"
    browser.subscribe(Codec.AV1, "TR_3")
    directions, tracks = await browser.negotiate()
    assert directions["1"] == "recvonly" and tracks == [["1", "PA_1|TR_3"]]
    directions, _ = await browser.negotiate(ice_restart=True)
    assert browser.transport.restarts == 1 and set(directions.values()) == {"recvonly"}
