"""Which frames are decoded: from a key frame on, never across a gap, as few as possible."""

from __future__ import annotations

from sfu.ids import Codec
from sfu.stills.pending import PendingFrames
from sfu.tap import Frame


def frame(at_s: float, *, is_key: bool = False, lost: int = 0, size: int = 10) -> Frame:
    us = round(at_s * 1e6)
    return Frame(us, us, us, is_key, 0, Codec.VP8, lost, bytes(size))


def times(frames: list[Frame]) -> list[float]:
    return [one.arrived_us / 1e6 for one in frames]


def test_nothing_before_the_first_key_frame() -> None:
    pending = PendingFrames()
    pending.add([frame(0), frame(0.1)])
    assert pending.take() == [] and pending.wants_key(0)
    pending.add([frame(0.2, is_key=True), frame(0.3)])
    assert times(pending.take()) == [0.2, 0.3] and not pending.wants_key(0)
    pending.add([frame(0.4)])
    assert times(pending.take()) == [0.4]


def test_a_newer_key_frame_makes_the_rest_superfluous() -> None:
    pending = PendingFrames()
    pending.add([frame(0, is_key=True), frame(1), frame(2, is_key=True), frame(3)])
    assert times(pending.take()) == [2, 3]


def test_what_came_before_a_gap_is_still_shown() -> None:
    pending = PendingFrames()
    pending.add([frame(0, is_key=True), frame(1), frame(2, lost=1), frame(3)])
    assert times(pending.take()) == [0, 1] and pending.wants_key(3_000_000)
    pending.add([frame(4), frame(5, is_key=True, lost=3)])
    assert times(pending.take()) == [5] and not pending.wants_key(5_000_000)


def test_regular_key_frames_are_all_that_is_decoded() -> None:
    pending = PendingFrames()
    for start in (0.0, 2.0, 4.0):
        pending.add([frame(start, is_key=True), frame(start + 0.5), frame(start + 1)])
    assert pending.is_regular and times(pending.take()) == [4.0]
    pending.add([frame(5.5)])
    assert pending.take() == [] and not pending.wants_key(5_500_000)
    pending.add([frame(6, is_key=True), frame(6.5)])
    assert times(pending.take()) == [6.0]
    # They come no longer by themselves: ask, and decode everything from then on.
    assert pending.wants_key(12_000_000)
    pending.add([frame(12.1, is_key=True), frame(12.2)])
    assert not pending.is_regular and times(pending.take()) == [12.1, 12.2]


def test_rarer_key_frames_are_not_waited_for() -> None:
    pending = PendingFrames()
    for start in (0.0, 4.0, 8.0):
        pending.add([frame(start, is_key=True), frame(start + 1)])
        assert times(pending.take()) == [start, start + 1] and not pending.is_regular


def test_a_reader_that_never_takes_is_bounded() -> None:
    pending = PendingFrames(max_frames=5, max_bytes=1000)
    pending.add([frame(0, is_key=True), *(frame(n) for n in range(1, 10))])
    assert pending.overflows == 1 and pending.take() == [] and pending.wants_key(0)
    pending.add([frame(20, is_key=True), frame(21, size=2000), frame(22)])
    assert pending.overflows == 2 and pending.take() == []


def test_giving_up_waits_for_a_key_frame() -> None:
    pending = PendingFrames()
    pending.add([frame(0, is_key=True)])
    pending.take()
    pending.give_up()
    pending.add([frame(1)])
    assert pending.take() == [] and pending.wants_key(0)
