"""Additive increase, multiplicative decrease of the rate that the delay allows.

libwebrtc's aimd_rate_control.cc and link_capacity_estimator.cc.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import Bools, Columns, Floats, Ints
from .constants import Constants

_CAPACITY_VARIANCE = (0.4, 2.5)  # of the estimate, in kb/s; link_capacity_estimator.cc


class Rates(Columns):
    """The rate of each line, and where it was found to be full of late (NaN = not known)."""

    target_bps: Floats
    is_holding: Bools
    changed_us: Ints
    decreased_us: Ints
    overused_us: Ints
    capacity_bps: Floats
    capacity_variance: Floats
    refill_bps: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "target_bps": 0.0,
        "is_holding": True,
        "changed_us": 0,
        "decreased_us": 0,
        "overused_us": 0,
        "capacity_bps": np.nan,
        "capacity_variance": 0.4,
        "refill_bps": 0.0,
    }


class Seen(NamedTuple):
    """What an update showed of each line; (m,)."""

    is_overused: Bools
    is_underused: Bools
    is_idle: Bools
    """The application sends far less than it may."""
    is_eager: Bools
    """The application sends all it may: what arrives is what the line carries."""
    is_sudden: Bools
    """The queue was not there at the last update, or is urgent."""
    is_urgent: Bools
    """A queue that must not wait for further signs."""
    sent_bps: Floats
    may_grow: Bools
    passing_bps: Floats
    """What the line lets through: what arrives, and what would but for inherent loss; 0 unknown."""
    is_measured: Bools
    """That was measured while packets waited: it is what the line carries, whatever was sent."""
    queue_us: Floats
    rtt_us: Floats


def adapt(
    rates: Rates, slots: NDArray[np.intp], seen: Seen, now_us: int, constants: Constants
) -> None:
    """Lower the rate of overused lines; let the others' grow."""
    target = rates.target_bps[slots]
    since_us = now_us - rates.decreased_us[slots]
    interval = np.clip(
        seen.rtt_us, constants.decrease_interval_min_us, constants.decrease_interval_max_us
    )
    is_due = (since_us >= interval) | (seen.passing_bps < 0.5 * target)
    # When all we send comes through and the queue still grows, another flow fills it. Yielding
    # again and again would leave us nothing (De Cicco 2013): once, then no more for a while.
    sends = np.minimum(target, seen.sent_bps)
    gets_through = seen.passing_bps >= constants.yield_share * sends
    is_due &= ~gets_through | seen.is_urgent | (since_us >= constants.yield_us)
    # A frame that came at once waits for a moment on a line that carries all the rest with ease.
    # What it shows of the line is known an update or two later; but where less comes through than
    # was sent before, the line itself has changed.
    is_cliff = seen.is_sudden & (
        (seen.passing_bps < constants.cliff_share * seen.sent_bps)
        | (seen.queue_us > 2 * constants.brake_queue_us)
    )
    is_due &= seen.is_eager | seen.is_measured | is_cliff
    lowers = seen.is_overused & is_due
    _decrease(rates, slots[lowers], _take(seen, lowers), now_us, constants)
    rates.overused_us[slots[seen.is_overused]] = now_us

    is_drained = ~seen.is_overused & (seen.queue_us < constants.quiet_queue_us)
    drained = slots[is_drained]
    rates.target_bps[drained] = np.maximum(rates.target_bps[drained], rates.refill_bps[drained])
    rates.refill_bps[drained] = 0.0

    # One update of holding after each decrease and while the queue drains, then growth.
    can_grow = ~seen.is_overused & ~seen.is_underused & seen.may_grow
    grows = can_grow & ~rates.is_holding[slots]
    _increase(rates, slots[grows], _take(seen, grows), now_us, constants)
    rates.changed_us[slots[~grows]] = now_us
    rates.is_holding[slots] = ~can_grow


def _take(seen: Seen, which: Bools) -> Seen:
    return Seen(
        is_overused=seen.is_overused[which],
        is_underused=seen.is_underused[which],
        is_idle=seen.is_idle[which],
        is_eager=seen.is_eager[which],
        is_sudden=seen.is_sudden[which],
        is_urgent=seen.is_urgent[which],
        sent_bps=seen.sent_bps[which],
        may_grow=seen.may_grow[which],
        passing_bps=seen.passing_bps[which],
        is_measured=seen.is_measured[which],
        queue_us=seen.queue_us[which],
        rtt_us=seen.rtt_us[which],
    )


