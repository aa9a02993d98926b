"""Which layer of a video track a subscriber wants, from what its player shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livekit.protocol import models, rtc

__all__ = ["ALL_TEMPORAL", "TrackSettings", "choose_quality", "choose_temporal"]

ALL_TEMPORAL = 7


@dataclass(frozen=True)
class TrackSettings:
    """What a subscriber said of one track. The default is what a client gets that never said."""

    is_disabled: bool = False
    quality: models.VideoQuality = models.VideoQuality.HIGH
    width: int = 0
    height: int = 0
    fps: int = 0

    @classmethod
    def from_message(cls, message: rtc.UpdateTrackSettings) -> TrackSettings:
        """From the wire. An all-default message means LOW."""
        return cls(message.disabled, message.quality, message.width, message.height, message.fps)


def choose_quality(
    layers: Sequence[models.VideoLayer], settings: TrackSettings
) -> models.VideoQuality | None:
    """The quality a subscriber wants; None when it wants no packets.

    With a size given, the smallest layer that covers it, so that nothing is scaled up. Sides are
    compared short to short: a phone held upright publishes 720×1280 for 720p.
    """
    if settings.is_disabled:
        return None
    if settings.width <= 0 or settings.height <= 0 or not layers:
        return min(settings.quality, models.VideoQuality.HIGH)
    wanted = min(settings.width, settings.height)
    for layer in layers:
        if min(layer.width, layer.height) >= wanted:
            return layer.quality
    return layers[-1].quality


def choose_spatial(
    layers: Sequence[models.VideoLayer], quality: models.VideoQuality, *, encoding_count: int
) -> int:
    """The engine's encoding index for a quality. A single encoding counts as HIGH."""
    top = encoding_count - 1
    for index, layer in enumerate(layers):
        if layer.quality >= quality:
            return min(index, top)
    return top


def choose_temporal(fps: int) -> int:
    """The highest temporal layer for a wanted frame rate, of the usual three at 30 fps."""
    if fps <= 0 or fps > 15:
        return ALL_TEMPORAL
    return 1 if fps > 8 else 0
