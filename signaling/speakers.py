"""Who is speaking, from the engine's packet counts.

A track is loud in a window when enough of its packets were loud (RFC 6464, at most 35 below full
scale; the engine counts those). Levels are smoothed over two windows and quantised to eighths, so
that news goes out only when something visible changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from livekit.protocol import models

if TYPE_CHECKING:
    from sfu.stats import Rows

__all__ = ["LevelMeter", "SpeakerBoard"]

# As LiveKit: speaking if 40 % of the window's packets are loud.
_LOUD_FRACTION = 0.4
_MIN_LOUD_PACKETS = 2
_SMOOTHING = 2.0 / 3.0
_STEPS = 8
# Windows of silence before a speaker is taken off the list: a pause between words is not an end.
_HOLD_WINDOWS = 2


class LevelMeter:
    """Turns cumulative counters of all sources into one level per loud source and window."""

    def __init__(self) -> None:
        """Starts with all counters at zero."""
        self._previous: dict[int, tuple[int, int, int]] = {}

    def measure(self, rows: Rows) -> dict[int, float]:
        """Linear levels (0..1] by source handle, of the sources that were loud in this window.

        Args:
            rows: `MediaSnapshot.encodings`.
        """
        leveled = rows[rows["leveled_packets"] > 0]
        current = dict(
            zip(
                leveled["source"].tolist(),
                zip(
                    leveled["loud_packets"].tolist(),
                    leveled["leveled_packets"].tolist(),
                    leveled["level_sum"].tolist(),
                    strict=True,
                ),
                strict=True,
            )
        )
        zero = (0, 0, 0)
        before = np.array([self._previous.get(s, zero) for s in current], np.int64).reshape(-1, 3)
        after = np.array(list(current.values()), np.int64).reshape(-1, 3)
        self._previous = current
        loud, count, level_sum = (after - before).T
        is_loud = (loud >= _MIN_LOUD_PACKETS) & (loud >= _LOUD_FRACTION * count)
        # -dBov; the smaller the louder
        mean_level = level_sum / np.maximum(loud, 1)
        linear = 10.0 ** (-mean_level / 20.0)
        return {
            source: float(level)
            for source, level, is_on in zip(current, linear, is_loud, strict=True)
            if is_on
        }


class SpeakerBoard:
    """The speakers of one room, as its clients know them."""

    def __init__(self) -> None:
        """Starts with nobody speaking."""
        self._smoothed: dict[str, float] = {}
        self._silent_windows: dict[str, int] = {}
        self._shown: dict[str, float] = {}

    def update(self, levels: Mapping[str, float]) -> list[models.SpeakerInfo]:
        """Takes one window.

        Args:
            levels: linear level by participant sid, of those who spoke.

        Returns:
            The entries that changed; who has ended comes inactive with level 0.
        """
        changed = []
        for sid in {**self._smoothed, **levels}:
            level = self._smooth(sid, levels.get(sid, 0.0))
            if level != self._shown.get(sid, 0.0):
                changed.append(models.SpeakerInfo(sid=sid, level=level, active=level > 0))
            if level > 0:
                self._shown[sid] = level
            else:
                self._forget(sid)
        return changed

    def active(self) -> list[models.SpeakerInfo]:
        """Everybody who is speaking, loudest first: for those who join."""
        ranked = sorted(self._shown.items(), key=lambda item: -item[1])
        return [models.SpeakerInfo(sid=sid, level=level, active=True) for sid, level in ranked]

    def _smooth(self, sid: str, level: float) -> float:
        smoothed = self._smoothed.get(sid, level)
        smoothed += (level - smoothed) * _SMOOTHING
        self._smoothed[sid] = smoothed
        silent = 0 if level > 0 else self._silent_windows.get(sid, 0) + 1
        self._silent_windows[sid] = silent
        if silent >= _HOLD_WINDOWS:
            return 0.0
        if silent:
            return self._shown.get(sid, 0.0)
        return min(1.0, math.ceil(smoothed * _STEPS) / _STEPS)

    def _forget(self, sid: str) -> None:
        self._smoothed.pop(sid, None)
        self._silent_windows.pop(sid, None)
        self._shown.pop(sid, None)
