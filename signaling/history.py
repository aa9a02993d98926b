"""Reliable data packets of the last moments, for subscribers that resume."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from signaling.config import Limits

__all__ = ["Delivered", "ReliableHistory"]


@dataclass(frozen=True)
class Delivered:
    """One packet as it was sent."""

    sent_s: float
    sender_sid: str
    sequence: int
    recipients: frozenset[str] | None  # sids; None = everybody but the sender
    data: bytes


class ReliableHistory:
    """Bounded by packets, bytes and age, oldest first."""

    def __init__(self, limits: Limits) -> None:
        """Starts empty."""
        self._limits = limits
        self._packets: deque[Delivered] = deque()
        self._size_bytes = 0

    def add(self, packet: Delivered) -> None:
        """Keeps a packet that was just sent."""
        self._packets.append(packet)
        self._size_bytes += len(packet.data)
        limits = self._limits
        while self._packets and (
            len(self._packets) > limits.replay_packets
            or self._size_bytes > limits.replay_bytes
            or self._packets[0].sent_s < packet.sent_s - limits.replay_age_s
        ):
            self._size_bytes -= len(self._packets.popleft().data)

    def missed_by(self, sid: str, last_seqs: Mapping[str, int]) -> Iterator[bytes]:
        """What a participant has not received, oldest first.

        Args:
            sid: the participant.
            last_seqs: by publisher sid, the last sequence it saw; a publisher that is not named
                was never heard, so all of its packets count as missed.
        """
        for packet in self._packets:
            if packet.sender_sid == sid or packet.sequence <= last_seqs.get(packet.sender_sid, 0):
                continue
            if packet.recipients is None or sid in packet.recipients:
                yield packet.data
