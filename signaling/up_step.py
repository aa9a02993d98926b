"""How much of its picture a publisher's line carries: as the server sees it, and as our page says.

A phone whose line is too slow switches its layers off by itself, or is told to. From then on little
is sent and nothing is lost: of such a line only the steps that were taken speak. Of both witnesses
the worse one counts, so nobody can make its line look better than it is, and what a page says
concerns its own line only.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from signaling.participant import Participant

__all__ = ["TOPIC", "UpStep", "handle_announcement", "up_step_of"]

TOPIC: Final = "aislecast.uplink"
_MAX_BYTES: Final = 64


class UpStep(IntEnum):
    """How much of its picture a publisher sends; higher is worse."""

    FULL = 0
    STARTING = 1  # not with its largest layer yet: out of caution, not for want of a line
    REDUCED = 2  # without its largest layer
    SLOW = 3  # one layer: small, or a few sharp pictures a second
    SOUND = 4  # no picture


_STEPS: Final = {step.name.lower(): step for step in UpStep}


def handle_announcement(sender: Participant, payload: bytes) -> str:
    """Takes what one of our pages says of its sender; returns why not, or nothing."""
    step = _read(payload)
    if step is None:
        return "malformed"
    sender.announced_step = step
    return ""


def up_step_of(participant: Participant) -> UpStep:
    """Where a participant's sender stands; FULL while it has no picture to send."""
    if not any(track.is_video and not track.info.muted for track in participant.tracks.values()):
        return UpStep.FULL
    return max(participant.announced_step, participant.seen_step)


def _read(payload: bytes) -> UpStep | None:
    if len(payload) > _MAX_BYTES:
        return None
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    step = said.get("step") if isinstance(said, dict) else None
    return _STEPS.get(step) if isinstance(step, str) else None
