"""Names, metadata and attributes, and the refreshed tokens that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from livekit.protocol import rtc

from signaling.config import Limits
from signaling.participant import Participant
from signaling.ratelimit import TokenBucket
from signaling.rights import claims_from_permission, may_update_own_metadata
from signaling.room import Room

__all__ = ["apply", "find_excess", "handle_update_metadata", "send_refresh_token"]

Reason = rtc.RequestResponse.Reason


def find_excess(
    limits: Limits,
    *,
    name: str = "",
    metadata: str = "",
    attributes: Mapping[str, str] | None = None,
) -> str:
    """Which of these is too large; empty when none is."""
    if len(name.encode()) > limits.name_bytes:
        return "name"
    if len(metadata.encode()) > limits.metadata_bytes:
        return "metadata"
    size = sum(len(k.encode()) + len(v.encode()) for k, v in (attributes or {}).items())
    return "attributes" if size > limits.attributes_bytes else ""


def merge_attributes(old: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Changed attributes; an empty value deletes."""
    return {key: value for key, value in {**old, **changes}.items() if value}


def handle_update_metadata(
    room: Room, participant: Participant, request: rtc.UpdateParticipantMetadata
) -> None:
    """A client changes what others see of it. Always answered, with its request id."""
    limits = room.context.config.limits
    merged = merge_attributes(participant.info.attributes, request.attributes)
    if not may_update_own_metadata(participant.permission):
        reason, message = Reason.NOT_ALLOWED, "does not have permission to update own metadata"
    elif excess := find_excess(
        limits, name=request.name, metadata=request.metadata, attributes=merged
    ):
        reason, message = Reason.LIMIT_EXCEEDED, f"{excess} exceeds the limit"
    elif not _may_change_now(room, participant):
        reason, message = Reason.LIMIT_EXCEEDED, "too many changes in a short time"
    else:
        reason, message = Reason.OK, ""
        apply(
            room,
            participant,
            name=request.name or None,
            metadata=request.metadata or None,
            attributes=request.attributes,
        )
    participant.send(
        request_response=rtc.RequestResponse(
            request_id=request.request_id,
            reason=reason,
            message=message,
            update_metadata=request,
        )
    )


def _may_change_now(room: Room, participant: Participant) -> bool:
    # Every change goes to everybody in the room, with all of this participant's metadata.
    now_s = room.context.clock.now_s()
    if participant.own_changes is None:
        limits = room.context.config.limits
        rate, burst = limits.own_changes_per_s, limits.own_changes_burst
        participant.own_changes = TokenBucket(rate, burst, now_s)
    return participant.own_changes.take(now_s)


def apply(
    room: Room,
    participant: Participant,
    *,
    name: str | None = None,
    metadata: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Changes what others see; None leaves alone. Sizes were checked. Everybody is told, and the
    participant gets a token with its new claims."""
    info = participant.info
    if name is not None:
        info.name = name
    if metadata is not None:
        info.metadata = metadata
    if attributes:
        merged = merge_attributes(info.attributes, attributes)
        info.attributes.clear()
        info.attributes.update(merged)
    room.announce(participant, is_urgent=True)
    # The answer to the request must not overtake the news.
    room.flush_urgent()
    send_refresh_token(room, participant)


def send_refresh_token(room: Room, participant: Participant) -> None:
    """A token with the participant's present claims: clients use it for every later reconnect."""
    if participant.is_local:
        return
    context = room.context
    info = participant.info
    changes: dict[str, Any] = claims_from_permission(info.permission)
    participant.grants = replace(
        participant.grants,
        name=info.name,
        metadata=info.metadata,
        attributes=dict(info.attributes),
        video=replace(participant.grants.video, **changes),
    )
    now_s = context.clock.wall_ms() / 1000
    participant.refreshed_s = context.clock.now_s()
    participant.send(refresh_token=context.keys.refresh(participant.grants, now_s=now_s))
