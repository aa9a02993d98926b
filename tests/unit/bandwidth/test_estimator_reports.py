"""Lines without transport feedback: they follow what receivers report."""

from __future__ import annotations

import pytest
from model_link import START_US, feedback_of, lines_of
from probed_line import TICK_US

from bandwidth.estimator import DEFAULTS, Estimator, Lines


def reported(target_ticks: int, *, start_bps: int = 500_000, **figures: float) -> float:
    estimator = Estimator(1)
    estimator.open(0, START_US, start_bps=start_bps)
    lines = lines_of(1, has_twcc=False)
    lines.sent_bps[:] = 500_000
    lines.rtt_us[:] = 80_000
    for name, value in figures.items():
        getattr(lines, name)[:] = value
    now_us = START_US
    for _ in range(target_ticks):
        now_us += TICK_US
        estimates, orders = estimator.update(now_us, feedback_of([]), lines)
        assert orders == []
        assert not estimates.is_stalled[0]
    return float(estimates.target_bps[0])


def test_lines_without_transport_feedback_follow_receiver_reports() -> None:
    assert reported(50) == 500_000
    assert reported(50, loss=0.0) > 650_000
    assert reported(300, loss=0.0) <= 3 * 500_000 + 10_000
    assert reported(50, loss=0.05) == 500_000
    assert reported(50, loss=0.2) < 350_000
    assert reported(20, loss=0.03, remb_bps=260_000) == 260_000
    # Who sees little sent estimates little: without losses that is not the last word.
    assert 260_000 < reported(20, loss=0.0, remb_bps=260_000) < 700_000
    assert reported(3000, loss=1.0) == DEFAULTS.min_bps


@pytest.mark.parametrize("remb_bps", [0, 55_000])
def test_without_transport_feedback_sound_alone_does_not_keep_the_picture_away(
    remb_bps: int,
) -> None:
    sound = {"sent_bps": 30_000, "remb_bps": remb_bps, "next_bps": 170_000}
    assert reported(100, start_bps=100_000, loss=0.0, **sound) == pytest.approx(204_000)
    assert reported(100, start_bps=100_000, loss=0.03, **sound) <= 100_000


def test_a_round_trip_that_grows_lowers_a_line_without_feedback() -> None:
    estimator = Estimator(1)
    estimator.open(0, START_US, start_bps=500_000)
    lines: Lines = lines_of(1, has_twcc=False)
    lines.sent_bps[:], lines.loss[:] = 500_000, 0.0
    for tick in range(60):
        lines.rtt_us[:] = 60_000 if tick < 20 else 400_000
        now_us = START_US + tick * TICK_US
        estimates, _ = estimator.update(now_us, feedback_of([]), lines)
    assert estimates.target_bps[0] <= 0.85 * 500_000