def _decrease(
    rates: Rates, slots: NDArray[np.intp], seen: Seen, now_us: int, constants: Constants
) -> None:
    target = rates.target_bps[slots]
    passing = seen.passing_bps
    # A long queue must get shorter soon, not only stop growing.
    excess_s = np.maximum(np.nan_to_num(seen.queue_us) - constants.drain_queue_us, 0.0) / 1e6
    beta = np.maximum(constants.beta - excess_s, constants.drain_floor)
    lowered = np.where(passing > 0, beta * passing, target / 2)
    # A short queue means that about what is sent goes through, whatever the reports that came say:
    # on a line that loses three of ten, some reports are always missing.
    sends = np.minimum(target, seen.sent_bps)
    is_short = np.nan_to_num(seen.queue_us) < constants.short_queue_us
    lowered = np.where(is_short, np.maximum(lowered, constants.short_beta * sends), lowered)
    # Who sends little shows little: a step down, not down to the little.
    lowered = np.where(seen.is_idle, np.maximum(lowered, constants.idle_beta * target), lowered)
    capacity = rates.capacity_bps[slots]
    of_capacity = np.where(np.isnan(capacity), target, constants.beta * capacity)
    lowered = np.where(lowered > target, of_capacity, lowered)
    rates.target_bps[slots] = np.minimum(target, lowered)
    # While packets wait, what comes through is what the line carries: go there when they are gone.
    rates.refill_bps[slots] = constants.beta * passing
    rates.decreased_us[slots] = now_us
    rates.changed_us[slots] = now_us
    busy = ~seen.is_idle | seen.is_measured
    _note_capacity(rates, slots[busy], passing[busy], constants)


def _note_capacity(
    rates: Rates, slots: NDArray[np.intp], passing_bps: Floats, constants: Constants
) -> None:
    """An overused line shows what it can carry; one far from what was known is another line."""
    capacity, deviation = rates.capacity_bps[slots], _deviation(rates, slots)
    is_new = np.isnan(capacity)
    is_new |= passing_bps < capacity - constants.capacity_sigmas * deviation
    kbps = passing_bps / 1e3
    old = np.where(is_new, kbps, capacity / 1e3)
    new = old + constants.capacity_smoothing * (kbps - old)
    error = old - kbps
    variance = rates.capacity_variance[slots]
    variance += constants.capacity_smoothing * (error * error / np.maximum(new, 1.0) - variance)
    is_known = passing_bps > 0
    rates.capacity_bps[slots] = np.where(is_known, new * 1e3, capacity)
    rates.capacity_variance[slots] = np.where(is_new, 0.4, np.clip(variance, *_CAPACITY_VARIANCE))


def _deviation(rates: Rates, slots: NDArray[np.intp]) -> Floats:
    kbps = rates.capacity_bps[slots] / 1e3
    return np.asarray(np.sqrt(rates.capacity_variance[slots] * np.maximum(kbps, 1.0)) * 1e3)


def _increase(
    rates: Rates, slots: NDArray[np.intp], seen: Seen, now_us: int, constants: Constants
) -> None:
    capacity = rates.capacity_bps[slots]
    above = capacity + constants.capacity_sigmas * _deviation(rates, slots)
    capacity = np.where(seen.passing_bps > above, np.nan, capacity)
    rates.capacity_bps[slots] = capacity

    target = rates.target_bps[slots]
    elapsed_s = np.clip((now_us - rates.changed_us[slots]) / 1e6, 0.0, 1.0)
    far = np.maximum(
        target * (constants.growth_per_s**elapsed_s - 1), constants.min_growth_bps * elapsed_s
    )
    # Near where the line was full: half a packet more for each time the answer needs.
    frame_bits = target / 30
    packet_bits = frame_bits / np.ceil(frame_bits / (1200 * 8))
    response_s = 2 * (seen.rtt_us + constants.response_extra_us) / 1e6
    near = np.maximum(packet_bits / response_s, constants.near_growth_bps_per_s) * elapsed_s
    grown = target + np.where(np.isnan(capacity), far, near)
    # An application that sends little proves little; where the line was full is known better.
    limit = constants.acked_headroom * seen.passing_bps + constants.acked_headroom_bps
    is_known = ~seen.is_eager & ~np.isnan(capacity)
    limit = np.where(is_known, np.minimum(limit, capacity), limit)
    rates.target_bps[slots] = np.maximum(target, np.minimum(grown, limit))
    rates.changed_us[slots] = now_us
