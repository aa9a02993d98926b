"""The rows of the project's table, the bound of each figure, and how a row is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from weaknet import runs
from weaknet.links import TABLE_SECONDS
from weaknet.runs import Stage

MIN_SECONDS = 20
JOIN_TRIES = 20
_SHOWN = (
    *("freeze_s", "longest_gap_s", "delay_p50_ms", "delay_p95_ms", "concealed_percent"),
    *("join_s", "first_picture_s", "kbps"),
)


@dataclass(frozen=True)
class Bound:
    """What a figure must hold; `path` leads to it through a row's figures."""

    path: str
    limit: float
    is_at_least: bool = False
    is_scaled: bool = False  # in proportion to the run's length

    def limit_of(self, seconds: float) -> float:
        """The limit for a run of that length."""
        return self.limit * seconds / TABLE_SECONDS if self.is_scaled else self.limit

    def holds(self, value: float | None, seconds: float) -> bool:
        """Whether a figure is within; one that does not exist is not."""
        if value is None:
            return False
        limit = self.limit_of(seconds)
        return value >= limit if self.is_at_least else value <= limit


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    measure: Callable[[Stage, float], dict[str, Any]]
    bounds: tuple[Bound, ...]
    links: int = 1


def freeze(limit_s: float) -> Bound:
    """Seconds of freeze in a run of the table's length."""
    return Bound("freeze_s", limit_s, is_scaled=True)


def _viewer(kind: str, *bounds: Bound) -> Row:
    # A weak viewer is nobody else's problem.
    strong = Bound("strong.freeze_s", 0.5)
    return Row(kind, lambda stage, s: runs.viewer_run(stage, kind, s), (*bounds, strong))


def _sender(kind: str, *bounds: Bound) -> Row:
    return Row(f"{kind}-sender", lambda stage, s: runs.sender_run(stage, kind, s), bounds)


ROWS = (
    _viewer("hotspot", freeze(1), Bound("delay_p95_ms", 400), Bound("concealed_percent", 1)),
    _viewer("township", freeze(6), Bound("delay_p95_ms", 800), Bound("concealed_percent", 3)),
    _viewer("loss30", Bound("join_s", 3), freeze(15), Bound("concealed_percent", 6)),
    Row(
        "loss30-joins",
        lambda stage, s: runs.joins_run(stage, "loss30", JOIN_TRIES, s),
        (Bound("join_p50_s", 3), Bound("join_p95_s", 6)),
    ),
    _viewer(
        "cliff",
        Bound("concealed_percent", 2),
        Bound("picture_or_still_gap_s", 5),
        Bound("full_picture_back_s", 4),
    ),
    _viewer(
        "dead10",
        Bound("picture_back_s", 0.7),
        Bound("audio_back_s", 0.5),
        Bound("is_same_seat", 1, is_at_least=True),
    ),
    _viewer("cap", Bound("queue_p95_ms", 150), Bound("used_percent", 75, is_at_least=True)),
    _viewer(
        "address", Bound("longest_gap_s", 1), Bound("is_same_seat", 1, is_at_least=True)
    ),
    _sender("hotspot", freeze(3)),
    _sender("township", freeze(12), Bound("first_picture_s", 3)),
    _sender("loss30", freeze(24), Bound("first_picture_s", 5)),
    _sender("cliff", freeze(14), Bound("concealed_percent", 4)),
    _sender("dead10", Bound("freeze_s", 10.7)),
    _sender("address", Bound("longest_gap_s", 1)),
    Row(
        "ten",
        runs.ten_run,
        (
            Bound("strong.freeze_s", 0.5),
            Bound("kbps_percent", 90, is_at_least=True),
            Bound("kbps_percent", 110),
        ),
        links=len(runs.TEN),
    ),
)  # fmt: skip


def chosen(names: str) -> list[Row]:
    """Rows by comma-separated names; all without any."""
    known = {row.name: row for row in ROWS}
    wanted = [name for name in names.split(",") if name] or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def value_at(figures: dict[str, Any], path: str) -> float | None:
    """A figure by its path."""
    found: Any = figures
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return None if found is None else float(found)


def medians(done: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure. One that a run does not have counts as the worst: no median."""
    good = [figures for figures in done if "failure" not in figures]
    merged: dict[str, Any] = {}
    for name, value in (good[0] if good else {}).items():
        values = [figures.get(name) for figures in good]
        if isinstance(value, dict):
            merged[name] = medians([each for each in values if each is not None])
        elif all(isinstance(each, bool) for each in values):
            merged[name] = all(values)
        elif any(isinstance(each, (int, float)) for each in values):
            merged[name] = _median(values, missing=len(done) - len(good))
    return merged


def _median(values: Sequence[float | None], missing: int) -> float | None:
    known = [each if each is not None else float("inf") for each in values]
    middle = median(known + [float("inf")] * missing)
    return None if middle == float("inf") else round(middle, 3)


def _to_line(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name} {figures[name]}" for name in _SHOWN if name in figures)


def to_text(row: Row, result: dict[str, Any], seconds: float) -> str:
    """The lines of a row: its figures, then each bound and whether it holds."""
    figures = result["medians"]
    lines = [f"{row.name}: {_to_line(figures)}"]
    for number, run in enumerate(result["runs"], 1):
        for viewer in run.get("viewers", []):
            lines.append(f"    run {number}, {viewer['link']}: {_to_line(viewer)}")
    for bound in row.bounds:
        value = value_at(figures, bound.path)
        sign = "≥" if bound.is_at_least else "≤"
        told = "holds" if bound.holds(value, seconds) else "DOES NOT HOLD"
        spread = [value_at(figures, bound.path) for figures in result["runs"]]
        each = " of " + ", ".join("–" if one is None else f"{one:g}" for one in spread)
        lines.append(
            f"    {told:<13} {bound.path} {'–' if value is None else f'{value:g}'} "
            f"{sign} {bound.limit_of(seconds):g}{each if len(spread) > 1 else ''}"
        )
    return "\n".join(lines)
