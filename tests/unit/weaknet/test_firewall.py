"""The simulated firewall."""

from __future__ import annotations

import struct

import pytest
from weaknet.firewall import Firewall


def packet(protocol: int, source: int, destination: int, *, version: int = 4) -> bytes:
    """An IP header without options and the ports behind it."""
    head = bytes([version << 4 | 5]) + bytes(8) + bytes([protocol]) + bytes(10)
    return head + struct.pack("!2H", source, destination)


@pytest.mark.parametrize(
    "sent",
    [
        packet(17, 5000, 443),
        packet(6, 443, 8080),
        packet(6, 5000, 443, version=6),
        packet(6, 5000, 443)[:22],
        b"",
    ],
    ids=["udp", "another port", "IPv6", "cut short", "empty"],
)
def test_what_is_not_tcp_to_an_open_port_stays_in(sent: bytes) -> None:
    firewall = Firewall([443])
    assert not firewall.outbound(sent)
    assert firewall.blocked_udp + firewall.blocked_other == 1


def test_an_open_port_passes_both_ways() -> None:
    firewall = Firewall([443])
    assert firewall.outbound(packet(6, 5000, 443))
    assert firewall.inbound(packet(6, 443, 5000))
    assert not firewall.inbound(packet(6, 5000, 443))


def test_without_one_everything_passes() -> None:
    assert Firewall(None).inbound(packet(17, 1, 2))
