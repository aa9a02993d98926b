"""Dynacast: layers of a track that nobody wants are stopped at the publisher.

A layer is enabled the moment somebody wants it and can get it, and disabled only after nobody has
wanted it for some seconds, or nobody's line has carried it for half a minute. Lower layers stay
enabled below one that is wanted: a subscriber whose line gets worse must find a smaller picture at
once (see DECISIONS.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from livekit.protocol import models, rtc

from bandwidth.demand import MAX_LAYERS, find_demand, update_demand

if TYPE_CHECKING:
    from sfu.downlink import Wish
    from sfu.ids import Layers

__all__ = ["LayerDemand", "build_quality_update"]

_QUALITIES = (models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH)
_TOP = MAX_LAYERS - 1
CAPACITY_DELAY_S = 30.0
"""How long nobody's line must carry a layer before its publisher stops it."""


class LayerDemand:
    """The layers that anybody wants of one track, and can get.

    Attributes:
        top: the highest layer that the publisher was told to send; -1 = none. Publishers start
            with all.
    """

    def __init__(
        self, disable_delay_s: float, *, capacity_delay_s: float = CAPACITY_DELAY_S
    ) -> None:
        """Starts with what publishers start with: everything on."""
        self._wished = _Side(disable_delay_s)
        # A line that comes and goes must not switch layers for everybody: what is wished for and
        # cannot be carried is given up much later.
        self._granted = _Side(capacity_delay_s)
        self._is_pinned = False
        self.top = _TOP

    def set(self, sid: str, spatial: int | None, *, granted: int | None = None) -> None:
        """A subscriber wants a layer, or nothing; and gets it, or what its line carries of it."""
        self._wished.set(sid, spatial)
        self._granted.set(sid, spatial if granted is None or spatial is None else granted)

    def take(self, sid: str, wish: Wish, layers: Layers, *, encoding_count: int) -> None:
        """The same from what a player shows, and what its line carries of that."""
        is_top = wish.spatial >= encoding_count - 1
        wanted = None if wish.is_paused else _TOP if is_top else wish.spatial
        # What is paused for now still needs something to go on with.
        granted = 0 if layers.paused else layers.spatial
        is_whole = not layers.paused and layers.spatial >= wish.spatial
        self.set(sid, wanted, granted=wanted if is_whole else granted)

    def pin(self, is_pinned: bool) -> None:
        """Somebody who is no subscriber (a recorder) wants the best, or no longer."""
        if is_pinned != self._is_pinned:
            self._is_pinned = is_pinned
            self._wished.has_changed = self._granted.has_changed = True

    def poll(self, now_s: float) -> bool:
        """Returns whether `top` has changed and the publisher must be told."""
        top = min(side.poll(now_s, self._is_pinned) for side in (self._wished, self._granted))
        has_moved = top != self.top
        self.top = top
        return has_moved


class _Side:
    """What all subscribers together ask for, by one measure."""

    def __init__(self, disable_delay_s: float) -> None:
        self._disable_delay_s = disable_delay_s
        self._wanted: dict[str, int] = {}
        self._next_s = inf
        self._enabled = np.ones((1, MAX_LAYERS), np.bool_)
        self._unwanted_since_s = np.full((1, MAX_LAYERS), np.nan)
        self._top = _TOP
        self.has_changed = True

    def set(self, sid: str, spatial: int | None) -> None:
        if self._wanted.get(sid) == spatial:
            return
        self.has_changed = True
        if spatial is None:
            self._wanted.pop(sid, None)
        else:
            self._wanted[sid] = spatial

    def poll(self, now_s: float, is_pinned: bool) -> int:
        """The highest layer that is on."""
        if not self.has_changed and now_s < self._next_s:
            return self._top
        self.has_changed = False
        spatial = list(self._wanted.values()) + ([_TOP] if is_pinned else [])
        demand = update_demand(
            now_s,
            find_demand(1, [0] * len(spatial), spatial, is_simulcast=[False]),
            self._enabled,
            self._unwanted_since_s,
            disable_delay_s=self._disable_delay_s,
        )
        self._enabled, self._unwanted_since_s, self._next_s = demand
        self._top = int(self._enabled.sum()) - 1  # layers are nested
        return self._top


def build_quality_update(
    track_sid: str, codec: str, layers: Sequence[models.VideoLayer], top: int
) -> rtc.SubscribedQualityUpdate:
    """The message to the publisher.

    Args:
        layers: of the track, lowest first; clients match them by their quality.
        top: the highest layer to send; -1 = none.
    """
    is_all = top >= len(layers) - 1
    highest = -1 if top < 0 else models.VideoQuality.HIGH if is_all else layers[top].quality
    qualities = [rtc.SubscribedQuality(quality=q, enabled=q <= highest) for q in _QUALITIES]
    return rtc.SubscribedQualityUpdate(
        track_sid=track_sid,
        # deprecated, repeats the first codec's
        subscribed_qualities=qualities,
        subscribed_codecs=[rtc.SubscribedCodec(codec=codec, qualities=qualities)],
    )
