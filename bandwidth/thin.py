"""Who gets the thin version of a track whose lowest layer does not fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["grant_thin"]

# What is begun needs a margin. What runs is kept through a dip: starting again costs a key frame
# and half a second of standing picture, and the pacer leaves frames out where it has to.
_GROWTH_MARGIN = 1.15
_KEEP_MARGIN = 0.75


def grant_thin(
    left_bps: NDArray[np.float64],
    cost_bps: NDArray[np.float64],
    *,
    slot: NDArray[np.int64],
    kind: NDArray[np.int8],
    area_px: NDArray[np.float64],
    may_have: NDArray[np.bool_],
    has: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Give thin versions to the most important of the tracks that are paused, while they fit.

    Args:
        left_bps: (s,) of each subscriber's budget, when all layers are granted.
        cost_bps: (s,) of one thin version, protection included.
        slot: (n,) the subscriber of each track.
        kind: (n,) as in `allocator.Subscriptions`.
        area_px: (n,) as there.
        may_have: (n,) bool, wanted, paused, and a version of it can be made.
        has: (n,) bool, gets it already.

    Returns:
        (n,) bool.
    """
    granted = np.zeros(slot.shape[0], np.bool_)
    rows = np.flatnonzero(may_have)
    if rows.size == 0:
        return granted
    rows = rows[np.lexsort((rows, -area_px[rows], kind[rows], slot[rows]))]
    owners = slot[rows]
    first = np.r_[True, owners[1:] != owners[:-1]]
    starts = np.flatnonzero(first)
    rank = np.arange(rows.size) - starts[np.cumsum(first) - 1]
    margin = np.where(has[rows], _KEEP_MARGIN, _GROWTH_MARGIN)
    granted[rows] = (rank + 1) * cost_bps[owners] * margin <= left_bps[owners]
    return granted
