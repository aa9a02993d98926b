"""Pictures and sound between two browsers, as they are seen and heard at the far end."""

from __future__ import annotations

import pytest
from testkit.chromium_client import ChromiumClient, shown

pytestmark = pytest.mark.asyncio(loop_scope="session")

CAMERA = {
    "width": 1280,
    "height": 720,
    "fps": 15,
    "layers": [(320, 180, 120_000), (640, 360, 300_000)],
}
SMALL_CAMERA = {"width": 640, "height": 360, "fps": 15, "simulcast": False}
AUDIBLE = 0.02
MODES = pytest.mark.parametrize("is_single", [True, False], ids=["single", "dual"])


async def assert_is_fake_camera(client: ChromiumClient, sid: str) -> None:
    """Chromium's fake camera: a green picture in which a pie and a clock move."""
    await client.until("hasFrames", sid, 3)
    first = await client.call("look", sid)
    await client.call("mark", sid)
    await client.until("hasFrames", sid, 10)
    second = await client.call("look", sid)
    assert first["green"] > 0.6, shown(first)
    assert second["green"] > 0.6, shown(second)
    assert second["changed"] > 5, shown(second)


@MODES
async def test_camera_and_microphone_arrive(join, is_single: bool) -> None:
    alice = await join("alice", singlePeerConnection=is_single)
    bob = await join("bob", singlePeerConnection=is_single)
    assert (alice.is_single, bob.is_single) == (is_single, is_single)
    camera = await alice.call("publishCamera", CAMERA)
    microphone = await alice.call("publishMicrophone")
    await bob.until("hasFrames", camera, 15)
    await assert_is_fake_camera(bob, camera)
    await bob.until("isLoud", microphone, AUDIBLE)
    heard = await bob.call("received", microphone)
    assert heard["energy"] > 0, shown(heard)
    # Bob answers: both directions at once, and Alice is not told of herself.
    answer = await bob.call("publishCamera", SMALL_CAMERA)
    await assert_is_fake_camera(alice, answer)
    assert await alice.call("people") == ["bob"]


async def test_who_comes_later_gets_a_picture_at_once(join) -> None:
    alice = await join("alice")
    camera = await alice.call("publishCamera", SMALL_CAMERA)
    await alice.until_sent(camera, lambda sent: sent[""]["frames"] > 5)
    bob = await join("bob")
    await bob.until("hasFrames", camera, 1, timeout_s=3)
    await assert_is_fake_camera(bob, camera)


async def test_the_three_sizes_of_a_camera(join) -> None:
    alice = await join("alice")
    bob = await join("bob")
    camera = await alice.call("publishCamera", CAMERA)
    for name, width in (("HIGH", 1280), ("LOW", 320), ("MEDIUM", 640), ("HIGH", 1280)):
        await bob.until("hasFrames", camera, 1)
        await bob.call("setQuality", camera, name)
        await bob.until("hasFrames", camera, 1, width)
        await bob.call("mark", camera)
        await bob.until("hasFrames", camera, 15, width)
        seen = await bob.call("seen", camera)
        assert seen["widths"] == [width], shown(seen)
    await assert_is_fake_camera(bob, camera)
    received = await bob.call("received", camera)
    # A switch that lost the decoder would show as a freeze and a flood of key frames.
    assert received["keyframes"] < 20, shown(received)


async def test_screen_share(join) -> None:
    alice = await join("alice")
    bob = await join("bob")
    camera = await alice.call("publishCamera", SMALL_CAMERA)
    screen = await alice.call("publishScreen")
    await bob.until("hasFrames", camera, 5)
    await bob.until("hasFrames", screen, 5)
    assert await bob.call("trackOf", "alice", "screen_share") == screen
    await alice.call("unpublish", screen)
    await bob.until("happened", "TrackUnsubscribed")
    assert await bob.call("trackOf", "alice", "screen_share") == ""
    await bob.call("mark", camera)
    await bob.until("hasFrames", camera, 5)


