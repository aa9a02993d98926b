"""Packets into groups sent together, and how much later each group came than the one before.

libwebrtc's inter_arrival_delta.cc, for all lines at once: the loop is over the k-th group of every
line.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import Bools, Columns, Floats, Ints
from .constants import Constants
from .rows import Batch

_OWNER_SHIFT = 40  # rows of one update are less than 2^40 us apart
_LATEST_US = 1 << 52


class Groups(Columns):
    """The group still open on each line, and the last one that is complete."""

    has_current: Bools
    first_sent_us: Floats
    last_sent_us: Floats
    first_came_us: Floats
    last_came_us: Floats
    has_previous: Bools
    previous_sent_us: Floats
    previous_came_us: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "has_current": False,
        "first_sent_us": 0.0,
        "last_sent_us": 0.0,
        "first_came_us": 0.0,
        "last_came_us": 0.0,
        "has_previous": False,
        "previous_sent_us": 0.0,
        "previous_came_us": 0.0,
    }


class Deltas(NamedTuple):
    """Distances between groups that follow each other; (k, m), filled from the top.

    Attributes:
        counts: (m,) how many each slot has.
        sent_us: between the last packets' sending.
        came_us: between the last arrivals.
        at_us: when the later group came, on the receiver's clock.
        is_broken: (m,) a jump of the receiver's clock or the path: what was learned is void.
    """

    counts: NDArray[np.intp]
    sent_us: Floats
    came_us: Floats
    at_us: Floats
    is_broken: Bools


class _Segments(NamedTuple):
    counts: NDArray[np.intp]
    extends: Bools
    first_sent: Floats
    last_sent: Floats
    first_came: Floats
    last_came: Floats


class _Ended(NamedTuple):
    """Groups that are complete, in order; (k, m)."""

    is_there: Bools
    sent: Floats
    came: Floats


def group_rows(groups: Groups, received: Batch, burst_us: Ints, constants: Constants) -> Deltas:
    """Sort received rows into groups and measure the distances of those that are complete.

    `burst_us` (m,) is how much of sending time one group of each slot takes.
    A packet that was sent before the open group, and is reported after it, is left out.
    """
    segments = _split(groups, received, burst_us)
    ended = _merge(groups, received.slots, segments, burst_us, constants)
    return _measure(groups, received.slots, ended, constants)


def _merge(
    groups: Groups,
    slots: NDArray[np.intp],
    segments: _Segments,
    burst_us: Ints,
    constants: Constants,
) -> _Ended:
    """Join segments to the open group; where one does not, the open group ends."""
    has = groups.has_current[slots]
    first_sent, last_sent = groups.first_sent_us[slots], groups.last_sent_us[slots]
    first_came, last_came = groups.first_came_us[slots], groups.last_came_us[slots]
    shape = segments.first_sent.shape
    ended = _Ended(np.zeros(shape, np.bool_), np.empty(shape), np.empty(shape))
    for k in range(shape[0]):
        valid = k < segments.counts
        sent, came = segments.first_sent[k], segments.first_came[k]
        # Packets that come faster than they were sent, hard behind each other, were held up
        # together on the way: their distance says nothing about the queue.
        gap = came - last_came
        joins = has & (gap <= burst_us) & (gap < sent - last_sent)
        joins &= came - first_came < constants.max_burst_us
        if k == 0:
            joins |= segments.extends
        starts = valid & ~joins
        ended.is_there[k] = starts & has
        ended.sent[k], ended.came[k] = last_sent, last_came
        np.copyto(first_sent, sent, where=starts)
        np.copyto(first_came, came, where=starts)
        np.copyto(last_sent, segments.last_sent[k], where=valid)
        np.copyto(last_came, -np.inf, where=starts)
        np.maximum(last_came, segments.last_came[k], out=last_came, where=valid)
        has |= starts
    groups.has_current[slots] = has
    groups.first_sent_us[slots], groups.last_sent_us[slots] = first_sent, last_sent
    groups.first_came_us[slots], groups.last_came_us[slots] = first_came, last_came
    return ended


def _measure(
    groups: Groups, slots: NDArray[np.intp], ended: _Ended, constants: Constants
) -> Deltas:
    """Measure each group against the one before."""
    has, sent = groups.has_previous[slots], groups.previous_sent_us[slots]
    came = groups.previous_came_us[slots]
    is_measured = np.zeros_like(ended.is_there)
    is_broken = np.zeros(len(slots), np.bool_)
    d_sent, d_came = np.empty_like(ended.sent), np.empty_like(ended.sent)
    for k in range(len(ended.sent)):
        np.subtract(ended.sent[k], sent, out=d_sent[k])
        np.subtract(ended.came[k], came, out=d_came[k])
        known = ended.is_there[k] & has
        jumped = known & (np.abs(d_came[k] - d_sent[k]) > constants.max_delay_jump_us)
        is_broken |= jumped
        # Groups that overtook each other are no measure, as in libwebrtc.
        overtook = d_came[k] < 0
        is_measured[k] = known & ~jumped & ~overtook
        advanced = ended.is_there[k] & ~(has & overtook & ~jumped)
        np.copyto(sent, ended.sent[k], where=advanced)
        np.copyto(came, ended.came[k], where=advanced)
        has |= advanced
    groups.has_previous[slots] = has
    groups.previous_sent_us[slots], groups.previous_came_us[slots] = sent, came
    counts = is_measured.sum(axis=0)
    target = (np.cumsum(is_measured, axis=0) - 1)[is_measured], np.nonzero(is_measured)[1]
    columns = []
    for values in (d_sent, d_came, ended.came):
        filled = np.zeros((int(counts.max(initial=0)), len(slots)))
        filled[target] = values[is_measured]
        columns.append(filled)
    return Deltas(counts, columns[0], columns[1], columns[2], is_broken)


def _split(groups: Groups, received: Batch, burst_us: Ints) -> _Segments:
    """Cut each slot's rows where more than `burst_us` of sending time has passed."""
    num_slots = len(received.slots)
    ends = received.starts + received.counts
    begin, extended, following = _find_cuts(groups, received, burst_us)
    # The first segment may belong to the open group; it ends where that one's burst does.
    extends = extended > begin
    columns = []
    pointer = np.where(extends, begin, extended)
    is_first = extends
    while (pointer < ends).any():
        columns.append(pointer)
        inside = pointer < ends
        step = following[np.where(inside, pointer, 0)]
        pointer = np.where(inside, np.where(is_first, extended, step), ends)
        is_first = np.zeros(num_slots, np.bool_)
    if not columns:
        nothing = np.zeros((0, num_slots))
        counts = np.zeros(num_slots, np.intp)
        return _Segments(counts, extends, nothing, nothing, nothing, nothing)
    first = np.stack(columns)
    is_there = first < ends
    last = np.minimum(np.concatenate([first[1:], ends[None]]), ends) - 1

    came = received.received_us
    is_old = np.arange(len(came)) < np.repeat(begin, received.counts)
    cuts = first.T[is_there.T]
    latest = np.zeros((num_slots, len(first)))
    latest[is_there.T] = np.maximum.reduceat(np.where(is_old, 0, came), cuts)
    safe_first = np.where(is_there, first, 0)
    return _Segments(
        is_there.sum(axis=0),
        extends,
        received.sent_us[safe_first].astype(np.float64),
        received.sent_us[np.where(is_there, last, 0)].astype(np.float64),
        came[safe_first].astype(np.float64),
        np.ascontiguousarray(latest.T),
    )


def _find_cuts(
    groups: Groups, received: Batch, burst_us: Ints
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Search all slots at once, by a key that rises through all rows.

    Returns:
        (m,) each slot's first row that is not older than the open group; (m,) the first that the
        open group's burst does not reach; (n,) for each row the first beyond its burst.
    """
    owners = np.arange(len(received.slots), dtype=np.int64) << _OWNER_SHIFT
    base_us = received.sent_us.min(initial=_LATEST_US)
    key = (received.owner.astype(np.int64) << _OWNER_SHIFT) + (received.sent_us - base_us)
    has = groups.has_current[received.slots]
    open_since = groups.first_sent_us[received.slots].astype(np.int64) - base_us
    limit = np.int64(1) << (_OWNER_SHIFT - 1)
    begin = np.searchsorted(key, owners + np.clip(open_since, 0, limit), side="left")
    reach = owners + np.clip(open_since + burst_us, -1, limit)
    extended = np.searchsorted(key, reach, side="right")
    following = np.searchsorted(key, key + burst_us[received.owner], side="right")
    return (
        np.where(has, begin, received.starts),
        np.where(has, extended, received.starts),
        following,
    )
