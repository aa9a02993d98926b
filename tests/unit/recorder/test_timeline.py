"""RTP time to the recording's timeline: drift, jitter, reports that come late, new encodings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from recorder.finish.timeline import find_runs, monotonic_dts, spread, to_engine_us

Times = npt.NDArray[np.int64]


def video(count: int, *, ppm: float = 0.0, fps: int = 30) -> tuple[Times, Times]:
    """RTP timestamps of a sender whose clock runs fast by ``ppm``, and the true times."""
    truth = np.arange(count, dtype=np.int64) * (1_000_000 // fps) + 3_000_000
    ts = np.rint((truth - truth[0]) * (1 + ppm / 1e6) * 0.09).astype(np.int64)
    return ts, truth


def zeros(times: Times) -> Times:
    return np.zeros(len(times), np.int64)


def test_an_hour_of_drift_stays_within_20_ms() -> None:
    ts, truth = video(30 * 3600, ppm=120)
    jitter = np.random.default_rng(1).normal(0, 3000, len(truth)).astype(np.int64)
    got = to_engine_us(ts, truth + jitter, truth + 80_000, zeros(ts), 90_000)
    assert np.max(np.abs(got - truth)) < 20_000


def test_frames_before_the_first_report_are_placed_by_later_ones() -> None:
    ts, truth = video(30 * 20)
    arrived = truth + 250_000
    captured = np.where(np.arange(len(ts)) < 150, arrived, truth)
    got = to_engine_us(ts, captured, arrived, zeros(ts), 90_000)
    assert np.max(np.abs(got - truth)) < 5_000


def test_without_reports_the_least_delayed_frames_count() -> None:
    ts, truth = video(30 * 60)
    delay = np.random.default_rng(2).exponential(60_000, len(truth)).astype(np.int64) + 20_000
    got = to_engine_us(ts, truth + delay, truth + delay, zeros(ts), 90_000)
    assert np.max(np.abs(got - truth)) < 60_000
    assert np.ptp(got - truth) < 25_000


def test_another_encoding_has_its_own_clock() -> None:
    ts, truth = video(600)
    encoding = (np.arange(600) >= 300).astype(np.int64)
    ts = ts + encoding * 777_777_777
    got = to_engine_us(ts, truth, truth + 40_000, encoding, 90_000)
    assert np.max(np.abs(got - truth)) < 3_000
    assert len(find_runs(ts, truth, encoding, 90_000)) == 2


def test_a_sender_that_begins_anew_starts_a_run() -> None:
    ts, truth = video(300)
    ts[150:] += 90_000 * 60
    got = to_engine_us(ts, truth, truth + 1, zeros(ts), 90_000)
    assert np.max(np.abs(got - truth)) < 3_000


def test_a_pause_is_not_a_new_run() -> None:
    ts, truth = video(300)
    ts[150:] += 90_000 * 60
    truth[150:] += 60_000_000
    assert len(find_runs(ts, truth, zeros(ts), 90_000)) == 1


def test_nothing_in_nothing_out() -> None:
    empty = np.empty(0, np.int64)
    assert len(to_engine_us(empty, empty, empty, empty, 48_000)) == 0
    assert len(monotonic_dts(empty)) == 0


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60))
def test_decoding_times_rise_and_are_never_late(pts: list[int]) -> None:
    times = np.array(pts, np.int64) * 100
    dts = monotonic_dts(times)
    assert np.all(np.diff(dts) > 0)


def test_b_frames_are_decoded_before_they_are_shown() -> None:
    pts = np.array([0, 120, 40, 80, 240, 160, 200], np.int64) * 1000
    dts = monotonic_dts(pts)
    assert np.all(np.diff(dts) > 0)
    assert np.all(dts <= pts)


def test_times_that_repeat_stay_apart_in_every_container() -> None:
    """Pictures from before the start all lie at 0; files count in ms or in 1/90000 s."""
    spread_us = spread(np.array([0, 0, 0, 111, 100_000], np.int64))
    assert spread_us.tolist() == [0, 1000, 2000, 3000, 100_000]
    dts_us = monotonic_dts(np.zeros(7, np.int64))
    assert np.unique(dts_us * 90_000 // 1_000_000).size == 7
