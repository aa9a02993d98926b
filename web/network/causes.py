"""Why was it bad: one plain cause per participant and session. Pure functions over samples.

A cause is looked for in each sample; neighbours with the same cause become one stretch of time, and
the cause that took most time is the answer. The thresholds are where people notice: loss that
retransmission and redundancy no longer hide, a delay at which people talk over each other, a
picture that stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from web.network.lines import SAMPLE_S, WEAK_STEPS, WEAK_UP_STEPS, Sample

Cause = Literal["phone", "uplink", "downlink", "server", "none"]
Detail = Literal["lost", "frozen", "loss", "delay", "rate", "load", ""]

HIGH_LOSS_PERMILLE: Final = 80
LONG_RTT_MS: Final = 700
HIGH_LOAD_PERCENT: Final = 90
FROZEN_FPS: Final = 2
CLEAN_LOSS_PERMILLE: Final = 30
MIN_BAD_S: Final = 2 * SAMPLE_S
"""Less than this in a session was not "bad"."""
MAX_STRETCHES: Final = 40
SENTENCES: Final = (
    "why.none",
    "why.phone.lost",
    "why.phone.frozen",
    "why.uplink.loss",
    "why.uplink.delay",
    "why.uplink.rate",
    "why.downlink.loss",
    "why.downlink.delay",
    "why.downlink.rate",
    "why.server.load",
)
"""Every key of a sentence; the words are in the pages' catalogues."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which one thing was bad.

    Attributes:
        start_s: Unix time.
        end_s: Unix time.
        cause: what it was.
        detail: how it showed.
        worst_loss_percent: of the direction in question.
        worst_rtt_ms: 0 = unknown.
    """

    start_s: int
    end_s: int
    cause: Cause
    detail: Detail
    worst_loss_percent: float
    worst_rtt_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one participant and session.

    Attributes:
        cause: what took most of the bad time.
        sentence: key of the words for it, one of `SENTENCES`.
        bad_s: how long anything was bad.
        total_s: how long was looked at.
        stretches: when, in order; the longest `MAX_STRETCHES`.
    """

    cause: Cause
    sentence: str
    bad_s: int
    total_s: int
    stretches: tuple[Stretch, ...]


def cause_of(sample: Sample) -> tuple[Cause, Detail]:
    """What was bad in one sample."""
    if sample.load_percent >= HIGH_LOAD_PERCENT:
        return "server", "load"
    if sample.is_lost:
        # Both directions at once: out of reach, another network, or asleep.
        return "phone", "lost"
    up, down = sample.up_loss_permille, sample.down_loss_permille
    if max(up, down) >= HIGH_LOSS_PERMILLE:
        return ("uplink", "loss") if up > down else ("downlink", "loss")
    if sample.up_step == "sound":
        # It stopped its picture itself, since nothing of it got through.
        return "uplink", "rate"
    if _is_frozen(sample):
        return "phone", "frozen"
    if sample.rtt_ms >= LONG_RTT_MS:
        # A queue: on the side whose rate had to go down, else a phone's own way up; sound alone
        # fills none.
        is_down = sample.step in WEAK_STEPS or sample.up_fps is None
        return ("downlink", "delay") if is_down else ("uplink", "delay")
    return _slow_side(sample)


def _slow_side(sample: Sample) -> tuple[Cause, Detail]:
    """Where a line without loss or queue carried less than there was to carry; up before down, as
    all others in the room see that."""
    if sample.up_step in WEAK_UP_STEPS:
        return "uplink", "rate"
    if sample.step in WEAK_STEPS:
        return "downlink", "rate"
    return "none", ""


def is_weak(sample: Sample) -> bool:
    """Whether somebody would have called the line weak."""
    return cause_of(sample)[0] in ("uplink", "downlink") or sample.is_lost


def _is_frozen(sample: Sample) -> bool:
    """A picture that is watched stands although the line is clean: the device sends none."""
    is_clean = sample.up_loss_permille <= CLEAN_LOSS_PERMILLE and sample.rtt_ms < LONG_RTT_MS
    return sample.up_fps is not None and sample.up_fps < FROZEN_FPS and is_clean


def find_verdict(samples: Sequence[Sample]) -> Verdict:
    """Why it was bad.

    Args:
        samples: of one participant in one session, oldest first.
    """
    stretches = _stretches(samples)
    time_s: dict[tuple[Cause, Detail], int] = {}
    for stretch in stretches:
        key = (stretch.cause, stretch.detail)
        time_s[key] = time_s.get(key, 0) + stretch.end_s - stretch.start_s
    bad_s = sum(time_s.values())
    total_s = len(samples) * SAMPLE_S
    longest = sorted(stretches, key=lambda one: one.start_s - one.end_s)[:MAX_STRETCHES]
    shown = tuple(sorted(longest, key=lambda one: (one.start_s, one.end_s)))
    if bad_s < MIN_BAD_S:
        return Verdict("none", "why.none", bad_s, total_s, shown)
    cause, detail = max(time_s, key=lambda key: time_s[key])
    return Verdict(cause, f"why.{cause}.{detail}", bad_s, total_s, shown)


def _stretches(samples: Sequence[Sample]) -> list[Stretch]:
    found: list[Stretch] = []
    for sample in samples:
        cause, detail = cause_of(sample)
        if cause == "none":
            continue
        loss_percent = _loss_percent(sample, cause)
        start_s = sample.at_s - SAMPLE_S
        last = found[-1] if found else None
        is_same = last is not None and (last.cause, last.detail) == (cause, detail)
        # A sample that came late leaves no hole.
        if last is not None and is_same and start_s - last.end_s <= SAMPLE_S // 2:
            found[-1] = Stretch(
                last.start_s,
                sample.at_s,
                cause,
                detail,
                max(last.worst_loss_percent, loss_percent),
                max(last.worst_rtt_ms, sample.rtt_ms),
            )
        else:
            start_s = max(start_s, last.end_s) if last is not None else start_s
            end_s = max(sample.at_s, start_s)
            found.append(Stretch(start_s, end_s, cause, detail, loss_percent, sample.rtt_ms))
    return found


def _loss_percent(sample: Sample, cause: Cause) -> float:
    up, down = sample.up_loss_permille / 10, sample.down_loss_permille / 10
    return up if cause == "uplink" else down if cause == "downlink" else max(up, down)
