"""From figures of a line to a grade and one piece of advice. One rule for history and check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Grade = Literal["good", "fair", "weak", "bad", "unknown"]
AdviceKey = Literal["all_good", "small_picture", "shelf_first", "voice_first", "no_history"]
Limit = Literal["up", "down", "loss", "delay", ""]


class _Bound(NamedTuple):
    """What a grade needs; the better grade's picture fits below it no more."""

    grade: Grade
    advice: AdviceKey
    min_kbps: float
    max_loss: float
    max_rtt_ms: float


# 900 kb/s carry the three layers of a phone's camera, 350 kb/s its middle one, 100 kb/s voice with
# redundancy and stills. Loss and delay as in `signaling.quality` and the ladder's own limits.
_BOUNDS: Final = (
    _Bound("good", "all_good", 900, 0.03, 300),
    _Bound("fair", "small_picture", 350, 0.08, 700),
    _Bound("weak", "shelf_first", 100, 0.25, 1500),
)
GRADES: Final = ("good", "fair", "weak", "bad", "unknown")
ADVICE: Final = ("all_good", "small_picture", "shelf_first", "voice_first", "no_history")
LIMITS: Final = ("up", "down", "loss", "delay", "")


@dataclass(frozen=True, slots=True)
class Figures:
    """A line in both directions; None = unknown."""

    down_kbps: float | None = None
    up_kbps: float | None = None
    rtt_ms: float | None = None
    loss: float | None = None  # 0..1


@dataclass(frozen=True, slots=True)
class Advice:
    """What to tell the person.

    Attributes:
        grade: of the line.
        advice: what to do; a key of the pages' words, `network.advice.…`.
        limit: what keeps the line from the next better grade; "" = nothing.
    """

    grade: Grade
    advice: AdviceKey
    limit: Limit = ""


def advise(figures: Figures) -> Advice:
    """Grade a line by its worst figure."""
    if figures.down_kbps is None and figures.up_kbps is None:
        return Advice("unknown", "no_history")
    limit: Limit = ""
    for bound in _BOUNDS:
        missed = _missed(figures, bound)
        if not missed:
            return Advice(bound.grade, bound.advice, limit)
        limit = missed
    return Advice("bad", "voice_first", limit)


def _missed(figures: Figures, bound: _Bound) -> Limit:
    """Which figure misses a bound, the one that can be changed most easily first."""
    up, down = figures.up_kbps, figures.down_kbps
    if up is not None and up < bound.min_kbps and (down is None or up <= down):
        return "up"
    if down is not None and down < bound.min_kbps:
        return "down"
    if up is not None and up < bound.min_kbps:
        return "up"
    if (figures.loss or 0.0) > bound.max_loss:
        return "loss"
    if (figures.rtt_ms or 0.0) > bound.max_rtt_ms:
        return "delay"
    return ""
