"""Settings of the downlink loop."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DownlinkConfig"]


@dataclass(frozen=True, slots=True)
class DownlinkConfig:
    """How lines to subscribers are treated.

    Attributes:
        interval_s: between two looks at all lines.
        calm_interval_s: the same while all lines are strong and nothing is new. The engine's brake
            needs no turn, and the engine calls when a line shows weakness.
        calm_rows: of feedback in one calm turn at most; the engine keeps 65 536.
        start_bps: believed of a line that nobody has seen yet: low enough for 4G (mediasoup).
        cellular_start_bps: the same where the client says that it is on a mobile network, or where
            connecting was slow.
        slow_handshake_s: a handshake that takes longer had far to go, or was partly lost: nothing
            is thrown at such a line before it is measured.
        max_lines_per_tick: fitted anew in one turn; the rest waits for the next one.
        refit_s: a line is fitted anew at least so often.
    """

    interval_s: float = 0.1
    calm_interval_s: float = 2.0
    calm_rows: int = 40_000
    start_bps: int = 600_000
    cellular_start_bps: int = 300_000
    slow_handshake_s: float = 0.4
    max_lines_per_tick: int = 250
    refit_s: float = 5.0

    def guess_bps(self, *, is_cellular: bool, handshake_s: float) -> int:
        """What to believe of a line that nobody has measured."""
        is_slow = is_cellular or handshake_s > self.slow_handshake_s
        return self.cellular_start_bps if is_slow else self.start_bps

    def fit_calm(self, rows_per_s: float) -> float | None:
        """How long a calm turn may be while so many rows of feedback come; None = no longer than
        others."""
        fitting_s = min(self.calm_interval_s, self.calm_rows / max(rows_per_s, 1.0))
        return fitting_s if fitting_s > self.interval_s else None
