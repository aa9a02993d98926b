"""Which layers of a simulcast track its publisher's own line carries.

A sender whose line gets too narrow fills its lowest layer first and gives the rest to the next one:
some 50 kb/s for a picture that wants 500, which is switched off and on again with every move of its
estimate (libwebrtc's `simulcast_rate_allocator.cc`). Each time its encoder begins anew, and all
layers send a large key frame: two of 61 kB were measured at 640x360, a second and a half of a line
of 800 kb/s. Such a layer is better left off. The sender is told a limit (REMB) at which the layers
below are whole and it stays off. Unlike an order to stop a layer this is heeded by every client,
and begins no encoder anew.

Nothing here reads a clock; `now_s` comes in. Only what arrives from the publisher is looked at,
never a subscriber.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandwidth.demand import MAX_LAYERS

STARVED_SHARE = 0.4
"""A layer that gets less than this of one below is not worth having: that one has more bits for
fewer pixels."""
STILL_BPS = 100_000.0
"""Lower layers below this say nothing: the picture may be still."""
GRACE_S = 6.0
"""After a layer was switched on its sender's estimate is given so long to grow."""
STARVED_S = 3.0
"""How much longer a layer must have been starved than not before it is stopped."""
FIRST_WAIT_S = 60.0
MAX_WAIT_S = 240.0
"""How long a stopped layer stays so: twice as long after each try that failed. Such a try costs
those who watch two pauses."""
FALL_WAIT_S = 10.0
"""The same after a line fell from what it had carried, if nothing tells that it is back: it may
come back in part, and that shows in the lowest layer, which then takes what it may."""
BACK_GRACE_S = 30.0
"""How much longer after a line came back its sender is given: libwebrtc's estimate grows by 8 % a
second then, from what little it had."""
PROVEN_S = 30.0
"""A layer that was well for so long makes the next wait short again."""
BELOW_SHARE = 0.7
"""Of what the layers below may take at most. libwebrtc begins a layer with 30 kb/s that the ones
below leave, and these are content with 375 of 450 (`simulcast.cc`); headers and retransmissions are
in what is measured beside. At 0.8 the layer still came and went."""
OTHER_BPS = 130_000.0
"""Least room for all else on the line: sound of 48 kb/s, sent twice as RED, may begin any time."""
NO_NEWS = -1
_TOP = MAX_LAYERS - 1


class Carried(NamedTuple):
    """What is known of each track's line, and the verdict.

    Attributes:
        limit: (t,) int8, highest layer that its publisher may send.
        since_s: (t,) float64, when `limit`, or what was on, last changed.
        starved_s: (t,) float64, seconds that the highest layer starved, less those it did not.
        wait_s: (t,) float64, how long after `since_s` one more layer is tried.
        top: (t,) int8, highest layer that was on; another one is looked at anew.
    """

    limit: NDArray[np.int8]
    since_s: NDArray[np.float64]
    starved_s: NDArray[np.float64]
    wait_s: NDArray[np.float64]
    top: NDArray[np.int8]

    @classmethod
    def start(cls, num_tracks: int, now_s: float) -> Carried:
        """Nothing is known: all may be sent."""
        return cls(
            np.full(num_tracks, _TOP, np.int8),
            np.full(num_tracks, now_s),
            np.zeros(num_tracks),
            np.full(num_tracks, FIRST_WAIT_S),
            np.full(num_tracks, _TOP, np.int8),
        )

    def take(self, rows: ArrayLike) -> Carried:
        """The same of other rows, in this order."""
        at = np.asarray(rows, np.int64)
        return Carried(
            self.limit[at], self.since_s[at], self.starved_s[at], self.wait_s[at], self.top[at]
        )

    def join(self, other: Carried) -> Carried:
        """Both, one after the other."""
        return Carried(
            np.concatenate((self.limit, other.limit)),
            np.concatenate((self.since_s, other.since_s)),
            np.concatenate((self.starved_s, other.starved_s)),
            np.concatenate((self.wait_s, other.wait_s)),
            np.concatenate((self.top, other.top)),
        )


