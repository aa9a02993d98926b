"""The order in which rungs are granted, and how far along it a budget reaches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandwidth.rungs import NUM_RUNGS, Rungs

__all__ = [
    "GROWTH_MARGIN",
    "SCREEN",
    "STAGE",
    "THUMBNAIL",
    "Grant",
    "Line",
    "Tracks",
    "grant",
    "line_up",
    "rung_of",
]

STAGE, SCREEN, THUMBNAIL = 0, 1, 2

# sfu-core §9.5: an estimate must carry this much more than what growth would cost.
GROWTH_MARGIN = 1.15


class Tracks(NamedTuple):
    """Whose a track is and how important, (n,) each; see `allocator.Subscriptions`."""

    slot: NDArray[np.int64]
    kind: NDArray[np.int8]
    area_px: NDArray[np.float64]
    is_fresh: NDArray[np.bool_]


_BASE, _LOW, _TILES, _MIDDLE, _SCREENS, _SMOOTH_TILES, _STAGE_TOP, _REST = range(8)
_PHASES = 8
"""In this order: the lowest rung of stage and screens; their lowest layer at full rate; the lowest
rung of the thumbnails; the stage up to about 360p; screens; thumbnails at full rate; the rest of
the stage; the rest of the thumbnails (sfu-core §9.5, as Jitsi's on-stage rule). From the middle on
tracks of a phase climb in turn, so that several on stage look alike."""

# About 360p. Layers are told apart by what they cost, as their sizes may be unknown.
_MIDDLE_BPS = 700_000
# A thumbnail whose lowest rung is heavier (a camera without simulcast) waits for the rest, or it
# would hold up the stage.
_LIGHT_BPS = 300_000


class Line(NamedTuple):
    """All rungs of each subscriber in the order in which they are granted.

    Attributes:
        cost: (s, k·NUM_RUNGS) of each rung beyond the one below it.
        is_there: (s, k·NUM_RUNGS).
        is_growth: (s, k·NUM_RUNGS), more than the track has now.
        rank: (s, k·NUM_RUNGS), whose rung it is: place of the track among its subscriber's.
        rung: (s, k·NUM_RUNGS), which one.
        position: (n,) the rank of each track.
    """

    cost: NDArray[np.float64]
    is_there: NDArray[np.bool_]
    is_growth: NDArray[np.bool_]
    rank: NDArray[np.int16]
    rung: NDArray[np.int16]
    position: NDArray[np.int64]


class Grant(NamedTuple):
    """How far budgets reach.

    Attributes:
        is_granted: (s, k·NUM_RUNGS), as in `Line`.
        used_bps: (s,).
        has_growth: (s,) bool, anything granted is growth.
    """

    is_granted: NDArray[np.bool_]
    used_bps: NDArray[np.float64]
    has_growth: NDArray[np.bool_]


def line_up(
    size: int,
    tracks: Tracks,
    rungs: Rungs,
    current: NDArray[np.int64],
    factor: NDArray[np.float64],
) -> Line:
    """Put the rungs of each subscriber's tracks in order.

    Args:
        size: s.
        tracks: (n,) whose, and how important.
        rungs: (n,) of these tracks, costs with the factor.
        current: (n,) rung granted now, -1 = none.
        factor: (s,) by which protection makes each subscriber's bits dearer.
    """
    slot = tracks.slot
    position = _rank(size, tracks)
    width = int(position.max()) + 1 if position.size else 0
    shape = (size, width, NUM_RUNGS)
    number = np.arange(NUM_RUNGS)
    current_cost = np.where(
        current >= 0, np.take_along_axis(rungs.cost, np.maximum(current, 0)[:, None], 1)[:, 0], 0.0
    )
    is_growth = (number > current[:, None]) & (rungs.cost > current_cost[:, None])
    is_growth &= ~tracks.is_fresh[:, None]
    key = _sort_keys(tracks, rungs, position, width, factor)

    def spread(values: NDArray[np.generic], fill: object) -> NDArray[np.generic]:
        dense = np.full(shape, fill, values.dtype)
        dense[slot, position] = values
        return dense.reshape(size, -1)

    keys = spread(key, np.iinfo(key.dtype).max)
    order = np.argsort(keys, axis=1, kind="stable")
    rank = np.broadcast_to(np.arange(width, dtype=np.int16)[:, None], (width, NUM_RUNGS)).reshape(
        -1
    )
    rung = np.broadcast_to(number.astype(np.int16), (width, NUM_RUNGS)).reshape(-1)

    def sort(values: NDArray[np.generic], fill: object) -> NDArray[np.generic]:
        return np.take_along_axis(spread(values, fill), order, 1)

    return Line(
        sort(rungs.extra, 0.0).astype(np.float64, copy=False),
        sort(rungs.is_there, False).astype(np.bool_, copy=False),
        sort(is_growth, False).astype(np.bool_, copy=False),
        rank[order],
        rung[order],
        position,
    )


def _rank(size: int, tracks: Tracks) -> NDArray[np.int64]:
    """The place of each row among those of its subscriber: by kind, then by area."""
    slot = tracks.slot
    order = np.lexsort((-tracks.area_px, tracks.kind, slot))
    counts = np.bincount(slot, minlength=size)
    starts = np.cumsum(counts) - counts
    position = np.empty(slot.shape[0], np.int64)
    position[order] = np.arange(slot.shape[0]) - starts[slot[order]]
    return position


def _sort_keys(
    tracks: Tracks,
    rungs: Rungs,
    position: NDArray[np.int64],
    width: int,
    factor: NDArray[np.float64],
) -> NDArray[np.signedinteger]:
    """Where each rung stands in its subscriber's line; unique there."""
    number = np.arange(NUM_RUNGS)
    kind = np.asarray(tracks.kind)[:, None]
    first = rungs.first[:, None]
    plain_bps = rungs.cost / factor[tracks.slot][:, None]
    is_first = number == first
    is_lowest = number // 3 == first // 3
    tiles = np.where(is_first, _TILES, np.where(is_lowest, _SMOOTH_TILES, _REST))
    first_bps = np.take_along_axis(plain_bps, np.maximum(first, 0), 1)
    tiles = np.where(first_bps > _LIGHT_BPS, _REST, tiles)
    above = np.where(
        kind == SCREEN, _SCREENS, np.where(plain_bps <= _MIDDLE_BPS, _MIDDLE, _STAGE_TOP)
    )
    stage = np.where(is_first, _BASE, np.where(is_lowest, _LOW, above))
    phase = np.where(kind == THUMBNAIL, tiles, stage)
    in_turn = number * width + position[:, None]
    one_by_one = position[:, None] * NUM_RUNGS + number
    key = phase * (width * NUM_RUNGS) + np.where(phase >= _MIDDLE, in_turn, one_by_one)
    key = np.where(rungs.is_there, key, _PHASES * width * NUM_RUNGS)
    # numpy sorts 16-bit integers several times as fast.
    is_small = _PHASES * width * NUM_RUNGS < np.iinfo(np.int16).max
    return key.astype(np.int16 if is_small else np.int32)


def grant(
    line: Line,
    budgets_bps: NDArray[np.float64],
    may_grow: NDArray[np.bool_],
    margin: NDArray[np.float64],
) -> Grant:
    """Walk along the lines, granting what fits.

    What does not fit ends the walk for its track and for all that rank above it; those that rank
    below may still use what is left. So a larger budget changes the first of these points in
    somebody's favour, and nobody above is worse off. A growth that does not fit ends only growth.

    Args:
        line: from `line_up`.
        budgets_bps: (s,).
        may_grow: (s,) bool.
        margin: (s,) how many times its cost growth needs.
    """
    granted = line.is_there & (~line.is_growth | may_grow[:, None])
    limit = np.where(line.is_growth, (budgets_bps / margin)[:, None], budgets_bps[:, None])
    total = np.cumsum(np.where(granted, line.cost, 0.0), axis=1)
    is_over = granted & (total > limit)
    rows = np.flatnonzero(is_over.any(axis=1))
    columns = np.arange(line.cost.shape[1])
    while rows.size:
        at = is_over[rows].argmax(axis=1)
        picked = (rows, at)
        is_after = columns >= at[:, None]
        is_above = line.rank[rows] <= line.rank[picked][:, None]
        ends = is_after & is_above & (line.is_growth[rows] | ~line.is_growth[picked][:, None])
        kept = granted[rows] & ~ends
        granted[rows] = kept
        sums = np.cumsum(np.where(kept, line.cost[rows], 0.0), axis=1)
        total[rows] = sums
        over = kept & (sums > limit[rows])
        is_over[rows] = over
        rows = rows[over.any(axis=1)]
    used_bps = total[:, -1] if total.shape[1] else np.zeros(total.shape[0])
    has_growth: NDArray[np.bool_] = np.any(granted & line.is_growth, axis=1)
    return Grant(granted, used_bps, has_growth)


def rung_of(line: Line, granted: Grant, tracks: Tracks) -> NDArray[np.int64]:
    """The highest rung granted to each row, -1 = none."""
    size, columns = line.rank.shape
    width = columns // NUM_RUNGS
    best = np.full((size, width), -1, np.int64)
    at = np.nonzero(granted.is_granted)
    np.maximum.at(best, (at[0], line.rank[at]), line.rung[at])
    return best[tracks.slot, line.position]
