"""When a line is probed, how hard, and what a probe shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from model_link import START_US, feedback_of
from probed_line import Probed, first_order

from bandwidth.estimator import DEFAULTS


def test_the_first_probe_is_three_times_the_start() -> None:
    probed = Probed()
    assert probed.estimator.update(START_US, feedback_of([]), probed.lines)[1] == []
    order = first_order(probed)
    assert (order.slot, order.rate_bps) == (0, 900_000)
    assert order.rate_bps * order.duration_us / 8e6 >= DEFAULTS.probe_min_bytes


def test_a_probe_goes_no_further_than_the_wish() -> None:
    assert first_order(Probed(needed_bps=400e3)).rate_bps == 480_000
    probed = Probed(needed_bps=250e3)
    assert [probed.tick() for _ in range(50)] == [[]] * 50


@pytest.mark.parametrize(
    ("share", "expected_bps"), [(1.0, 900e3), (0.5, 0.95 * 450e3), (0.2, 180e3)]
)
def test_what_a_probe_shows(share: float, expected_bps: float) -> None:
    probed = Probed()
    order = first_order(probed)
    rows = probed.cluster(order, came_bps=share * order.rate_bps)
    probed.tick(rows)
    probed.tick()
    assert probed.target_bps == pytest.approx(expected_bps, rel=0.08)


def test_a_probe_that_passed_is_followed_at_once() -> None:
    probed = Probed()
    order = first_order(probed)
    probed.tick(probed.cluster(order, came_bps=order.rate_bps))
    following = [*probed.tick(), *probed.tick()]
    assert following and following[0].rate_bps >= 1.5 * order.rate_bps
    assert following[0].probe != order.probe


def test_a_probe_that_lost_much_shows_nothing() -> None:
    probed = Probed()
    order = first_order(probed)
    probed.tick(probed.cluster(order, came_bps=order.rate_bps, lost=3))
    probed.tick()
    assert probed.target_bps < 330e3


def test_rows_of_another_probe_show_nothing() -> None:
    probed = Probed()
    order = first_order(probed)
    forged = order._replace(probe=order.probe + 9)
    probed.tick(probed.cluster(forged, came_bps=order.rate_bps))
    for _ in range(12):
        probed.tick()
    assert probed.target_bps < 400e3


def test_fruitless_probes_become_rare() -> None:
    probed, times = Probed(), []
    for tick in range(900):
        for order in probed.tick():
            times.append(tick / 10)
            probed.tick(probed.cluster(order, came_bps=0.3 * order.rate_bps))
    gaps = np.diff(times)
    assert gaps[0] <= 4
    assert gaps[-1] == pytest.approx(15, abs=1.5)
    assert len(times) <= 12


def test_a_known_line_is_not_probed_at_once() -> None:
    probed = Probed(good_bps=300_000)
    assert [order for _ in range(8) for order in probed.tick()] == []
    assert [order for _ in range(12) for order in probed.tick()] != []


def test_the_way_back_to_what_a_line_once_carried_is_tried_at_once_and_no_harder() -> None:
    probed = Probed(start_bps=100_000, good_bps=2_000_000)
    order = first_order(probed)
    assert order.rate_bps == DEFAULTS.probe_recovery * 100_000
    # What a line that has not recovered would have to keep waiting.
    assert (order.rate_bps - 100_000) * order.duration_us / 100_000 <= 1.5 * DEFAULTS.probe_queue_us


def test_a_line_on_which_nothing_is_sent_is_still_probed() -> None:
    probed = Probed()
    for _ in range(10):
        probed.tick()
    probed.lines.sent_bps[:] = 0
    for _ in range(10):
        probed.tick([])
    assert len([order for _ in range(100) for order in probed.tick([])]) >= 2


def test_only_the_first_probe_corrects_downwards() -> None:
    probed = Probed(start_bps=600_000)
    probed.tick(probed.cluster(first_order(probed), came_bps=300_000))
    probed.tick()
    assert probed.target_bps == pytest.approx(300_000, rel=0.08)
    orders = [order for _ in range(60) for order in probed.tick()]
    before = probed.target_bps
    probed.tick(probed.cluster(orders[-1], came_bps=100_000))
    probed.tick()
    assert probed.target_bps >= before


def test_a_short_probe_that_came_slower_finds_the_end_and_proves_nothing() -> None:
    for share, is_full in ((1.0, False), (0.5, True)):
        probed = Probed()
        order = first_order(probed)
        probed.tick(probed.cluster(order, came_bps=share * order.rate_bps))
        probed.tick()
        assert probed.is_full is is_full and (probed.proven_bps > 0) is not is_full


def test_a_long_probe_that_came_slower_shows_where_the_line_ends() -> None:
    for jitter_us, is_known in ((2_000, True), (60_000, False)):
        probed = Probed(start_bps=400_000)
        order = first_order(probed)
        probed.estimator._queues.jitter_us[:] = jitter_us
        probed.estimator._queues.num_jitters[:] = 1000
        probed.tick(probed.cluster(order, came_bps=0.6 * order.rate_bps))
        probed.tick()
        capacity_bps = probed.estimator._rates.capacity_bps[0]
        assert math.isnan(capacity_bps) is not is_known
        if is_known:
            assert capacity_bps == pytest.approx(1.1 * 0.6 * order.rate_bps, rel=0.1)


def test_a_braking_engine_stops_growth_and_probes() -> None:
    probed = Probed(start_bps=100_000)
    probed.lines.is_braking[:] = True
    assert [order for _ in range(30) for order in probed.tick()] == []
    assert probed.target_bps == 100_000
