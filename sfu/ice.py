"""Our side of ICE (lite, RFC 8445): credentials, and candidates that say where we listen."""

from __future__ import annotations

import ipaddress
import secrets
import string
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import ifaddr

__all__ = [
    "IceCandidate",
    "IceParameters",
    "build_candidates",
    "choose_addresses",
    "local_addresses",
]

_ICE_CHARS = string.ascii_letters + string.digits
# Bridges of containers and virtual machines: nobody outside reaches us there.
_VIRTUAL_PREFIXES = ("docker", "br-", "veth", "virbr", "cni", "flannel", "podman", "lxc")
_HOST_TYPE_PREFERENCE = 126
_TCP_TYPE_PREFERENCE = 90  # RFC 6544 §4.2: any UDP host candidate before any TCP one
_TCP_PASSIVE_DIRECTION = 2


class IceParameters(NamedTuple):
    """One side's ICE credentials."""

    ufrag: str
    pwd: str

    @classmethod
    def generate(cls) -> IceParameters:
        """Fresh credentials: 8 and 24 ice-chars, more than RFC 8445 §5.3 asks."""
        return cls(_random_chars(8), _random_chars(24))


class IceCandidate(NamedTuple):
    """One place where the engine listens."""

    protocol: str  # "udp" or "tcp"
    ip: str
    port: int
    priority: int

    @property
    def foundation(self) -> str:
        """Equal for candidates of one type, base and protocol (RFC 8445 §5.1.1.3)."""
        return str(zlib.crc32(f"host {self.protocol} {self.ip}".encode()))

    def to_sdp(self) -> str:
        """The value of ``a=candidate`` with its ``candidate:`` prefix."""
        text = (
            f"candidate:{self.foundation} 1 {self.protocol} {self.priority} "
            f"{self.ip} {self.port} typ host"
        )
        return f"{text} tcptype passive" if self.protocol == "tcp" else text


def build_candidates(
    addresses: Sequence[str], *, udp_ports: Sequence[int], tcp_ports: Sequence[int]
) -> tuple[IceCandidate, ...]:
    """Make one UDP and one TCP candidate per address, the first address preferred.

    Args:
        addresses: literal IPs, most wanted first.
        udp_ports: ports bound for UDP; the first is announced.
        tcp_ports: ports bound for ICE-TCP; none switches it off.
    """
    candidates = []
    for index, ip in enumerate(addresses):
        if udp_ports:
            priority = _priority(_HOST_TYPE_PREFERENCE, 65535 - index)
            candidates.append(IceCandidate("udp", ip, udp_ports[0], priority))
    for index, ip in enumerate(addresses):
        if tcp_ports:
            # RFC 6544 §4.2: local preference = 2^13 * direction + other.
            local = (_TCP_PASSIVE_DIRECTION << 13) + 8191 - index
            priority = _priority(_TCP_TYPE_PREFERENCE, local)
            candidates.append(IceCandidate("tcp", ip, tcp_ports[0], priority))
    return tuple(candidates)


def local_addresses(
    hosts: Sequence[str], *, node_ip: str | None = None, announce_loopback: bool = False
) -> tuple[str, ...]:
    """Return the addresses to announce for sockets bound to ``hosts``, best first.

    ``node_ip`` replaces everything else. A wildcard host stands for the addresses of its family on
    all interfaces but container bridges, link-local ones, and loopback unless nothing else is
    there.
    """
    if node_ip:
        return (node_ip,)
    parsed = [ipaddress.ip_address(host) for host in hosts]
    wildcard_versions: set[int] = {ip.version for ip in parsed if ip.is_unspecified}
    chosen = [str(ip) for ip in parsed if not ip.is_unspecified]
    if wildcard_versions:
        found = _interface_addresses()
        chosen += choose_addresses(found, wildcard_versions, announce_loopback=announce_loopback)
    return tuple(dict.fromkeys(chosen))


def choose_addresses(
    found: Iterable[tuple[str, str]], versions: set[int], *, announce_loopback: bool
) -> list[str]:
    """Pick from (interface, address) pairs what a remote peer may reach, IPv4 and IPv6 in turn."""
    usable: dict[int, list[str]] = {4: [], 6: []}
    loopback = []
    for interface, address in found:
        ip = ipaddress.ip_address(address)
        if ip.version not in versions or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            continue
        if ip.is_loopback:
            loopback.append(str(ip))
        elif not interface.startswith(_VIRTUAL_PREFIXES):
            usable[ip.version].append(str(ip))
    chosen = []
    # RFC 8421: interleave the families, so that a broken one costs few checks.
    while usable[4] or usable[6]:
        chosen += [usable[version].pop(0) for version in (4, 6) if usable[version]]
    if not chosen or announce_loopback:
        chosen += loopback
    return chosen


def _interface_addresses() -> list[tuple[str, str]]:
    pairs = []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            ip = address.ip if isinstance(address.ip, str) else address.ip[0]
            pairs.append((str(adapter.name), ip))
    return pairs


def _priority(type_preference: int, local_preference: int) -> int:
    # RFC 8445 §5.1.2.1, component 1.
    return (type_preference << 24) + (local_preference << 8) + 255


def _random_chars(count: int) -> str:
    return "".join(secrets.choice(_ICE_CHARS) for _ in range(count))
