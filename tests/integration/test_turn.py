"""Media through a real coturn with the shipped profile, for clients that may use nothing else."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aioice import stun
from aioice.turn import create_turn_endpoint
from coturn import RELAY_PORTS, SECRET, RunningTurn, run_coturn
from ice_client import IceClient, PeerClient
from livekit import rtc
from sdk_client import hear_hz, sdk_clients, see_bars
from signaling_server import run_server

from sfu.config import MediaConfig
from sfu.server import MediaServer
from sfu.transport import Transport
from signaling.config import IceServer, SignalingConfig
from signaling.turn import TurnAccess

RELAY_ONLY = rtc.RtcConfiguration(ice_transport_type=rtc.IceTransportType.TRANSPORT_RELAY)


@pytest.fixture
async def turn(tmp_path: Path) -> AsyncIterator[RunningTurn]:
    async with run_coturn(tmp_path) as running:
        yield running


class RelayedClient(IceClient):
    """All it sends and gets goes through a TURN server."""

    def __init__(self, client: IceClient, turn: RunningTurn, kind: str, server: IceServer) -> None:
        super().__init__(client.candidate, client.remote)
        self._turn = turn
        self._kind = kind
        self._server = server

    async def start(self) -> None:
        context = None
        if self._kind == "tls":
            context = ssl.create_default_context(cafile=str(self._turn.certificate))
        client = self

        class Inner(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                client.handle(data)

        port = self._turn.tls_port if context else self._turn.port
        relay, _ = await create_turn_endpoint(
            Inner,
            ("127.0.0.1", port),
            self._server.username,
            self._server.credential,
            ssl=context,
            transport="udp" if self._kind == "udp" else "tcp",
        )
        self._relay: Any = relay
        self._checking = asyncio.create_task(self._check())

    def send(self, data: bytes) -> None:
        self._relay.sendto(data, (self.candidate.ip, self.candidate.port))

    async def stop(self) -> None:
        await super().stop()
        self._relay.close()


def credentials(user: str = "PA_test", secret: str = SECRET, wall_s: float | None = None) -> Any:
    now_s = time.time() if wall_s is None else wall_s
    return TurnAccess(("turn:127.0.0.1",), secret).issue(user, now_s)


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls"])
async def test_handshake_and_data_through_the_relay(turn: RunningTurn, kind: str) -> None:
    media = MediaServer(
        MediaConfig(hosts=("127.0.0.1",), udp_port=0, tcp_port=None, announce_loopback=True)
    )
    await media.start()
    try:
        transport = media.create_transport()
        got: list[tuple[str, bytes]] = []
        transport.data.on_message = lambda label, data: got.append((label, data))
        transport.data.start()
        client = PeerClient(transport, media.candidates[0])
        client.ice = RelayedClient(client.ice, turn, kind, credentials())
        client.dtls._transport = client.ice
        async with asyncio.timeout(20):
            await client.connect()
            sctp = await client.start_data()
            from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters

            channel = RTCDataChannel(sctp, RTCDataChannelParameters(label="x", ordered=True))
            while channel.readyState != "open":
                await asyncio.sleep(0.02)
            channel.send(b"through")
            while not got:
                await asyncio.sleep(0.02)
        assert got == [("x", b"through")]
        assert transport.path is not None and transport.path.port in RELAY_PORTS
        await client.close()
    finally:
        await media.close()


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_sdk_client_meets_others_by_relay_only(turn: RunningTurn, kind: str) -> None:
    config = SignalingConfig(keys={}, turn=TurnAccess((turn.url(kind),), SECRET))
    async with (
        run_server(config) as server,
        sdk_clients(server, "far", rtc_config=RELAY_ONLY) as [far],
        sdk_clients(server, "near") as [near],
    ):
        await far.publish_tone(440)
        await near.publish_tone(1000)
        await near.publish_bars(simulcast=False)
        assert abs(await hear_hz(await near.track("audio")) - 440) < 20
        assert abs(await hear_hz(await far.track("audio")) - 1000) < 20
        await see_bars(await far.track("video"))
        ports = [t.path.port for t in _transports(server.media) if t.path is not None]
        assert sum(port in RELAY_PORTS for port in ports) == 1


async def test_nobody_relays_to_any_other_place(turn: RunningTurn) -> None:
    for address in ("127.0.0.2", "10.0.0.1", "169.254.169.254", "224.0.0.1"):
        assert await _ask_for_peer(turn, address, credentials()) == 403


@pytest.mark.parametrize(
    "server",
    [credentials(secret="another-secret-of-thirty-two-chars"), credentials(wall_s=1e9)],
    ids=["forged", "expired"],
)
async def test_credentials_that_do_not_hold(turn: RunningTurn, server: IceServer) -> None:
    assert await _ask_for_peer(turn, "127.0.0.1", server) == 401


async def test_the_secret_is_neither_logged_nor_on_a_command_line(turn: RunningTurn) -> None:
    assert await _ask_for_peer(turn, "10.0.0.1", credentials()) == 403
    assert SECRET not in turn.log.read_text()
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(SECRET.encode() in line for line in lines)
    written = turn.secret_file.parent / "turn-run/turnserver.conf"
    assert written.stat().st_mode & 0o077 == 0


async def _ask_for_peer(turn: RunningTurn, address: str, server: IceServer) -> int:
    """The error code of an allocation or of a permission for ``address``; 0 = granted."""
    try:
        relay, _ = await create_turn_endpoint(
            asyncio.DatagramProtocol,
            ("127.0.0.1", turn.port),
            server.username,
            server.credential,
        )
    except stun.TransactionFailed as error:
        return int(error.response.attributes["ERROR-CODE"][0])
    inner = relay._TurnTransport__inner_protocol
    request = stun.Message(stun.Method.CHANNEL_BIND, stun.Class.REQUEST)
    request.attributes["CHANNEL-NUMBER"] = 0x4000
    request.attributes["XOR-PEER-ADDRESS"] = (address, 9)
    try:
        await inner.request_with_retry(request)
    except stun.TransactionFailed as error:
        return int(error.response.attributes["ERROR-CODE"][0])
    finally:
        relay.close()
    return 0


def _transports(media: MediaServer) -> list[Transport]:
    return list(media._registry.transports.values())
