"""Estimates are followed, but not below what flows well."""

from __future__ import annotations

import numpy as np

from bandwidth.estimator import Estimates
from sfu.downlink.budget import believe, has_queue, pace, reserve_audio, start_belief


def estimates(
    target: float, *, queue_ms: float = 0, loss: float = 0, acked: float = 0, stalled: bool = False
) -> Estimates:
    return Estimates(
        np.array([target]),
        np.array([acked]),
        np.array([loss]),
        np.array([queue_ms * 1000.0]),
        np.array([stalled]),
    )


class Line:
    """A line believed in over time."""

    def __init__(self, used_bps: float = 1e6) -> None:
        self.state = start_belief(1)
        self.now_us = 1_000_000
        self.used_bps = used_bps

    def see(
        self, ticks: int = 1, *, braking: bool = False, sent: float = 1e6, **seen: float
    ) -> float:
        for _ in range(ticks):
            self.state = believe(
                self.now_us,
                self.state,
                estimates(**seen),
                sent_bps=np.array([sent]),
                used_bps=np.array([self.used_bps]),
                is_braking=np.array([braking]),
            )
            self.now_us += 100_000
        return float(self.state.budget_bps[0])


def test_what_is_used_is_kept_without_evidence() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(target=5e5) == 1e6
    assert line.see(10, target=5e5, queue_ms=40, loss=0.02) == 1e6


def test_one_late_report_is_no_evidence_and_two_are() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(target=5e5, queue_ms=90) == 1e6
    assert line.see(target=5e5, queue_ms=90) == 5e5


def test_one_brake_is_no_evidence_and_two_are() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(target=5e5, braking=True) == 1e6
    assert line.see(target=5e5, braking=True) == 5e5


def test_a_very_long_queue_and_silence_are_evidence_at_once() -> None:
    for news in ({"queue_ms": 450}, {"stalled": True}):
        line = Line()
        line.see(target=2e6)
        assert line.see(target=5e5, **news) == 5e5


def test_nothing_is_believed_that_nobody_estimated() -> None:
    assert Line().see(target=3e5) == 3e5


def test_a_line_that_was_lowered_is_not_held_above() -> None:
    line = Line(used_bps=2e5)
    line.see(target=2e6)
    line.see(3, target=3e5, queue_ms=300)
    line.used_bps = 1e6
    assert line.see(target=3e5) == 3e5


def test_strong_lines_are_paced_far_above_their_need() -> None:
    line = Line()
    line.see(31, target=2e6)
    assert pace(line.now_us, line.state, np.array([1e6]))[0] == 4e6
    assert pace(line.now_us, line.state, np.array([1.8e6]))[0] == 2e6
    line.see(target=2e6, queue_ms=100)
    assert pace(line.now_us, line.state, np.array([1e6]))[0] == 2e6


def test_unknown_queues_are_none() -> None:
    assert not has_queue(estimates(1e6, queue_ms=float("nan")), np.array([False]))[0]
    assert has_queue(estimates(1e6, queue_ms=200), np.array([False]))[0]


def test_the_reserve_of_audio_holds_its_recent_most() -> None:
    none, zero = np.zeros(1), np.zeros(1, np.int8)
    some = np.array([True])
    assert reserve_audio(100_000, none, none, zero, ~some)[0] == 0
    assert reserve_audio(100_000, none, none, zero, some)[0] == 32_000
    loud = reserve_audio(100_000, none, np.array([120_000.0]), np.array([1.0]), some)
    assert loud[0] == 60_000
    later = reserve_audio(1_000_000, loud, none, zero, some)
    assert 45_000 < later[0] < 60_000