def take_news(now_s: float, news: ArrayLike, top: ArrayLike, before: Carried) -> Carried:
    """Take what is known at once: a line has fallen far below what it carried, or is back.

    Args:
        now_s: monotonic seconds.
        news: (t,) highest layer that the track's line carries now, `NO_NEWS` = nothing is known.
        top: as in `judge`.
        before: of the last call of `judge`.

    Returns:
        The verdict.
    """
    limit = np.asarray(news, np.int8)
    has_news, has_fallen = limit >= 0, limit == 0
    news_s = np.where(has_fallen, now_s, now_s + BACK_GRACE_S)
    # Where tries have failed lately the longer wait stands.
    is_fresh = has_fallen & (before.wait_s == FIRST_WAIT_S)
    return Carried(
        np.where(has_news, limit, before.limit).astype(np.int8),
        np.where(has_news, news_s, before.since_s),
        np.where(has_news, 0.0, before.starved_s),
        np.where(is_fresh, FALL_WAIT_S, before.wait_s),
        # Judged from then on, not anew.
        np.where(has_news, np.minimum(limit, top), before.top).astype(np.int8),
    )


def judge(
    now_s: float,
    elapsed_s: float,
    rates_bps: ArrayLike,
    top: ArrayLike,
    before: Carried,
    *,
    is_filled: ArrayLike = True,
) -> Carried:
    """Find what each publisher's line carries.

    Args:
        now_s: monotonic seconds.
        elapsed_s: since the last call.
        rates_bps: (t, MAX_LAYERS) what came of each layer lately, 0 = nothing.
        top: (t,) highest layer that anybody wants and the track has; -1 = none.
        before: of the last call.
        is_filled: (t,) whether what is let through takes about what it may. Where it does not, one
            layer more is not tried.

    Returns:
        The verdict.
    """
    rates = np.nan_to_num(np.asarray(rates_bps, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    wanted = np.asarray(top, np.int8)
    sent = np.minimum(wanted, before.limit)
    rows = np.arange(sent.shape[0])
    upper = rates[rows, np.maximum(sent, 0)]
    lower = np.where(np.arange(MAX_LAYERS) < sent[:, None], rates, 0.0).max(axis=1)
    # What was just switched on or off is looked at anew.
    is_new = sent != before.top
    since_s = np.where(is_new, now_s, before.since_s)
    # Of a still picture neither this nor that is learned.
    is_judged = (sent > 0) & (lower >= STILL_BPS)
    is_starved = is_judged & (upper < STARVED_SHARE * lower)
    step_s = np.where(is_starved, elapsed_s, np.where(is_judged, -elapsed_s, 0.0))
    starved_s = np.clip(np.where(is_new, 0.0, before.starved_s) + step_s, 0.0, STARVED_S)
    age_s = now_s - since_s

    is_stopped = is_starved & (starved_s >= STARVED_S) & (age_s >= GRACE_S)
    is_well = is_judged & (starved_s <= 0.0) & (age_s >= PROVEN_S)
    is_limited = wanted > before.limit
    is_tried = is_limited & ~is_stopped & (age_s >= before.wait_s) & (upper > 0.0)
    is_tried &= np.asarray(is_filled, np.bool_)
    limit = np.where(is_stopped, sent - 1, np.where(is_tried, before.limit + 1, before.limit))
    # The wait counts for the next stop, and doubles with it.
    longer_s = np.minimum(before.wait_s * 2, MAX_WAIT_S)
    wait_s = np.where(is_tried, longer_s, before.wait_s)
    wait_s = np.where(is_well & ~is_limited, FIRST_WAIT_S, wait_s)
    has_moved = is_stopped | is_tried
    return Carried(
        limit.astype(np.int8),
        np.where(has_moved, now_s, since_s),
        np.where(has_moved, 0.0, starved_s),
        wait_s,
        np.where(has_moved, limit, sent).astype(np.int8),
    )


def find_limit_bps(
    carried: Carried,
    top: ArrayLike,
    rates_bps: ArrayLike,
    announced_bps: ArrayLike,
    other_bps: ArrayLike,
) -> NDArray[np.float64]:
    """Find what senders are to be told so that no layer above the verdict is begun.

    Args:
        carried: the verdict.
        top: as in `judge`.
        rates_bps: as in `judge`.
        announced_bps: (t, MAX_LAYERS) what each layer takes at most, as announced; 0 = unknown.
        other_bps: (t,) all that comes from the same sender but for the track's layers.

    Returns:
        (t,) for the sender's whole line; 0 = no limit.
    """
    rates, announced = np.asarray(rates_bps, np.float64), np.asarray(announced_bps, np.float64)
    most = np.where(announced > 0, announced * BELOW_SHARE, rates)
    is_below = np.arange(MAX_LAYERS) <= carried.limit[:, None]
    below = np.where(is_below, np.nan_to_num(most, posinf=0.0, neginf=0.0), 0.0).sum(axis=1)
    other = np.maximum(np.nan_to_num(np.asarray(other_bps, np.float64)), OTHER_BPS)
    return np.where(np.asarray(top) > carried.limit, other + below, 0.0)
