"""What a line carries, for those who send beside the media."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sfu.downlink.budget import Belief
    from sfu.downlink.lines import Lines

__all__ = ["LineRoom", "find_room"]


class LineRoom(NamedTuple):
    """Bits a second.

    Attributes:
        line_bps: what everything sent may take.
        beside_sound_bps: of that, what plain sound leaves; below 0 where not even that fits.
    """

    line_bps: float
    beside_sound_bps: float


def find_room(lines: Lines, belief: Belief, handle: int) -> LineRoom | None:
    """Of a transport's line; None where nobody has measured."""
    slot = lines.find(handle)
    if slot is None or not lines.columns.has_estimate[slot]:
        return None
    line_bps = float(belief.budget_bps[slot])
    return LineRoom(line_bps, line_bps - float(lines.columns.audio_bps[slot]))
