from __future__ import annotations

import numpy as np
import pytest
from livekit.protocol import models
from signaling_bench import ENCODING_ROW, TRANSPORT_ROW, Bench

from signaling.quality import LineStats, grade
from signaling.up_step import UpStep

Quality = models.ConnectionQuality


@pytest.mark.parametrize(
    ("stats", "quality"),
    [
        (LineStats(), Quality.EXCELLENT),
        (LineStats(loss_fraction=0.02, rtt_ms=300), Quality.EXCELLENT),
        (LineStats(loss_fraction=0.03), Quality.GOOD),
        (LineStats(rtt_ms=500), Quality.GOOD),
        (LineStats(loss_fraction=0.2), Quality.POOR),
        (LineStats(rtt_ms=2000), Quality.POOR),
        (LineStats(up_step=UpStep.STARTING), Quality.EXCELLENT),
        (LineStats(up_step=UpStep.REDUCED), Quality.GOOD),
        (LineStats(up_step=UpStep.SLOW), Quality.POOR),
        (LineStats(up_step=UpStep.SOUND), Quality.POOR),
        (LineStats(is_lost=True), Quality.LOST),
    ],
)
def test_grades(stats: LineStats, quality: models.ConnectionQuality) -> None:
    assert grade(stats)[0] == quality


def uplink(bench: Bench, source: int, packets: int, lost: int) -> None:
    bench.media.encodings = np.zeros(1, ENCODING_ROW)
    bench.media.encodings["source"] = source
    bench.media.encodings["packets"], bench.media.encodings["lost"] = packets, lost


def test_clients_hear_of_themselves_and_of_those_they_receive_on_change() -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.publish("c")
    source = alice.transports[0].sources[0].handle  # type: ignore[attr-defined]
    uplink(bench, source, 100, 0)
    bench.clock.advance(5)
    assert {u.participant_sid for u in alice.last("connection_quality").updates} == {alice.sid}
    updates = bob.last("connection_quality").updates
    assert {u.participant_sid: u.quality for u in updates} == {
        alice.sid: Quality.EXCELLENT,
        bob.sid: Quality.EXCELLENT,
    }
    count = len(bob.named("connection_quality"))
    uplink(bench, source, 200, 0)
    bench.clock.advance(5)
    assert len(bob.named("connection_quality")) == count
    uplink(bench, source, 280, 20)
    bench.clock.advance(5)
    (update,) = bob.last("connection_quality").updates
    assert (update.participant_sid, update.quality) == (alice.sid, Quality.POOR)


def test_downlink_loss_and_delay_count_too() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    bench.media.lines = np.zeros(1, TRANSPORT_ROW)
    bench.media.lines["transport"] = alice.transports[0].handle
    bench.media.lines["loss_permille"] = 50
    bench.clock.advance(5)
    assert alice.last("connection_quality").updates[0].quality == Quality.GOOD


def test_lost_only_when_nothing_is_heard() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    alice.transports[0].become("disconnected")
    bench.clock.advance(5)
    assert alice.last("connection_quality").updates[0].quality == Quality.LOST
    alice.transports[0].become("connected")
    bench.clock.advance(5)
    assert alice.last("connection_quality").updates[0].quality == Quality.EXCELLENT


def test_few_packets_say_nothing() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    alice.publish("c")
    uplink(bench, alice.transports[0].sources[0].handle, 5, 5)  # type: ignore[attr-defined]
    bench.clock.advance(5)
    assert alice.last("connection_quality").updates[0].quality == Quality.EXCELLENT
