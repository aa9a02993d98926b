"""Lines that break and servers that restart: the call goes on, or comes back by itself."""

from __future__ import annotations

import pytest
import pytest_asyncio
from testkit.server import AislecastServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

CAMERA = {"width": 640, "height": 360, "fps": 12, "simulcast": False, "bitrate": 300_000}
MODES = pytest.mark.parametrize("is_single", [True, False], ids=["single", "dual"])


async def assert_call_goes_on(alice, bob) -> None:
    """Bob sees Alice anew, and data goes both ways."""
    await bob.until("trackOf", "alice", "camera", timeout_s=30)
    camera = await bob.call("trackOf", "alice", "camera")
    await bob.until("hasFrames", camera, 1, timeout_s=30)
    await bob.call("mark", camera)
    await bob.until("hasFrames", camera, 10)
    for sender, listener in ((alice, bob), (bob, alice)):
        # What is sent while livekit-client still opens its channel never leaves the page.
        await sender.call("keepSending", f"after by {sender.identity}")
        await listener.until("hasHeard", f"after by {sender.identity}")


@pytest.mark.alone
@MODES
async def test_resume_after_the_signal_line_broke(join, server, is_single: bool) -> None:
    """Media must not stop for it."""
    alice = await join("alice", singlePeerConnection=is_single)
    bob = await join("bob", singlePeerConnection=is_single)
    camera = await alice.call("publishCamera", CAMERA)
    await bob.until("hasFrames", camera, 5)
    before = server.metrics().get("resumed", 0)
    for client in (alice, bob):
        await bob.call("mark", camera)
        await client.call("simulate", "signal-reconnect")
        await client.until("happened", "Reconnected")
        await bob.until("hasFrames", camera, 5)
        # The same track all the time: nobody had to subscribe again.
        seen = await bob.call("seen", camera)
        assert seen["longest_gap_ms"] < 1500, seen
    assert server.metrics()["resumed"] - before == 2
    assert await bob.call("count", "TrackSubscribed") == 1
    await assert_call_goes_on(alice, bob)


@MODES
async def test_full_reconnect(join, is_single: bool) -> None:
    alice = await join("alice", singlePeerConnection=is_single)
    bob = await join("bob", singlePeerConnection=is_single)
    camera = await alice.call("publishCamera", CAMERA)
    await bob.until("hasFrames", camera, 5)
    await alice.call("simulate", "full-reconnect")
    await alice.until("happened", "Reconnected")
    await bob.until("happened", "TrackSubscribed", 2)
    await assert_call_goes_on(alice, bob)


@pytest_asyncio.fixture(loop_scope="session")
async def own_server(tmp_path):
    with AislecastServer(tmp_path / "data") as server:
        yield server


async def test_everybody_comes_back_after_a_restart(join, own_server) -> None:
    """SIGTERM drains: clients are told to reconnect, and do, once the server is there again."""
    alice = await join("alice", on=own_server)
    bob = await join("bob", on=own_server, singlePeerConnection=False)
    camera = await alice.call("publishCamera", CAMERA)
    await bob.until("hasFrames", camera, 5)
    own_server.stop()
    for client in (alice, bob):
        await client.until("happened", "Reconnecting")
    own_server.start()
    for client in (alice, bob):
        await client.until("happened", "Reconnected", timeout_s=40)
    await assert_call_goes_on(alice, bob)


async def test_everybody_comes_back_after_a_crash(join, own_server) -> None:
    alice = await join("alice", on=own_server)
    bob = await join("bob", on=own_server)
    camera = await alice.call("publishCamera", CAMERA)
    await bob.until("hasFrames", camera, 5)
    own_server.kill()
    own_server.start()
    for client in (alice, bob):
        await client.until("happened", "Reconnected", timeout_s=40)
    await assert_call_goes_on(alice, bob)


async def test_a_closed_tab_is_noticed_and_the_same_person_comes_back(join) -> None:
    alice = await join("alice")
    bob = await join("bob")
    camera = await alice.call("publishCamera", CAMERA)
    await bob.until("hasFrames", camera, 3)
    # The same identity from another tab takes the seat.
    again = await join("alice")
    await alice.until("happened", "Disconnected")
    camera = await again.call("publishCamera", CAMERA)
    await bob.until("hasFrames", camera, 3)
    assert await bob.call("people") == ["alice"]
