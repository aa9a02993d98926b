"""The steps that a subscriber's picture goes down and up on a weak line, calmly enough for words.

What a step is follows from the allocation; here it is only kept from flickering: a person reads the
words beside it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LadderState", "Step", "start_ladder", "update_ladder"]

# A worse step is shown once it has lasted this long: the allocator's first answer to a dip is often
# taken back by its next one. Losing the picture altogether is told at once.
_WORSE_DELAY_US = 300_000
# Stills are few and small; whether even they do not fit shows only after some of them. Longer than
# it takes to empty the queue that a cliff leaves: until then the line seems to carry nothing.
_SILENCE_DELAY_US = 12_000_000
# A better one must last, or words come and go with every probe.
_BETTER_DELAY_US = 1_500_000


class Step(IntEnum):
    """How much of what its player shows a subscriber gets; higher is worse."""

    FULL = 0
    REDUCED = 1  # a smaller layer than shown, fewer frames of a larger one, or tiles paused
    HALF_RATE = 2  # the lowest layer, every second frame
    QUARTER_RATE = 3
    STILLS = 4  # no video: a picture every few seconds
    AUDIO_ONLY = 5


class LadderState(NamedTuple):
    """One row a subscriber.

    Attributes:
        step: (s,) int8, what is shown.
        next_step: (s,) int8, the different step that is waiting, or `step`.
        since_us: (s,) int64, since when it waits.
    """

    step: NDArray[np.int8]
    next_step: NDArray[np.int8]
    since_us: NDArray[np.int64]


def start_ladder(size: int) -> LadderState:
    """Everybody gets everything."""
    return LadderState(np.zeros(size, np.int8), np.zeros(size, np.int8), np.zeros(size, np.int64))


def update_ladder(now_us: int, raw_step: ArrayLike, state: LadderState) -> LadderState:
    """Show what has lasted.

    Args:
        now_us: monotonic.
        raw_step: (s,) `Step` that follows from the allocation now.
        state: of the previous call.

    Returns:
        The new state; rows whose `step` differs are news.
    """
    raw = np.asarray(raw_step, np.int8)
    # Between two worse steps the clock goes on: a picture that falls step by step is told in time.
    was_worse = state.next_step > state.step
    is_worse = raw > state.step
    goes_on = (raw != state.step) & (state.next_step != state.step) & (is_worse == was_worse)
    since_us = np.where(goes_on, state.since_us, now_us)
    delay_us = np.where(is_worse, _WORSE_DELAY_US, _BETTER_DELAY_US)
    delay_us = np.where(raw == Step.AUDIO_ONLY, _SILENCE_DELAY_US, delay_us)
    is_due = (raw != state.step) & (now_us - since_us >= delay_us)
    step = np.where(is_due, raw, state.step)
    step = np.where(is_worse & (raw >= Step.STILLS), np.maximum(step, Step.STILLS), step)
    step = step.astype(np.int8)
    return LadderState(step, raw, since_us.astype(np.int64))
