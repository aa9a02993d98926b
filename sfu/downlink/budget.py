"""From an estimate to a budget: what is believed of a line, and what the engine is told."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandwidth.estimator import Estimates

__all__ = [
    "Belief",
    "believe",
    "find_calm",
    "find_released",
    "find_strong",
    "has_queue",
    "pace",
    "reserve_audio",
    "start_belief",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# A queue or a loss below these is no reason to take a picture from a viewer who has it: on a busy
# machine, receivers read their sockets late and estimates follow that. To the queues the line's own
# jitter is added.
_LONG_QUEUE_US = 60_000.0
# Of packets of which the quickest waits no longer than this, none waits for others.
_QUIET_QUEUE_US = 20_000.0
_VERY_LONG_QUEUE_US = 180_000.0
_FULL_QUEUE_US = 100_000.0
_CLIFF_QUEUE_US = 400_000.0
# GCC (draft-ietf-rmcat-gcc-02 §6) sends less above 10 %, and between 2 and 10 % only no more.
_HIGH_LOSS = 0.10
_LOST_SHARE = 0.8
_EVIDENCE_TICKS = 2
# An estimate that lacks little of what is used is wrong as often as it is right, and one that is
# right shows in the queue: a key frame's is gone after so long, that of a line too narrow is not.
_LITTLE_SHORT = 0.75
_PATIENT_TICKS = 5
# On a line that carries a layer and little else, its first key frame takes two seconds; that is
# better waited for where the queue stays below what the ear notices.
_LONG_PATIENT_TICKS = 20
_BEARABLE_QUEUE_US = 100_000.0
_LONG_WAIT_US = 300_000.0
# A picture that takes nearly all of a budget leaves nothing to catch up with: once its key frame or
# a new scene waits here, all that follows comes as late, and receivers keep that delay for half a
# minute. While nothing waits on the line it may have more; a queue ends that.
_WAITS_US = 100_000.0
_CATCH_UP = 1.2
# Of what is used, no more: an estimate far above it has the room already, or is not true.
_CATCH_UP_USED = 1.4
# What is granted costs a little more the next moment: of losses more is sent again, a scene moves.
_HOLD_SLACK = 1.1
# The brake acts on a few packets. When all that came since it did waited for nothing, twice, it was
# mistaken; each further 100 ms would keep the picture back.
_RELEASE_TICKS = 2
# Without evidence for so long, and with this much room, the line is strong: pacing only spreads.
_STRONG_AFTER_US = 3_000_000
# Turns may come seldom sooner: the engine calls when that was too early.
_CALM_AFTER_US = 1_000_000
# Less than what probes show at least (`feed.py`), or a line would be looked at closely for ever.
_CALM_MARGIN = 1.2
_STRONG_MARGIN = 1.5
_STRONG_PACE = 4.0
# One voice; silence (DTX) costs nothing, and the first word must not wait.
_VOICE_BPS = 32_000.0
_AUDIO_DECAY_US = 5_000_000.0


class Belief(NamedTuple):
    """One row a line; also the state of the next call.

    Attributes:
        budget_bps: what everything sent may take.
        evidence: ticks in a row that showed congestion.
        calm_since_us: since when there was none.
        released: ticks in a row in which the engine braked for a queue that is not there.
        is_full: so much waits that words come late, or nothing is heard any more.
        is_behind: pictures wait for room, and nothing on the line.
    """

    budget_bps: Floats
    evidence: npt.NDArray[np.int64]
    calm_since_us: npt.NDArray[np.int64]
    released: npt.NDArray[np.int64]
    is_full: Bools
    is_behind: Bools


def start_belief(size: int) -> Belief:
    """Nothing believed."""
    none = np.zeros(size, np.int64)
    no = np.zeros(size, np.bool_)
    return Belief(np.zeros(size), none, none.copy(), none.copy(), no, no.copy())


def believe(
    now_us: int,
    state: Belief,
    estimates: Estimates,
    *,
    sent_bps: Floats,
    used_bps: Floats,
    is_braking: Bools,
    waiting_us: Floats,
    has_twcc: Bools,
) -> Belief:
    """Follow the estimates; but do not go below what flows well already.

    Args:
        now_us: monotonic.
        state: of the previous call.
        estimates: of now.
        sent_bps: (s,) all that was sent in the last second.
        used_bps: (s,) what is granted costs, audio included.
        is_braking: (s,) bool, of the engine.
        waiting_us: (s,) of the oldest packet that the engine holds back for want of room.
        has_twcc: (s,) bool: every packet is reported. Else a queue shows late, or not at all.
    """
    queue_us = np.nan_to_num(estimates.queue_us)
    long_us = _LONG_QUEUE_US + estimates.jitter_us
    is_late = queue_us > long_us
    is_lossy = estimates.is_losing & (estimates.loss > _HIGH_LOSS)
    # A third of what was sent did not arrive: a queue fills, or the line drops.
    is_short = (estimates.acked_bps > 0) & (estimates.acked_bps < _LOST_SHARE * sent_bps)
    # What is used against the estimate waits here instead of there.
    is_too_much = (waiting_us > _LONG_WAIT_US) & (estimates.target_bps < used_bps)
    flows = estimates.is_heard & (queue_us < _QUIET_QUEUE_US + estimates.jitter_us)
    # While the engine brakes it sends less by itself; one turn more makes sure.
    hints = (
        is_late
        | is_lossy
        | is_too_much
        | (is_braking & ~flows)
        | (is_short & (queue_us > long_us / 2))
    )
    evidence = np.where(hints, state.evidence + 1, 0)
    is_sure = (queue_us > _CLIFF_QUEUE_US) | estimates.is_stalled
    is_little = estimates.target_bps >= _LITTLE_SHORT * used_bps
    is_little &= queue_us < _VERY_LONG_QUEUE_US
    is_bearable = (queue_us < _BEARABLE_QUEUE_US + estimates.jitter_us) & ~is_too_much
    patient = np.where(is_bearable, _LONG_PATIENT_TICKS, _PATIENT_TICKS)
    needed = np.where(is_little, patient, _EVIDENCE_TICKS)
    is_congested = is_sure | (evidence >= needed)
    most_bps = _HOLD_SLACK * np.minimum(state.budget_bps, used_bps)
    held_bps = np.minimum(np.maximum(state.budget_bps, used_bps), most_bps)
    budget_bps = np.where(
        is_congested, estimates.target_bps, np.maximum(estimates.target_bps, held_bps)
    )
    unsure = np.where(estimates.is_heard, 0, state.released)
    released = np.where(is_braking & flows, state.released + 1, np.where(is_braking, unsure, 0))
    calm_since_us = np.where(hints | is_sure, now_us, state.calm_since_us)
    calm_since_us = np.where(calm_since_us > 0, calm_since_us, now_us)
    is_full = queue_us > _FULL_QUEUE_US + estimates.jitter_us
    is_full |= is_braking | estimates.is_stalled
    is_behind = flows & ~is_full & ~is_lossy & has_twcc & (waiting_us > _WAITS_US)
    is_behind &= budget_bps < _CATCH_UP_USED * used_bps
    return Belief(
        budget_bps, evidence, calm_since_us.astype(np.int64), released, is_full, is_behind
    )


def find_released(belief: Belief) -> Bools:
    """Lines on which the engine brakes for nothing: an order ends that."""
    return np.asarray(belief.released >= _RELEASE_TICKS)


def has_queue(estimates: Estimates, is_braking: Bools) -> Bools:
    """Whether packets wait on the line: more of them would make loss worse."""
    queue_us = np.nan_to_num(estimates.queue_us)
    return np.asarray((queue_us > _VERY_LONG_QUEUE_US) | is_braking | estimates.is_stalled)


def find_strong(now_us: int, belief: Belief, needed_bps: Floats) -> Bools:
    """Lines without a sign of weakness for a while that carry far more than is needed."""
    is_strong = now_us - belief.calm_since_us >= _STRONG_AFTER_US
    return np.asarray(is_strong & (belief.budget_bps >= _STRONG_MARGIN * needed_bps))


def find_calm(now_us: int, belief: Belief, needed_bps: Floats) -> Bools:
    """Lines that need not be looked at ten times a second: all that is wished for fits."""
    is_calm = now_us - belief.calm_since_us >= _CALM_AFTER_US
    return np.asarray(is_calm & (belief.budget_bps >= _CALM_MARGIN * needed_bps))


def pace(now_us: int, belief: Belief, needed_bps: Floats) -> Floats:
    """What the engine is told: the budget, more where pictures wait and nothing on the line does,
    or far more on a line that is known to be strong.

    Pacing costs wake-ups and smaller bundles; a viewer beside the server needs none. It stays on,
    though, as the engine's emergency brake goes with it.
    """
    is_strong = find_strong(now_us, belief, needed_bps)
    budget_bps = belief.budget_bps * np.where(belief.is_behind, _CATCH_UP, 1.0)
    return np.where(is_strong, np.maximum(budget_bps, _STRONG_PACE * needed_bps), budget_bps)


def reserve_audio(
    elapsed_us: int, before_bps: Floats, sent_bps: Floats, red: Floats, count: Bools
) -> Floats:
    """What plain audio takes: its recent most, and never less than one voice.

    Args:
        elapsed_us: since the previous call.
        before_bps: (s,) the previous result.
        sent_bps: (s,) audio sent in the last second, redundancy included.
        red: (s,) the longest distance in force within that second.
        count: (s,) bool, any audio is subscribed to.
    """
    plain_bps = sent_bps / (1.0 + red)
    kept_bps = before_bps * np.exp(-elapsed_us / _AUDIO_DECAY_US)
    return np.where(count, np.maximum(np.maximum(plain_bps, kept_bps), _VOICE_BPS), 0.0)
