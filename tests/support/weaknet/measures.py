"""Figures of one viewer's run, from what it and the publisher noted. Pure.

Times of notes are µs on the machine's monotonic clock, the same in every process of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

FREEZE_US = 500_000  # a longer gap between frames shown is a freeze
FULL_HEIGHT = 360


class Shown(NamedTuple):
    """A frame that was shown."""

    at_us: int
    number: int  # as in the picture
    height: int


class Level(NamedTuple):
    """Counters of a viewer's tracks at a moment."""

    at_us: int
    video_bytes: int
    audio_bytes: int
    concealed: int
    silent: int  # of them, played as silence or comfort noise
    samples: int


@dataclass
class Notes:
    """What a viewer noted."""

    go_us: int  # began to connect
    end_us: int
    joined_us: int | None = None
    shown: list[Shown] = field(default_factory=list)
    stills_us: list[int] = field(default_factory=list)
    heard: list[tuple[int, bool]] = field(default_factory=list)  # sound came or went
    levels: list[Level] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)  # of the room
    unreadable: int = 0

    @classmethod
    def from_report(cls, report: dict[str, Any]) -> Notes:
        """From a client's JSON."""
        kinds = {"shown": Shown, "levels": Level}
        listed = {name: [kind(*row) for row in report.pop(name)] for name, kind in kinds.items()}
        heard = [(at_us, is_heard) for at_us, is_heard in report.pop("heard")]
        events = [(at_us, name) for at_us, name in report.pop("events")]
        return cls(**report, **listed, heard=heard, events=events)


def since(notes: Notes, from_us: int) -> Notes:
    """The notes of what was from a moment on."""
    return _cut(notes, from_us, notes.end_us)


def until(notes: Notes, to_us: int) -> Notes:
    """The notes of what was up to a moment."""
    return _cut(notes, notes.go_us, to_us)


def _cut(notes: Notes, from_us: int, to_us: int) -> Notes:
    def within(rows: list[Any]) -> list[Any]:
        return [row for row in rows if from_us <= (row if isinstance(row, int) else row[0]) < to_us]

    return replace(
        notes,
        go_us=from_us,
        end_us=to_us,
        joined_us=None,
        shown=within(notes.shown),
        stills_us=within(notes.stills_us),
        heard=within(notes.heard),
        levels=within(notes.levels),
        events=within(notes.events),
    )


def new_frames(shown: Sequence[Shown]) -> list[Shown]:
    """The frames without repetitions and steps back."""
    fresh: list[Shown] = []
    for frame in shown:
        # The number wraps at 2**16, an hour at 20 frames a second.
        if not fresh or 0 < (frame.number - fresh[-1].number) % (1 << 16) < 1 << 15:
            fresh.append(frame)
    return fresh


def gaps_us(times_us: Sequence[int], end_us: int) -> list[int]:
    """From each to the next, and from the last to the end."""
    ends = [*times_us, end_us][1:]
    return [max(0, end - start) for start, end in zip(times_us, ends, strict=True)]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def figures(notes: Notes, captured_us: dict[int, int]) -> dict[str, Any]:
    """The columns of the table."""
    fresh = new_frames(notes.shown)
    gaps = gaps_us([frame.at_us for frame in fresh], notes.end_us)
    delays_ms = [
        (frame.at_us - captured_us[frame.number]) / 1000
        for frame in fresh
        if frame.number in captured_us
    ]
    whole_us = notes.end_us - notes.go_us
    return {
        "freeze_s": _s(sum(gap for gap in gaps if gap > FREEZE_US)) if fresh else _s(whole_us),
        "longest_gap_s": _s(max(gaps, default=whole_us)),
        "delay_p50_ms": _rounded(percentile(delays_ms, 0.5)),
        "delay_p95_ms": _rounded(percentile(delays_ms, 0.95)),
        "concealed_percent": concealed_percent(notes.levels),
        "silent_percent": silent_percent(notes.levels),
        "join_s": None if notes.joined_us is None else _s(notes.joined_us - notes.go_us),
        "first_picture_s": _s(fresh[0].at_us - notes.go_us) if fresh else None,
        "frames": len(fresh),
        "kbps": _kbps(notes),
        "stills": len(notes.stills_us),
        "picture_or_still_gap_s": picture_or_still_gap_s(notes),
        "unreadable": notes.unreadable,
        "events": [name for _, name in notes.events],
    }


