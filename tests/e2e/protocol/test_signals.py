"""What the server tells clients besides media: layers nobody needs, quality, speakers."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

CAMERA = {
    "width": 960,
    "height": 540,
    "fps": 10,
    "bitrate": 500_000,
    "layers": [(240, 135, 80_000), (480, 270, 160_000)],
}


def running(sent: dict) -> set[str]:
    return {rid for rid, stream in sent.items() if stream["is_active"]}


@pytest.mark.alone
async def test_layers_nobody_needs_stop_at_the_publisher(join) -> None:
    alice = await join("alice", dynacast=True)
    bob = await join("bob")
    camera = await alice.call("publishCamera", CAMERA)
    await bob.until("hasFrames", camera, 1, 960)
    await alice.until_sent(camera, lambda sent: running(sent) == {"q", "h", "f"})
    await bob.call("setQuality", camera, "LOW")
    await bob.until("hasFrames", camera, 3, 240)
    await alice.until_sent(camera, lambda sent: running(sent) == {"q"})
    # Wanted again: the publisher starts the layers anew, and the viewer never loses the picture.
    await bob.call("mark", camera)
    await bob.call("setQuality", camera, "HIGH")
    await bob.until("hasFrames", camera, 10, 960)
    seen = await bob.call("seen", camera)
    assert seen["longest_gap_ms"] < 1500, seen
    # Nobody watches: nothing is sent at all. Wanted again: all of it comes back.
    await bob.call("setEnabled", camera, False)
    await alice.until_sent(camera, lambda sent: running(sent) == set())
    await bob.call("setEnabled", camera, True)
    await bob.call("mark", camera)
    await bob.until("hasFrames", camera, 3, 960)
    assert running(await alice.call("sent", camera)) == {"q", "h", "f"}


async def test_quality_and_speakers(join) -> None:
    alice = await join("alice")
    bob = await join("bob")
    camera = await alice.call("publishCamera", CAMERA)
    tone = await alice.call("publishTone", 440)
    await bob.until("hasFrames", camera, 1)
    await bob.until("hasPitch", tone, 440)
    # Everybody is told who is heard, and of the quality of self and others.
    for client in (alice, bob):
        await client.until("hasSpoken", "alice")
        await client.until("qualityOf", "alice")
        assert await client.call("qualityOf", "alice") in ("good", "excellent")
    await alice.call("setMuted", tone, True)
    await bob.until("isSilent")


async def test_people_and_metadata(join, server, room: str) -> None:
    alice = await join("alice")
    bob = await join("bob")
    await alice.until("knows", "bob")
    await alice.call("setAttributes", {"aisle": "7 饮料"})
    await bob.until("attributeOf", "alice", "aisle")
    assert await bob.call("attributeOf", "alice", "aisle") == "7 饮料"
    await bob.call("leave")
    await alice.until("happened", "ParticipantDisconnected")
    assert await alice.call("people") == []


async def test_a_publisher_decides_who_sees_it(join) -> None:
    alice = await join("alice")
    bob = await join("bob")
    carol = await join("carol")
    await alice.call("allowOnly", ["bob"])
    camera = await alice.call("publishCamera", {**CAMERA, "simulcast": False})
    await bob.until("hasFrames", camera, 3)
    await carol.until("happened", "TrackPublished")
    assert await carol.call("count", "TrackSubscribed") == 0
    await alice.call("allowOnly", ["bob", "carol"])
    await carol.until("hasFrames", camera, 3)
