"""The rungs that a subscription can stand on: spatial × temporal layers, cheapest first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandwidth.demand import MAX_LAYERS

__all__ = ["NUM_RUNGS", "NUM_TEMPORAL", "Rungs", "build_rungs"]

NUM_TEMPORAL = 3
NUM_RUNGS = MAX_LAYERS * NUM_TEMPORAL


class Rungs(NamedTuple):
    """Rung r is spatial layer r // 3 up to temporal layer r % 3.

    Attributes:
        cost: (n, NUM_RUNGS) float64 bits a second, 0 = no such layer.
        extra: (n, NUM_RUNGS) float64, more than the next lower rung that is there; 0 = not there.
        is_there: (n, NUM_RUNGS) bool, it exists, is wanted, and no better one costs less.
        first: (n,) the lowest that is there, -1 = none.
        top: (n,) the highest, -1 = none.
        top_temporal: (n, MAX_LAYERS) highest temporal layer of each spatial one, -1 = none.
    """

    cost: NDArray[np.float64]
    extra: NDArray[np.float64]
    is_there: NDArray[np.bool_]
    first: NDArray[np.int64]
    top: NDArray[np.int64]
    top_temporal: NDArray[np.int64]


def build_rungs(
    rates_bps: NDArray[np.float64],
    wanted_spatial: NDArray[np.int8],
    wanted_temporal: NDArray[np.int8],
    min_spatial: NDArray[np.int8],
    *,
    needs_motion: NDArray[np.bool_],
) -> Rungs:
    """List the rungs of each subscription.

    Args:
        rates_bps: (n, MAX_LAYERS, NUM_TEMPORAL), 0 = not there.
        wanted_spatial: (n,), below 0 = nothing.
        wanted_temporal: (n,) highest wanted.
        min_spatial: (n,) lowest that is of use; the lowest layer there is, where that is higher.
        needs_motion: (n,) bool: a larger picture at a quarter of the rate is no gain over a
            smaller one at full rate. Not so for screens, where sharpness counts.
    """
    count = rates_bps.shape[0]
    number = np.arange(NUM_RUNGS)
    spatial, temporal = number // NUM_TEMPORAL, number % NUM_TEMPORAL
    exists = rates_bps > 0
    top_temporal = exists.sum(axis=2) - 1
    cost = rates_bps.reshape(count, NUM_RUNGS)
    has_layer = exists.any(axis=2)
    highest = np.where(has_layer, np.arange(MAX_LAYERS), -1).max(axis=1, initial=-1)
    # A wish for more than there is gets the top, a bound below more than there is, too.
    wanted = np.where(wanted_spatial < 0, -1, np.minimum(wanted_spatial, highest))
    lowest = np.minimum(min_spatial, np.maximum(wanted, 0))
    is_there = (cost > 0) & (spatial <= wanted[:, None]) & (spatial >= lowest[:, None])
    # The lowest temporal layer is always of use: a wish for fewer frames than it has is met by it.
    is_there &= temporal <= np.maximum(wanted_temporal, 0)[:, None]
    least = np.minimum(top_temporal - 1, wanted_temporal[:, None])[:, spatial]
    is_there &= ~(needs_motion[:, None] & (spatial > lowest[:, None]) & (temporal < least))
    # A better rung that costs no more makes one pointless.
    offered = np.where(is_there, cost, np.inf)
    cheapest_above = np.minimum.accumulate(offered[:, ::-1], axis=1)[:, ::-1]
    is_there[:, :-1] &= cost[:, :-1] < cheapest_above[:, 1:]
    so_far = np.maximum.accumulate(np.where(is_there, cost, 0.0), axis=1)
    before = np.concatenate([np.zeros((count, 1)), so_far[:, :-1]], axis=1)
    extra = np.where(is_there, cost - before, 0.0)
    has_any = is_there.any(axis=1)
    first = np.where(has_any, is_there.argmax(axis=1), -1)
    top = np.where(has_any, NUM_RUNGS - 1 - is_there[:, ::-1].argmax(axis=1), -1)
    return Rungs(cost, extra, is_there, first, top, top_temporal)
