"""States of a transport as they follow from ICE and DTLS."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine, make_registry

from sfu.config import DataLimits, DtlsConfig, MediaConfig
from sfu.dtls import DtlsIdentity
from sfu.errors import MediaClosedError
from sfu.transport import Path, Transport

NEW, CONNECTED, DISCONNECTED, FAILED = range(4)


@pytest.fixture(scope="module")
def identity() -> DtlsIdentity:
    return DtlsIdentity()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def transport(engine: FakeEngine, identity: DtlsIdentity) -> Transport:
    return Transport(make_registry(engine, identity), clock=lambda: 0.0)


def set_remote(transport: Transport, ufrag: str = "abcd") -> None:
    transport.set_remote(
        ufrag=ufrag, pwd="p" * 22, fingerprints=["sha-256 AA:BB"], dtls_role="server"
    )


async def test_made_with_its_own_credentials(engine: FakeEngine, transport: Transport) -> None:
    assert engine.named("add_transport") == [tuple(transport.ice)]
    assert transport.fingerprint.startswith("sha-256 ") and len(transport.fingerprint) == 8 + 95
    assert transport.state == "new"


async def test_remote_parameters_are_told_once(engine: FakeEngine, transport: Transport) -> None:
    set_remote(transport)
    set_remote(transport)
    set_remote(transport, "efgh")
    assert [call[1] for call in engine.named("set_remote_ice")] == ["abcd", "efgh"]
    assert transport.state == "connecting"


async def test_connected_needs_dtls(transport: Transport) -> None:
    states: list[str] = []
    transport.on_state = states.append
    set_remote(transport)
    transport.handle_ice_state(CONNECTED, "udp", "192.0.2.1", 4000)
    assert transport.path == Path("udp", "192.0.2.1", 4000)
    assert states == ["connecting"]
    transport.handle_ice_state(FAILED, "", "", 0)
    assert transport.path == Path("udp", "192.0.2.1", 4000)
    assert states == ["connecting", "failed"]
    await transport.close()
    assert states[-1] == "closed"
    transport.handle_ice_state(CONNECTED, "udp", "192.0.2.1", 4000)
    assert transport.state == "closed"


async def test_restart_makes_new_credentials(engine: FakeEngine, transport: Transport) -> None:
    old = transport.ice
    assert transport.restart_ice() != old
    assert engine.named("restart_ice") == [(transport.handle, *transport.ice)]
    await transport.close()
    with pytest.raises(MediaClosedError):
        transport.restart_ice()


async def test_dtls_beyond_rate_or_queue_is_dropped(
    engine: FakeEngine, identity: DtlsIdentity
) -> None:
    config = MediaConfig(
        dtls=DtlsConfig(max_queued_datagrams=3),
        data=DataLimits(datagrams_per_s=10, datagram_burst=5),
    )
    registry = make_registry(engine, identity, config)
    transport = Transport(registry, clock=lambda: 0.0)
    for _ in range(9):
        transport.handle_dtls(b"\x16data")
    assert registry.counters == {"dtls_queue_full": 2, "dtls_over_rate": 4}


async def test_a_peers_line_that_falls_is_passed_on(transport: Transport) -> None:
    heard: list[int] = []
    transport.handle_uplink(120_000)
    assert transport.has_fallen, "nobody has to listen"
    transport.on_uplink = heard.append
    transport.handle_uplink(0)
    assert not transport.has_fallen
    transport.handle_uplink(90_000)
    await transport.close()
    transport.handle_uplink(0)
    assert heard == [0, 90_000], "not after the end"
