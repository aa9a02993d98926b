"""At which addresses this server is reached, for links, QR codes and certificates."""

from __future__ import annotations

import socket
from typing import Final

from aiohttp import web

from web.http.callers import origin
from web.settings.sources import Settings

WILDCARD_HOSTS: Final = ("0.0.0.0", "::")
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")


class Addresses:
    """The server's own addresses; `port` is known once it listens."""

    def __init__(self, settings: Settings) -> None:
        """Find the address others reach this machine at."""
        self._settings = settings
        self.port = settings.port
        self.is_https = bool(settings.tls)
        host = settings.host
        self.ip = settings.node_ip or (primary_address() if host in WILDCARD_HOSTS else host)

    @property
    def public_url(self) -> str:
        """What others can open, without a path."""
        if self._settings.public_url:
            return self._settings.public_url
        scheme = "https" if self.is_https else "http"
        return f"{scheme}://{http_host(self.ip)}:{self.port}"

    @property
    def local_url(self) -> str:
        """What to open on this machine: without HTTPS only localhost gets a camera."""
        if self.public_url.startswith("http:") and self._settings.host in WILDCARD_HOSTS:
            return f"http://localhost:{self.port}"
        return self.public_url

    def link_base(self, request: web.Request) -> str:
        """Return what links made by this request start with: nothing only this machine can open."""
        if self._settings.public_url:
            return self._settings.public_url
        used = origin(request)
        host = used.partition("://")[2]
        name = host[: host.rindex(":")] if host.rpartition(":")[2].isdigit() else host
        return self.public_url if name in LOOPBACK_HOSTS else used


def primary_address() -> str:
    """Return the address of the interface that leads out of this machine; nothing is sent."""
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return "127.0.0.1"


def http_host(address: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address
