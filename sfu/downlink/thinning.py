"""What is left of the budgets goes to thin versions of what is paused."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandwidth import allocator
from bandwidth.ladder import Step
from bandwidth.thin import grant_thin
from sfu.downlink.table import Table
from sfu.thin import THIN_BPS

__all__ = ["Thinned", "thin_out"]

# Retransmission of a 360p layer (three packets a frame) keeps up below this.
_HIGH_LOSS = 0.15
_ROOM = 1.2


class Thinned(NamedTuple):
    """What comes out.

    Attributes:
        is_thin: (n,) bool, which rows get a thin version.
        used_bps: (s,) what all that is granted costs.
        base_bps: (s,) the least that makes sense, without the cost factor.
        step: (s,) int8.
    """

    is_thin: npt.NDArray[np.bool_]
    used_bps: npt.NDArray[np.float64]
    base_bps: npt.NDArray[np.float64]
    step: npt.NDArray[np.int8]


def thin_out(
    table: Table,
    rows: npt.NDArray[np.intp],
    wanted: allocator.Subscriptions,
    found: allocator.Allocation,
    budgets_bps: npt.NDArray[np.float64],
    factor: npt.NDArray[np.float64],
    loss: npt.NDArray[np.float64],
) -> Thinned:
    """Fill up an allocation.

    Args:
        table: of the rows.
        rows: (n,) those allocated.
        wanted: (n,) what the allocator was given.
        found: what it granted.
        budgets_bps: (s,) as it was given.
        factor: (s,) what a bit of video costs with its protection.
        loss: (s,) 0 … 1.
    """
    size = budgets_bps.shape[0]
    # Slides that cannot be read are better as sharp stills.
    can_have = (wanted.kind != allocator.SCREEN) & table.can_thin(rows)
    is_thin = grant_thin(
        budgets_bps - found.used_bps,
        THIN_BPS * factor,
        slot=wanted.slot,
        kind=wanted.kind,
        area_px=wanted.area_px,
        may_have=found.is_paused & can_have,
        has=table.has_thin(rows),
    )
    count = np.bincount(wanted.slot[is_thin], minlength=size)
    is_possible = np.bincount(wanted.slot[can_have], minlength=size) > 0
    # Where much is lost, a thin version with copies arrives and a layer without does not. Where
    # less is lost, copies must not keep out a layer that fits without them.
    is_better = (loss >= _HIGH_LOSS) | (found.base_bps * _ROOM > budgets_bps)
    least_bps = np.minimum(found.base_bps, THIN_BPS)
    base_bps = np.where(is_possible & is_better, least_bps, found.base_bps)
    step = np.where(count > 0, np.minimum(found.step, Step.QUARTER_RATE), found.step)
    return Thinned(
        is_thin, found.used_bps + count * THIN_BPS * factor, base_bps, step.astype(np.int8)
    )
