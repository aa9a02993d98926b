"""Who gets which layer of what, so that all of it fits what each subscriber's line carries.

Every subscription climbs rungs: temporal layers of the lowest spatial layer, then those of the
next. The rungs of all subscriptions of one subscriber stand in one line (`precedence.py`), most
important first, and are granted while they fit. Nothing is ever skipped in favour of something more
important that comes later, so a larger budget never takes from a higher-ranked track.

What a subscriber has already is kept while it fits; anything more needs a margin and has to stay
possible for a while, the longer the more often it went wrong lately. Audio is not here: its reserve
is taken off the budget before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandwidth.demand import ALL_TEMPORAL, MAX_LAYERS, NOTHING
from bandwidth.ladder import Step
from bandwidth.precedence import (
    GROWTH_MARGIN,
    SCREEN,
    STAGE,
    THUMBNAIL,
    Grant,
    Line,
    Tracks,
    grant,
    line_up,
    rung_of,
)
from bandwidth.rungs import Rungs, build_rungs

__all__ = [
    "SCREEN",
    "STAGE",
    "THUMBNAIL",
    "Allocation",
    "AllocatorState",
    "Subscriptions",
    "allocate",
    "start_allocator",
]

# sfu-core §9.5: growth must have been possible for 2-3 s, or for a shorter time where there is far
# more room: after an outage the line is simply back.
_HOLD_US = 2_000_000.0
_SHORT_HOLD_US = 400_000.0
_AMPLE_MARGIN = 1.6
# What a probe has shown beside the pictures that flow needs no more than layers' own ups and downs.
_PROVEN_MARGIN = 1.05
_MAX_HOLD_US = 60_000_000.0
# A growth that is taken back within this time has failed, and the next one waits twice as long …
_PROBATION_US = 10_000_000
_MAX_BACK_OFF = 32.0
# … unless the line carries so much more than what failed that it is another line.
_OTHER_LINE = 1.5
# Where even the quarter-rate low layer does not fit, a picture of 8 kB every 3 s may.
STILLS_FLOOR_BPS = 24_000


class Subscriptions(NamedTuple):
    """Video subscriptions, one row each.

    Attributes:
        slot: (n,) int, the subscriber's row in the arrays by subscriber.
        kind: (n,) int8, `STAGE`, `SCREEN` or `THUMBNAIL`.
        area_px: (n,) float64, what is shown; the larger of a kind goes first.
        wanted_spatial: (n,) int8, `NOTHING` = the player shows nothing.
        wanted_temporal: (n,) int8, `ALL_TEMPORAL` = all frames.
        min_spatial: (n,) int8, below this it is better to send stills (slides that must be read).
        rates_bps: (n, MAX_LAYERS, 3) float64, of spatial and temporal layers, cumulative over the
            temporal ones; 0 = not there.
        current_spatial: (n,) int8, granted last; `NOTHING` = paused.
        current_temporal: (n,) int8.
        is_fresh: (n,) bool, a new subscription or a changed wish: it need not wait.
    """

    slot: NDArray[np.int64]
    kind: NDArray[np.int8]
    area_px: NDArray[np.float64]
    wanted_spatial: NDArray[np.int8]
    wanted_temporal: NDArray[np.int8]
    min_spatial: NDArray[np.int8]
    rates_bps: NDArray[np.float64]
    current_spatial: NDArray[np.int8]
    current_temporal: NDArray[np.int8]
    is_fresh: NDArray[np.bool_]


class AllocatorState(NamedTuple):
    """What is remembered of each subscriber, (s,) each.

    Attributes:
        growing_since_us: since when growth has been possible, 0 = it is not.
        raised_us: when something was raised last, 0 = never.
        back_off: by which growth waits longer.
        failed_bps: what the growth that failed last would have cost.
        was_lowered: the line has shown its limit. Before that, growth does not wait.
    """

    growing_since_us: NDArray[np.int64]
    raised_us: NDArray[np.int64]
    back_off: NDArray[np.float64]
    failed_bps: NDArray[np.float64]
    was_lowered: NDArray[np.bool_]


class Allocation(NamedTuple):
    """What each subscription gets, and each subscriber in sum.

    Attributes:
        spatial: (n,) int8, `NOTHING` = paused.
        temporal: (n,) int8, `ALL_TEMPORAL` = all frames.
        is_paused: (n,) bool, wanted and not granted.
        used_bps: (s,) float64, what is granted costs.
        next_bps: (s,) float64, what it and the next step up would cost; 0 = there is none.
        needed_bps: (s,) float64, what all wishes would cost.
        base_bps: (s,) float64, the least that makes sense: the lowest rung of the first track,
            without the cost factor.
        step: (s,) int8, `Step` before any calming.
        due_us: (s,) int64, when growth that waits may happen; 0 = none waits.
        state: for the next call.
    """

    spatial: NDArray[np.int8]
    temporal: NDArray[np.int8]
    is_paused: NDArray[np.bool_]
    used_bps: NDArray[np.float64]
    next_bps: NDArray[np.float64]
    needed_bps: NDArray[np.float64]
    base_bps: NDArray[np.float64]
    step: NDArray[np.int8]
    due_us: NDArray[np.int64]
    state: AllocatorState


def start_allocator(size: int) -> AllocatorState:
    """Lines that have shown no limit yet."""
    return AllocatorState(
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.ones(size),
        np.zeros(size),
        np.zeros(size, np.bool_),
    )


def allocate(
    now_us: int,
    budgets_bps: NDArray[np.float64],
    subscriptions: Subscriptions,
    state: AllocatorState,
    *,
    cost_factor: NDArray[np.float64] | None = None,
    proven_bps: NDArray[np.float64] | None = None,
    is_full: NDArray[np.bool_] | None = None,
) -> Allocation:
    """Fit all wishes into the budgets.

    Args:
        now_us: monotonic.
        budgets_bps: (s,) for video, without the reserve of audio.
        subscriptions: of these subscribers.
        state: (s,) of the previous call.
        cost_factor: (s,) what a bit of video costs with its protection; absent = 1.
        proven_bps: (s,) what a probe has shown of late, without the reserve of audio; absent = 0.
        is_full: (s,) bool, a probe has found where the line ends: its first growth needs the
            margin, too. Absent = no.

    Returns:
        Never more than the budget, but for tracks whose rates are unknown.
    """
    size = budgets_bps.shape[0]
    factor = np.ones(size) if cost_factor is None else cost_factor
    rungs = build_rungs(
        subscriptions.rates_bps * factor[subscriptions.slot][:, None, None],
        subscriptions.wanted_spatial,
        subscriptions.wanted_temporal,
        subscriptions.min_spatial,
        needs_motion=subscriptions.kind != SCREEN,
    )
    current = _current_rung(subscriptions, rungs)
    tracks = Tracks(
        subscriptions.slot, subscriptions.kind, subscriptions.area_px, subscriptions.is_fresh
    )
    line = line_up(size, tracks, rungs, current, factor)
    proven = np.zeros(size) if proven_bps is None else np.minimum(proven_bps, budgets_bps)
    # A budget that is only believed needs the whole margin; so does one whose proof was wrong: each
    # try that fails is a key frame more, and a standing picture.
    proven = np.where(state.back_off > 1.0, 0.0, proven)
    sure_bps = np.maximum(budgets_bps / GROWTH_MARGIN, proven / _PROVEN_MARGIN)
    has_end = state.was_lowered if is_full is None else state.was_lowered | is_full
    margin = np.where(has_end & (sure_bps > 0), budgets_bps / np.maximum(sure_bps, 1.0), 1.0)
    everything = grant(line, budgets_bps, np.ones(size, np.bool_), margin)
    target = everything.used_bps
    hold_us = _hold(budgets_bps, target, proven >= _PROVEN_MARGIN * target, state)
    since_us = np.where(
        everything.has_growth,
        np.where(state.growing_since_us > 0, state.growing_since_us, now_us),
        0,
    )
    may_grow = everything.has_growth & (now_us - since_us >= hold_us)
    waits = everything.has_growth & ~may_grow
    granted = everything
    if waits.any():
        kept = grant(line, budgets_bps, ~waits, margin)
        granted = kept
    final = rung_of(line, granted, tracks)
    return _finish(
        now_us,
        _Decision(final, current, granted, since_us, hold_us, waits),
        budgets_bps,
        subscriptions,
        rungs,
        line,
        state,
        factor,
    )


def _current_rung(subscriptions: Subscriptions, rungs: Rungs) -> NDArray[np.int64]:
    """Index of what is granted now, -1 where nothing is."""
    top = np.maximum(rungs.top_temporal, 0)
    spatial = np.asarray(subscriptions.current_spatial, np.int64)
    at = np.clip(spatial, 0, MAX_LAYERS - 1)
    temporal = np.minimum(
        np.maximum(subscriptions.current_temporal, 0), np.take_along_axis(top, at[:, None], 1)[:, 0]
    )
    return np.where(spatial < 0, -1, at * 3 + temporal)


class _Decision(NamedTuple):
    final: NDArray[np.int64]
    current: NDArray[np.int64]
    granted: Grant
    since_us: NDArray[np.int64]
    hold_us: NDArray[np.float64]
    waits: NDArray[np.bool_]


def _hold(
    budgets_bps: NDArray[np.float64],
    target_bps: NDArray[np.float64],
    is_proven: NDArray[np.bool_],
    state: AllocatorState,
) -> NDArray[np.float64]:
    """How long growth must have been possible."""
    ratio = budgets_bps / np.maximum(target_bps, 1.0)
    hold_us = np.interp(ratio, (GROWTH_MARGIN, _AMPLE_MARGIN), (_HOLD_US, _SHORT_HOLD_US))
    hold_us = np.where(is_proven, _SHORT_HOLD_US, hold_us)
    is_other = budgets_bps >= _OTHER_LINE * state.failed_bps
    hold_us = hold_us * np.where(is_other, 1.0, state.back_off)
    return np.where(state.was_lowered, np.minimum(hold_us, _MAX_HOLD_US), 0.0)


def _next_state(
    now_us: int,
    decision: _Decision,
    subscriptions: Subscriptions,
    rungs: Rungs,
    state: AllocatorState,
) -> AllocatorState:
    slot, size = subscriptions.slot, state.back_off.shape[0]
    is_steady = ~subscriptions.is_fresh
    is_lower = is_steady & (decision.final < np.minimum(decision.current, rungs.top))
    is_higher = is_steady & (decision.final > decision.current) & (decision.current >= -1)
    lowered = np.bincount(slot[is_lower], minlength=size) > 0
    raised = (np.bincount(slot[is_higher], minlength=size) > 0) & ~lowered
    had_bps = np.where(
        decision.current >= 0,
        np.take_along_axis(rungs.cost, np.maximum(decision.current, 0)[:, None], 1)[:, 0],
        0.0,
    )
    before_bps = np.bincount(slot, weights=had_bps, minlength=size)
    is_failure = lowered & (state.raised_us > 0) & (now_us - state.raised_us < _PROBATION_US)
    back_off = np.where(is_failure, np.minimum(state.back_off * 2, _MAX_BACK_OFF), state.back_off)
    back_off = np.where(lowered & ~is_failure, 1.0, back_off)
    return AllocatorState(
        np.where(raised | lowered, 0, decision.since_us).astype(np.int64),
        np.where(raised, now_us, state.raised_us).astype(np.int64),
        back_off,
        np.where(is_failure, before_bps, state.failed_bps),
        state.was_lowered | lowered,
    )


def _finish(
    now_us: int,
    decision: _Decision,
    budgets_bps: NDArray[np.float64],
    subscriptions: Subscriptions,
    rungs: Rungs,
    line: Line,
    state: AllocatorState,
    factor: NDArray[np.float64],
) -> Allocation:
    slot, size = subscriptions.slot, budgets_bps.shape[0]
    final = decision.final
    is_wanted = subscriptions.wanted_spatial > NOTHING
    is_unknown = is_wanted & (rungs.top < 0)
    is_paused = is_wanted & (final < 0) & ~is_unknown
    spatial = np.where(final >= 0, final // 3, NOTHING)
    spatial = np.where(is_unknown, subscriptions.wanted_spatial, spatial).astype(np.int8)
    top = np.take_along_axis(
        rungs.top_temporal, np.clip(spatial, 0, 2)[:, None].astype(np.int64), 1
    )
    temporal = np.where(final % 3 >= top[:, 0], ALL_TEMPORAL, final % 3)
    temporal = np.where(final < 0, ALL_TEMPORAL, temporal)
    temporal = np.minimum(temporal, subscriptions.wanted_temporal).astype(np.int8)
    top_bps = np.where(
        rungs.top >= 0,
        np.take_along_axis(rungs.cost, np.maximum(rungs.top, 0)[:, None], 1)[:, 0],
        0.0,
    )
    first_bps = np.where(
        rungs.first >= 0,
        np.take_along_axis(rungs.cost, np.maximum(rungs.first, 0)[:, None], 1)[:, 0],
        0.0,
    )
    is_main = (line.position == 0) & (rungs.top >= 0)
    base_bps = np.zeros(size)
    base_bps[slot[is_main]] = first_bps[is_main] / factor[slot[is_main]]
    due_us = np.where(decision.waits, decision.since_us + decision.hold_us, 0.0)
    return Allocation(
        spatial,
        temporal,
        is_paused,
        decision.granted.used_bps,
        _next_step(line, decision.granted),
        np.bincount(slot, weights=top_bps, minlength=size).astype(np.float64),
        base_bps,
        _find_steps(budgets_bps, decision.final, subscriptions, rungs, line),
        due_us.astype(np.int64),
        _next_state(now_us, decision, subscriptions, rungs, state),
    )


def _next_step(line: Line, granted: Grant) -> NDArray[np.float64]:
    """What is granted and the first rung beyond it cost."""
    is_left = line.is_there & ~granted.is_granted
    if not is_left.shape[1]:
        return np.zeros(is_left.shape[0])
    first = is_left.argmax(axis=1)[:, None]
    has_left = np.take_along_axis(is_left, first, 1)[:, 0]
    extra = np.take_along_axis(line.cost, first, 1)[:, 0]
    return np.where(has_left, granted.used_bps + extra, 0.0)


def _find_steps(
    budgets_bps: NDArray[np.float64],
    final: NDArray[np.int64],
    subscriptions: Subscriptions,
    rungs: Rungs,
    line: Line,
) -> NDArray[np.int8]:
    """The step of each subscriber: that of its first track, or REDUCED where another one's is."""
    slot, size = subscriptions.slot, budgets_bps.shape[0]
    is_less = final < rungs.top
    steps = np.where(
        np.bincount(slot[is_less], minlength=size) > 0, Step.REDUCED, Step.FULL
    ).astype(np.int8)
    left_out = (
        np.take_along_axis(rungs.top_temporal, (np.maximum(final, 0) // 3)[:, None], 1)[:, 0]
        - np.maximum(final, 0) % 3
    )
    is_lowest = final // 3 == rungs.first // 3
    own = np.where(is_lowest & (left_out == 1), Step.HALF_RATE, Step.REDUCED)
    own = np.where(is_lowest & (left_out >= 2), Step.QUARTER_RATE, own)
    can_still = budgets_bps[slot] >= STILLS_FLOOR_BPS
    own = np.where(final < 0, np.where(can_still, Step.STILLS, Step.AUDIO_ONLY), own)
    is_main = (line.position == 0) & is_less
    steps[slot[is_main]] = own[is_main]
    return steps
