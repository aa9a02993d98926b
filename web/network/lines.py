"""What was measured of somebody's line, as it is kept."""

from __future__ import annotations

from typing import Final, NamedTuple

SAMPLE_S: Final = 10
"""One sample stands for so long."""
WEAK_STEPS: Final = frozenset({"half_rate", "quarter_rate", "stills", "audio_only"})
WEAK_UP_STEPS: Final = frozenset({"slow", "sound"})


class Sample(NamedTuple):
    """One participant's line over `SAMPLE_S`; the columns of table `line_samples`."""

    at_s: int
    up_kbps: int
    up_loss_permille: int
    up_fps: int | None  # of the best video that is watched; None = there is none
    down_kbps: int
    down_loss_permille: int
    rtt_ms: int  # 0 = unknown
    estimate_kbps: int  # 0 = unknown
    step: str
    is_lost: bool
    resumes: int  # so far
    load_percent: int  # of the server
    up_step: str  # how much of its picture it sent
