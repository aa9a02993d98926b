"""What a line carries, for those who send beside the media."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sfu.downlink.budget import Belief
    from sfu.downlink.lines import Lines

__all__ = ["LineRoom", "find_room"]


class LineRoom(NamedTuple):
    """What is believed of a line, and what is seen of it.

    Attributes:
        line_bps: bits a second that everything sent may take; after a cliff too little for a while.
        is_clear: nothing waits on it, so that a little more is felt by nobody.
    """

    line_bps: float
    is_clear: bool


def find_room(lines: Lines, belief: Belief, handle: int) -> LineRoom | None:
    """Of a transport's line; None where nobody has measured."""
    slot = lines.find(handle)
    if slot is None or not lines.columns.has_estimate[slot]:
        return None
    return LineRoom(float(belief.budget_bps[slot]), not belief.is_full[slot])
