from __future__ import annotations

from signaling.config import Limits
from signaling.history import Delivered, ReliableHistory


def packet(sequence: int, sender: str = "PA_1", to: frozenset[str] | None = None) -> Delivered:
    return Delivered(float(sequence), sender, sequence, to, bytes([sequence]))


def test_only_what_was_missed_by_whom_it_was_for() -> None:
    history = ReliableHistory(Limits())
    for item in (packet(1), packet(2), packet(3, to=frozenset({"PA_9"})), packet(1, "PA_2")):
        history.add(item)
    assert list(history.missed_by("PA_5", {"PA_1": 1})) == [b"\x02", b"\x01"]
    assert list(history.missed_by("PA_9", {"PA_1": 1})) == [b"\x02", b"\x03", b"\x01"]
    assert list(history.missed_by("PA_1", {})) == [b"\x01"]  # never one's own


def test_a_packet_larger_than_the_bound_is_not_kept() -> None:
    history = ReliableHistory(Limits(replay_bytes=3))
    history.add(packet(1))
    history.add(Delivered(2.0, "PA_1", 2, None, b"x" * 10))
    assert list(history.missed_by("PA_5", {})) == []
    history.add(packet(3))
    assert list(history.missed_by("PA_5", {})) == [b"\x03"]
