"""Loss, probes, silence, reports and rates, one at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from model_link import START_US, feedback_of, lines_of

from bandwidth.estimator import DEFAULTS, Estimator, Lines, ProbeOrder
from bandwidth.estimator.aimd import Rates, Seen, adapt
from bandwidth.estimator.loss import Losses, limit_by_loss, observe
from bandwidth.estimator.rows import sort_rows

TICK_US = 100_000


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


class Probed:
    """One line at its start, and the rows of its probes."""

    def __init__(self, *, start_bps: int = 300_000, needed_bps: float = 2e6, good_bps: int = 0):
        self.estimator = Estimator(1)
        self.estimator.open(0, START_US, start_bps=start_bps, good_bps=good_bps)
        self.now_us = START_US
        self.lines = lines_of(1)
        self.lines.needed_bps[:] = needed_bps
        self.lines.sent_bps[:] = start_bps
        self.target_bps = float(start_bps)
        self.stalled = False
        self.proven_bps = 0.0
        self.is_full = False

    def tick(self, rows: list[tuple[int, int, int, int, int]] | None = None) -> list[ProbeOrder]:
        self.now_us += TICK_US
        if rows is None:
            rows = self.sound()
        estimates, orders = self.estimator.update(self.now_us, feedback_of(rows), self.lines)
        self.target_bps = float(estimates.target_bps[0])
        self.stalled = bool(estimates.is_stalled[0])
        self.proven_bps = float(estimates.proven_bps[0])
        self.is_full = bool(estimates.is_full[0])
        return orders

    def sound(self) -> list[tuple[int, int, int, int, int]]:
        sent = [self.now_us - 100_000 + k * 20_000 for k in range(5)]
        return [(0, at, at + 30_000, 83, 0) for at in sent]

    def cluster(
        self, order: ProbeOrder, *, came_bps: float, lost: int = 0
    ) -> list[tuple[int, int, int, int, int]]:
        size = 500
        count = int(order.rate_bps * order.duration_us / 8e6 / size) + 2
        begun = self.now_us - 60_000
        rows = []
        for k in range(count):
            sent = begun + int(k * size * 8e6 / order.rate_bps)
            came = begun + 30_000 + int(k * size * 8e6 / came_bps)
            is_lost = 0 < k <= lost
            rows.append((0, sent, 0 if is_lost else came, size, order.probe))
        return rows


def first_order(probed: Probed) -> ProbeOrder:
    for _ in range(5):
        orders = probed.tick()
        if orders:
            return orders[0]
    raise AssertionError("no probe")


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


def test_a_queue_is_gone_after_nothing_was_sent_for_its_length() -> None:
    probed = Probed()
    for _ in range(10):
        probed.tick()
    probed.estimator._queues.queue_us[0] = 800_000
    probed.lines.sent_bps[:] = 0
    early = [order for _ in range(6) for order in probed.tick([])]
    late = [order for _ in range(40) for order in probed.tick([])]
    assert not early and late


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


def test_a_queue_that_grows_while_a_probe_is_under_way() -> None:
    probed = Probed()
    first_order(probed)
    for tick in range(10):
        probed.now_us += TICK_US
        sent = [probed.now_us - 100_000 + k * 20_000 for k in range(5)]
        rows = [
            (0, at, at + 30_000 + tick * 20_000 + k * 4_000, 83, 0) for k, at in enumerate(sent)
        ]
        probed.now_us -= TICK_US
        probed.tick(rows)
        if tick <= 3:
            assert probed.target_bps == 300_000
    assert probed.target_bps < 250_000


def test_a_sudden_queue_on_a_calm_line_is_answered_at_once() -> None:
    probed = Probed(needed_bps=0)
    for _ in range(10):
        probed.tick()
    before = probed.target_bps
    sent = [probed.now_us + k * 20_000 for k in range(5)]
    probed.tick([(0, at, at + 150_000 + k * 5_000, 83, 0) for k, at in enumerate(sent)])
    assert probed.target_bps < before


def test_a_queue_of_two_packets_on_a_narrow_line_is_a_key_frame_and_no_overuse() -> None:
    probed = Probed(needed_bps=0)
    for _ in range(10):
        probed.tick()
    before = probed.target_bps
    sent = [probed.now_us + k * 20_000 for k in range(5)]
    # 60 ms longer than before, and the next ones on their way down again.
    probed.tick([(0, at, at + 90_000 - k * 5_000, 83, 0) for k, at in enumerate(sent)])
    assert probed.target_bps >= before


def test_silence_is_a_stall_only_if_something_was_sent() -> None:
    probed = Probed()
    for _ in range(10):
        probed.tick()
    for _ in range(20):
        probed.tick([])
    assert probed.stalled
    probed.lines.sent_bps[:] = 0
    probed.tick([])
    assert not probed.stalled


def test_after_a_silence_old_rows_say_nothing() -> None:
    probed = Probed(needed_bps=0)
    for _ in range(10):
        probed.tick()
    before = probed.target_bps
    for _ in range(50):
        probed.tick([])
    sent_from = probed.now_us - 5_000_000
    old = [(0, sent_from + k * 50_000, 0, 1000, 0) for k in range(90)]
    held_up = [(0, sent_from + k * 1000, probed.now_us, 1000, 0) for k in range(50)]
    probed.tick(old + held_up)
    assert probed.target_bps == pytest.approx(DEFAULTS.return_share * before)
    for _ in range(5):
        probed.tick()
    assert probed.target_bps >= DEFAULTS.return_share * before


def test_a_queue_that_takes_seconds_to_drain_is_not_the_way_itself() -> None:
    probed = Probed(needed_bps=0)
    for tick in range(130):
        delay_us = 30_000 if tick < 10 else 2_900_000 - (tick - 10) * 20_000
        sent = [probed.now_us + k * 20_000 for k in range(5)]
        probed.tick([(0, at, at + delay_us, 83, 0) for at in sent])
    estimates, _ = probed.estimator.update(probed.now_us, feedback_of([]), probed.lines)
    assert estimates.queue_us[0] == 2_900_000 - 119 * 20_000 - 30_000


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


def test_a_braking_engine_stops_growth_and_probes() -> None:
    probed = Probed(start_bps=100_000)
    probed.lines.is_braking[:] = True
    assert [order for _ in range(30) for order in probed.tick()] == []
    assert probed.target_bps == 100_000


# --- the next step up


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


def test_a_short_probe_that_came_slower_finds_the_end_and_proves_nothing() -> None:
    for share, is_full in ((1.0, False), (0.5, True)):
        probed = Probed()
        order = first_order(probed)
        probed.tick(probed.cluster(order, came_bps=share * order.rate_bps))
        probed.tick()
        assert probed.is_full is is_full and (probed.proven_bps > 0) is not is_full


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


def test_a_queue_that_says_nothing_yet_cuts_nothing_and_a_measured_line_sets_the_rate() -> None:
    rates = Rates(1)
    rates.target_bps[:] = 900e3
    lazy = seen(queue_us=60e3, passing_bps=500e3)._replace(
        is_eager=np.array([False]), is_urgent=np.array([False]), is_sudden=np.array([False])
    )
    adapt(rates, np.array([0]), lazy, START_US, DEFAULTS)
    assert rates.target_bps[0] == 900e3
    told = lazy._replace(is_measured=np.array([True]), passing_bps=np.array([800e3]))
    adapt(rates, np.array([0]), told, START_US + TICK_US, DEFAULTS)
    assert rates.target_bps[0] == pytest.approx(0.85 * 800e3)
    # Sending less than may be sent does not carry the estimate beyond that again.
    idle = lazy._replace(is_overused=np.array([False]), queue_us=np.zeros(1))
    for tick in range(2, 300):
        adapt(rates, np.array([0]), idle, START_US + tick * TICK_US, DEFAULTS)
    assert rates.target_bps[0] <= 800e3
    busy = idle._replace(is_eager=np.array([True]), passing_bps=np.array([900e3]))
    for tick in range(300, 400):
        adapt(rates, np.array([0]), busy, START_US + tick * TICK_US, DEFAULTS)
    assert rates.target_bps[0] > 900e3


def test_a_sudden_queue_with_less_coming_through_is_a_cliff() -> None:
    rates = Rates(1)
    rates.target_bps[:] = 3e6
    cliff = seen(queue_us=130e3, passing_bps=120e3)._replace(
        is_eager=np.array([False]), sent_bps=np.array([900e3])
    )
    adapt(rates, np.array([0]), cliff, START_US, DEFAULTS)
    assert rates.target_bps[0] <= 0.75 * 900e3


def seen(*, queue_us: float, passing_bps: float) -> Seen:
    """A line too full, on which all that may be sent is sent."""
    no, yes = np.array([False]), np.array([True])
    return Seen(
        is_overused=yes,
        is_underused=no,
        is_idle=no,
        is_eager=yes,
        is_sudden=yes,
        is_urgent=yes,
        sent_bps=np.array([passing_bps]),
        may_grow=yes,
        passing_bps=np.array([passing_bps]),
        is_measured=no,
        queue_us=np.array([queue_us]),
        rtt_us=np.array([200e3]),
    )
