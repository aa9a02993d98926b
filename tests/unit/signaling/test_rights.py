from __future__ import annotations

import pytest
from livekit.protocol import models, rtc

from signaling.rights import (
    claims_from_permission,
    is_allowed_subscriber,
    may_publish,
    may_publish_data,
    may_subscribe,
    may_update_own_metadata,
    permission_from_grant,
)
from signaling.tokens import VideoGrant

Source = models.TrackSource


def test_absent_claims_allow_but_for_own_metadata() -> None:
    permission = permission_from_grant(VideoGrant())
    assert may_publish(permission, Source.CAMERA) and may_subscribe(permission)
    assert may_publish_data(permission) and not may_update_own_metadata(permission)


@pytest.mark.parametrize("name", ["can_publish", "can_subscribe", "can_publish_data"])
def test_false_claims_forbid(name: str) -> None:
    permission = permission_from_grant(VideoGrant(**{name: False}))
    assert not getattr(permission, name)


def test_a_permission_survives_the_way_through_a_token() -> None:
    video = VideoGrant(can_publish_sources=("camera", "screen_share"), hidden=True)
    permission = permission_from_grant(video)
    again = permission_from_grant(VideoGrant(**claims_from_permission(permission)))  # type: ignore[arg-type]
    assert again == permission and not may_publish(again, Source.MICROPHONE)


def test_a_permission_that_allows_nothing_survives_too() -> None:
    permission = models.ParticipantPermission()
    again = permission_from_grant(VideoGrant(**claims_from_permission(permission)))  # type: ignore[arg-type]
    assert again == permission


def test_a_publishers_rule() -> None:
    rule = rtc.SubscriptionPermission(
        track_permissions=[
            rtc.TrackPermission(participant_sid="PA_1", all_tracks=True),
            rtc.TrackPermission(participant_identity="bob", track_sids=["TR_1"]),
            rtc.TrackPermission(track_sids=["TR_2"]),  # names nobody
        ]
    )

    def allows(sid: str, identity: str, track: str) -> bool:
        return is_allowed_subscriber(rule, sid=sid, identity=identity, track_sid=track)

    assert allows("PA_1", "x", "TR_9") and allows("PA_2", "bob", "TR_1")
    assert not allows("PA_2", "bob", "TR_2") and not allows("", "", "TR_2")
    assert is_allowed_subscriber(None, sid="", identity="", track_sid="")
