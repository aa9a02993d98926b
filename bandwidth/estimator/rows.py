"""Rows of feedback made fit for arithmetic: what cannot be is left out, the rest is sorted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .api import Feedback
from .columns import Bools, Floats, Ints
from .constants import Constants

_MAX_PACKET_BYTES = 65_535
_MAX_TIME_US = 1 << 52  # beyond, float64 is no longer exact


class Batch(NamedTuple):
    """Rows sorted by slot and then by time of sending; all positions count from 0.

    Attributes:
        slots: (m,) slots that have rows, rising.
        starts: (m,) first row of each.
        counts: (m,) rows of each.
        owner: (n,) position in `slots` of each row's slot.
        sent_us, received_us, size_bytes, probe: (n,) as in `Feedback`.
    """

    slots: NDArray[np.intp]
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    owner: NDArray[np.intp]
    sent_us: Ints
    received_us: Ints
    size_bytes: Ints
    probe: Ints

    def where(self, keep: Bools) -> Batch:
        """Leave out rows, and slots that have none left."""
        if keep.all():
            return self
        return _batch(
            self.slots[self.owner[keep]],
            self.sent_us[keep],
            self.received_us[keep],
            self.size_bytes[keep],
            self.probe[keep],
        )

    def total(self, values: NDArray[np.float64] | Ints | Bools) -> Floats:
        """Add up a value of each row per slot; (m,)."""
        return np.bincount(
            self.owner, weights=np.asarray(values, np.float64), minlength=len(self.slots)
        ).astype(np.float64)

    def lowest(self, values: Ints) -> Ints:
        """Find the lowest value of each slot's rows; (m,)."""
        return np.minimum.reduceat(values, self.starts) if len(values) else values[:0]

    def highest(self, values: Ints) -> Ints:
        """Find the highest value of each slot's rows; (m,)."""
        return np.maximum.reduceat(values, self.starts) if len(values) else values[:0]


def sort_rows(
    feedback: Feedback, now_us: int, is_open: Bools, constants: Constants
) -> tuple[Batch, int]:
    """Clean and sort the rows of an update.

    Args:
        feedback: as it came.
        now_us: the sender's clock.
        is_open: (capacity,) slots in use.
        constants: for how old a row may be.

    Returns:
        The batch, and how many rows were left out.
    """
    slot = np.asarray(feedback.slot, np.int64)
    sent_us = np.asarray(feedback.sent_us, np.int64)
    received_us = np.asarray(feedback.received_us, np.int64)
    is_known = (slot >= 0) & (slot < len(is_open))
    is_known &= is_open[np.where(is_known, slot, 0)]
    keep = is_known & (sent_us > max(0, now_us - constants.max_row_age_us))
    keep &= sent_us <= min(_MAX_TIME_US, now_us + constants.max_ahead_us)
    keep &= (received_us >= 0) & (received_us <= _MAX_TIME_US)
    size_bytes = np.clip(np.asarray(feedback.size_bytes, np.int64), 0, _MAX_PACKET_BYTES)
    probe = np.asarray(feedback.probe, np.int64)
    if not keep.all():
        slot, sent_us, received_us = slot[keep], sent_us[keep], received_us[keep]
        size_bytes, probe = size_bytes[keep], probe[keep]
    dropped = len(keep) - len(slot)
    order = _find_order(slot, sent_us)
    return (
        _batch(slot[order], sent_us[order], received_us[order], size_bytes[order], probe[order]),
        dropped,
    )


def _find_order(slot: Ints, sent_us: Ints) -> NDArray[np.intp]:
    """Sort by slot, then time; cheap where each slot's rows come in order, as they do."""
    # Numpy sorts 16 bits by radix.
    narrow = slot.astype(np.uint16) if slot.max(initial=0) < 1 << 16 else slot
    order = np.argsort(narrow, kind="stable")
    same = slot[order[1:]] == slot[order[:-1]]
    if (same & (sent_us[order[1:]] < sent_us[order[:-1]])).any():
        order = np.lexsort((sent_us, slot))
    return order


def _batch(slot: NDArray[np.intp], sent: Ints, received: Ints, size: Ints, probe: Ints) -> Batch:
    is_first = np.ones(len(slot), np.bool_)
    is_first[1:] = slot[1:] != slot[:-1]
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=len(slot))
    owner = np.cumsum(is_first) - 1
    return Batch(slot[starts], starts, counts, owner, sent, received, size, probe)
