"""Which camera addresses may be opened: RTSP only, and never a way into this machine.

The host name is resolved once and the address found is put in its place, so that a name which
answers differently a second later cannot lead somewhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from web.http.problems import Problem

MAX_URL_CHARS: Final = 1000
DEFAULT_PORTS: Final = {"rtsp": 554, "rtsps": 322}
Resolve = Callable[[str, int], Awaitable[list[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class CameraAddresses:
    """Checks camera addresses."""

    def __init__(self, networks: Sequence[str], resolve: Resolve | None = None) -> None:
        """Take networks that are allowed besides the usual ones, and what resolves names."""
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._resolve = resolve or resolve_name

    async def pin(self, url: str) -> str:
        """Return the URL with its host resolved and checked.

        Raises:
            Problem: `bad_url`, in words that do not repeat the address.
        """
        parts = parse_camera_url(url)
        assert parts.hostname is not None
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        try:
            found = await self._resolve(parts.hostname, port)
        except OSError:
            found = []
        if not found:
            raise bad_url("There is no such camera address.")
        addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
        if not all(self._is_allowed(address) for address in addresses):
            raise bad_url("Cameras in that network are not allowed here.")
        user, at, _ = parts.netloc.rpartition("@")
        host = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
        return urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{port}"))

    def _is_allowed(self, address: Address) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._networks):
            return True
        # Private networks are where cameras live. This machine, its neighbours' link-local
        # services (cloud metadata is one) and multicast are not.
        return not (
            address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_unspecified
            or (address.is_reserved and not address.is_private)
        )


def parse_camera_url(url: str) -> SplitResult:
    """Return the parts of an RTSP URL or raise `Problem` with `bad_url`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise bad_url("That is not a camera address.") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == 0:
        raise bad_url("A camera address starts with rtsp:// and names a host.")
    if len(url) > MAX_URL_CHARS or any(char.isspace() or ord(char) < 32 for char in url):
        raise bad_url("That is not a camera address.")
    return parts


def bad_url(message: str) -> Problem:
    """Refuse an address."""
    return Problem(400, "bad_url", message)


async def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses of a name, asking the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
