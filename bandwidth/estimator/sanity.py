"""What callers say of lines, made fit for arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .api import Lines
from .columns import Bools, Floats

_UNKNOWN_RTT_US = 200_000.0
_MAX_RTT_US = 10_000_000.0
_MOST = 1e12  # no figure of a line is larger


def fit_flags(values: NDArray[np.bool_] | tuple[()], capacity: int) -> Bools:
    """Cut the array to the capacity, or fill it with False."""
    fitted = np.zeros(capacity, np.bool_)
    known = np.asarray(values, np.bool_)[:capacity]
    fitted[: len(known)] = known
    return fitted


def fit_lines(lines: Lines, capacity: int) -> Lines:
    """Cut or fill the arrays to the capacity; what is no number counts as not known."""

    def figures(values: NDArray[np.float64], missing: float) -> Floats:
        fitted = np.full(capacity, missing)
        known = np.asarray(values, np.float64)[:capacity]
        is_sane = np.isfinite(known) & (known >= 0)
        fitted[: len(known)] = np.where(is_sane, np.minimum(known, _MOST), missing)
        return fitted

    return Lines(
        rtt_us=figures(lines.rtt_us, np.nan),
        loss=figures(lines.loss, np.nan),
        remb_bps=figures(lines.remb_bps, 0.0),
        has_twcc=fit_flags(lines.has_twcc, capacity),
        sent_bps=figures(lines.sent_bps, 0.0),
        needed_bps=figures(lines.needed_bps, 0.0),
        next_bps=figures(lines.next_bps, 0.0),
        cost_factor=np.maximum(figures(lines.cost_factor, 1.0), 1.0),
        is_braking=fit_flags(lines.is_braking, capacity),
        reported_packets=figures(lines.reported_packets, 0.0),
        reported_lost=figures(lines.reported_lost, 0.0),
        newest_rtt_us=figures(lines.newest_rtt_us, 0.0),
    )


def sane_rtt(rtt_us: Floats) -> Floats:
    """A round trip to reckon with, known or not."""
    known = np.where(rtt_us > 0, rtt_us, _UNKNOWN_RTT_US)
    return np.minimum(known, _MAX_RTT_US)
