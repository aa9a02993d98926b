"""Which layer of a track a subscriber gets, from what its player shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from livekit.protocol import models, rtc

from bandwidth.demand import ALL_TEMPORAL, MAX_LAYERS, NOTHING, choose_layers
from sfu.downlink import Kind, Wish
from sfu.ids import Layers

__all__ = ["TrackSettings", "build_wish", "choose"]

# Nobody's screen is larger; bounds what goes into 64-bit arithmetic.
_MAX_PIXELS = 1 << 16
# A player with a shorter side than this is one of many tiles, not what is looked at.
_TILE_PX = 270
# Who never says what it shows is taken to show 720p.
_UNSAID_PX = 1280 * 720


@dataclass(frozen=True)
class TrackSettings:
    """What a subscriber said of one track. The default is what a client gets that never said."""

    is_disabled: bool = False
    quality: int = models.VideoQuality.HIGH
    width: int = 0
    height: int = 0
    fps: int = 0

    @classmethod
    def from_message(cls, message: rtc.UpdateTrackSettings) -> TrackSettings:
        """From the wire. An all-default message means LOW."""
        return cls(
            message.disabled,
            message.quality,
            min(message.width, _MAX_PIXELS),
            min(message.height, _MAX_PIXELS),
            message.fps,
        )


_DEFAULT = TrackSettings()


def choose(
    layers: Sequence[models.VideoLayer], settings: TrackSettings, *, encoding_count: int
) -> Layers:
    """Orders for the engine.

    Args:
        layers: as announced, lowest first.
        settings: what the subscriber shows.
        encoding_count: how many streams the publisher sends; a client that cannot send all
            announced layers leaves out the highest.
    """
    top = encoding_count - 1
    if settings == _DEFAULT or encoding_count == 1:
        # Most subscriptions, and worth not doing in numpy.
        temporal = ALL_TEMPORAL if settings.fps <= 0 else _temporal(settings)
        return Layers(top, temporal, settings.is_disabled)
    count = min(encoding_count, MAX_LAYERS)
    sizes = [(layer.width, layer.height) for layer in layers[:count]]
    if not all(width and height for width, height in sizes) or len(sizes) < count:
        # Only their order is known. No player is this small, so sizes asked for choose the top.
        sizes = [(index + 1, index + 1) for index in range(count)]
    padded = sizes + [(0, 0)] * (MAX_LAYERS - count)
    wanted = _choose(padded, settings)
    return Layers(max(0, wanted[0]), wanted[1], wanted[0] == NOTHING)


def build_wish(
    info: models.TrackInfo, settings: TrackSettings, *, encoding_count: int, has_stills: bool
) -> Wish:
    """What a subscriber wants of a video track, and how much it matters.

    Args:
        has_stills: where a shared screen does not fit sharply, stills of it come instead.
    """
    layers = choose(info.layers, settings, encoding_count=encoding_count)
    is_screen = info.source == models.TrackSource.SCREEN_SHARE
    width, height = settings.width or settings.height, settings.height or settings.width
    is_tile = 0 < min(width, height) < _TILE_PX
    is_tile |= not width and settings.quality == models.VideoQuality.LOW
    kind = Kind.SCREEN if is_screen else Kind.THUMBNAIL if is_tile else Kind.STAGE
    return Wish(
        *layers,
        kind=kind,
        area_px=float(width * height or _UNSAID_PX),
        # Slides that cannot be read are worse than slides that come late.
        min_spatial=layers.spatial if is_screen and has_stills else 0,
    )


def _choose(sizes: list[tuple[int, int]], settings: TrackSettings) -> tuple[int, int]:
    # A width without a height is meant for both.
    height = settings.height or settings.width
    wanted = choose_layers(
        np.array([sizes]),
        width=[settings.width or height],
        height=[height],
        quality=[settings.quality],
        fps=[settings.fps],
        source_fps=[0],
        is_disabled=[settings.is_disabled],
    )
    return int(wanted.spatial[0]), int(wanted.temporal[0])


def _temporal(settings: TrackSettings) -> int:
    return _choose([(0, 0)] * MAX_LAYERS, settings)[1]
