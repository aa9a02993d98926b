"""Dynacast: layers of a track that nobody wants are stopped at the publisher.

A layer is enabled the moment somebody wants it, and disabled only after nobody has wanted it for
some seconds: people scroll back, and a stopped encoder takes a second to start again.
"""

from __future__ import annotations

from livekit.protocol import models, rtc

__all__ = ["LayerDemand", "build_quality_update"]

_QUALITIES = (models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH)
_NONE = -1


class LayerDemand:
    """The highest quality that anybody wants of one track.

    Attributes:
        announced: what the publisher was told last; -1 = send nothing. Publishers start at HIGH.
        is_pinned: a recorder or another reader wants the best.
    """

    def __init__(self, off_delay_s: float) -> None:
        """Starts with what publishers start with: everything on."""
        self._off_delay_s = off_delay_s
        self._wanted: dict[str, int] = {}
        self._counts = [0, 0, 0]
        self._lower_since_s: float | None = None
        self.announced: int = models.VideoQuality.HIGH
        self.is_pinned = False

    def set(self, sid: str, quality: models.VideoQuality | None) -> None:
        """A subscriber wants a quality, or nothing."""
        previous = self._wanted.pop(sid, None)
        if previous is not None:
            self._counts[previous] -= 1
        if quality is not None:
            self._wanted[sid] = quality
            self._counts[quality] += 1

    @property
    def highest(self) -> int:
        """The highest quality wanted now; -1 = none."""
        if self.is_pinned:
            return models.VideoQuality.HIGH
        return next((q for q in reversed(_QUALITIES) if self._counts[q]), _NONE)

    def poll(self, now_s: float) -> bool:
        """Returns whether `announced` has changed and the publisher must be told."""
        highest = self.highest
        if highest >= self.announced:
            self._lower_since_s = None
            if highest == self.announced:
                return False
        elif self._lower_since_s is None:
            self._lower_since_s = now_s
            return False
        elif now_s - self._lower_since_s < self._off_delay_s:
            return False
        self._lower_since_s = None
        self.announced = highest
        return True

    @property
    def is_settled(self) -> bool:
        """Nothing waits for time to pass."""
        return self._lower_since_s is None


def build_quality_update(track_sid: str, codec: str, announced: int) -> rtc.SubscribedQualityUpdate:
    """The message to the publisher. The deprecated list repeats the first codec's."""
    qualities = [rtc.SubscribedQuality(quality=q, enabled=q <= announced) for q in _QUALITIES]
    return rtc.SubscribedQualityUpdate(
        track_sid=track_sid,
        subscribed_qualities=qualities,
        subscribed_codecs=[rtc.SubscribedCodec(codec=codec, qualities=qualities)],
    )
