"""The TCP connection under a client's WebSocket, set up for a line that loses packets.

TCP doubles its patience with every loss: at 30 % a join waits many seconds for one packet. Four
things help that need nothing of the client. The first answer leaves as few packets as possible.
Waiting does not double while little is under way, and never passes a second. A congestion control
that does not take loss for congestion is used where the system has one. And while something is not
acknowledged, small pings follow it: each makes the client report what it lacks, and a report that
arrives brings the packet again after a round trip instead of a timeout (RACK, RFC 8985). What the
client answers does the same for what it sent itself, so pongs that call for no answer would not do.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Final, Protocol

from web.http.tcp import SocketLike, set_option, shorten_waits

__all__ = ["NUDGE_PAUSES_S", "Line"]

NUDGE_PAUSES_S: Final = (0.15, *[0.1] * 20)
"""Pauses before the pings that follow a message which is not acknowledged."""
# The pings decide before that.
_SILENCE_MS: Final = 35_000
# A Linux number that Python's socket module may not know.
_TCP_INFO: Final = 11
# Of `struct tcp_info` (linux/tcp.h): segments sent again, and segments that came out of order.
_TOTAL_RETRANS: Final = struct.Struct("@100xI")
_OUT_OF_ORDER: Final = struct.Struct("@224xI")


class _Socket(SocketLike, Protocol):
    """What asyncio lends of a socket."""

    def fileno(self) -> int: ...

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


class Line:
    """One connection. Where the system lacks an option, it goes without."""

    def __init__(self, sock: _Socket | None) -> None:
        """Set it up; None stands for a connection that has no socket of ours."""
        self._socket = sock
        self._is_corked = False
        if sock is not None:
            shorten_waits(sock, silence_ms=_SILENCE_MS)

    def cork(self) -> None:
        """Let what is written now gather into full packets, for 200 ms at most."""
        if not self._is_corked:
            self._is_corked = self._set(getattr(socket, "TCP_CORK", 3), 1)

    def uncork(self) -> None:
        """Send what has gathered."""
        if self._is_corked:
            self._is_corked = False
            self._set(getattr(socket, "TCP_CORK", 3), 0)

    def has_unacknowledged(self) -> bool:
        """Whether the client's system has not confirmed everything yet."""
        if self._socket is None:
            return False
        try:
            # SIOCOUTQ, under its terminal name: bytes sent and not acknowledged.
            answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):  # closed meanwhile
            return False
        return bool(struct.unpack("i", answer)[0] > 0)

    def num_losses(self) -> int:
        """Segments that we sent again, and segments that came out of order: those before them were
        lost, but on the rare line that reorders. 0 where the system does not tell."""
        if self._socket is None:
            return 0
        try:
            info = self._socket.getsockopt(
                socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", _TCP_INFO), _OUT_OF_ORDER.size
            )
        except OSError:
            return 0
        fields = (_TOTAL_RETRANS, _OUT_OF_ORDER)
        return sum(int(field.unpack_from(info)[0]) for field in fields if len(info) >= field.size)

    def _set(self, option: int, value: int) -> bool:
        return self._socket is not None and set_option(self._socket, option, value)
