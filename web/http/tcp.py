"""TCP that goes on quickly where packets get lost.

A system waits twice as long after each loss of the same packet, and most take a loss for a full
line: at 30 % a page of 200 kB then takes a minute and a half. Connections accepted from a listening
socket have its options. Where the system lacks one, it goes without.
"""

from __future__ import annotations

import socket
from typing import Final, Protocol

from aiohttp import web

__all__ = ["PatientSite", "set_option", "shorten_waits"]

# Linux numbers that Python's socket module does not know.
_TCP_THIN_LINEAR_TIMEOUTS: Final = 16
_TCP_RTO_MAX_MS: Final = 44  # Linux 6.15
# With short waits the usual 15 tries are over in 14 s: a lift takes longer. This is what they take
# otherwise. Not less: whoever pauses a film takes nothing either, and would be cut off for it.
_SILENCE_MS: Final = 900_000


class SocketLike(Protocol):
    """What asyncio lends of a socket."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...


def set_option(sock: SocketLike, option: int, value: int | bytes) -> bool:
    """Set an option of TCP; returns whether the system has it."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        return False
    return True


def shorten_waits(sock: SocketLike, *, silence_ms: int = _SILENCE_MS) -> None:
    """Waits for what is lost do not double while little is under way, and never pass a second; a
    congestion control that does not take loss for congestion is used where the system has one.

    Args:
        sock: a connection, or a socket that listens for some.
        silence_ms: after so long without any acknowledgement a connection ends.
    """
    set_option(sock, _TCP_THIN_LINEAR_TIMEOUTS, 1)
    set_option(sock, _TCP_RTO_MAX_MS, 1000)
    set_option(sock, getattr(socket, "TCP_USER_TIMEOUT", 18), silence_ms)
    set_option(sock, getattr(socket, "TCP_CONGESTION", 13), b"bbr")


class PatientSite(web.TCPSite):
    """Listens with these options."""

    async def start(self) -> None:
        """Begin to accept."""
        await super().start()
        server = self._server
        for sock in getattr(server, "sockets", ()):
            shorten_waits(sock)
