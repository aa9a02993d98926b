"""Who may do what. Every check of a right is one of these functions, and is made nowhere else."""

from __future__ import annotations

from collections.abc import Iterable

from livekit.protocol import models, rtc

from signaling.errors import JoinError, TwirpError
from signaling.tokens import Grants, VideoGrant

__all__ = [
    "check_call",
    "check_join",
    "claims_from_permission",
    "is_allowed_subscriber",
    "may_publish",
    "may_publish_data",
    "may_subscribe",
    "may_update_own_metadata",
    "permission_from_grant",
]

_SOURCES = {
    "camera": models.TrackSource.CAMERA,
    "microphone": models.TrackSource.MICROPHONE,
    "screen_share": models.TrackSource.SCREEN_SHARE,
    "screen_share_audio": models.TrackSource.SCREEN_SHARE_AUDIO,
}
_NAMES: dict[int, str] = {value: name for name, value in _SOURCES.items()}


def permission_from_grant(video: VideoGrant) -> models.ParticipantPermission:
    """What a token's `video` claim allows in its room.

    Absent claims allow, but for own metadata.
    """
    sources = [_SOURCES[name] for name in video.can_publish_sources if name in _SOURCES]
    # A list of sources supersedes canPublish, even if none of its names is known to us.
    can_publish = bool(sources) if video.can_publish_sources else video.can_publish is not False
    return models.ParticipantPermission(
        can_subscribe=video.can_subscribe is not False,
        can_publish=can_publish,
        can_publish_data=video.can_publish_data is not False,
        can_publish_sources=sources,
        can_update_metadata=video.can_update_own_metadata is True,
        hidden=video.hidden,
        recorder=video.recorder,
        agent=video.agent,
        can_subscribe_metrics=video.can_subscribe_metrics is True,
    )


def check_join(grants: Grants) -> None:
    """May the bearer open a connection to the room that the token names?

    Raises:
        JoinError: 401 without the right, 400 when room or identity is empty.
    """
    if not grants.video.room_join:
        raise JoinError("not_allowed", "the token does not allow to join a room", http_status=401)
    if not grants.video.room:
        raise JoinError("no_room", "the token names no room")
    if not grants.identity:
        raise JoinError("no_identity", "the token names no identity")


def may_publish(permission: models.ParticipantPermission, source: models.TrackSource) -> bool:
    """May the participant publish a track of this source?"""
    if not permission.can_publish:
        return False
    return not permission.can_publish_sources or source in permission.can_publish_sources


def may_publish_data(permission: models.ParticipantPermission) -> bool:
    """May the participant send data packets?"""
    return permission.can_publish_data


def may_subscribe(permission: models.ParticipantPermission) -> bool:
    """May the participant receive tracks?"""
    return permission.can_subscribe


def may_update_own_metadata(permission: models.ParticipantPermission) -> bool:
    """May the participant change its own name, metadata and attributes?"""
    return permission.can_update_metadata


def is_allowed_subscriber(
    rule: rtc.SubscriptionPermission | None, *, sid: str, identity: str, track_sid: str
) -> bool:
    """Does a publisher's own rule let this participant receive that track? No rule: everybody."""
    if rule is None or rule.all_participants:
        return True
    for entry in rule.track_permissions:
        is_named = entry.participant_sid == sid if entry.participant_sid else False
        if is_named or (entry.participant_identity and entry.participant_identity == identity):
            return entry.all_tracks or track_sid in entry.track_sids
    return False


_ROOM_ADMIN_METHODS = frozenset(
    {
        "ListParticipants",
        "GetParticipant",
        "RemoveParticipant",
        "MutePublishedTrack",
        "UpdateParticipant",
        "UpdateSubscriptions",
        "SendData",
        "UpdateRoomMetadata",
        "PerformRpc",
        "ForwardParticipant",
        "MoveParticipant",
    }
)


def check_call(grants: Grants, service: str, method: str, room: str = "") -> None:
    """May the bearer make this server API call (on this room)?

    Raises:
        TwirpError: `unauthenticated`, as LiveKit answers a token without the grant.
    """
    video = grants.video
    if service == "livekit.RoomService":
        allowed = {
            "CreateRoom": video.room_create,
            "DeleteRoom": video.room_create,
            "ListRooms": video.room_list,
        }.get(method, method in _ROOM_ADMIN_METHODS and video.room_admin and video.room == room)
    else:
        allowed = _may_call_other(video, service)
    if not allowed:
        raise TwirpError("unauthenticated", "permissions denied")


def _may_call_other(video: VideoGrant, service: str) -> bool:
    if service == "livekit.Ingress":
        return video.ingress_admin
    if service == "livekit.Egress":
        return video.room_record
    return video.room_admin


def claims_from_permission(permission: models.ParticipantPermission) -> dict[str, object]:
    """The `video` fields that a changed permission replaces, for the refreshed token."""
    sources: Iterable[int] = permission.can_publish_sources
    return {
        "can_publish": permission.can_publish,
        "can_subscribe": permission.can_subscribe,
        "can_publish_data": permission.can_publish_data,
        "can_publish_sources": tuple(_NAMES[s] for s in sources if s in _NAMES),
        "can_update_own_metadata": permission.can_update_metadata,
        "hidden": permission.hidden,
        "recorder": permission.recorder,
        "agent": permission.agent,
        "can_subscribe_metrics": permission.can_subscribe_metrics,
    }
