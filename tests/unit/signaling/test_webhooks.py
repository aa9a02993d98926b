from __future__ import annotations

from google.protobuf.json_format import MessageToDict
from livekit.protocol import models

from signaling.webhooks import build_event

ROOM = models.Room(sid="RM_1", name="room", metadata="m", creation_time=7)
PERSON = models.ParticipantInfo(sid="PA_1", identity="alice", name="Alice")


def test_events_of_people_carry_everything() -> None:
    event = build_event(
        "participant_joined", sid="EV_1", created_s=12, room=ROOM, participant=PERSON
    )
    as_json = MessageToDict(event)
    assert (as_json["event"], as_json["id"], as_json["createdAt"]) == (
        "participant_joined",
        "EV_1",
        "12",
    )
    assert event.room == ROOM and event.participant == PERSON


def test_events_of_tracks_carry_names_only() -> None:
    track = models.TrackInfo(sid="TR_1", name="mic")
    event = build_event(
        "track_published", sid="EV_1", created_s=1, room=ROOM, participant=PERSON, track=track
    )
    assert event.track == track and event.room == models.Room(sid="RM_1", name="room")
    assert event.participant == models.ParticipantInfo(sid="PA_1", identity="alice")


def test_events_keep_what_was() -> None:
    room = models.Room(name="room")
    event = build_event("room_started", sid="EV_1", created_s=1, room=room)
    room.name = "changed"
    assert event.room.name == "room"
