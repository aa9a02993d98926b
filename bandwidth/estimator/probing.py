"""When to probe, how hard, and what a probe showed.

libwebrtc's probe_controller.cc and probe_bitrate_estimator.cc; one probe at a time on each line.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .api import ProbeOrder
from .columns import Bools, Columns, Floats, Ints
from .constants import Constants
from .rows import Batch

_FAR = 1 << 60


class Probes(Columns):
    """The probe under way on each line (0 = none), its rows so far, and when the next may be."""

    number: Ints
    ordered_us: Ints
    rate_bps: Floats
    duration_us: Ints
    newest_sent_us: Ints
    num_packets: Ints
    num_lost: Ints
    num_bytes: Ints
    first_sent_us: Ints
    last_sent_us: Ints
    first_got_us: Ints
    last_got_us: Ints
    first_came_us: Ints
    last_came_us: Ints
    is_first: Bools
    has_steps: Bools
    ended_us: Ints
    promised_us: Ints
    next_us: Ints
    interval_us: Floats
    needed_bps: Floats
    next_bps: Floats
    plain_bps: Floats
    shown_bps: Floats
    is_full: Bools
    good_bps: Floats
    proven_bps: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "number": 0,
        "ordered_us": 0,
        "rate_bps": 0.0,
        "duration_us": 0,
        "newest_sent_us": 0,
        "num_packets": 0,
        "num_lost": 0,
        "num_bytes": 0,
        "first_sent_us": _FAR,
        "last_sent_us": 0,
        "first_got_us": _FAR,
        "last_got_us": 0,
        "first_came_us": _FAR,
        "last_came_us": 0,
        "is_first": True,
        "has_steps": False,
        "ended_us": -_FAR,
        "promised_us": -_FAR,
        "next_us": 0,
        "interval_us": 0.0,
        "needed_bps": 0.0,
        "next_bps": 0.0,
        "plain_bps": 0.0,
        "shown_bps": 0.0,
        "is_full": False,
        "good_bps": 0.0,
        "proven_bps": 0.0,
    }


_ROWS = (
    "newest_sent_us",
    "num_packets",
    "num_lost",
    "num_bytes",
    "first_sent_us",
    "last_sent_us",
    "first_got_us",
    "last_got_us",
    "first_came_us",
    "last_came_us",
)


class Situation(NamedTuple):
    """What decides about probes; (capacity,)."""

    target_bps: Floats
    needed_bps: Floats
    next_bps: Floats
    """What the next step up would cost, 0 = not known."""
    cost_factor: Floats
    """By which copies make it cost more, and all that is needed."""
    capacity_bps: Floats
    """Where the line was found full of late, NaN = not known."""
    is_clear: Bools
    """Heard of late, nothing waits on the way, and losses do not press."""
    jitter_us: Floats
    inherent: Floats


def collect(probes: Probes, batch: Batch) -> None:
    """Add rows of the probes under way."""
    newest = batch.highest(batch.sent_us)
    probes.newest_sent_us[batch.slots] = np.maximum(probes.newest_sent_us[batch.slots], newest)
    is_probe = batch.probe != 0
    if not is_probe.any():
        return
    is_probe &= batch.probe == probes.number[batch.slots][batch.owner]
    rows = batch.where(is_probe)
    slots = rows.slots
    if len(slots) == 0:
        return
    probes.num_packets[slots] += rows.counts
    probes.num_lost[slots] += rows.total(rows.received_us == 0).astype(np.int64)
    probes.num_bytes[slots] += rows.total(rows.size_bytes).astype(np.int64)
    _widen(probes.first_sent_us, probes.last_sent_us, rows, rows.sent_us)
    got = rows.where(rows.received_us > 0)
    _widen(probes.first_got_us, probes.last_got_us, got, got.sent_us)
    _widen(probes.first_came_us, probes.last_came_us, got, got.received_us)


def _widen(first: Ints, last: Ints, rows: Batch, times: Ints) -> None:
    first[rows.slots] = np.minimum(first[rows.slots], rows.lowest(times))
    last[rows.slots] = np.maximum(last[rows.slots], rows.highest(times))


def finish(
    probes: Probes, situation: Situation, now_us: int, constants: Constants
) -> tuple[NDArray[np.intp], Floats]:
    """Judge the probes whose rows are complete.

    Returns:
        The slots, and what each probe showed in bits per second, 0 = nothing.
    """
    is_over = probes.newest_sent_us > probes.first_sent_us + probes.duration_us
    is_over &= probes.newest_sent_us > probes.last_sent_us
    is_late = now_us - probes.ordered_us > constants.probe_timeout_us
    slots = np.flatnonzero((probes.number != 0) & (is_over | is_late))
    if len(slots) == 0:
        return slots, np.zeros(0)
    shown = _judge(probes, slots, situation, constants)
    rate = probes.rate_bps[slots]
    target = situation.target_bps[slots]
    is_recovering = _is_far_below(probes, situation.target_bps, constants)[slots]
    is_starved = _is_starved(probes, situation.target_bps, constants)[slots]
    goes_on = (shown >= constants.probe_passed * rate) & (shown > target)
    slow = np.clip(
        probes.interval_us[slots] * constants.probe_backoff,
        constants.probe_interval_us,
        constants.probe_interval_max_us,
    )
    soon = np.clip(
        probes.interval_us[slots] * constants.recovery_backoff,
        constants.recovery_interval_us,
        constants.recovery_interval_max_us,
    )
    starved = np.clip(
        probes.interval_us[slots] * constants.recovery_backoff,
        constants.starved_interval_us,
        constants.starved_interval_max_us,
    )
    interval = np.where(is_recovering, soon, np.where(is_starved, starved, slow))
    interval = np.where(goes_on, 0.0, interval)
    probes.interval_us[slots] = interval
    probes.next_us[slots] = now_us + interval.astype(np.int64)
    probes.good_bps[slots] = np.maximum(probes.good_bps[slots], shown)
    probes.number[slots] = 0
    probes.ended_us[slots] = now_us
    # A short probe that comes slower than it went tells where the line ends, not what it carries.
    passed = shown >= constants.probe_unsaturated * rate
    is_long = probes.duration_us[slots] > constants.probe_max_us
    probes.shown_bps[slots] = np.where(passed | is_long, shown, 0.0)
    probes.is_full[slots] = (shown > 0) & ~passed
    probes.promised_us[slots[shown > target]] = now_us
    return slots, shown


def _judge(
    probes: Probes, slots: NDArray[np.intp], situation: Situation, constants: Constants
) -> Floats:
    packets = probes.num_packets[slots].astype(np.float64)
    lost = probes.num_lost[slots]
    span_us = (probes.last_sent_us[slots] - probes.first_sent_us[slots]).astype(np.float64)
    got_us = (probes.last_got_us[slots] - probes.first_got_us[slots]).astype(np.float64)
    came_us = (probes.last_came_us[slots] - probes.first_came_us[slots]).astype(np.float64)
    is_valid = (packets - lost >= constants.probe_min_packets) & (span_us > 0) & (got_us > 0)
    is_valid &= (span_us < 1e6) & (came_us > 0) & (came_us < 1e6)
    allowed = constants.probe_max_loss + 1.5 * situation.inherent[slots]
    is_valid &= lost <= allowed * packets
    # The last packet sent and the first to come only mark the ends of the time measured.
    bits = probes.num_bytes[slots] * 8e6 * (packets - 1) / np.maximum(packets, 1)
    sent_bps = bits / np.maximum(span_us, 1)
    is_valid &= got_us <= constants.probe_max_ratio**2 * came_us
    # Jitter can squeeze a few packets together; as much of it as is usual is not believed.
    came_us += constants.probe_jitter_doubt * np.minimum(situation.jitter_us[slots], got_us)
    came_bps = sent_bps * got_us / np.maximum(came_us, 1)
    is_valid &= came_bps <= constants.probe_max_ratio * sent_bps
    is_full = came_bps < constants.probe_unsaturated * sent_bps
    shown = np.where(is_full, constants.probe_saturated_share * came_bps, sent_bps)
    shown = np.minimum(shown, np.maximum(probes.rate_bps[slots], sent_bps) * 1.1)
    return np.where(is_valid, shown, 0.0)


def order(
    probes: Probes,
    is_open: Bools,
    situation: Situation,
    proven_bps: Floats,
    now_us: int,
    next_number: int,
    constants: Constants,
) -> list[ProbeOrder]:
    """Start the probes that are due; they are numbered from `next_number`.

    Where the next step up is known, and how much the line carries, a probe shows the step and a
    little more: it fits in the line whenever the step does, so it leaves no queue and may be long
    enough for the jitter.
    """
    target = situation.target_bps
    needed = np.minimum(np.nan_to_num(situation.needed_bps), constants.max_bps)
    # A wish that grew much is a reason of its own; it does not wait for the next turn. Copies that
    # come and go are none.
    plain = needed / situation.cost_factor
    has_grown = plain > 1.2 * probes.plain_bps
    probes.plain_bps[:] = plain
    soonest_us = probes.ordered_us + int(constants.recovery_interval_us)
    probes.next_us[has_grown] = np.minimum(probes.next_us, soonest_us)[has_grown]
    probes.needed_bps[:] = needed
    goal = needed * constants.probe_need
    is_recovering = _is_far_below(probes, target, constants)
    step = _next_steps(probes, situation, now_us, constants)
    is_known = ~np.isnan(situation.capacity_bps)
    has_step = (step > 0) & is_known & ~probes.is_first & ~is_recovering
    sure_bps = constants.probe_sure / constants.probe_step * step
    # Where the line was found full is the most that is worth trying, unless the step needs more.
    most = np.minimum(constants.probe_full_share * situation.capacity_bps, goal)
    aim = np.where(has_step, np.fmax(most, np.clip(target, step, sure_bps)), goal)
    wants_step = (target < sure_bps) & (proven_bps < 0.97 * step)
    wants = is_open & situation.is_clear & (probes.number == 0)
    # Who has all there is to have, on a line found narrow, cannot gain by more padding.
    has_all = (situation.next_bps == 0) & (probes.needed_bps > 0) & is_known & probes.has_steps
    wants &= np.where(has_step, wants_step, (goal > 1.05 * target) & ~has_all)
    due_us = probes.next_us
    slots = np.flatnonzero(wants & (now_us >= due_us))
    if len(slots) == 0:
        return []
    factor = np.where(
        probes.is_first[slots],
        constants.probe_first,
        np.where(is_recovering[slots], constants.probe_recovery, constants.probe_further),
    )
    rate = np.minimum(target[slots] * factor, aim[slots])
    jitter_us = situation.jitter_us[slots]
    duration = _durations(rate, target[slots], jitter_us, has_step[slots], constants)
    probes.reset(slots, *_ROWS)
    probes.number[slots] = next_number + np.arange(len(slots))
    probes.ordered_us[slots] = now_us
    probes.rate_bps[slots] = rate
    probes.duration_us[slots] = duration
    probes.is_first[slots] = False
    return [
        ProbeOrder(int(slot), int(number), int(bps), int(us))
        for slot, number, bps, us in zip(slots, probes.number[slots], rate, duration, strict=True)
    ]


def _next_steps(probes: Probes, situation: Situation, now_us: int, constants: Constants) -> Floats:
    """What probes shall show of each line. Whoever has just lost a step is not kept waiting; a step
    just taken begins with a key frame, and shows itself."""
    step_bps = np.minimum(np.nan_to_num(situation.next_bps), constants.max_bps)
    next_bps = step_bps / situation.cost_factor
    has_lost = (next_bps > 0) & (next_bps < constants.probe_lost_step * probes.next_bps)
    soon_us = now_us + constants.probe_lost_step_us
    probes.next_us[has_lost] = np.minimum(probes.next_us, soon_us)[has_lost]
    probes.interval_us[has_lost] = 0.0
    has_won = (
        ~np.isnan(situation.capacity_bps)
        & (probes.next_bps > 0)
        & ((next_bps == 0) | (next_bps > constants.probe_new_step * probes.next_bps))
    )
    later_us = now_us + constants.probe_new_step_us
    probes.next_us[has_won] = np.maximum(probes.next_us, later_us)[has_won]
    probes.next_bps[:] = next_bps
    probes.has_steps |= next_bps > 0
    return constants.probe_step * step_bps


def remember_good(
    probes: Probes,
    target_bps: Floats,
    proven_bps: Floats,
    is_broken: Bools,
    now_us: int,
    elapsed_us: int,
    constants: Constants,
) -> None:
    """Keep the best rate of late in mind: what arrived, or what a probe promised.

    Args:
        probes: the state.
        target_bps: (capacity,) the rates in force.
        proven_bps: (capacity,) what arrives, as far as it was allowed.
        is_broken: (capacity,) the line has been too full since the last promise.
        now_us: time.
        elapsed_us: time since the last call.
        constants: tuning.
    """
    kept = 0.5 ** (elapsed_us / 1e6 / constants.good_half_life_s)
    probes.proven_bps[:] = np.maximum(probes.proven_bps * kept, proven_bps)
    # A promise that the line did not keep is forgotten, and the next is not asked for soon.
    is_broken = is_broken & (now_us - probes.promised_us < constants.promise_us)
    promised = np.where(is_broken, 0.0, probes.good_bps * kept)
    probes.good_bps[:] = np.maximum(promised, probes.proven_bps)
    probes.promised_us[is_broken] = -_FAR
    is_far = _is_far_below(probes, target_bps, constants)
    is_far |= _is_starved(probes, target_bps, constants)
    pause = np.where(is_far, constants.recovery_interval_max_us, constants.broken_pause_us)
    later_us = now_us + pause.astype(np.int64)
    probes.interval_us[is_broken] = pause[is_broken]
    probes.next_us[is_broken] = np.maximum(probes.next_us, later_us)[is_broken]


def _is_far_below(probes: Probes, target_bps: Floats, constants: Constants) -> Bools:
    """Whether a line once carried far more of what is wanted."""
    wanted = np.minimum(probes.good_bps, probes.needed_bps)
    return np.asarray(target_bps < constants.recovery_below * wanted)


def _is_starved(probes: Probes, target_bps: Floats, constants: Constants) -> Bools:
    """Whether a line carries next to nothing of what is wanted."""
    return np.asarray(target_bps < np.minimum(constants.starved_bps, probes.needed_bps))


def _durations(
    rate: Floats, target: Floats, jitter_us: Floats, has_step: Bools, constants: Constants
) -> Floats:
    """Long enough to be measured through the jitter, short enough to leave no long queue."""
    # Media that waits goes first and is not cut small; two packets would tell nothing.
    enough = constants.probe_wanted_bytes * 8e6 / np.maximum(rate, 1)
    jitters = np.where(has_step, constants.probe_step_jitters, constants.probe_jitters)
    seen = jitters * jitter_us
    wanted = np.maximum(np.maximum(constants.probe_min_us, enough), seen)
    # What a line that carries no more than the target would have to keep waiting.
    harmless = constants.probe_queue_us * target / np.maximum(rate - target, 1)
    needed = constants.probe_min_bytes * 8e6 / np.maximum(rate, 1)
    most = constants.probe_max_bytes * 8e6 / np.maximum(rate, 1)
    duration = np.minimum(np.maximum(np.minimum(wanted, harmless), needed), most)
    longest = np.where(has_step, constants.probe_step_max_us, constants.probe_max_us)
    return np.clip(duration, constants.probe_min_us, longest)
