"""What a client's connection must offer, and the bounded way signaling writes to it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Connection"]


class Connection(Protocol):
    """One WebSocket, as signaling sees it. Owned by the caller of `SignalingService.open`."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes taken by `send` and not yet written to the socket. Signaling bounds it."""

    def send(self, data: bytes) -> None:
        """Queues one binary frame. Never blocks, never raises; a no-op once closed."""

    def close(self, code: int) -> None:
        """Closes with a WebSocket code after what was queued (at once for 1008 and 1013). Idempotent."""
