"""The NAT of a simulated link: addresses and checksums."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weaknet.nat import Nat

SERVER, INNER, OUTER = "198.18.0.1", "198.18.1.2", "198.18.1.3"


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet with right checksums; the payload has an even length."""
    ends = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(destination).packed
    if protocol == 17:
        segment = struct.pack("!4H", 4000, 7882, 8 + len(payload), 0) + payload
        at = 6
    else:
        segment = struct.pack("!2H2IBBHHH", 4000, 7880, 1, 2, 0x50, 0x18, 100, 0, 0) + payload
        at = 16
    pseudo = ends + struct.pack("!BBH", 0, protocol, len(segment))
    filled = bytearray(segment)
    struct.pack_into("!H", filled, at, checksum(pseudo + segment))
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, protocol, 0) + ends
    whole = bytearray(header + filled)
    struct.pack_into("!H", whole, 10, checksum(header))
    return bytes(whole)


payloads = st.binary(max_size=100).map(lambda data: data[: len(data) & ~1])


@pytest.mark.parametrize("protocol", [6, 17])
@given(payload=payloads)
def test_a_translated_packet_is_as_if_sent_from_the_new_address(
    protocol: int, payload: bytes
) -> None:
    nat = Nat(INNER)
    out, back = packet(INNER, SERVER, protocol, payload), packet(SERVER, INNER, protocol, payload)
    assert nat.outbound(out) == out and nat.inbound(back) == back
    nat.change(OUTER)
    assert nat.outbound(out) == packet(OUTER, SERVER, protocol, payload)
    assert nat.inbound(packet(SERVER, OUTER, protocol, payload)) == back


def test_the_old_address_is_gone_after_the_change() -> None:
    nat = Nat(INNER)
    nat.change(OUTER)
    assert nat.inbound(packet(SERVER, INNER, 17, b"late")) is None
    assert nat.dropped == 1


def test_a_packet_without_udp_checksum_stays_without() -> None:
    nat = Nat(INNER)
    nat.change(OUTER)
    bare = bytearray(packet(INNER, SERVER, 17, b"data"))
    bare[26:28] = b"\0\0"
    changed = nat.outbound(bytes(bare))
    assert changed is not None and changed[26:28] == b"\0\0"


@given(rubbish=st.binary(max_size=60))
def test_rubbish_is_dropped_or_passes_but_never_breaks(rubbish: bytes) -> None:
    nat = Nat(INNER)
    nat.change(OUTER)
    own = b"\x4f" + rubbish[1:12].ljust(11, b"\6") + ipaddress.IPv4Address(INNER).packed
    for data in (rubbish, own, own + rubbish, own + b"\0\0\0\0"):
        nat.outbound(data)
        nat.inbound(data)
