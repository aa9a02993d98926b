"""How long packets wait on the way: delay above the lowest of the last seconds."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .columns import Columns, Floats, Ints
from .constants import Constants
from .rows import Batch

_BUCKETS = 4
_NOTHING = 1 << 60


class Queues(Columns):
    """Lowest delays per stretch of time, and what waits now.

    The two clocks differ by anything and drift apart by some 50 us a second: a base that is
    forgotten after ten seconds is wrong by less than a millisecond.
    """

    lowest_us: Ints
    bucket_since_us: Ints
    queue_us: Floats
    previous_us: Floats
    jitter_us: Floats
    mark_us: Floats
    mark_at_us: Ints
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "lowest_us": _NOTHING,
        "bucket_since_us": 0,
        "queue_us": np.nan,
        "previous_us": np.nan,
        "jitter_us": 0.0,
        "mark_us": 0.0,
        "mark_at_us": 0,
    }
    WIDTH: ClassVar[dict[str, int]] = {"lowest_us": _BUCKETS}


def measure_queues(queues: Queues, received: Batch, now_us: int, constants: Constants) -> None:
    """Take received rows in.

    The lowest delay of an update counts, not the mean: jitter adds to most packets, a queue to all.
    """
    slots = received.slots
    delay = received.received_us - received.sent_us
    lowest = received.lowest(delay)
    is_due = now_us - queues.bucket_since_us[slots] >= constants.base_bucket_us
    due = slots[is_due]
    queues.lowest_us[due, 1:] = queues.lowest_us[due, :-1]
    queues.lowest_us[due, 0] = _NOTHING
    queues.bucket_since_us[due] = now_us
    queues.lowest_us[slots, 0] = np.minimum(queues.lowest_us[slots, 0], lowest)
    base = queues.lowest_us[slots].min(axis=1)
    queues.previous_us[slots] = queues.queue_us[slots]
    queues.queue_us[slots] = lowest - base
    spread = received.total(delay - lowest[received.owner]) / received.counts
    is_many = received.counts > 1
    jitter = queues.jitter_us[slots]
    is_telling = is_many & (lowest - base < constants.hold_queue_us)
    queues.jitter_us[slots] = np.where(is_telling, jitter + 0.1 * (spread - jitter), jitter)


def forget_base(queues: Queues, slots: NDArray[np.intp]) -> None:
    """What waits now is taken as the new path's own delay."""
    base = queues.lowest_us[slots].min(axis=1)
    queue = np.nan_to_num(queues.queue_us[slots])
    queues.lowest_us[slots] = _NOTHING
    queues.lowest_us[slots, 0] = np.where(base < _NOTHING, base + queue.astype(np.int64), _NOTHING)
    queues.queue_us[slots] = 0.0
    queues.previous_us[slots] = 0.0
