"""Looked at in longer groups, a cliff still shows."""

from __future__ import annotations

import numpy as np

from bandwidth.estimator import Estimator, Feedback, Lines

PACKETS_PER_S = 150
SIZE_BYTES = 1_000


def run(rate_bps: float, *, is_calm: bool) -> float:
    """A line that carried 1.2 Mb/s with ease carries `rate_bps` from one second to the next."""
    estimator = Estimator(1)
    estimator.open(0, 0, start_bps=2_000_000)
    busy_us, target_bps = 0.0, 0.0
    for tick in range(1, 21):
        now_us = tick * 400_000
        sent_us = np.arange(now_us - 400_000, now_us, 1_000_000 // PACKETS_PER_S)
        link_bps = 20_000_000 if tick <= 10 else rate_bps
        received = []
        for at_us in sent_us:
            busy_us = max(busy_us, float(at_us)) + SIZE_BYTES * 8e6 / link_bps
            received.append(busy_us + 30_000)
        count = len(sent_us)
        feedback = Feedback(
            np.zeros(count, np.int32),
            sent_us.astype(np.int64),
            np.array(received, np.int64),
            np.full(count, SIZE_BYTES, np.int32),
            np.zeros(count, np.int64),
        )
        one = np.ones(1)
        lines = Lines(
            rtt_us=one * 60_000,
            loss=one * 0,
            remb_bps=one * 0,
            has_twcc=np.ones(1, np.bool_),
            sent_bps=one * 1_200_000,
            needed_bps=one * 1_200_000,
            next_bps=one * 0,
            cost_factor=one,
            is_braking=np.zeros(1, np.bool_),
            reported_packets=one * 0,
            reported_lost=one * 0,
            newest_rtt_us=one * 0,
        )
        estimates, _ = estimator.update(
            now_us, feedback, lines, is_calm=one * (is_calm and tick <= 11) > 0
        )
        target_bps = float(estimates.target_bps[0])
        if tick == 12:
            return target_bps
    return target_bps


def test_a_cliff_shows_as_soon_in_longer_groups() -> None:
    assert run(20_000_000, is_calm=True) > 1_500_000
    assert run(600_000, is_calm=False) < 700_000
    assert run(600_000, is_calm=True) < 700_000