def _s(time_us: float) -> float:
    return round(time_us / 1e6, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def concealed_percent(levels: Sequence[Level]) -> float | None:
    """Samples the receiver made up, of all it played in the run."""
    if not levels or not levels[-1].samples:
        return None
    return round(100 * levels[-1].concealed / levels[-1].samples, 2)


def silent_percent(levels: Sequence[Level]) -> float | None:
    """Of those, what was silence: nothing had come for so long that nothing was made up."""
    if not levels or not levels[-1].samples:
        return None
    return round(100 * levels[-1].silent / levels[-1].samples, 2)


def _kbps(notes: Notes, from_us: int = 0) -> float | None:
    """Video received, RTP payload, over the time the track was there."""
    levels = [level for level in notes.levels if level.at_us >= from_us]
    if len(levels) < 2:
        return None
    first, last = levels[0], levels[-1]
    return round((last.video_bytes - first.video_bytes) * 8e3 / (last.at_us - first.at_us), 1)


def picture_or_still_gap_s(notes: Notes) -> float | None:
    """The longest time in which nothing new was to be seen, from the first picture on."""
    seen = sorted([frame.at_us for frame in new_frames(notes.shown)] + notes.stills_us)
    return _s(max(gaps_us(seen, notes.end_us))) if seen else None


def after_return(notes: Notes, back_us: int) -> dict[str, Any]:
    """How soon things are there again once the link is; None: not any more in this run."""
    fresh = new_frames(notes.shown)
    pictures = [frame.at_us - back_us for frame in fresh if frame.at_us >= back_us]
    full = [
        frame.at_us - back_us
        for frame in fresh
        if frame.at_us >= back_us and frame.height >= FULL_HEIGHT
    ]
    before = [is_heard for at_us, is_heard in notes.heard if at_us < back_us]
    sounds = [at_us - back_us for at_us, heard in notes.heard if heard and at_us >= back_us]
    if before and before[-1]:
        sounds = [0]  # it had never gone
    return {
        name: _s(times[0]) if times else None
        for name, times in (
            ("picture_back_s", pictures),
            ("full_picture_back_s", full),
            ("audio_back_s", sounds),
        )
    }


def standing_queue_ms(history: Sequence[Sequence[int]], from_us: int) -> dict[str, Any]:
    """What waits at the bottleneck for longer than a burst: one-second means of the waiting time.

    Args:
        history: samples as `pipe.Sample`.
        from_us: since the link's start; what was before is left out.
    """
    seconds: dict[int, list[int]] = {}
    for start_us, packets, _, queue_sum_us, _ in history:
        if start_us >= from_us:
            second = seconds.setdefault(start_us // 1_000_000, [0, 0])
            second[0] += packets
            second[1] += queue_sum_us
    means_ms = [total / packets / 1000 for packets, total in seconds.values()]
    longest = max((row[4] for row in history if row[0] >= from_us), default=0)
    return {
        "queue_p50_ms": _rounded(percentile(means_ms, 0.5)),
        "queue_p95_ms": _rounded(percentile(means_ms, 0.95)),
        "queue_max_ms": round(longest / 1000, 1),
    }


def used_percent(
    history: Sequence[Sequence[int]], from_us: int, to_us: int, rate_bps: int
) -> float:
    """The share of the link's rate that was used in a span of time since its start."""
    sent = sum(row[2] for row in history if from_us <= row[0] < to_us)
    return round(sent * 8e8 / (rate_bps * (to_us - from_us)), 1)
