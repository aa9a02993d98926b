"""Which layer of a track each subscriber wants, and which layers of a track anybody wants.

Both are whole-array functions: one row a subscription or a track, decisions for all rows at once.
Nothing here reads a clock; `now_s` comes in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_LAYERS = 3
NOTHING = -1
"""Wanted layer of a subscription that wants no packets."""
ALL_TEMPORAL = 7
DISABLE_DELAY_S = 5.0
"""How long nobody must want a layer before its publisher stops it: people scroll back, and a
stopped encoder takes a second and a key frame to start again."""

# Temporal layers double the frame rate: of 30 fps, layer 0 has 7.5 and layer 1 has 15. A wish a
# little above is still served by the lower layer: 8 fps must not cost twice the bits of 7.5.
_TEMPORAL_SHARES = (4, 2)
_FPS_TOLERANCE = 1.1


class Wanted(NamedTuple):
    """What subscriptions want.

    Attributes:
        spatial: (n,) int8, index of the layer, `NOTHING` where paused.
        temporal: (n,) int8, highest temporal layer, `ALL_TEMPORAL` where all frames are wanted.
    """

    spatial: NDArray[np.int8]
    temporal: NDArray[np.int8]


class Demand(NamedTuple):
    """Which layers publishers should send.

    Attributes:
        enabled: (t, MAX_LAYERS) bool.
        unwanted_since_s: (t, MAX_LAYERS) float64, when each layer was last wanted by nobody from;
            NaN while somebody wants it. Hand it back at the next call.
        next_s: when a layer may be disabled next, inf = none waits.
    """

    enabled: NDArray[np.bool_]
    unwanted_since_s: NDArray[np.float64]
    next_s: float


def choose_layers(
    layer_sizes: ArrayLike,
    *,
    width: ArrayLike,
    height: ArrayLike,
    quality: ArrayLike,
    fps: ArrayLike,
    source_fps: ArrayLike,
    is_disabled: ArrayLike,
) -> Wanted:
    """Choose for each subscription the smallest layer that covers what its player shows.

    Sides are compared short to short, so that a phone held upright (720×1280) counts as 720p.

    Args:
        layer_sizes: (n, MAX_LAYERS, 2) pixels (width, height) of the layers of each subscription's
            track, lowest first; (0, 0) = there is no such layer. A track without known sizes has
            all zeros and counts as one layer.
        width: (n,) pixels shown; 0 = not said, then `quality` counts.
        height: (n,) pixels shown; 0 = not said.
        quality: (n,) 0 lowest … 2 highest; the top layer of a track serves all above it.
        fps: (n,) frames a second wanted; 0 = all.
        source_fps: (n,) frames a second of the full stream; 0 = unknown, taken as 30.
        is_disabled: (n,) bool, the player shows nothing.

    Returns:
        A layer for each subscription.
    """
    short = np.asarray(layer_sizes, np.int64).reshape(-1, MAX_LAYERS, 2).min(axis=2)
    count = np.maximum((short > 0).sum(axis=1), 1)
    top = count - 1
    shown = np.minimum(np.asarray(width, np.int64), np.asarray(height, np.int64))
    covers = short >= shown[:, None]
    by_size = np.where(covers.any(axis=1), covers.argmax(axis=1), top)
    by_quality = np.clip(np.asarray(quality, np.int64), 0, top)
    # A single layer counts as the highest quality, so it serves every wish.
    spatial = np.where(shown > 0, np.minimum(by_size, top), by_quality)
    spatial = np.where(np.asarray(is_disabled, np.bool_), NOTHING, spatial)
    temporal = _choose_temporal(np.asarray(fps, np.float64), np.asarray(source_fps, np.float64))
    return Wanted(spatial.astype(np.int8), temporal)


def _choose_temporal(fps: NDArray[np.float64], source_fps: NDArray[np.float64]) -> NDArray[np.int8]:
    full = np.where(source_fps > 0, source_fps, 30.0)
    temporal = np.full(fps.shape, ALL_TEMPORAL, np.int8)
    for layer in (1, 0):
        is_enough = fps <= full / _TEMPORAL_SHARES[layer] * _FPS_TOLERANCE
        temporal[(fps > 0) & is_enough] = layer
    return temporal


def find_demand(
    num_tracks: int, track: ArrayLike, spatial: ArrayLike, *, is_simulcast: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Find which layers of each track are wanted by anybody.

    Where several separate streams carry the layers (simulcast) only those in use are wanted. Where
    one stream carries them all (`is_simulcast` False) a layer needs those below it.

    Args:
        num_tracks: t.
        track: (n,) row of each subscription's track, 0 … t-1.
        spatial: (n,) wanted layer, `NOTHING` = none.
        is_simulcast: (t,) bool; absent = all are.

    Returns:
        (t, MAX_LAYERS) bool.
    """
    rows = np.asarray(track, np.int64)
    layers = np.asarray(spatial, np.int64)
    wants = layers > NOTHING
    wanted = np.zeros((num_tracks, MAX_LAYERS), np.bool_)
    wanted[rows[wants], np.minimum(layers[wants], MAX_LAYERS - 1)] = True
    if is_simulcast is not None:
        nested = ~np.asarray(is_simulcast, np.bool_)
        with_lower = np.logical_or.accumulate(wanted[:, ::-1], axis=1)[:, ::-1]
        wanted[nested] = with_lower[nested]
    return wanted


def update_demand(
    now_s: float,
    wanted: ArrayLike,
    enabled: ArrayLike,
    unwanted_since_s: ArrayLike,
    *,
    disable_delay_s: float = DISABLE_DELAY_S,
) -> Demand:
    """Enable layers at once, and disable them after nobody has wanted them for a while.

    Args:
        now_s: monotonic seconds.
        wanted: (t, MAX_LAYERS) bool, from `find_demand`.
        enabled: (t, MAX_LAYERS) bool, what publishers were told last.
        unwanted_since_s: (t, MAX_LAYERS) float64 of the previous result; NaN at first.
        disable_delay_s: how long.

    Returns:
        What to tell publishers now; rows of `enabled` that differ are news.
    """
    is_wanted = np.asarray(wanted, np.bool_)
    was_enabled = np.asarray(enabled, np.bool_)
    since_s = np.asarray(unwanted_since_s, np.float64)
    since_s = np.where(is_wanted, np.nan, np.where(np.isnan(since_s), now_s, since_s))
    # The same sum as `next_s` below: a caller that wakes up exactly then is not too early.
    has_waited = since_s + disable_delay_s <= now_s
    now_enabled = is_wanted | (was_enabled & ~has_waited)
    waiting = since_s[now_enabled & ~is_wanted]
    next_s = float(waiting.min() + disable_delay_s) if waiting.size else float("inf")
    return Demand(now_enabled, since_s, next_s)
