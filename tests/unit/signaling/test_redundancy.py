from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit.protocol import rtc
from signaling_bench import ENCODING_ROW, Bench, Client

from signaling.redundancy import Redundancy


@pytest.fixture
def bench() -> Bench:
    return Bench()


class Sound:
    """Alice speaks; what came of it is looked at twice a second."""

    def __init__(self, bench: Bench, *, num_losses: int = 0, is_single: bool = True) -> None:
        self.bench = bench
        self.client: Client = bench.connected("alice", single=is_single)
        self.client.connection.num_losses = num_losses  # type: ignore[attr-defined]
        sid = self.client.publish("alice", "audio")
        participant = self.client.peer._participant
        assert participant is not None
        self.track = participant.tracks[sid]
        self.room: Any = SimpleNamespace(
            tracks={sid: self.track}, by_sid={self.client.sid: participant}
        )
        self.redundancy = Redundancy()
        self.now_s, self.packets, self.lost = 0.0, 0, 0
        self.first_answer = self.client.last("answer").sdp
        self.client.clear()

    def run(self, seconds: float, loss: float) -> None:
        for _ in range(int(seconds * 2)):
            self.now_s += 0.5
            self.packets += 25
            self.lost += round(25 * loss)
            rows = np.zeros(1, ENCODING_ROW)
            rows["source"], rows["packets"] = self.track.source.handle, self.packets
            rows["lost"] = self.lost
            self.redundancy.update([self.room], rows, self.now_s)
        self.bench.clock.advance(0.1)

    def is_asked(self) -> bool:
        return "media_sections_requirement" in self.client.kinds()


def has_red(sdp: str) -> bool:
    return " red/48000/2" in sdp


def test_redundancy_comes_with_the_losses_and_stays(bench: Bench) -> None:
    sound = Sound(bench)
    assert not has_red(sound.first_answer)
    sound.run(20, 0.0)
    assert not sound.is_asked()
    sound.run(10, 0.08)
    assert sound.client.last("media_sections_requirement") == rtc.MediaSectionsRequirement()
    sound.client.offer()
    assert has_red(sound.client.last("answer").sdp)
    sound.client.clear()
    sound.run(60, 0.08)
    assert not sound.is_asked(), "once"


def test_a_line_that_lost_something_begins_with_redundancy(bench: Bench) -> None:
    assert has_red(Sound(bench, num_losses=1).first_answer)


def test_who_cannot_be_asked_later_has_it_from_the_start(bench: Bench) -> None:
    sound = Sound(bench, is_single=False)
    assert has_red(sound.first_answer)


def test_what_a_full_queue_loses_is_no_reason(bench: Bench) -> None:
    sound = Sound(bench)
    sound.track.source.transport.has_fallen = True  # type: ignore[union-attr]
    sound.run(20, 0.3)
    sound.track.source.transport.has_fallen = False  # type: ignore[union-attr]
    sound.run(20, 0.0)
    assert not sound.is_asked()


def test_a_second_of_silence_says_nothing(bench: Bench) -> None:
    sound = Sound(bench)
    rows = np.zeros(1, ENCODING_ROW)
    rows["source"] = sound.track.source.handle
    for step in range(20):
        rows["packets"], rows["lost"] = step, step
        sound.redundancy.update([sound.room], rows, step)
    sound.redundancy.update([], rows, 30.0)
    assert not sound.is_asked()
