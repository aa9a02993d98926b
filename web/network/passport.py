"""A place's network passport: how its line usually is, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from web.network.advice import Advice, Figures, advise
from web.network.causes import is_weak
from web.network.lines import SAMPLE_S, Sample

MIN_SAMPLES: Final = 5 * 60 // SAMPLE_S
"""Five minutes: less says nothing about a place."""
PERCENTILES: Final = (10, 50, 90)
_BY_SHARE: Final = (
    (0.05, Advice("good", "all_good")),
    (0.2, Advice("fair", "small_picture")),
    (0.6, Advice("weak", "shelf_first")),
)
_WORST: Final = Advice("bad", "voice_first")
HOURS: Final = 24
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Passport:
    """How a place's line usually is.

    Attributes:
        minutes: how much was measured.
        days: on how many days.
        down_kbps: 10th, 50th and 90th percentile of what the line carried to the place; None =
            unknown. Where nobody has estimated it, what was sent: a lower bound.
        up_kbps: the same of what came from the place while a picture of it was watched: a lower
            bound.
        loss_percent: the same, of the worse direction.
        rtt_ms: the same.
        weak_share: part of the time the line was weak, 0..1.
        weak_by_hour: the same for each hour of the day; None = nothing measured.
        advice: what to do before a call.
    """

    minutes: int
    days: int
    down_kbps: tuple[float, ...] | None
    up_kbps: tuple[float, ...] | None
    loss_percent: tuple[float, ...] | None
    rtt_ms: tuple[float, ...] | None
    weak_share: float
    weak_by_hour: tuple[float | None, ...]
    advice: Advice


def draw_up(samples: Sequence[Sample], *, utc_offset_s: int = 0) -> Passport:
    """Make the passport of a place.

    Args:
        samples: of all who were there, in any order.
        utc_offset_s: of the place's clock, for the hours of the day.
    """
    heard = [sample for sample in samples if not sample.is_lost]
    # While nothing was sent a line shows nothing of itself.
    down_kbps = [s.estimate_kbps or s.down_kbps for s in heard]
    up_kbps = [s.up_kbps for s in heard if s.up_fps is not None]
    weak = [is_weak(sample) for sample in samples]
    local_s = [sample.at_s + utc_offset_s for sample in samples]
    return Passport(
        minutes=len(samples) * SAMPLE_S // 60,
        days=len({at_s // DAY_S for at_s in local_s}),
        down_kbps=_percentiles([kbps for kbps in down_kbps if kbps > 0]),
        up_kbps=_percentiles([kbps for kbps in up_kbps if kbps > 0]),
        loss_percent=_percentiles([_loss_permille(s) / 10 for s in heard]),
        rtt_ms=_percentiles([s.rtt_ms for s in heard if s.rtt_ms]),
        weak_share=_share(weak) or 0.0,
        weak_by_hour=_by_hour(local_s, weak),
        advice=_advise(samples, weak),
    )


def _advise(samples: Sequence[Sample], weak: Sequence[bool]) -> Advice:
    """By how often the line was weak: on good days it carried only what was asked of it."""
    if len(samples) < MIN_SAMPLES:
        return Advice("unknown", "no_history")
    share = _share(weak) or 0.0
    found = next((one for most, one in _BY_SHARE if share <= most), _WORST)
    if found is _BY_SHARE[0][1]:
        return found
    heard = [s for s, is_one in zip(samples, weak, strict=True) if is_one and not s.is_lost]
    if not heard:
        return found
    middle = np.median(
        [
            (s.estimate_kbps or s.down_kbps, s.up_kbps, s.rtt_ms, _loss_permille(s) / 1000)
            for s in heard
        ],
        axis=0,
    )
    has_up = any(s.up_fps is not None for s in heard)
    figures = Figures(middle[0], middle[1] if has_up else None, middle[2], middle[3])
    return replace(found, limit=advise(figures).limit)


def _loss_permille(sample: Sample) -> int:
    return max(sample.up_loss_permille, sample.down_loss_permille)


def _percentiles(values: Sequence[float]) -> tuple[float, ...] | None:
    if not values:
        return None
    return tuple(round(float(value), 1) for value in np.percentile(values, PERCENTILES))


def _share(flags: Sequence[bool]) -> float | None:
    return round(sum(flags) / len(flags), 3) if flags else None


def _by_hour(local_s: Sequence[int], weak: Sequence[bool]) -> tuple[float | None, ...]:
    flags: list[list[bool]] = [[] for _ in range(HOURS)]
    for at_s, is_one in zip(local_s, weak, strict=True):
        flags[at_s % DAY_S // 3600].append(is_one)
    return tuple(_share(hour) for hour in flags)
