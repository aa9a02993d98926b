"""What losses say of a line: they limit only where more of them come with more sent."""

from __future__ import annotations

import numpy as np
import pytest
from model_link import START_US, feedback_of

from bandwidth.estimator import DEFAULTS
from bandwidth.estimator.loss import Losses, limit_by_loss, observe
from bandwidth.estimator.rows import sort_rows


def feed_losses(rates_bps: list[float], loss_of: object, *, seed: int = 1) -> Losses:
    """One observation a rate; `loss_of` gives the chance of loss at a rate."""
    random = np.random.default_rng(seed)
    losses, missing = Losses(1), np.zeros(1)
    now_us = START_US
    for rate_bps in rates_bps:
        count = max(6, int(rate_bps * 0.25 / 8 / 1000))
        sent = now_us + np.arange(count + 1) * (250_000 // count)
        lost = random.random(count + 1) < loss_of(rate_bps)  # type: ignore[operator]
        table = [
            (0, int(at), 0 if is_lost else int(at) + 1000, 1000, 0)
            for at, is_lost in zip(sent, lost, strict=True)
        ]
        batch, _ = sort_rows(feedback_of(table), now_us + 1_000_000, np.ones(1, np.bool_), DEFAULTS)
        new = observe(losses, batch, missing, DEFAULTS)
        arriving = np.array([rate_bps * (1 - float(lost.mean()))])
        limit_by_loss(
            losses, new, np.array([max(rates_bps)]), arriving, np.zeros(1), now_us, DEFAULTS
        )
        now_us += 250_000
    return losses


def swing(low_bps: float, high_bps: float, count: int = 24) -> list[float]:
    return [float(bps) for bps in np.tile(np.linspace(low_bps, high_bps, 6), count // 6)]


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_loss_that_stays_whatever_is_sent_is_no_limit(loss: float) -> None:
    losses = feed_losses(swing(300e3, 600e3), lambda rate_bps: loss)
    assert losses.limit_bps[0] >= 0.75 * 600e3
    assert losses.average[0] == pytest.approx(loss, abs=0.06)


def test_loss_that_grows_with_the_rate_is_a_limit() -> None:
    losses = feed_losses(swing(500e3, 1600e3), lambda rate_bps: max(0.0, 1 - 800e3 / rate_bps))
    assert 600e3 <= losses.limit_bps[0] <= 1000e3
    assert losses.inherent[0] < 0.1


def test_a_fast_line_that_loses_half_is_not_believed() -> None:
    losses = feed_losses(swing(2.5e6, 3e6), lambda rate_bps: 0.5)
    assert losses.limit_bps[0] <= 600e3
