"""Probes for the next step up: what they show, and when there is none."""

from __future__ import annotations

import pytest
from probed_line import Probed

from bandwidth.estimator import DEFAULTS, ProbeOrder


def known(next_bps: float, *, target: float, full: float = 500e3) -> Probed:
    """A line whose first probes are behind it."""
    probed = Probed(start_bps=int(target), needed_bps=2e6, good_bps=int(target))
    probed.lines.next_bps[:] = next_bps
    probed.estimator._rates.capacity_bps[:] = full
    return probed


def next_order(probed: Probed, ticks: int = 40) -> ProbeOrder | None:
    return next((order for _ in range(ticks) for order in probed.tick()), None)


def test_a_probe_shows_what_the_next_step_needs_and_takes_its_time() -> None:
    order = next_order(known(560e3, target=500e3))
    assert order is not None
    assert order.rate_bps == pytest.approx(1.08 * 560e3, rel=0.01)
    # No longer than a line that carries the target alone would have to keep waiting.
    longest_us = DEFAULTS.probe_queue_us * 500e3 / (order.rate_bps - 500e3)
    assert 90_000 <= order.duration_us <= longest_us


def test_a_step_far_away_is_climbed_to() -> None:
    order = next_order(known(1.9e6, target=500e3))
    assert order is not None and order.rate_bps == 1_000_000


def test_a_step_that_is_within_the_estimate_is_not_probed_for() -> None:
    assert next_order(known(420e3, target=500e3), 100) is None


def test_a_step_proven_is_not_probed_for_again_until_the_line_is_too_full() -> None:
    probed = known(560e3, target=500e3, full=600e3)
    order = next_order(probed)
    assert order is not None
    probed.tick(probed.cluster(order, came_bps=order.rate_bps))
    probed.tick()
    assert probed.target_bps == pytest.approx(605e3, rel=0.02)
    assert probed.proven_bps == pytest.approx(605e3, rel=0.02)
    assert next_order(probed, 100) is None
    probed.estimator._rates.decreased_us[0] = probed.now_us
    probed.tick()
    assert probed.proven_bps == 0 and next_order(probed) is not None


def test_who_lost_a_step_is_probed_soon_and_who_won_one_is_left_alone() -> None:
    probed = known(1.1e6, target=900e3)
    for _ in range(6):
        order = next_order(probed, 200)
        assert order is not None
        probed.tick(probed.cluster(order, came_bps=0.3 * order.rate_bps))
    assert next_order(probed, 30) is None
    probed.lines.next_bps[:] = 800e3
    assert next_order(probed, 17) is not None
    probed = known(560e3, target=500e3)
    probed.tick()
    probed.lines.next_bps[:] = 1.1e6
    assert next_order(probed, 19) is None and next_order(probed, 10) is not None


def test_copies_that_come_and_go_are_no_step_lost_and_no_new_wish() -> None:
    probed = known(1.1e6, target=900e3)
    for _ in range(6):
        order = next_order(probed, 200)
        assert order is not None
        probed.tick(probed.cluster(order, came_bps=0.3 * order.rate_bps))
    for factor in (2.0, 1.0):
        probed.lines.next_bps[:] = factor * 1.1e6
        probed.lines.needed_bps[:] = factor * 2e6
        probed.lines.cost_factor[:] = factor
        assert next_order(probed, 20) is None
    probed.lines.needed_bps[:] = 3e6
    assert next_order(probed, 20) is not None
