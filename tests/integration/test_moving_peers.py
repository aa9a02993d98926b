"""Media while a peer changes its address, loses UDP or is gone: without any signalling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from ice_client import IceClient, PeerClient

from sfu.config import MediaConfig
from sfu.ice import IceCandidate
from sfu.ids import Codec, Payload
from sfu.server import MediaServer

pytestmark = pytest.mark.alone

FRAME_S = 0.02
MAX_GAP_S = 1.0
DEAD_S = 6.5  # the engine says disconnected after 5 s


class Rig:
    """A microphone of ours that one peer hears."""

    def __init__(self, server: MediaServer) -> None:
        self.server = server
        self.transport = server.create_transport()
        self.states: list[str] = []
        self.transport.on_state = self.states.append
        self.peer = PeerClient(self.transport, self.candidate("udp"))
        self._speaking: asyncio.Task[None] | None = None

    def candidate(self, protocol: str) -> IceCandidate:
        return next(c for c in self.server.candidates if c.protocol == protocol)

    async def start(self) -> None:
        await self.peer.connect()
        self.transport.set_media({}, [Payload(111, Codec.OPUS)])
        source = self.server.create_local_source(is_audio=True, label="tone")
        self.transport.add_sink(
            source, ssrc=1234, rtx_ssrc=0, mid="0", payloads=[Payload(111, Codec.OPUS)]
        )

        async def speak() -> None:
            ts_rtp = 0
            while True:
                source.push_frame(Codec.OPUS, ts_rtp, b"\x78" + bytes(40))
                ts_rtp += 960
                await asyncio.sleep(FRAME_S)

        self._speaking = asyncio.create_task(speak())
        await self.hear(5)

    async def hear(self, packets: int, *, client: IceClient | None = None) -> float:
        """Wait for so many packets; returns the seconds to the first."""
        begun_s = time.monotonic()
        queue = (client or self.peer.ice).media
        while not queue.empty():
            queue.get_nowait()
        async with asyncio.timeout(5):
            await queue.get()
            first_s = time.monotonic() - begun_s
            for _ in range(packets - 1):
                await queue.get()
        return first_s

    async def close(self) -> None:
        if self._speaking is not None:
            self._speaking.cancel()
        await self.peer.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    server = MediaServer(MediaConfig(hosts=("127.0.0.1",), udp_port=0, tcp_port=0))
    await server.start()
    rig = Rig(server)
    await rig.start()
    yield rig
    await rig.close()
    await server.close()


async def test_media_follows_to_another_address_within_a_second(rig: Rig) -> None:
    for _ in range(3):
        before = rig.transport.path
        await rig.peer.ice.move()
        assert await rig.hear(10) < MAX_GAP_S
        assert rig.transport.path != before
    assert rig.transport.state == "connected" and "disconnected" not in rig.states


async def test_media_follows_from_udp_to_tcp(rig: Rig) -> None:
    """UDP is blocked from one moment to the next."""
    await rig.peer.ice.pause()
    over_tcp = IceClient(rig.candidate("tcp"), rig.transport.ice)
    over_tcp.local = rig.peer.ice.local
    await over_tcp.start()
    # The old path counts as silent after a second without checks.
    assert await rig.hear(10, client=over_tcp) < 2 * MAX_GAP_S
    assert rig.transport.path is not None and rig.transport.path.protocol == "tcp"
    assert rig.transport.state == "connected"
    await over_tcp.stop()
    rig.peer.ice.go_on()


async def test_media_flows_at_once_when_a_dead_line_is_back(rig: Rig) -> None:
    await rig.peer.ice.pause()
    await asyncio.sleep(DEAD_S)
    assert rig.transport.state == "disconnected"
    rig.peer.ice.go_on()
    assert await rig.hear(5) < 0.5
    assert rig.transport.state == "connected" and "failed" not in rig.states
