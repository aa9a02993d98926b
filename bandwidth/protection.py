"""How much redundancy a subscriber gets in advance: copies of its video, earlier frames with its
audio.

Retransmission is cheaper and comes first; in advance pays only where the answer to a NACK would
come too late or get lost as well, and where there is room: the cost of a layer is multiplied by
what is chosen here, so on a lossy line the allocator takes a lower layer that arrives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MAX_COPIES",
    "MAX_RED_DISTANCE",
    "SUSPECTED_LOSS",
    "Protection",
    "choose_protection",
    "cost_factor",
    "start_protection",
]

MAX_COPIES = 3
MAX_RED_DISTANCE = 2

# (loss, round trip from which it counts, copies). n copies leave loss^(n+1) of random loss: of 30 %
# two leave 2.7 %. Below these a NACK is answered within the player's buffer (some 150-200 ms). A
# copy of everything halves the picture, so the few percent of a phone's radio are no reason.
_COPIES = ((0.08, 150_000, 1), (0.20, 0, 2), (0.40, 0, 3))
# Earlier frames with each packet; the engine chooses which. Jitsi and this project's measurements:
# below 2-3 % concealment is not heard.
_RED = ((0.025, 1), (0.08, 2))
# Of a line that seems weak before it is measured: sound is protected from its first words on.
SUSPECTED_LOSS = 0.07
# What is on goes off below this share of the loss that switched it on, after a while.
_OFF_SHARE = 0.6
_OFF_DELAY_US = 5_000_000
# Loss is smoothed towards a rise fast and towards a fall slowly: 100 ms hold 5-50 packets.
_RISE_US = 600_000.0
_FALL_US = 4_000_000.0
# Redundant audio leaves room for the least of pictures, or takes at most this part of the line:
# plain audio and a picture beat redundant audio alone. But where every tenth frame is lost nobody
# understands a word, so the first earlier frame may take more; stills need little.
_RED_SHARE = 0.5
_VITAL_RED_SHARE = 0.75
_VITAL_LOSS = 0.06
_BASE_MARGIN = 1.2
# Redundancy that did not fit is not tried again at once: each try takes what the picture has.
_RAISE_DELAY_US = 4_000_000
_GROWTH_MARGIN = 1.2
# Of copies of a picture that flows. Of ten pictures a second on a way of 250 ms every lost one is a
# gap of half a second: the copy is what the room is for.
_COPIES_GROWTH_MARGIN = 1.1


class Protection(NamedTuple):
    """One row a subscriber; also the state that the next call takes.

    Attributes:
        copies: (s,) int8, 0 … `MAX_COPIES` unrequested copies of each video packet.
        red: (s,) int8, 0 … `MAX_RED_DISTANCE` earlier frames in each audio packet.
        loss: (s,) float64, smoothed, 0 … 1.
        calm_since_us: (s,) int64, since when less would do; 0 = it would not.
        limited_us: (s,) int64, when something had to go for want of room; 0 = never.
        updated_us: when that was.
    """

    copies: NDArray[np.int8]
    red: NDArray[np.int8]
    loss: NDArray[np.float64]
    calm_since_us: NDArray[np.int64]
    limited_us: NDArray[np.int64]
    updated_us: int


def start_protection(size: int) -> Protection:
    """No redundancy, no loss."""
    return Protection(
        np.zeros(size, np.int8),
        np.zeros(size, np.int8),
        np.zeros(size),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        0,
    )


def choose_protection(
    now_us: int,
    state: Protection,
    *,
    loss: ArrayLike,
    rtt_us: ArrayLike,
    budget_bps: ArrayLike,
    video_base_bps: ArrayLike,
    audio_bps: ArrayLike,
    is_congested: ArrayLike,
    is_shown: ArrayLike,
) -> Protection:
    """Choose copies and RED distance.

    Args:
        now_us: monotonic.
        state: of the previous call.
        loss: (s,) share of packets lost lately, NaN = unknown.
        rtt_us: (s,) 0 = unknown.
        budget_bps: (s,) what the line carries.
        video_base_bps: (s,) what the least video that makes sense costs, unprotected; 0 = none.
        audio_bps: (s,) what audio costs without redundancy.
        is_congested: (s,) bool: the line's queue grows. More packets would make that loss worse.
        is_shown: (s,) bool: some picture flows, and need not begin any more.

    Returns:
        What is right now, and the state.
    """
    smooth = _smooth_loss(now_us, state, np.asarray(loss, np.float64))
    rtt = np.asarray(rtt_us, np.float64)
    budget = np.asarray(budget_bps, np.float64)
    audio = np.asarray(audio_bps, np.float64)
    base = np.asarray(video_base_bps, np.float64)
    congested = np.asarray(is_congested, np.bool_)
    shown = np.asarray(is_shown, np.bool_)

    red_on, red_keep = _wanted_red(smooth), _wanted_red(smooth / _OFF_SHARE)
    copies_on, copies_keep = _wanted_copies(smooth, rtt), _wanted_copies(smooth / _OFF_SHARE, rtt)

    was_limited = (state.limited_us > 0) & (now_us - state.limited_us < _RAISE_DELAY_US)
    has_room = ~congested & ~was_limited
    red = np.where(has_room, np.maximum(state.red, red_on), state.red)
    copies = np.where(has_room, np.maximum(state.copies, copies_on), state.copies)
    is_calm = (red > red_keep) | (copies > copies_keep)
    calm_since_us = np.where(
        is_calm, np.where(state.calm_since_us > 0, state.calm_since_us, now_us), 0
    )
    goes_off = is_calm & (now_us - calm_since_us >= _OFF_DELAY_US)
    red = np.where(goes_off, np.minimum(red, red_keep), red)
    copies = np.where(goes_off, np.minimum(copies, copies_keep), copies)
    # Room decides last and at once: what does not fit would push out the originals.
    least = base * cost_factor(np.zeros_like(base), smooth) * _BASE_MARGIN
    room = np.maximum(budget * _RED_SHARE, budget - least)
    vital = np.where(smooth >= _VITAL_LOSS, np.maximum(budget * _VITAL_RED_SHARE, room), room)
    margin = np.full_like(budget, _GROWTH_MARGIN)
    first = _limit(np.minimum(red, 1), np.minimum(state.red, 1), vital, audio, margin)
    red = np.maximum(first, _limit(red, state.red, room, audio, margin))
    # With the margin that a picture needs to begin, or copies would keep it from beginning.
    unit = base * np.where(shown, 1.0, _BASE_MARGIN)
    margin = np.where(shown, _COPIES_GROWTH_MARGIN, _GROWTH_MARGIN)
    copies = _limit(copies, state.copies, budget - audio * (1 + red), unit, margin)
    copies = np.where(base > 0, copies, 0)
    return Protection(
        copies.astype(np.int8),
        red.astype(np.int8),
        smooth,
        calm_since_us.astype(np.int64),
        np.where((red < state.red) & ~goes_off, now_us, state.limited_us).astype(np.int64),
        now_us,
    )


def cost_factor(copies: ArrayLike, loss: ArrayLike) -> NDArray[np.float64]:
    """What each bit of video costs on the line with its copies and the retransmissions to come.

    Args:
        copies: (s,) chosen.
        loss: (s,) 0 … 1.
    """
    count = np.asarray(copies, np.float64)
    # A packet is asked for again where neither it nor a copy came; such answers get lost, too.
    left = np.clip(np.asarray(loss, np.float64), 0.0, 0.5) ** (count + 1)
    return 1.0 + count + left / (1.0 - left)


def _smooth_loss(now_us: int, state: Protection, loss: NDArray[np.float64]) -> NDArray[np.float64]:
    elapsed_us = max(0, now_us - state.updated_us) if state.updated_us else 100_000
    tau_us = np.where(loss > state.loss, _RISE_US, _FALL_US)
    weight = 1.0 - np.exp(-elapsed_us / tau_us)
    known = np.where(np.isfinite(loss), np.clip(loss, 0.0, 1.0), state.loss)
    return state.loss + weight * (known - state.loss)


def _wanted_red(loss: NDArray[np.float64]) -> NDArray[np.int8]:
    wanted = np.zeros(loss.shape, np.int8)
    for threshold, distance in _RED:
        wanted[loss >= threshold] = distance
    return wanted


def _wanted_copies(loss: NDArray[np.float64], rtt_us: NDArray[np.float64]) -> NDArray[np.int8]:
    wanted = np.zeros(loss.shape, np.int8)
    for threshold, from_rtt_us, count in _COPIES:
        wanted[(loss >= threshold) & (rtt_us >= from_rtt_us)] = count
    return wanted


def _limit(
    wanted: NDArray[np.int8],
    current: NDArray[np.int8],
    room_bps: NDArray[np.float64],
    unit_bps: NDArray[np.float64],
    margin: NDArray[np.float64],
) -> NDArray[np.float64]:
    """As many repetitions of `unit_bps` as go into the room; more than now only with a margin."""
    times = room_bps / np.maximum(unit_bps, 1.0)
    fits = np.maximum(np.floor(times) - 1, 0)
    fits_easily = np.maximum(np.floor(times / margin) - 1, 0)
    most: NDArray[np.float64] = np.maximum(current, fits_easily)
    return np.asarray(np.minimum(np.minimum(wanted, fits), most), np.float64)
