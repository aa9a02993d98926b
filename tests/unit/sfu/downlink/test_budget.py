"""Estimates are followed, but not below what flows well."""

from __future__ import annotations

import numpy as np
import pytest

from bandwidth.estimator import Estimates
from sfu.downlink.budget import (
    believe,
    find_released,
    has_queue,
    pace,
    reserve_audio,
    start_belief,
)


def estimates(
    target: float,
    *,
    queue_ms: float = 0,
    jitter_ms: float = 0,
    loss: float = 0,
    acked: float = 0,
    heard: bool = False,
    losing: bool = False,
    stalled: bool = False,
) -> Estimates:
    return Estimates(
        np.array([target]),
        np.zeros(1),
        np.zeros(1, np.bool_),
        np.array([acked]),
        np.array([loss]),
        np.array([queue_ms * 1000.0]),
        np.array([jitter_ms * 1000.0]),
        np.array([heard]),
        np.array([losing]),
        np.array([stalled]),
    )


HELD = pytest.approx(1.1e6)  # what is used, and what it may cost the next moment


class Line:
    """A line believed in over time."""

    def __init__(self, used_bps: float = 1e6) -> None:
        self.state = start_belief(1)
        self.now_us = 1_000_000
        self.used_bps = used_bps

    def see(
        self,
        ticks: int = 1,
        *,
        braking: bool = False,
        sent: float = 1e6,
        waiting_ms: float = 0,
        twcc: bool = True,
        **seen: float,
    ) -> float:
        for _ in range(ticks):
            self.state = believe(
                self.now_us,
                self.state,
                estimates(**seen),
                sent_bps=np.array([sent]),
                used_bps=np.array([self.used_bps]),
                is_braking=np.array([braking]),
                waiting_us=np.array([waiting_ms * 1000.0]),
                has_twcc=np.array([twcc]),
            )
            self.now_us += 100_000
        return float(self.state.budget_bps[0])


def test_what_is_used_is_kept_without_evidence() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(target=5e5) == HELD
    assert line.see(10, target=5e5, queue_ms=40, loss=0.02) == HELD


def test_one_late_report_is_no_evidence_and_two_are() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(target=5e5, queue_ms=90) == HELD
    assert line.see(target=5e5, queue_ms=90) == 5e5


def test_a_little_less_than_is_used_takes_nothing_while_a_key_frame_passes() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(4, target=8e5, queue_ms=120) == HELD
    assert line.see(10, target=8e5) == HELD
    assert line.see(5, target=8e5, queue_ms=120) == 8e5


def test_a_layer_s_first_key_frame_may_take_two_seconds_on_a_line_just_wide_enough() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(19, target=8e5, queue_ms=90) == HELD
    assert line.see(1, target=8e5, queue_ms=90) == 8e5


def test_what_is_held_back_counts_as_what_waits_on_the_way() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(10, target=1.2e6, waiting_ms=400) == 1.2e6
    assert line.see(4, target=8e5, waiting_ms=400) == HELD
    assert line.see(1, target=8e5, waiting_ms=400) == 8e5


def test_jitter_is_no_queue() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(10, target=5e5, queue_ms=80, jitter_ms=30) == HELD
    assert line.see(2, target=5e5, queue_ms=100, jitter_ms=30) == 5e5


def test_loss_by_nature_is_no_evidence() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(10, target=5e5, loss=0.15) == HELD
    assert line.see(2, target=5e5, loss=0.15, losing=True) == 5e5


def test_a_brake_is_released_when_all_that_comes_waits_for_nothing() -> None:
    line = Line()
    line.see(target=2e6)
    line.see(1, target=2e6, braking=True, heard=True)
    assert not find_released(line.state).any()
    # Nothing heard says nothing; the next report does.
    line.see(3, target=2e6, braking=True)
    assert not find_released(line.state).any()
    line.see(1, target=2e6, braking=True, heard=True, jitter_ms=20, queue_ms=35)
    assert find_released(line.state).all()
    line.see(1, target=2e6, heard=True)
    assert not find_released(line.state).any()


def test_a_brake_with_a_queue_behind_it_holds() -> None:
    line = Line()
    line.see(target=2e6)
    for queue_ms in (0, 90, 0, 200):
        line.see(1, target=2e6, braking=True, heard=True, queue_ms=queue_ms)
        assert not find_released(line.state).any()


def test_one_brake_is_no_evidence_and_two_are() -> None:
    line = Line()
    line.see(target=2e6)
    assert line.see(target=5e5, braking=True) == HELD
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
    assert line.see(target=3e5) <= 1.1 * 3e5


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


def test_a_line_is_full_while_something_waits_on_it() -> None:
    line = Line()
    for seen, is_full in [
        ({"queue_ms": 20}, False),
        ({"queue_ms": 150}, True),
        ({"queue_ms": float("nan")}, False),
        ({"stalled": True}, True),
        ({"braking": True}, True),
    ]:
        line.see(target=1e6, **seen)
        assert bool(line.state.is_full[0]) is is_full, seen


def test_pictures_that_wait_for_no_reason_may_catch_up() -> None:
    line = Line(used_bps=5e5)
    paced = []
    for waiting_ms, seen in [
        (50, {}),
        (200, {}),
        (200, {"queue_ms": 60}),
        (200, {"queue_ms": 30, "jitter_ms": 20}),
        (200, {"loss": 0.2, "losing": True}),
        (200, {"heard": False}),
        (200, {"twcc": False}),
    ]:
        line.see(target=6e5, waiting_ms=waiting_ms, **({"heard": True} | seen))
        paced.append(round(pace(line.now_us, line.state, np.array([1e6]))[0] / 1e3))
    assert paced == [600, 720, 600, 720, 600, 600, 600]


def test_an_estimate_far_above_what_is_used_needs_no_more_to_catch_up() -> None:
    line = Line(used_bps=4e5)
    line.see(target=6e5, waiting_ms=500, heard=True)
    assert pace(line.now_us, line.state, np.array([1e6]))[0] == 6e5
