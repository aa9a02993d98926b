"""What rate the losses allow: the most likely of a few, when some loss is the line's nature.

After libwebrtc's loss_based_bwe_v2.cc: the chance of losing a packet is an inherent part, plus the
share by which the sending rate exceeded the line's. Radio loss stays the same whatever is sent;
congestion loss does not. `README.md` says where this differs and why.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .columns import Bools, Columns, Floats, Ints
from .constants import Constants
from .rows import Batch

_OBSERVATIONS = 20


class Losses(Columns):
    """Observations of each line, newest first, and what was made of them; inf = no limit."""

    has_open: Bools
    since_us: Ints
    open_packets: Floats
    open_lost: Floats
    open_bytes: Floats
    open_missing_us: Floats
    packets: Floats
    lost: Floats
    sent_bps: Floats
    num_held: Ints
    limit_bps: Floats
    inherent: Floats
    average: Floats
    is_decreasing: Bools
    hold_until_us: Ints
    hold_us: Floats
    hold_bps: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "has_open": False,
        "since_us": 0,
        "open_packets": 0.0,
        "open_lost": 0.0,
        "open_bytes": 0.0,
        "open_missing_us": 0.0,
        "packets": 0.0,
        "lost": 0.0,
        "sent_bps": 0.0,
        "num_held": 0,
        "limit_bps": np.inf,
        "inherent": 0.01,
        "average": 0.0,
        "is_decreasing": False,
        "hold_until_us": 0,
        "hold_us": 0.0,
        "hold_bps": np.inf,
    }
    WIDTH: ClassVar[dict[str, int]] = {
        "packets": _OBSERVATIONS,
        "lost": _OBSERVATIONS,
        "sent_bps": _OBSERVATIONS,
    }


def observe(
    losses: Losses, batch: Batch, missing_us: Floats, constants: Constants
) -> NDArray[np.intp]:
    """Count rows, lost ones too.

    Returns:
        Slots with a new observation.
    """
    slots = batch.slots
    if len(slots) == 0:
        return slots
    oldest, newest = batch.lowest(batch.sent_us), batch.highest(batch.sent_us)
    has = losses.has_open[slots]
    since = np.where(has, losses.since_us[slots], oldest)
    packets = losses.open_packets[slots] + batch.counts
    lost = losses.open_lost[slots] + batch.total(batch.received_us == 0)
    num_bytes = losses.open_bytes[slots] + batch.total(batch.size_bytes)
    missing = losses.open_missing_us[slots] + missing_us[slots]
    span_us = newest - since
    span_us = np.maximum(span_us - missing, constants.covered_min * span_us)
    is_full = (span_us >= constants.observation_us) & (packets >= constants.observation_packets)
    full = slots[is_full]
    for column, value in (
        (losses.packets, packets[is_full]),
        (losses.lost, lost[is_full]),
        (losses.sent_bps, num_bytes[is_full] * 8e6 / span_us[is_full]),
    ):
        column[full, 1:] = column[full, :-1]
        column[full, 0] = value
    losses.num_held[full] = np.minimum(losses.num_held[full] + 1, _OBSERVATIONS)
    losses.has_open[slots] = True
    losses.since_us[slots] = np.where(is_full, newest, since)
    losses.open_packets[slots] = np.where(is_full, 0, packets)
    losses.open_lost[slots] = np.where(is_full, 0, lost)
    losses.open_missing_us[slots] = np.where(is_full, 0, missing)
    losses.open_bytes[slots] = np.where(is_full, 0, num_bytes)
    weights = constants.observation_weight ** np.arange(_OBSERVATIONS)
    losses.average[full] = (losses.lost[full] @ weights) / np.maximum(
        losses.packets[full] @ weights, 1.0
    )
    return np.asarray(full, np.intp)


def limit_by_loss(
    losses: Losses,
    slots: NDArray[np.intp],
    delay_bps: Floats,
    arriving_bps: Floats,
    queue_us: Floats,
    now_us: int,
    constants: Constants,
) -> None:
    """Find the most likely rate of lines with a new observation.

    Args:
        losses: the observations; the limits found are written here.
        slots: which.
        delay_bps: (capacity,) what the delay allows.
        arriving_bps: (capacity,) what arrives, 0 = not known.
        queue_us: (capacity,) what waits on the way, NaN = not known.
        now_us: time.
        constants: tuning.
    """
    is_few = losses.num_held[slots] < constants.min_observations
    is_little = losses.average[slots] < constants.negligible_loss
    is_free = is_few | (is_little & np.isinf(losses.limit_bps[slots]))
    losses.is_decreasing[slots[is_free]] = False
    calm = slots[is_free]
    losses.inherent[calm] = np.clip(
        losses.average[calm], constants.inherent_min, constants.negligible_loss
    )
    slots = slots[~is_free]
    if len(slots) == 0:
        return
    # Above all that was sent, losses cannot tell one rate from another: no limit.
    most_sent = losses.sent_bps[slots].max(axis=1)
    ceiling = np.maximum(delay_bps[slots], constants.loss_ceiling * most_sent)
    limit = losses.limit_bps[slots]
    current = np.minimum(limit, ceiling)
    candidates = _candidates(
        losses, slots, current, ceiling, arriving_bps[slots], now_us, constants
    )
    best, inherent = _most_likely(losses, slots, candidates, constants)
    best = np.minimum(best, _upper_bound(losses.average[slots], constants))
    # What a line loses by nature is learned in its first seconds. Until then losses without a queue
    # do not take the picture from who has just joined.
    is_early = losses.num_held[slots] < constants.early_observations
    is_early &= ~(queue_us[slots] > constants.quiet_queue_us)
    early_bps = constants.early_share * delay_bps[slots]
    best = np.where(is_early, np.maximum(best, early_bps), best)
    best = np.maximum(best, constants.min_bps)
    _remember(losses, slots, current, best, now_us, constants)
    losses.inherent[slots] = inherent
    losses.limit_bps[slots] = np.where(best >= ceiling, np.inf, best)


def _candidates(
    losses: Losses,
    slots: NDArray[np.intp],
    current: Floats,
    ceiling: Floats,
    arriving_bps: Floats,
    now_us: int,
    constants: Constants,
) -> Floats:
    # After a decrease the way up is slow for a while, longer each time it was wrong.
    is_limited = np.isfinite(losses.limit_bps[slots])
    is_held = is_limited & (now_us < losses.hold_until_us[slots])
    held_bps = np.maximum(losses.hold_bps[slots] * constants.loss_hold_headroom, current)
    most = np.where(is_limited, np.minimum(current * constants.loss_ramp, ceiling), ceiling)
    most = np.where(is_held, np.minimum(most, held_bps), most)
    arriving = np.where(arriving_bps > 0, arriving_bps, current)
    passing = arriving / (1.0 - losses.inherent[slots])
    return np.stack(
        [
            most,
            np.minimum(current * constants.loss_up, most),
            current,
            current * constants.loss_down,
            np.minimum(arriving, current),
            np.minimum(passing, current),
        ],
        axis=1,
    )


def _most_likely(
    losses: Losses, slots: NDArray[np.intp], candidates: Floats, constants: Constants
) -> tuple[Floats, Floats]:
    weights = constants.observation_weight ** np.arange(_OBSERVATIONS)
    lost = (losses.lost[slots] * weights)[:, None, :]
    got = ((losses.packets[slots] - losses.lost[slots]) * weights)[:, None, :]
    sent = losses.sent_bps[slots][:, None, :]
    excess = np.maximum(sent - candidates[:, :, None], 0.0) / np.maximum(sent, 1.0)
    kept = np.maximum(1.0 - excess, 1e-3)
    low, high = constants.inherent_min, _most_inherent(candidates, constants)
    inherent = np.clip(losses.inherent[slots][:, None], low, high)
    for _ in range(2):
        chance = 1.0 - (1.0 - inherent[:, :, None]) * kept
        ratio = kept / chance
        first = (lost * ratio).sum(axis=2) - got.sum(axis=2) / (1 - inherent)
        second = (lost * ratio * ratio).sum(axis=2) + got.sum(axis=2) / (1 - inherent) ** 2
        inherent = np.clip(inherent + first / np.maximum(second, 1e-9), low, high)
    passes = (1.0 - inherent[:, :, None]) * kept
    likelihood = (lost * np.log(1.0 - passes) + got * np.log(passes)).sum(axis=2)
    # A belief, not evidence: it weighs as much as so many packets, however many there are.
    total = np.minimum((lost + got).sum(axis=2), constants.rate_bias_packets)
    margin = constants.rate_bias_loss - losses.average[slots]
    bias = constants.rate_bias * margin / (constants.rate_bias_softness + np.abs(margin))
    likelihood += bias[:, None] * np.log1p(candidates / 1e3) * total
    best = likelihood.argmax(axis=1)[:, None]
    return (
        np.take_along_axis(candidates, best, axis=1)[:, 0],
        np.take_along_axis(inherent, best, axis=1)[:, 0],
    )


def _most_inherent(rate_bps: Floats, constants: Constants) -> Floats:
    """The faster a line, the less loss is believed to be its nature."""
    share = constants.inherent_offset + constants.inherent_balance_bps / rate_bps
    return np.minimum(share, constants.inherent_max)


def _upper_bound(loss: Floats, constants: Constants) -> Floats:
    excess = np.maximum(loss - constants.inherent_offset, 1e-6)
    bound: Floats = constants.inherent_balance_bps / excess
    return bound


def _remember(
    losses: Losses,
    slots: NDArray[np.intp],
    current: Floats,
    best: Floats,
    now_us: int,
    constants: Constants,
) -> None:
    fell = best < current * 0.99
    was_held = now_us < losses.hold_until_us[slots]
    hold_us = losses.hold_us[slots]
    longer = np.clip(hold_us * 2, constants.loss_hold_us, constants.loss_hold_max_us)
    begins = fell & ~was_held
    hold_us = np.where(begins, longer, hold_us)
    losses.hold_us[slots] = hold_us
    until = losses.hold_until_us[slots]
    losses.hold_until_us[slots] = np.where(begins, now_us + hold_us.astype(np.int64), until)
    losses.hold_bps[slots] = np.where(fell, best, losses.hold_bps[slots])
    losses.is_decreasing[slots] = fell
