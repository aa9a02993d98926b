"""How long packets wait on the way: delay above the lowest of the last seconds."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .columns import Bools, Columns, Floats, Ints
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
    bucket_queue_us: Floats
    queue_us: Floats
    jitter_us: Floats
    num_jitters: Ints
    is_standing: Bools
    standing_us: Floats
    standing_since_us: Ints
    standing_tries: Ints
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "lowest_us": _NOTHING,
        "bucket_since_us": 0,
        "bucket_queue_us": 0.0,
        "queue_us": np.nan,
        "jitter_us": 0.0,
        "num_jitters": 0,
        "is_standing": False,
        "standing_us": 0.0,
        "standing_since_us": 0,
        "standing_tries": 0,
    }
    WIDTH: ClassVar[dict[str, int]] = {"lowest_us": _BUCKETS}


def measure_queues(
    queues: Queues, received: Batch, is_probing: Bools, now_us: int, constants: Constants
) -> None:
    """Take received rows in.

    The lowest delay of an update counts, not the mean: jitter adds to most packets, a queue to all.
    """
    slots = received.slots
    delay = received.received_us - received.sent_us
    lowest = received.lowest(delay)
    is_due = now_us - queues.bucket_since_us[slots] >= constants.base_bucket_us
    _forget_oldest(queues, slots[is_due], now_us, constants)
    queues.lowest_us[slots, 0] = np.minimum(queues.lowest_us[slots, 0], lowest)
    base = queues.lowest_us[slots].min(axis=1)
    queues.queue_us[slots] = lowest - base
    spread = received.total(delay - lowest[received.owner]) / received.counts
    is_many = received.counts > 1
    jitter = queues.jitter_us[slots]
    is_telling = is_many & (lowest - base < constants.hold_queue_us)
    # The first probes would be half of all that is known.
    is_telling &= ~is_probing[slots] | (queues.num_jitters[slots] * constants.jitter_weight >= 1)
    # At first the mean: a line's first probes must not be judged as if it had none.
    count = queues.num_jitters[slots] + is_telling
    weight = np.maximum(constants.jitter_weight, 1.0 / np.maximum(count, 1))
    queues.num_jitters[slots] = np.minimum(count, 1000)
    queues.jitter_us[slots] = np.where(is_telling, jitter + weight * (spread - jitter), jitter)


def _forget_oldest(
    queues: Queues, slots: NDArray[np.intp], now_us: int, constants: Constants
) -> None:
    """Go on to the next stretch of time; but a queue that drains keeps the base it drains to."""
    queue = np.nan_to_num(queues.queue_us[slots])
    drains = queue > constants.drain_queue_us
    drains &= queue < queues.bucket_queue_us[slots] - constants.standing_shrink_us
    queues.bucket_queue_us[slots] = queue
    queues.bucket_since_us[slots] = now_us
    older = slots[~drains]
    queues.lowest_us[older, 1:] = queues.lowest_us[older, :-1]
    queues.lowest_us[older, 0] = _NOTHING


def find_standing(
    queues: Queues, slots: NDArray[np.intp], now_us: int, constants: Constants
) -> Bools:
    """Find queues that neither grow nor go away; (m,) bool, once per `standing_us` each.

    Such a queue is no overuse by its trend, and still delays all that is sent. If it does not
    shrink although less was sent, it is not ours: the path got longer, the receiver's clock jumped,
    or another sender fills the line. Then it becomes the new base.
    """
    queue = queues.queue_us[slots]
    is_long = queue > constants.hold_queue_us + queues.jitter_us[slots]
    begins = is_long & ~queues.is_standing[slots]
    queues.is_standing[slots] = is_long
    is_due = is_long & ~begins
    # What is reported now waited for as long as the queue is: sending less shows only after that.
    is_due &= now_us - queues.standing_since_us[slots] >= constants.standing_us + queue
    was = queues.standing_us[slots]
    shrunk = np.maximum(constants.standing_shrink * was, was - constants.standing_shrink_us)
    stays = is_due & (queue >= shrunk) & (queue <= constants.standing_growth * was)
    tries = np.where(begins | (is_due & ~stays), 0, queues.standing_tries[slots] + stays)
    queues.standing_tries[slots] = tries
    is_marked = begins | is_due
    queues.standing_us[slots] = np.where(is_marked, queue, was)
    since = queues.standing_since_us[slots]
    queues.standing_since_us[slots] = np.where(is_marked, now_us, since)
    # The first time shows only that it stands; each further one, that sending less did not help.
    forget_base(queues, slots[tries > constants.standing_tries])
    return is_due & (tries <= constants.standing_tries)


def forget_base(queues: Queues, slots: NDArray[np.intp]) -> None:
    """What waits now is taken as the new path's own delay."""
    base = queues.lowest_us[slots].min(axis=1)
    queue = np.nan_to_num(queues.queue_us[slots])
    queues.lowest_us[slots] = _NOTHING
    queues.lowest_us[slots, 0] = np.where(base < _NOTHING, base + queue.astype(np.int64), _NOTHING)
    queues.queue_us[slots] = 0.0
    queues.is_standing[slots] = False
    queues.standing_tries[slots] = 0
