"""Data packets, text streams and calls between browsers, in both modes."""

from __future__ import annotations

import pytest
from testkit.chromium_client import shown

pytestmark = pytest.mark.asyncio(loop_scope="session")

RELIABLE, LOSSY = 0, 1
MODES = pytest.mark.parametrize("is_single", [True, False], ids=["single", "dual"])


@MODES
async def test_data_of_every_kind(join, is_single: bool) -> None:
    alice = await join("alice", singlePeerConnection=is_single)
    bob = await join("bob", singlePeerConnection=is_single)
    carol = await join("carol", singlePeerConnection=not is_single)
    for kind, is_reliable in ((RELIABLE, True), (LOSSY, False)):
        text = f"packet {kind}"
        await alice.call("sendData", text, {"reliable": is_reliable, "topic": "t"})
        for listener in (bob, carol):
            await listener.until("hasHeard", text)
            (packet,) = await listener.call("heard", text)
            assert packet == {"text": text, "from": "alice", "kind": kind, "topic": "t"}, shown(
                packet
            )
    # To one: nobody else hears it, and the sender never hears itself.
    await alice.call("sendData", "for bob", {"reliable": True, "to": ["bob"]})
    await alice.call("sendData", "for all", {"reliable": True})
    await bob.until("hasHeard", "for bob")
    await carol.until("hasHeard", "for all")
    assert await carol.call("heard", "for bob") == []
    assert await alice.call("heard", "for all") == []


@MODES
async def test_text_stream_and_call(join, is_single: bool) -> None:
    alice = await join("alice", singlePeerConnection=is_single)
    bob = await join("bob", singlePeerConnection=is_single)
    long = "货架 shelf " * 9000  # several chunks
    await alice.call("sendText", long)
    await bob.until("hasText", long)
    assert await alice.call("rpc", "bob", "21") == "42"
    assert await bob.call("rpc", "alice", "4") == "8"


async def test_many_reliable_packets_keep_their_order(join) -> None:
    alice = await join("alice")
    bob = await join("bob")
    texts = [f"n{number}" for number in range(300)]
    await alice.call("sendMany", texts)
    await bob.until("hasHeard", texts[-1])
    assert await bob.call("allHeard") == texts


async def test_no_right_to_send_data(join, server) -> None:
    alice = await join("alice", grants={"can_publish_data": False})
    bob = await join("bob")
    before = server.metrics().get("data_not_allowed", 0)
    await alice.call("sendData", "not allowed", {"reliable": True})
    await bob.call("sendData", "allowed", {"reliable": True})
    await alice.until("hasHeard", "allowed")
    await alice.call("sendData", "still not", {"reliable": True})
    assert await bob.call("allHeard") == []
    assert server.metrics().get("data_not_allowed", 0) > before
