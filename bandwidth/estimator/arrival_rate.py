"""How much arrives: windows of the receiver's time, smoothed by how sure they are.

libwebrtc's bitrate_estimator.cc. The raw figure of the last window is kept as well: after a drop
the smoothed one is too high for a second.

While packets wait on the way, what arrives is what the line carries, however little is sent on
average: a key frame that queues for a moment measures the line. That is kept apart.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .columns import Bools, Columns, Floats, Ints
from .constants import Constants
from .rows import Batch


class Arrivals(Columns):
    """What arrived on each line; `last_bps` and `smooth_bps` are 0 until known, `full_bps` while
    nothing waits or has waited for long enough to tell."""

    has_window: Bools
    since_us: Ints
    window_bytes: Floats
    missing_us: Floats
    last_bps: Floats
    smooth_bps: Floats
    variance: Floats
    full_since_us: Ints
    full_bytes: Floats
    full_missing_us: Floats
    full_us: Floats
    full_bps: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "has_window": False,
        "since_us": 0,
        "window_bytes": 0.0,
        "missing_us": 0.0,
        "last_bps": 0.0,
        "smooth_bps": 0.0,
        "variance": 50.0,
        "full_since_us": 0,
        "full_bytes": 0.0,
        "full_missing_us": 0.0,
        "full_us": 0.0,
        "full_bps": 0.0,
    }

    def current_bps(self, slots: NDArray[np.intp], is_eager: Bools, constants: Constants) -> Floats:
        """What arrives now: smoothed, but where it fell suddenly, and most of a sudden rise. Of who
        sends little that is little; while packets wait, it is what came since they do.

        Args:
            slots: (m,) which.
            is_eager: (m,) all that may be sent is.
            constants: tuning.
        """
        smooth, last = self.smooth_bps[slots], self.last_bps[slots]
        has_risen = last * constants.rate_jump > smooth
        usual = np.where(has_risen, smooth**0.3 * last**0.7, smooth)
        full = self.full_bps[slots]
        is_full = (full > 0) & ~is_eager
        usual = np.where(is_full, full, usual)
        is_stale = (smooth == 0) | (last < constants.rate_jump * usual)
        # The last window may have ended before packets began to wait.
        is_stale &= ~is_full | (self.full_us[slots] >= 2 * constants.rate_window_us)
        return np.where(is_stale, last, usual)


def measure_arrivals(
    arrivals: Arrivals, received: Batch, missing_us: Floats, waits: Bools, constants: Constants
) -> None:
    """Take received rows in.

    Args:
        arrivals: the state.
        received: rows.
        missing_us: (capacity,) time that no report covers.
        waits: (m,) bool, all of these rows waited on the way.
        constants: tuning.
    """
    slots = received.slots
    newest = received.highest(received.received_us)
    has = arrivals.has_window[slots]
    new_bytes = received.total(received.size_bytes)
    _measure_full(arrivals, received, new_bytes, newest, missing_us, waits, constants)
    num_bytes = arrivals.window_bytes[slots] + new_bytes
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


def _measure_full(
    arrivals: Arrivals,
    received: Batch,
    new_bytes: Floats,
    newest_us: Ints,
    missing_us: Floats,
    waits: Bools,
    constants: Constants,
) -> None:
    """From the first packet that waits to the last one the line is full without a break."""
    slots, first = received.slots, received.starts
    begins = waits & (arrivals.full_since_us[slots] == 0)
    since = np.where(begins, received.received_us[first], arrivals.full_since_us[slots])
    # The first packet only marks the beginning.
    num_bytes = np.where(
        begins, new_bytes - received.size_bytes[first], arrivals.full_bytes[slots] + new_bytes
    )
    missing = np.where(begins, 0.0, arrivals.full_missing_us[slots] + missing_us[slots])
    span_us = np.where(waits, newest_us - since, 0)
    covered_us = np.maximum(span_us - missing, constants.covered_min * span_us)
    is_long = covered_us >= constants.full_window_us
    full_bps = num_bytes * 8e6 / np.maximum(covered_us, 1)
    arrivals.full_us[slots] = covered_us
    arrivals.full_bps[slots] = np.where(is_long, full_bps, 0.0)
    # A queue that stands for long must not tell of a line that is gone.
    left = np.where(span_us > constants.full_memory_us, 0.5, 1.0)
    arrivals.full_since_us[slots] = np.where(
        waits, newest_us - (left * span_us).astype(np.int64), 0
    )
    arrivals.full_bytes[slots] = left * num_bytes
    arrivals.full_missing_us[slots] = left * missing


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
