"""Webhook events: what happened, in the form that LiveKit's receivers expect.

Signing and delivery need HTTP and live in `web.webhooks`.
"""

from __future__ import annotations

from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

__all__ = ["build_event"]


def build_event(
    event: str,
    *,
    sid: str,
    created_s: int,
    room: models.Room,
    participant: models.ParticipantInfo | None = None,
    track: models.TrackInfo | None = None,
) -> WebhookEvent:
    """An event as of now. Track events carry only the names of room and participant.

    Args:
        event: `room_started`, `participant_joined` and so on.
        sid: `EV_…`; receivers tell repeated deliveries by it.
        created_s: Unix time.
    """
    built = WebhookEvent(event=event, id=sid, created_at=created_s)
    if track is None:
        built.room.CopyFrom(room)
        if participant is not None:
            built.participant.CopyFrom(participant)
        return built
    built.room.sid, built.room.name = room.sid, room.name
    if participant is not None:
        built.participant.sid = participant.sid
        built.participant.identity = participant.identity
    built.track.CopyFrom(track)
    return built
