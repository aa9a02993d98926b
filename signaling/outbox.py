"""The bounded way signaling writes to a client.

A client that reads slowly costs us at most `unsent_hard_bytes`. Above `unsent_soft_bytes` news that
a later message replaces is not queued: participant states are remembered by sid and sent in their
newest version when the client has caught up (participant versions make that safe), speakers and
quality are dropped. Above the hard bound the connection is closed; the client may resume.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from livekit.protocol import models, rtc

from signaling.config import Limits

__all__ = ["Connection", "Outbox"]

# RFC 6455 §7.4.1
CLOSE_NORMAL = 1000
CLOSE_TRY_LATER = 1013


class Connection(Protocol):
    """One WebSocket, as signaling sees it. Owned by the caller of `SignalingService.open`."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes taken by `send` and not yet written to the socket. Signaling bounds it."""

    @property
    def num_losses(self) -> int:
        """Packets of its that are known to have been lost, in either direction; 0 if unknown."""

    def send(self, data: bytes) -> None:
        """Queues one binary frame. Never blocks, never raises; a no-op once closed."""

    def close(self, code: int) -> None:
        """Closes with a WebSocket code after what was queued (at once for 1013). Idempotent."""


class Outbox:
    """Everything that goes to one connection goes through here."""

    def __init__(self, connection: Connection, limits: Limits, counters: Counter[str]) -> None:
        """Takes over the connection; nobody else writes to it."""
        self._connection = connection
        self._limits = limits
        self._counters = counters
        self._held: dict[str, models.ParticipantInfo] = {}
        self.is_closed = False

    def send(self, response: rtc.SignalResponse) -> None:
        """Sends a message that nothing replaces."""
        self.send_bytes(response.SerializeToString())

    def send_bytes(self, data: bytes) -> None:
        """Sends an already serialised SignalResponse."""
        if self.is_closed:
            return
        if self._connection.unsent_bytes + len(data) > self._limits.unsent_hard_bytes:
            self._counters["closed_slow_reader"] += 1
            self.close(CLOSE_TRY_LATER)
            return
        self._connection.send(data)

    def send_superseded(self, data: bytes) -> None:
        """Sends news that is worthless when late (speakers, quality, counts)."""
        if self.is_lagging:
            self._counters["dropped_superseded"] += 1
        else:
            self.send_bytes(data)

    def send_update(self, data: bytes, infos: list[models.ParticipantInfo]) -> None:
        """Sends a participant update.

        Args:
            data: the serialised SignalResponse, the same bytes for everybody.
            infos: its participants.
        """
        if self.is_lagging or self._held:
            self._counters["held_updates"] += 1
            for info in infos:
                self._held[info.sid] = info
        else:
            self.send_bytes(data)

    def flush_held(self) -> None:
        """Sends what was held back, newest versions only, once the client has caught up."""
        if self._held and not self.is_lagging:
            update = rtc.ParticipantUpdate(participants=self._held.values())
            self._held = {}
            self.send(rtc.SignalResponse(update=update))

    @property
    def num_losses(self) -> int:
        """Packets that the connection has lost, as far as the system tells."""
        return 0 if self.is_closed else self._connection.num_losses

    @property
    def is_lagging(self) -> bool:
        """Whether the client reads slower than we write."""
        return self._connection.unsent_bytes > self._limits.unsent_soft_bytes

    def close(self, code: int = CLOSE_NORMAL) -> None:
        """Closes the connection. Idempotent."""
        if not self.is_closed:
            self.is_closed = True
            self._held = {}
            self._connection.close(code)

    def detach(self) -> None:
        """The connection is gone already."""
        self.is_closed = True
        self._held = {}
