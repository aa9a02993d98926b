"""A camera's address: checked once, its password never shown again."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from sfu.errors import CameraError

__all__ = ["CameraUrl"]

_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
_MAX_CHARS = 2048


class CameraUrl:
    """An ``rtsp`` or ``rtsps`` URL.

    User name, password and query (where some cameras put both) are kept for opening the stream and
    appear in no representation, error or pickle of it.
    """

    __slots__ = ("_parts", "host", "port", "scheme")

    def __init__(self, url: str) -> None:
        """Checks the form.

        Raises:
            CameraError: ``camera_bad_url``, without any part of the URL.
        """
        parts = _split(url)
        self._parts = parts
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        self.port = parts.port or _DEFAULT_PORTS[parts.scheme]

    @property
    def redacted(self) -> str:
        """For people and logs: scheme, host, port and path."""
        return f"{self.scheme}://{self._netloc(self.host)}{self._parts.path}"

    def __repr__(self) -> str:
        """The redacted form."""
        return f"<CameraUrl {self.redacted}>"

    __str__ = __repr__

    def __reduce__(self) -> str:
        """Refuses: a pickle would hold the password."""
        raise TypeError("a camera address is not pickled")

    def resolve(self, allowed_networks: Sequence[str] | None) -> str:
        """Look the host up and return the full URL to open, by IP address; blocks.

        The address that was checked is the one that is opened, so a name that changes its answer
        between check and use gains nothing.

        Args:
            allowed_networks: CIDR blocks a camera may be in. None allows everything but loopback,
                link-local (cloud metadata), multicast and unspecified addresses.

        Raises:
            CameraError: ``camera_unknown_host`` or ``camera_forbidden_address``.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            raise CameraError(
                "camera_unknown_host", "No camera is known under this name. Check the address."
            ) from None
        for *_, address in found:
            ip = str(address[0])
            if _is_allowed(ip, allowed_networks):
                return self._to_url(ip)
        raise CameraError(
            "camera_forbidden_address", "This server may not connect to that network address."
        )

    def _to_url(self, ip: str) -> str:
        credentials = ""
        if self._parts.username is not None:
            credentials = quote(unquote(self._parts.username), safe="")
            if self._parts.password is not None:
                credentials += ":" + quote(unquote(self._parts.password), safe="")
            credentials += "@"
        return urlunsplit(
            (self.scheme, credentials + self._netloc(ip), self._parts.path, self._parts.query, "")
        )

    def _netloc(self, host: str) -> str:
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


_INDIRECT_NETWORKS = (
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("fd00:ec2::/32"),
)


def _split(url: str) -> SplitResult:
    """Parse or raise an error that quotes nothing, as any part may be the password."""
    has_bad_characters = any(not 0x21 <= ord(c) != 0x7F for c in url)
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or has_bad_characters or len(url) > _MAX_CHARS:
        raise CameraError(
            "camera_bad_url", "A camera address looks like rtsp://user:password@192.0.2.20:554/path"
        )
    return parts


def _is_allowed(address: str, allowed_networks: Sequence[str] | None) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if allowed_networks is None:
        # NAT64 hides an IPv4 address; fd00:ec2::/32 is where clouds keep their metadata.
        if any(ip.version == 6 and ip in network for network in _INDIRECT_NETWORKS):
            return False
        return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified)
    networks = [ipaddress.ip_network(network, strict=False) for network in allowed_networks]
    return any(ip.version == network.version and ip in network for network in networks)
