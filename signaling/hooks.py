"""What others in the process want to be told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livekit.protocol import models

if TYPE_CHECKING:
    from sfu.source import Source
    from signaling.lines import LineSample

__all__ = ["Hooks", "call_hooks"]

log = logging.getLogger(__name__)

RoomHook = Callable[[models.Room], None]
ParticipantHook = Callable[[models.Room, models.ParticipantInfo], None]
PublishedHook = Callable[[models.Room, models.ParticipantInfo, models.TrackInfo, "Source"], None]
UnpublishedHook = Callable[[models.Room, models.ParticipantInfo, models.TrackInfo], None]
QualityHook = Callable[[models.Room, models.ParticipantInfo, "LineSample"], None]


@dataclass
class Hooks:
    """Lists to append callables to. They run at once, must not block, and get live messages: copy
    what you keep. A hook that raises is logged and the others still run."""

    on_room_started: list[RoomHook] = field(default_factory=list)
    on_room_finished: list[RoomHook] = field(default_factory=list)
    on_participant_joined: list[ParticipantHook] = field(default_factory=list)
    on_participant_left: list[ParticipantHook] = field(default_factory=list)
    on_track_published: list[PublishedHook] = field(default_factory=list)
    on_track_unpublished: list[UnpublishedHook] = field(default_factory=list)
    on_track_muted: list[UnpublishedHook] = field(default_factory=list)
    """Muted or heard again: look at `TrackInfo.muted`."""
    on_quality: list[QualityHook] = field(default_factory=list)
    """Every 10 s for each visible participant with a connection; nothing is measured for nobody."""


def call_hooks(hooks: Iterable[Callable[..., None]], *arguments: object) -> None:
    """Runs each hook, whatever the others do."""
    for hook in list(hooks):
        try:
            hook(*arguments)
        except Exception:
            log.exception("a signaling hook failed")
