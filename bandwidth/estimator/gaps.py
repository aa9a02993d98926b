"""Time of sending that no report covers: reports get lost, too.

A lost report takes all its rows with it. Rates measured across such a hole would be too low by as
much as reports are lost. Where packets leave at a steady beat (sound does, every 20 ms) a hole is
seen: much more than a beat between two rows.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .columns import Bools, Columns, Floats, Ints
from .constants import Constants
from .rows import Batch


class Gaps(Columns):
    """The newest row of each line, and the longest pause that is usual."""

    has_newest: Bools
    newest_us: Ints
    beat_us: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "has_newest": False,
        "newest_us": 0,
        "beat_us": 100_000.0,
    }


def find_missing(gaps: Gaps, batch: Batch, constants: Constants) -> Floats:
    """Find how much sending time is not covered by the rows of each slot; (capacity,)."""
    missing_us = np.zeros(len(gaps.beat_us))
    slots = batch.slots
    if len(slots) == 0:
        return missing_us
    previous = np.empty_like(batch.sent_us)
    previous[1:] = batch.sent_us[:-1]
    first = batch.sent_us[batch.starts]
    previous[batch.starts] = np.where(gaps.has_newest[slots], gaps.newest_us[slots], first)
    pause_us = np.maximum(batch.sent_us - previous, 0)
    longest = batch.highest(pause_us)
    beat = gaps.beat_us[slots]
    # Pictures that stop are no hole: then sound alone sets the beat, which is longer.
    least_us = np.maximum(constants.hole_beats * beat, constants.hole_min_us)
    hole = np.where(pause_us > least_us[batch.owner], pause_us, 0)
    holes = batch.total(hole > 0)
    is_steady = beat < constants.hole_max_beat_us
    missing_us[slots] = np.where(is_steady, batch.total(hole) - holes * beat, 0.0)
    # Quickly down, slowly up: holes are not the beat.
    pace = np.where(longest < beat, constants.beat_down, constants.beat_up)
    gaps.beat_us[slots] = beat + pace * (longest - beat)
    newest = batch.highest(batch.sent_us)
    has = gaps.has_newest[slots]
    gaps.newest_us[slots] = np.where(has, np.maximum(newest, gaps.newest_us[slots]), newest)
    gaps.has_newest[slots] = True
    return missing_us
