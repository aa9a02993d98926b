"""What an office's firewall lets pass: TCP to a few ports, nothing else. IPv4 only."""

from __future__ import annotations

import struct
from collections.abc import Collection

_TCP = 6


class Firewall:
    """Between a client and the network; without ports it lets everything pass."""

    def __init__(self, tcp_ports: Collection[int] | None) -> None:
        """Args: `tcp_ports` are those of servers that a client may reach; None = no firewall."""
        self._ports = tcp_ports
        self.blocked_udp = self.blocked_other = 0

    def outbound(self, packet: bytes) -> bool:
        """Whether a packet of the client may pass."""
        return self._allows(packet, destination=True)

    def inbound(self, packet: bytes) -> bool:
        """Whether a packet to the client may pass."""
        return self._allows(packet, destination=False)

    def _allows(self, packet: bytes, *, destination: bool) -> bool:
        if self._ports is None:
            return True
        if len(packet) >= 20 and packet[0] >> 4 == 4 and packet[9] == _TCP:
            at = (packet[0] & 0x0F) * 4 + 2 * destination
            if len(packet) >= at + 2 and struct.unpack_from("!H", packet, at)[0] in self._ports:
                return True
        if len(packet) >= 20 and packet[9] == 17:
            self.blocked_udp += 1
        else:
            self.blocked_other += 1
        return False
