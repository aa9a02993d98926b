"""Transports over loopback sockets and the real engine, against aiortc's DTLS and SCTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from ice_client import PeerClient

from sfu.config import DtlsConfig, MediaConfig
from sfu.errors import ConfigError, MediaClosedError
from sfu.ice import IceCandidate
from sfu.ids import Codec
from sfu.server import MediaServer
from sfu.transport import Transport

LOOPBACK = MediaConfig(hosts=("127.0.0.1", "::1"), udp_port=0, tcp_port=0)


@pytest.fixture
async def server() -> AsyncIterator[MediaServer]:
    server = MediaServer(LOOPBACK)
    await server.start()
    yield server
    await server.close()


class Peers:
    """Makes peers and ends them with the test."""

    def __init__(self, server: MediaServer) -> None:
        self._server = server
        self._made: list[PeerClient] = []

    def make(
        self, transport: Transport, protocol: str = "udp", version: int = 4, **options: bool
    ) -> PeerClient:
        peer = PeerClient(transport, candidate_of(self._server, protocol, version), **options)
        self._made.append(peer)
        return peer

    async def close(self) -> None:
        for peer in self._made:
            await peer.close()


@pytest.fixture
async def peers(server: MediaServer) -> AsyncIterator[Peers]:
    peers = Peers(server)
    yield peers
    await peers.close()


async def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


def candidate_of(server: MediaServer, protocol: str, version: int = 4) -> IceCandidate:
    separator = ":" if version == 6 else "."
    return next(c for c in server.candidates if c.protocol == protocol and separator in c.ip)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("is_dtls_client", [True, False], ids=["peer active", "peer passive"])
async def test_connects_and_echoes_data(
    server: MediaServer, peers: Peers, protocol: str, version: int, is_dtls_client: bool
) -> None:
    transport = server.create_transport()
    states: list[str] = []
    transport.on_state = states.append
    transport.data.on_message = lambda label, data: transport.data.send(label, data)
    transport.data.start(max_message_bytes=65_535)
    peer = peers.make(transport, protocol, version, is_dtls_client=is_dtls_client)
    await peer.connect()
    await until(lambda: transport.state == "connected")
    assert states == ["connecting", "connected"]
    assert transport.path is not None and transport.path.protocol == protocol
    sctp = await peer.start_data()
    got: list[object] = []
    channel = RTCDataChannel(sctp, RTCDataChannelParameters(label="_reliable"))
    channel.on("message", got.append)
    await until(lambda: channel.readyState == "open")
    channel.send(b"x" * 65_535)
    channel.send(b"small")
    await until(lambda: len(got) == 2)
    assert got == [b"x" * 65_535, b"small"]
    await peer.close()
    await until(lambda: transport.state == "failed")  # its close_notify
    await transport.close()
    assert transport.state == "closed"


async def test_server_opened_channels_reach_the_peer(server: MediaServer, peers: Peers) -> None:
    transport = server.create_transport()
    transport.data.open("_reliable")
    transport.data.open("_lossy", is_ordered=False, max_retransmits=0)
    transport.data.start()
    peer = peers.make(transport)
    await peer.connect()
    sctp = await peer.start_data()
    got: list[tuple[str, object]] = []

    def take(channel: RTCDataChannel) -> None:
        channel.on("message", lambda data: got.append((channel.label, data)))

    sctp.on("datachannel", take)
    await until(lambda: transport.data.labels == {"_reliable", "_lossy"})
    assert transport.data.send("_reliable", b"a") and transport.data.send("_lossy", b"b")
    await until(lambda: len(got) == 2)
    assert sorted(got) == [("_lossy", b"b"), ("_reliable", b"a")]


async def test_dtls_before_our_knowledge_of_the_peer_waits(
    server: MediaServer, peers: Peers
) -> None:
    transport = server.create_transport()
    peer = peers.make(transport)
    await peer.ice.start()
    handshake = asyncio.create_task(peer.dtls.start(peer.remote_parameters()))
    await peer.ice.answered.wait()
    await asyncio.sleep(0.05)
    assert transport.state == "new"
    peer.announce()
    await handshake
    await until(lambda: transport.state == "connected")


async def test_wrong_fingerprint_fails_only_that_transport(
    server: MediaServer, peers: Peers
) -> None:
    good, bad = server.create_transport(), server.create_transport()
    peer, impostor = (peers.make(t) for t in (good, bad))
    impostor.announce = lambda: bad.set_remote(  # type: ignore[method-assign]
        ufrag=impostor.ice.local.ufrag,
        pwd=impostor.ice.local.pwd,
        fingerprints=["sha-256 " + ":".join(["AB"] * 32)],
        dtls_role="server",
    )
    await asyncio.gather(peer.connect(), impostor.connect())
    await until(lambda: good.state == "connected" and bad.state == "failed")
    assert server.counters()["dtls_fingerprint_mismatch"] == 1


async def test_peer_that_never_answers_dtls_fails_in_time() -> None:
    config = MediaConfig(
        hosts=("127.0.0.1",),
        udp_port=0,
        tcp_port=None,
        dtls=DtlsConfig(handshake_timeout_s=0.3),
    )
    server = MediaServer(config)
    await server.start()
    assert {c.protocol for c in server.candidates} == {"udp"}
    transport = server.create_transport()
    peer = PeerClient(transport, candidate_of(server, "udp"), is_dtls_client=False)
    peer.announce()
    await peer.ice.start()
    await until(lambda: transport.state == "failed")
    assert server.counters()["dtls_handshake_timeout"] == 1
    await peer.ice.stop()
    await server.close()


async def test_address_change_keeps_the_connection(server: MediaServer, peers: Peers) -> None:
    transport = server.create_transport()
    transport.data.start()
    peer = peers.make(transport)
    await peer.connect()
    sctp = await peer.start_data()
    channel = RTCDataChannel(sctp, RTCDataChannelParameters(label="_reliable"))
    got: list[object] = []
    channel.on("message", got.append)
    await until(lambda: transport.data.labels == {"_reliable"})
    before = transport.path
    await peer.ice.move()
    await until(lambda: transport.path != before)
    transport.data.send("_reliable", b"to the new address")
    await until(lambda: bool(got))
    assert transport.state == "connected"


async def test_ice_restart_takes_the_new_credentials(server: MediaServer, peers: Peers) -> None:
    transport = server.create_transport()
    peer = peers.make(transport)
    await peer.connect()
    await until(lambda: transport.state == "connected")
    old, new = peer.ice.remote, transport.restart_ice()
    assert old != new == transport.ice
    peer.ice.remote = new
    peer.ice.answered.clear()
    await asyncio.wait_for(peer.ice.answered.wait(), 5)
    assert transport.state == "connected"


async def test_close_says_goodbye(server: MediaServer, peers: Peers) -> None:
    transport = server.create_transport()
    peer = peers.make(transport)
    await peer.connect()
    await until(lambda: transport.state == "connected")
    await transport.close()
    await transport.close()
    await until(lambda: peer.dtls.state == "closed")
    with pytest.raises(MediaClosedError):
        transport.restart_ice()


async def test_flood_of_datagrams_costs_only_the_flooder(server: MediaServer, peers: Peers) -> None:
    transport = server.create_transport()
    peer = peers.make(transport)
    await peer.connect()
    await until(lambda: transport.state == "connected")
    for index in range(6000):
        peer.ice.send(b"\x17\xfe\xfd" + bytes(10) + b"\x00\x20" + bytes(32))
        if index % 50 == 49:
            await asyncio.sleep(0)
    counters = server.counters()
    # The engine bounds what reaches Python, and Python what it decrypts.
    dropped = ("dropped_dtls", "dtls_over_rate", "dtls_queue_full")
    assert sum(counters.get(name, 0) for name in dropped) > 500
    other = server.create_transport()
    other_peer = peers.make(other)
    await other_peer.connect()
    await until(lambda: other.state == "connected")


async def test_taken_port_is_a_plain_error(server: MediaServer) -> None:
    taken = candidate_of(server, "udp").port
    other = MediaServer(MediaConfig(hosts=("127.0.0.1",), udp_port=taken, tcp_port=None))
    with pytest.raises(ConfigError) as caught:
        await other.start()
    assert caught.value.code == "config_media_port" and str(taken) in caught.value.message


async def test_local_source_reaches_a_tap_and_tells_who_watches(server: MediaServer) -> None:
    source = server.create_local_source(is_audio=True, label="tone")
    watched: list[bool] = []
    source.on_watched = watched.append
    tap = server.open_tap(source)
    assert watched == [True]
    frames = []

    async def read() -> None:
        async for batch in tap:
            frames.extend(batch)

    reading = asyncio.create_task(read())
    for index in range(20):
        source.push_frame(Codec.OPUS, index * 960, b"\x78" + bytes([index]) * 20)
        await asyncio.sleep(0.005)
    await until(lambda: len(frames) >= 19)
    assert frames[0].codec == Codec.OPUS and frames[0].data == b"\x78" + bytes([0]) * 20
    assert [f.ts_rtp_ext - frames[0].ts_rtp_ext for f in frames[:3]] == [0, 960, 1920]
    tap.close()
    await reading
    assert watched == [True, False]
    source.close()


async def test_closed_server_refuses(server: MediaServer) -> None:
    transport = server.create_transport()
    await server.close()
    assert transport.state == "closed"
    with pytest.raises(MediaClosedError):
        server.create_transport()
