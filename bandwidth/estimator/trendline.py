"""Is the delay growing? A line through the last groups against a threshold that adapts.

libwebrtc's trendline_estimator.cc; draft-ietf-rmcat-gcc-02 §5.3 and 5.4 explain the threshold.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .columns import Bools, Columns, Floats, Ints
from .constants import Constants
from .grouping import Deltas

_US_PER_MS = 1000.0
_WINDOW = 20


class Trends(Columns):
    """What the detector remembers of each line; delays in milliseconds."""

    num_deltas: Ints
    accumulated_ms: Floats
    smoothed_ms: Floats
    held: Ints
    history_at_ms: Floats
    history_delay_ms: Floats
    previous_trend: Floats
    threshold_ms: Floats
    over_us: Floats
    over_count: Ints
    updated_ms: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "num_deltas": 0,
        "accumulated_ms": 0.0,
        "smoothed_ms": 0.0,
        "held": 0,
        "history_at_ms": 0.0,
        "history_delay_ms": 0.0,
        "previous_trend": 0.0,
        "threshold_ms": 12.5,
        "over_us": -1.0,
        "over_count": 0,
        "updated_ms": -1.0,
    }
    WIDTH: ClassVar[dict[str, int]] = {"history_at_ms": _WINDOW, "history_delay_ms": _WINDOW}


def find_signals(
    trends: Trends, slots: NDArray[np.intp], deltas: Deltas, constants: Constants
) -> tuple[Bools, Bools]:
    """Take new distances in.

    Returns:
        (m,) bool each: the line was overused at any moment of this update; it was underused at
        its end.
    """
    slopes, has_slope = _find_slopes(trends, slots, deltas, constants)
    return _detect(trends, slots, deltas, slopes, has_slope, constants)


def _find_slopes(
    trends: Trends, slots: NDArray[np.intp], deltas: Deltas, constants: Constants
) -> tuple[Floats, Bools]:
    depth, num_slots = deltas.sent_us.shape
    steps = np.arange(depth)[:, None]
    is_there = steps < deltas.counts
    growth = np.where(is_there, deltas.came_us - deltas.sent_us, 0.0) / _US_PER_MS
    accumulated = trends.accumulated_ms[slots] + np.cumsum(growth, axis=0)
    smoothed = np.empty((depth, num_slots))
    value = trends.smoothed_ms[slots]
    for k in range(depth):
        new = constants.smoothing * value + (1 - constants.smoothing) * accumulated[k]
        value = np.where(is_there[k], new, value)
        smoothed[k] = value
    if depth:
        trends.accumulated_ms[slots] = accumulated[-1]
    trends.smoothed_ms[slots] = value

    at = np.concatenate([trends.history_at_ms[slots].T, deltas.at_us / _US_PER_MS])
    delay = np.concatenate([trends.history_delay_ms[slots].T, smoothed])
    slopes = _fit(at, delay)
    held = trends.held[slots]
    has_slope = is_there & (held + steps + 1 >= _WINDOW)
    newest = deltas.counts + np.arange(_WINDOW)[:, None]
    trends.history_at_ms[slots] = np.take_along_axis(at, newest, axis=0).T
    trends.history_delay_ms[slots] = np.take_along_axis(delay, newest, axis=0).T
    trends.held[slots] = np.minimum(held + deltas.counts, _WINDOW)
    return slopes, has_slope


def _fit(at: Floats, delay: Floats) -> Floats:
    """Least squares over each window that ends at a new point, by running sums."""
    # Sums of squares of times since the receiver's start would drown the differences; places not
    # filled yet hold zeros and may be far away, and such windows are not used.
    x = np.clip(at - at[_WINDOW - 1], -1e5, 1e5)
    y = delay - delay[_WINDOW - 1]
    sum_x, sum_y, sum_xy, sum_xx = (_window_sums(term) for term in (x, y, x * y, x * x))
    above = _WINDOW * sum_xy - sum_x * sum_y
    below = _WINDOW * sum_xx - sum_x * sum_x
    return np.where(below > 1e-6, above / np.maximum(below, 1e-6), 0.0)


def _window_sums(terms: Floats) -> Floats:
    # Row by row: numpy's own running sum down the columns takes four times as long.
    sums = np.empty_like(terms)
    sums[0] = terms[0]
    for k in range(1, len(terms)):
        np.add(sums[k - 1], terms[k], out=sums[k])
    return sums[_WINDOW:] - sums[:-_WINDOW]


def _detect(
    trends: Trends,
    slots: NDArray[np.intp],
    deltas: Deltas,
    slopes: Floats,
    has_slope: Bools,
    constants: Constants,
) -> tuple[Bools, Bools]:
    """Go through the new points in order: the threshold follows each."""
    count = trends.num_deltas[slots]
    threshold = trends.threshold_ms[slots]
    over_us = trends.over_us[slots]
    over_count = trends.over_count[slots]
    previous = trends.previous_trend[slots]
    updated = trends.updated_ms[slots]
    is_overused = np.zeros(len(slots), np.bool_)
    is_underused = np.zeros(len(slots), np.bool_)
    for k in range(len(deltas.sent_us)):
        is_there = k < deltas.counts
        count = np.minimum(count + is_there, constants.max_deltas)
        slope = np.where(has_slope[k], slopes[k], previous)
        level = count * slope * constants.trend_gain
        is_over = is_there & (level > threshold)
        step_us = deltas.sent_us[k]
        over_us = np.where(is_over, np.where(over_us < 0, step_us / 2, over_us + step_us), over_us)
        over_count = over_count + is_over
        is_sure = is_over & (over_us > constants.overuse_time_us) & (over_count > 1)
        is_sure &= slope >= previous
        is_overused |= is_sure
        is_underused = np.where(is_there, level < -threshold, is_underused)
        is_calm = is_there & ~is_over
        over_us = np.where(is_calm, -1.0, np.where(is_sure, 0.0, over_us))
        over_count = np.where(is_calm | is_sure, 0, over_count)
        previous = np.where(is_there, slope, previous)
        at_ms = deltas.at_us[k] / _US_PER_MS
        follows = is_there & (updated >= 0)
        threshold = _follow(threshold, np.abs(level), at_ms - updated, follows, constants)
        updated = np.where(is_there, at_ms, updated)
    trends.num_deltas[slots] = count
    trends.threshold_ms[slots] = threshold
    trends.over_us[slots] = over_us
    trends.over_count[slots] = over_count
    trends.previous_trend[slots] = previous
    trends.updated_ms[slots] = updated
    return is_overused, is_underused


def _follow(
    threshold: Floats, size: Floats, elapsed_ms: Floats, follows: Bools, constants: Constants
) -> Floats:
    """Move the threshold towards what is usual.

    A sudden jump is not followed: a threshold drawn up by it would miss the next queue.
    """
    elapsed_ms = np.clip(elapsed_ms, 0.0, constants.threshold_max_step_ms)
    gain = np.where(size < threshold, constants.threshold_down, constants.threshold_up)
    follows = follows & (size <= threshold + constants.threshold_max_excess_ms)
    moved = np.where(follows, threshold + gain * (size - threshold) * elapsed_ms, threshold)
    return np.clip(moved, constants.threshold_min_ms, constants.threshold_max_ms)
