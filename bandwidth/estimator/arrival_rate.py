"""How much arrives: windows of the receiver's time, smoothed by how sure they are.

libwebrtc's bitrate_estimator.cc. The raw figure of the last window is kept as well: after a drop
the smoothed one is too high for a second.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .columns import Bools, Columns, Floats, Ints
from .constants import Constants
from .rows import Batch


class Arrivals(Columns):
    """What arrived on each line; `last_bps` and `smooth_bps` are 0 until known."""

    has_window: Bools
    since_us: Ints
    window_bytes: Floats
    missing_us: Floats
    last_bps: Floats
    smooth_bps: Floats
    variance: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "has_window": False,
        "since_us": 0,
        "window_bytes": 0.0,
        "missing_us": 0.0,
        "last_bps": 0.0,
        "smooth_bps": 0.0,
        "variance": 50.0,
    }

    def current_bps(self, slots: NDArray[np.intp], constants: Constants) -> Floats:
        """What arrives now: smoothed, but where it fell suddenly, and most of a sudden rise."""
        smooth, last = self.smooth_bps[slots], self.last_bps[slots]
        is_stale = (smooth == 0) | (last < constants.rate_jump * smooth)
        has_risen = last * constants.rate_jump > smooth
        return np.where(is_stale, last, np.where(has_risen, smooth**0.3 * last**0.7, smooth))


def measure_arrivals(
    arrivals: Arrivals, received: Batch, missing_us: Floats, constants: Constants
) -> None:
    """Take received rows in.

    Args:
        arrivals: the state.
        received: rows.
        missing_us: (capacity,) time that no report covers.
        constants: tuning.
    """
    slots = received.slots
    newest = received.highest(received.received_us)
    has = arrivals.has_window[slots]
    num_bytes = arrivals.window_bytes[slots] + received.total(received.size_bytes)
    since = np.where(has, arrivals.since_us[slots], newest)
    missing = arrivals.missing_us[slots] + missing_us[slots]
    span_us = newest - since
    span_us = np.maximum(span_us - missing, constants.covered_min * span_us)
    is_first = arrivals.smooth_bps[slots] == 0
    is_full = has & (span_us >= constants.rate_window_us)
    raw = num_bytes * 8e6 / np.maximum(span_us, 1)
    arrivals.last_bps[slots] = np.where(is_full, raw, arrivals.last_bps[slots])
    smooth, variance = _smooth(
        arrivals.smooth_bps[slots], arrivals.variance[slots], raw, is_first, constants
    )
    arrivals.smooth_bps[slots] = np.where(is_full, smooth, arrivals.smooth_bps[slots])
    arrivals.variance[slots] = np.where(is_full, variance, arrivals.variance[slots])
    is_new = is_full | ~has | (span_us < 0)
    arrivals.window_bytes[slots] = np.where(is_new, 0.0, num_bytes)
    arrivals.missing_us[slots] = np.where(is_new, 0.0, missing)
    arrivals.since_us[slots] = np.where(is_new, newest, since)
    arrivals.has_window[slots] = True


def _smooth(
    estimate: Floats, variance: Floats, raw: Floats, is_first: Bools, constants: Constants
) -> tuple[Floats, Floats]:
    """Weigh a sample by how far it is off: one outlier moves little, a second one much."""
    off = np.abs(estimate - raw) / np.maximum(estimate, 1.0)
    sample_variance = np.square(constants.rate_uncertainty * off)
    predicted = variance + constants.rate_variance_growth
    total = np.maximum(sample_variance + predicted, 1e-9)
    merged = (sample_variance * estimate + predicted * raw) / total
    new_variance = sample_variance * predicted / total
    return np.where(is_first, raw, merged), np.where(is_first, variance, new_variance)
