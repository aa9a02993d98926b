"""Lines that went silent, and how to go on when they are heard again."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .api import Lines
from .columns import Bools, Columns, Floats, Ints
from .constants import Constants


class Silences(Columns):
    """When each line was last heard, and what may be believed of it."""

    heard_us: Ints
    waiting_since_us: Ints
    is_stalled: Bools
    fresh_from_us: Ints
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "heard_us": 0,
        "waiting_since_us": 0,
        "is_stalled": False,
        "fresh_from_us": 0,
    }


class Returned(NamedTuple):
    """Slots heard again after a silence, and for how long nothing was heard."""

    slots: NDArray[np.intp]
    silent_us: Floats


def hear(silences: Silences, heard: NDArray[np.intp], now_us: int) -> Returned:
    """Note lines that reported something.

    What was sent while nobody listened says nothing about the line as it is now: rows older than
    this moment are not used for delay and loss.
    """
    back = heard[silences.is_stalled[heard]]
    returned = Returned(back, (now_us - silences.heard_us[back]).astype(np.float64))
    silences.fresh_from_us[back] = now_us
    silences.is_stalled[back] = False
    silences.heard_us[heard] = now_us
    silences.waiting_since_us[heard] = now_us
    return returned


def watch(
    silences: Silences,
    is_open: Bools,
    is_away: Bools,
    lines: Lines,
    rtt_us: Floats,
    now_us: int,
    c: Constants,
) -> None:
    """Find lines on which packets leave and nothing comes back; not where it is looked at later."""
    sends = is_open & lines.has_twcc & (lines.sent_bps > c.stall_min_sent_bps)
    silences.waiting_since_us[~sends & ~is_away] = now_us
    patience = np.maximum(c.stall_us, c.stall_rtts * rtt_us)
    is_stalled = sends & ~is_away & (now_us - silences.waiting_since_us > patience)
    silences.is_stalled[:] = is_stalled
