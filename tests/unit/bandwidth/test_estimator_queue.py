"""What queues and silence do to a line's estimate."""

from __future__ import annotations

import numpy as np
import pytest
from model_link import START_US, feedback_of
from probed_line import TICK_US, Probed, first_order

from bandwidth.estimator import DEFAULTS
from bandwidth.estimator.aimd import Rates, Seen, adapt


def test_a_queue_is_gone_after_nothing_was_sent_for_its_length() -> None:
    probed = Probed()
    for _ in range(10):
        probed.tick()
    probed.estimator._queues.queue_us[0] = 800_000
    probed.lines.sent_bps[:] = 0
    early = [order for _ in range(6) for order in probed.tick([])]
    late = [order for _ in range(40) for order in probed.tick([])]
    assert not early and late


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
