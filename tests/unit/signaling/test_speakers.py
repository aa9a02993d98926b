from __future__ import annotations

import numpy as np
from signaling_bench import ENCODING_ROW, Bench, Client

from signaling.speakers import LevelMeter, SpeakerBoard


def rows(*values: tuple[int, int, int, int]) -> np.ndarray:
    """(source, loud, leveled, level sum), cumulative."""
    found = np.zeros(len(values), ENCODING_ROW)
    for row, (source, loud, leveled, level_sum) in zip(found, values, strict=True):
        row["source"], row["loud_packets"] = source, loud
        row["leveled_packets"], row["level_sum"] = leveled, level_sum
    return found


def test_loud_enough_for_long_enough() -> None:
    meter = LevelMeter()
    levels = meter.measure(rows((1, 20, 20, 400), (2, 7, 20, 140), (3, 8, 20, 160), (4, 1, 1, 5)))
    assert set(levels) == {1, 3}  # 40 % of the packets, and more than one
    assert levels[1] == 10 ** (-20 / 20)
    assert meter.measure(rows((1, 20, 40, 400), (3, 28, 40, 160))) == {3: 1.0}


def test_nothing_to_measure() -> None:
    meter = LevelMeter()
    assert meter.measure(rows()) == {} and meter.measure(rows((1, 0, 0, 0))) == {}


def test_only_changes_are_told_and_levels_come_in_steps() -> None:
    board = SpeakerBoard()
    (entry,) = board.update({"PA_1": 0.5})
    assert entry.active and entry.level == 0.5
    assert board.update({"PA_1": 0.5}) == []
    assert board.update({"PA_1": 0.49}) == []
    (entry,) = board.update({"PA_1": 0.05})
    assert entry.level in (0.125, 0.25)
    assert [e.sid for e in board.active()] == ["PA_1"]


def test_a_pause_between_words_is_not_an_end() -> None:
    board = SpeakerBoard()
    board.update({"PA_1": 0.5})
    assert board.update({}) == []
    assert board.update({"PA_1": 0.5}) == []
    assert board.update({}) == []
    (entry,) = board.update({})
    assert not entry.active and entry.level == 0 and board.active() == []
    assert board.update({}) == []


def speak(bench: Bench, client: Client, windows: int, loud: bool = True) -> None:
    source = client.transports[0].sources[0].handle  # type: ignore[attr-defined]
    for _ in range(windows):
        count = int(bench.media.encodings["leveled_packets"].sum()) + 20
        bench.media.encodings = rows((source, count if loud else 0, count, 10 * count))
        bench.clock.advance(0.4)


def test_rooms_are_told_who_speaks_and_newcomers_too() -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.publish("mic")
    other = bench.connected("carol", room="other")
    speak(bench, alice, 5)
    assert len(bob.named("speakers_changed")) == 1
    (speaker,) = bob.last("speakers_changed").speakers
    assert (speaker.sid, speaker.active) == (alice.sid, True) and 0.125 <= speaker.level <= 1
    assert "speakers_changed" not in other.kinds()
    late = bench.join("late")
    late.connect()
    assert late.last("speakers_changed").speakers[0].sid == alice.sid
    bench.clock.advance(1)
    assert not bob.last("speakers_changed").speakers[0].active


def test_a_muted_track_does_not_speak() -> None:
    from livekit.protocol import rtc

    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("mic")
    alice.send(mute=rtc.MuteTrackRequest(sid=sid, muted=True))
    speak(bench, alice, 3)
    assert "speakers_changed" not in bob.kinds()
