"""Whatever a peer reports, estimates stay finite and within their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_link import START_US, feedback_of, lines_of

from bandwidth.estimator import DEFAULTS, Estimates, Estimator, Feedback, Lines

TICK_US = 100_000
MAX_64 = (1 << 63) - 1
Row = tuple[int, int, int, int, int]

times = st.one_of(
    st.integers(-MAX_64, MAX_64),
    st.integers(START_US - 2_000_000, START_US + 2_000_000),
    st.sampled_from([0, 1, -1, MAX_64, 1 << 52]),
)
rows = st.tuples(
    st.integers(-2, 6),
    times,
    times,
    st.one_of(st.integers(0, 1500), st.integers(-(1 << 31), (1 << 31) - 1)),
    st.one_of(st.integers(0, 3), st.integers(-MAX_64, MAX_64)),
)
figures = st.floats(allow_nan=True, allow_infinity=True)


def check(estimates: Estimates, slots: list[int]) -> None:
    target = estimates.target_bps[slots]
    assert np.isfinite(target).all()
    assert (target >= DEFAULTS.min_bps).all() and (target <= DEFAULTS.max_bps).all()
    assert np.isfinite(estimates.acked_bps[slots]).all()
    assert ((estimates.loss[slots] >= 0) & (estimates.loss[slots] <= 1)).all()
    queue = estimates.queue_us[slots]
    assert (np.isnan(queue) | ((queue >= 0) & np.isfinite(queue))).all()


@settings(max_examples=150, deadline=None)
@given(
    ticks=st.lists(st.lists(rows, max_size=40), min_size=1, max_size=6),
    steps=st.lists(st.integers(-200_000, 3_000_000), min_size=6, max_size=6),
    values=st.lists(figures, min_size=8, max_size=8),
    has_twcc=st.booleans(),
)
def test_any_rows_and_figures(
    ticks: list[list[Row]], steps: list[int], values: list[float], has_twcc: bool
) -> None:
    estimator = Estimator(4)
    for slot in (0, 1, 3):
        estimator.open(slot, START_US, start_bps=300_000)
    filled = [np.full(4, value) for value in values]
    lines = Lines(
        rtt_us=filled[0],
        loss=filled[1],
        remb_bps=filled[2],
        has_twcc=np.full(4, has_twcc),
        sent_bps=filled[3],
        needed_bps=filled[4],
        next_bps=filled[4] / 2,
        cost_factor=filled[4],
        is_braking=np.zeros(4, np.bool_),
        reported_packets=filled[5],
        reported_lost=filled[6],
        newest_rtt_us=filled[7],
    )
    now_us = START_US
    for number, tick in enumerate(ticks):
        now_us += steps[number]
        estimates, orders = estimator.update(now_us, feedback_of(tick), lines)
        check(estimates, [0, 1, 3])
        for order in orders:
            assert order.slot in (0, 1, 3)
            assert 0 < order.rate_bps <= 2 * DEFAULTS.max_bps
            assert DEFAULTS.probe_min_us <= order.duration_us <= DEFAULTS.probe_max_us
            assert order.rate_bps * order.duration_us / 8e6 <= 100_000
            assert 0 < order.probe < 1 << 32


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    mix=st.sampled_from(["back", "before", "jump", "twice", "empty", "lost"]),
)
def test_plausible_rows_with_one_kind_of_nonsense(seed: int, mix: str) -> None:
    random = np.random.default_rng(seed)
    estimator = Estimator(1)
    estimator.open(0, START_US, start_bps=600_000)
    lines = lines_of(1)
    lines.sent_bps[:] = 600_000
    lines.needed_bps[:] = 2_000_000
    for tick in range(40):
        now_us = START_US + tick * TICK_US
        sent = now_us - TICK_US + np.arange(10) * 10_000
        came = sent + 30_000 + random.integers(0, 5_000, 10)
        if mix == "back":
            came[random.random(10) < 0.2] -= 500_000_000
        elif mix == "before":
            came = sent - 1_000_000
        elif mix == "jump":
            came += int(random.integers(0, 1 << 40))
        elif mix == "lost":
            came[:] = 0
        size = np.zeros(10, np.int64) if mix == "empty" else np.full(10, 750)
        table = [
            (0, int(s), max(0, int(c)), int(b), 0) for s, c, b in zip(sent, came, size, strict=True)
        ]
        estimates, _ = estimator.update(now_us, feedback_of(table * (1 + (mix == "twice"))), lines)
        check(estimates, [0])


def test_rows_that_cannot_be_are_counted() -> None:
    estimator = Estimator(2)
    estimator.open(0, START_US, start_bps=300_000)
    table: list[Row] = [
        (0, START_US - 1000, 5, 100, 0),
        (1, START_US - 1000, 5, 100, 0),
        (7, START_US - 1000, 5, 100, 0),
        (-1, START_US - 1000, 5, 100, 0),
        (0, START_US + 5_000_000, 5, 100, 0),
        (0, START_US - 100_000_000, 5, 100, 0),
        (0, START_US - 1000, -5, 100, 0),
    ]
    estimator.update(START_US, feedback_of(table), lines_of(2))
    assert estimator.dropped_rows == 6


def test_a_reused_slot_remembers_nothing() -> None:
    estimator = Estimator(1)
    estimator.open(0, START_US, start_bps=300_000)
    for tick in range(30):
        now_us = START_US + tick * TICK_US
        table = [(0, now_us - 90_000 + k * 5000, now_us + k * 5000, 1200, 0) for k in range(16)]
        estimator.update(now_us, feedback_of(table), lines_of(1))
    estimator.close(0)
    estimator.open(0, START_US + 4_000_000, start_bps=450_000)
    estimates, orders = estimator.update(START_US + 4_000_000, feedback_of([]), lines_of(1))
    assert estimates.target_bps[0] == 450_000
    assert estimates.acked_bps[0] == 0 and np.isnan(estimates.queue_us[0])
    assert orders == []


def test_it_grows_with_the_slots_and_takes_shorter_lines() -> None:
    estimator = Estimator(2)
    estimator.open(1, START_US, start_bps=300_000)
    estimator.open(70, START_US, start_bps=900_000)
    estimates, _ = estimator.update(START_US, feedback_of([]), lines_of(71))
    assert len(estimates.target_bps) >= 71
    assert (estimates.target_bps[1], estimates.target_bps[70]) == (300_000, 900_000)
    with pytest.raises(ValueError, match="negative"):
        estimator.open(-1, START_US, start_bps=300_000)
    estimator.close(5000)


def test_updates_without_any_slot() -> None:
    nothing = Feedback(*(np.zeros(0, kind) for kind in ("i4", "i8", "i8", "i4", "i8")))
    estimates, orders = Estimator(0).update(START_US, nothing, lines_of(0))
    assert len(estimates.target_bps) == 0 and orders == []


def test_a_start_out_of_bounds_is_brought_in() -> None:
    estimator = Estimator(2)
    estimator.open(0, START_US, start_bps=1)
    estimator.open(1, START_US, start_bps=1 << 40)
    estimates, _ = estimator.update(START_US, feedback_of([]), lines_of(2))
    assert list(estimates.target_bps) == [DEFAULTS.min_bps, DEFAULTS.max_bps]
