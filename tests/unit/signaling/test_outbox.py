from __future__ import annotations

from collections import Counter

from livekit.protocol import models, rtc
from signaling_bench import Bench, BenchConnection

from signaling.config import Limits
from signaling.outbox import Outbox

LIMITS = Limits(unsent_soft_bytes=100, unsent_hard_bytes=1000)


def make() -> tuple[Outbox, BenchConnection, Counter[str]]:
    counters: Counter[str] = Counter()
    connection = BenchConnection()
    return Outbox(connection, LIMITS, counters), connection, counters


def info(sid: str, version: int) -> models.ParticipantInfo:
    return models.ParticipantInfo(sid=sid, version=version)


def test_a_reader_that_keeps_up_gets_everything() -> None:
    outbox, connection, _ = make()
    outbox.send(rtc.SignalResponse(pong=1))
    outbox.send_bytes(b"shared")
    outbox.send_superseded(b"news")
    outbox.send_update(b"update", [info("PA_1", 1)])
    assert connection.frames[1:] == [b"shared", b"news", b"update"]


def test_a_slow_reader_gets_the_newest_state_later() -> None:
    outbox, connection, counters = make()
    connection.unsent_bytes = 101
    for version in (1, 2, 3):
        outbox.send_update(b"", [info("PA_1", version), info(f"PA_x{version}", 1)])
    outbox.send_superseded(b"speakers")
    outbox.flush_held()
    assert connection.frames == [] and counters["held_updates"] == 3
    assert counters["dropped_superseded"] == 1
    connection.unsent_bytes = 0
    # Nothing newer may overtake what is held.
    outbox.send_update(b"", [info("PA_1", 4)])
    assert connection.frames == []
    outbox.flush_held()
    (frame,) = connection.frames
    update = rtc.SignalResponse.FromString(frame).update
    assert {p.sid: p.version for p in update.participants}["PA_1"] == 4
    assert len(update.participants) == 4
    outbox.send_update(b"again", [])
    assert connection.frames[1:] == [b"again"]


def test_a_reader_that_stopped_is_closed_and_counted_once() -> None:
    outbox, connection, counters = make()
    connection.unsent_bytes = 990
    outbox.send_bytes(b"x" * 20)
    outbox.send_bytes(b"x" * 20)
    outbox.send(rtc.SignalResponse(pong=1))
    assert connection.closed == 1013 and not connection.frames
    assert counters["closed_slow_reader"] == 1 and outbox.is_closed


def test_closing_is_idempotent_and_final() -> None:
    outbox, connection, _ = make()
    outbox.close()
    outbox.close(1013)
    outbox.send_bytes(b"late")
    assert connection.closed == 1000 and not connection.frames


def test_a_client_that_never_reads_is_dropped_without_others_noticing() -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    bob.connection.unsent_bytes = 300 * 1024
    alice.publish("c")
    bench.clock.advance(2)
    assert bob.connection.closed is None and bob.seen("alice") is None  # held back
    bob.connection.unsent_bytes = 2 * 1024 * 1024
    bench.service.set_recording("room", True)
    assert bob.connection.closed == 1013
    assert bench.service.counters["closed_slow_reader"] == 1
    alice.clear()
    bob.lose()
    bob.resume()
    assert bob.kinds()[0] == "reconnect"
    assert alice.connection.closed is None and alice.seen("bob") is None
