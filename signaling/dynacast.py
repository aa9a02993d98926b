"""Dynacast: layers of a track that nobody wants are stopped at the publisher.

A layer is enabled the moment somebody wants it, and disabled only after nobody has wanted it for
some seconds. Lower layers stay enabled below one that is wanted: a subscriber whose line gets worse
must find a smaller picture at once (see DECISIONS.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from livekit.protocol import models, rtc

from bandwidth.demand import MAX_LAYERS, find_demand, update_demand

__all__ = ["LayerDemand", "build_quality_update"]

_QUALITIES = (models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH)
_TOP = MAX_LAYERS - 1


class LayerDemand:
    """The layers that anybody wants of one track.

    Attributes:
        top: the highest layer that the publisher was told to send; -1 = none. Publishers start
            with all.
    """

    def __init__(self, disable_delay_s: float) -> None:
        """Starts with what publishers start with: everything on."""
        self._disable_delay_s = disable_delay_s
        self._wanted: dict[str, int] = {}
        self._is_pinned = False
        self._has_changed = True
        self._next_s = inf
        self._enabled = np.ones((1, MAX_LAYERS), np.bool_)
        self._unwanted_since_s = np.full((1, MAX_LAYERS), np.nan)
        self.top = _TOP

    def set(self, sid: str, spatial: int | None) -> None:
        """A subscriber wants a layer, or nothing."""
        if self._wanted.get(sid) == spatial:
            return
        self._has_changed = True
        if spatial is None:
            self._wanted.pop(sid, None)
        else:
            self._wanted[sid] = spatial

    def pin(self, is_pinned: bool) -> None:
        """Somebody who is no subscriber (a recorder) wants the best, or no longer."""
        if is_pinned != self._is_pinned:
            self._is_pinned = is_pinned
            self._has_changed = True

    def poll(self, now_s: float) -> bool:
        """Returns whether `top` has changed and the publisher must be told."""
        if not self._has_changed and now_s < self._next_s:
            return False
        self._has_changed = False
        spatial = list(self._wanted.values()) + ([_TOP] if self._is_pinned else [])
        demand = update_demand(
            now_s,
            find_demand(1, [0] * len(spatial), spatial, is_simulcast=[False]),
            self._enabled,
            self._unwanted_since_s,
            disable_delay_s=self._disable_delay_s,
        )
        self._enabled, self._unwanted_since_s, self._next_s = demand
        top = int(self._enabled.sum()) - 1  # layers are nested
        has_moved = top != self.top
        self.top = top
        return has_moved


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