@MODES
async def test_mute_and_unmute(join, is_single: bool) -> None:
    alice = await join("alice", singlePeerConnection=is_single)
    bob = await join("bob", singlePeerConnection=is_single)
    camera = await alice.call("publishCamera", SMALL_CAMERA)
    microphone = await alice.call("publishMicrophone")
    await bob.until("hasFrames", camera, 5)
    await bob.until("isLoud", microphone, AUDIBLE)
    for sid in (camera, microphone):
        await alice.call("setMuted", sid, True)
        await bob.until("isMuted", sid)
    await bob.call("resetLoudness", microphone)
    await bob.call("mark", camera)
    for sid in (camera, microphone):
        await alice.call("setMuted", sid, False)
    await bob.until("hasFrames", camera, 5)
    await bob.until("isLoud", microphone, AUDIBLE)
    assert not await bob.call("isMuted", camera)


@MODES
async def test_unpublish_and_publish_again(join, is_single: bool) -> None:
    alice = await join("alice", singlePeerConnection=is_single)
    bob = await join("bob", singlePeerConnection=is_single)
    seen = set()
    for round_number in range(1, 4):
        camera = await alice.call("publishCamera", SMALL_CAMERA)
        assert camera not in seen
        seen.add(camera)
        await assert_is_fake_camera(bob, camera)
        await alice.call("unpublish", camera)
        await bob.until("happened", "TrackUnpublished", round_number)
    assert await bob.call("count", "TrackSubscribed") == 3


@MODES
async def test_unsubscribe_and_subscribe_again(join, is_single: bool) -> None:
    alice = await join("alice", singlePeerConnection=is_single)
    bob = await join("bob", singlePeerConnection=is_single)
    camera = await alice.call("publishCamera", SMALL_CAMERA)
    for round_number in range(1, 3):
        await bob.until("hasFrames", camera, 5)
        await bob.call("setSubscribed", camera, False)
        await bob.until("happened", "TrackUnsubscribed", round_number)
        await bob.call("setSubscribed", camera, True)
    await assert_is_fake_camera(bob, camera)


async def test_more_tracks_than_the_first_offer_has_sections(join) -> None:
    """A single connection offers three sections of a kind; the fourth picture needs another."""
    alice = await join("alice")
    bob = await join("bob")
    small = {"width": 320, "height": 180, "fps": 8, "simulcast": False, "bitrate": 120_000}
    cameras = [await alice.call("publishCamera", small) for _ in range(5)]
    for camera in cameras:
        await bob.until("hasFrames", camera, 3)
    assert await bob.call("count", "TrackSubscribed") == 5


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
async def test_other_codecs(join, codec: str) -> None:
    """H.264 by layers; VP9 and AV1 (with layers inside the stream) forwarded whole."""
    alice = await join("alice")
    mime = f"video/{codec.upper()}"
    assert await alice.call("canEncode", mime), f"this Chromium has no {mime}"
    bob = await join("bob")
    camera = await alice.call("publishCamera", {**SMALL_CAMERA, "codec": codec})
    await bob.until("hasFrames", camera, 10)
    assert await bob.call("codecOf", camera) == mime
    await assert_is_fake_camera(bob, camera)


async def test_h264_simulcast(join) -> None:
    alice = await join("alice")
    bob = await join("bob")
    layers = [(160, 90, 60_000), (320, 180, 120_000)]
    camera = {**CAMERA, "width": 640, "height": 360, "layers": layers, "codec": "h264"}
    sid = await alice.call("publishCamera", camera)
    await bob.until("hasFrames", sid, 1)
    for name, width in (("LOW", 160), ("HIGH", 640)):
        await bob.call("setQuality", sid, name)
        await bob.until("hasFrames", sid, 3, width)
    assert await bob.call("codecOf", sid) == "video/H264"
