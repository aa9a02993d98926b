"""A NAT between a client and the network, whose outer address may change, as from Wi-Fi to 4G.

IPv4 only. With the change the old mapping is gone: what still comes for the old address is
dropped, and TCP connections die as they do on a phone. Checksums are updated as in RFC 1624.
"""

from __future__ import annotations

import ipaddress
import struct

_SOURCE, _DESTINATION = 12, 16
_CHECKSUM_AT = {6: 16, 17: 6}  # TCP, UDP


def _fold(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _patch(packet: bytearray, offset: int, change: int) -> None:
    """RFC 1624 eqn. 3: HC' = ~(~HC + ~m + m')."""
    (old,) = struct.unpack_from("!H", packet, offset)
    struct.pack_into("!H", packet, offset, ~_fold((~old & 0xFFFF) + change) & 0xFFFF)


def _rewrite(packet: bytes, field: int, address: bytes) -> bytes:
    changed = bytearray(packet)
    change = sum(~word & 0xFFFF for word in struct.unpack_from("!2H", packet, field))
    change += sum(struct.unpack("!2H", address))
    changed[field : field + 4] = address
    _patch(changed, 10, change)
    header_bytes = (packet[0] & 0x0F) * 4
    at = _CHECKSUM_AT.get(packet[9])
    is_first_fragment = struct.unpack_from("!H", packet, 6)[0] & 0x1FFF == 0
    if at is not None and is_first_fragment and header_bytes + at + 2 <= len(packet):
        # RFC 768: a UDP checksum of zero means that there is none.
        if packet[9] != 17 or changed[header_bytes + at : header_bytes + at + 2] != b"\0\0":
            _patch(changed, header_bytes + at, change)
    return bytes(changed)


class Nat:
    """Maps one inner address to an outer one."""

    def __init__(self, inner: str) -> None:
        """At first the outer address is the inner one."""
        self._inner = self._outer = ipaddress.IPv4Address(inner).packed
        self.dropped = 0

    def change(self, outer: str) -> None:
        """From now on the client appears under another address."""
        self._outer = ipaddress.IPv4Address(outer).packed

    def outbound(self, packet: bytes) -> bytes | None:
        """A packet of the client on its way out."""
        return self._translate(packet, _SOURCE, self._inner, self._outer)

    def inbound(self, packet: bytes) -> bytes | None:
        """A packet on its way to the client; None when nobody has its address any more."""
        return self._translate(packet, _DESTINATION, self._outer, self._inner)

    def _translate(self, packet: bytes, field: int, old: bytes, new: bytes) -> bytes | None:
        if len(packet) < 20 or packet[0] >> 4 != 4 or packet[field : field + 4] != old:
            self.dropped += 1
            return None
        return packet if old == new else _rewrite(packet, field, new)
