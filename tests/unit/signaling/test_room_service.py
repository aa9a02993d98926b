from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from google.protobuf.message import Message
from livekit.protocol import egress, ingress, models, rtc
from livekit.protocol import room as pb
from signaling_bench import KEY, SECRET, Bench

from signaling.config import Limits, SignalingConfig
from signaling.errors import TwirpError
from signaling.tokens import Grants, VideoGrant

Reason = models.DisconnectReason


class Api:
    """A caller with all rights in one room."""

    def __init__(self, bench: Bench, room: str = "room", **video: Any) -> None:
        self.bench = bench
        video = video or {"room_create": True, "room_list": True, "room_admin": True}
        self.grants = Grants(api_key=KEY, video=VideoGrant(room=room, **video))

    def raw(self, method: str, body: bytes, service: str = "RoomService", **options: Any) -> bytes:
        call = self.bench.service.call(f"livekit.{service}", method, self.grants, body, **options)
        return asyncio.run(call)

    def call(self, method: str, request: Message, answer: Any, **options: Any) -> Any:
        return answer.FromString(self.raw(method, request.SerializeToString(), **options))

    def error(self, method: str, request: Message, **options: Any) -> TwirpError:
        with pytest.raises(TwirpError) as caught:
            self.raw(method, request.SerializeToString(), **options)
        return caught.value


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def api(bench: Bench) -> Api:
    return Api(bench)


def who(identity: str) -> pb.RoomParticipantIdentity:
    return pb.RoomParticipantIdentity(room="room", identity=identity)


def test_rooms_are_made_listed_and_deleted(bench: Bench, api: Api) -> None:
    request = pb.CreateRoomRequest(name="room", empty_timeout=60, max_participants=5, metadata="m")
    room = api.call("CreateRoom", request, models.Room)
    assert (room.empty_timeout, room.departure_timeout) == (60, 20)
    assert room.max_participants == 5 and room.metadata == "m"
    again = api.call("CreateRoom", pb.CreateRoomRequest(name="room"), models.Room)
    assert again.sid == room.sid and again.metadata == "m"
    assert bench.join("alice").last("join").room.sid == room.sid
    api.call("CreateRoom", pb.CreateRoomRequest(name="other"), models.Room)
    listed = api.call("ListRooms", pb.ListRoomsRequest(), pb.ListRoomsResponse)
    assert {r.name for r in listed.rooms} == {"room", "other"}
    listed = api.call("ListRooms", pb.ListRoomsRequest(names=["other"]), pb.ListRoomsResponse)
    assert [r.name for r in listed.rooms] == ["other"]
    alice = bench.connected("alice")
    api.call("DeleteRoom", pb.DeleteRoomRequest(room="room"), pb.DeleteRoomResponse)
    assert alice.last("leave").reason == Reason.ROOM_DELETED
    assert api.error("DeleteRoom", pb.DeleteRoomRequest(room="room")).code == "not_found"


def test_participants_are_listed_and_found(bench: Bench, api: Api) -> None:
    empty = api.call(
        "ListParticipants", pb.ListParticipantsRequest(room="room"), pb.ListParticipantsResponse
    )
    assert not empty.participants
    bench.connected("alice").publish("c")
    bench.connected("ghost", hidden=True)
    listed = api.call(
        "ListParticipants", pb.ListParticipantsRequest(room="room"), pb.ListParticipantsResponse
    )
    assert {p.identity for p in listed.participants} == {"alice", "ghost"}
    alice = api.call("GetParticipant", who("alice"), models.ParticipantInfo)
    assert alice.tracks[0].mime_type == "audio/opus"
    error = api.error("GetParticipant", who("nobody"))
    assert (error.code, error.http_status) == ("not_found", 404)
    assert error.to_json()["code"] == "not_found"


def test_removal(bench: Bench, api: Api) -> None:
    alice = bench.connected("alice")
    api.call("RemoveParticipant", who("alice"), pb.RemoveParticipantResponse)
    assert alice.last("leave").reason == Reason.PARTICIPANT_REMOVED
    assert alice.connection.closed == 1000


def test_muting_from_afar_but_not_unmuting(bench: Bench, api: Api) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("c")
    mute = pb.MuteRoomTrackRequest(room="room", identity="alice", track_sid=sid, muted=True)
    assert api.call("MutePublishedTrack", mute, pb.MuteRoomTrackResponse).track.muted
    assert alice.last("mute").muted
    bench.clock.advance()
    seen = bob.seen("alice")
    assert seen is not None and seen.tracks[0].muted
    mute.muted = False
    error = api.error("MutePublishedTrack", mute)
    assert (error.code, error.http_status) == ("failed_precondition", 412)
    mute.track_sid = "TR_x"
    assert api.error("MutePublishedTrack", mute).code == "not_found"


def test_unmuting_can_be_allowed() -> None:
    bench = Bench(SignalingConfig(keys={KEY: SECRET}, is_remote_unmute_allowed=True))
    sid = bench.connected("alice").publish("c", muted=True)
    mute = pb.MuteRoomTrackRequest(room="room", identity="alice", track_sid=sid)
    assert not Api(bench).call("MutePublishedTrack", mute, pb.MuteRoomTrackResponse).track.muted


def test_updates_of_a_participant_reach_it_and_its_token(bench: Bench, api: Api) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    request = pb.UpdateParticipantRequest(
        room="room", identity="alice", metadata="m", name="A", attributes={"a": "1", "b": "2"}
    )
    info = api.call("UpdateParticipant", request, models.ParticipantInfo)
    assert (info.metadata, info.name, info.attributes) == ("m", "A", {"a": "1", "b": "2"})
    bench.clock.advance()
    seen = bob.seen("alice")
    assert seen is not None and seen.name == "A"
    grants = bench.service.authenticate(alice.last("refresh_token"))
    assert grants.metadata == "m" and grants.attributes == {"a": "1", "b": "2"}
    request = pb.UpdateParticipantRequest(room="room", identity="alice", attributes={"a": ""})
    info = api.call("UpdateParticipant", request, models.ParticipantInfo)
    assert info.attributes == {"b": "2"} and info.metadata == "m"


def test_a_withdrawn_right_ends_what_it_allowed(bench: Bench, api: Api) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("c")
    bench.clock.advance(0.1)
    bob.offer()
    permission = models.ParticipantPermission(can_subscribe=True)
    request = pb.UpdateParticipantRequest(room="room", identity="alice", permission=permission)
    api.call("UpdateParticipant", request, models.ParticipantInfo)
    assert alice.last("track_unpublished").track_sid == sid
    assert alice.transports[0].sources[0].is_closed
    bench.clock.advance()
    seen = bob.seen("alice")
    assert seen is not None and not seen.tracks and not seen.permission.can_publish
    grants = bench.service.authenticate(alice.last("refresh_token"))
    assert grants.video.can_publish is False and grants.video.can_subscribe is True
    alice.clear()
    alice.send(add_track=rtc.AddTrackRequest(cid="d"))
    assert alice.last("request_response").reason == rtc.RequestResponse.NOT_ALLOWED


def test_a_withdrawn_right_to_receive(bench: Bench, api: Api) -> None:
    bench.connected("alice").publish("c")
    bench.connected("bob")
    permission = models.ParticipantPermission(can_publish=True)
    request = pb.UpdateParticipantRequest(room="room", identity="bob", permission=permission)
    api.call("UpdateParticipant", request, models.ParticipantInfo)
    assert bench.service.snapshot()["subscriptions"] == 0
    request.permission.can_subscribe = True
    api.call("UpdateParticipant", request, models.ParticipantInfo)
    assert bench.service.snapshot()["subscriptions"] == 1


def test_subscriptions_on_behalf_of_a_client(bench: Bench, api: Api) -> None:
    alice = bench.connected("alice")
    sid = alice.publish("c")
    bench.connected("bob", params={"auto_subscribe": False})
    request = pb.UpdateSubscriptionsRequest(
        room="room", identity="bob", track_sids=[sid], subscribe=True
    )
    api.call("UpdateSubscriptions", request, pb.UpdateSubscriptionsResponse)
    assert bench.service.snapshot()["subscriptions"] == 1


def test_data_from_the_server_has_no_sender(bench: Bench, api: Api) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    request = pb.SendDataRequest(
        room="room",
        data=b"x",
        topic="t",
        kind=models.DataPacket.LOSSY,
        destination_identities=["bob"],
    )
    api.call("SendData", request, pb.SendDataResponse)
    ((label, packet),) = bob.data.sent
    assert label == "_lossy" and (packet.user.payload, packet.user.topic) == (b"x", "t")
    assert not packet.participant_identity and not alice.data.sent
    request.room = "nowhere"
    assert Api(bench, "nowhere").error("SendData", request).code == "not_found"


def test_room_metadata(bench: Bench, api: Api) -> None:
    alice = bench.connected("alice")
    request = pb.UpdateRoomMetadataRequest(room="room", metadata="m")
    assert api.call("UpdateRoomMetadata", request, models.Room).metadata == "m"
    assert alice.last("room_update").room.metadata == "m"


@pytest.mark.parametrize(
    ("video", "method", "request_"),
    [
        ({"room_list": True}, "CreateRoom", pb.CreateRoomRequest(name="room")),
        ({"room_admin": True}, "DeleteRoom", pb.DeleteRoomRequest(room="room")),
        ({"room_admin": True}, "ListRooms", pb.ListRoomsRequest()),
        ({"room_create": True}, "ListParticipants", pb.ListParticipantsRequest(room="room")),
        ({"room_admin": True}, "GetParticipant", pb.RoomParticipantIdentity(room="other")),
        ({"room_admin": True}, "SendData", pb.SendDataRequest(room="other")),
    ],
)
def test_calls_without_the_grant(
    bench: Bench, video: dict[str, bool], method: str, request_: Message
) -> None:
    error = Api(bench, **video).error(method, request_)
    assert (error.code, error.http_status) == ("unauthenticated", 401)


def test_oversized_fields_are_refused(bench: Bench, api: Api) -> None:
    bench.connected("alice")
    big = "x" * 70_000
    for method, request in (
        ("CreateRoom", pb.CreateRoomRequest(name="r" * 300)),
        ("CreateRoom", pb.CreateRoomRequest(name="")),
        ("CreateRoom", pb.CreateRoomRequest(name="new", metadata=big)),
        ("UpdateRoomMetadata", pb.UpdateRoomMetadataRequest(room="room", metadata=big)),
        (
            "UpdateParticipant",
            pb.UpdateParticipantRequest(room="room", identity="alice", attributes={"a": big}),
        ),
        ("SendData", pb.SendDataRequest(room="room", data=big.encode())),
        ("SendData", pb.SendDataRequest(room="room", topic="t" * 300)),
    ):
        assert api.error(method, request).code == "invalid_argument"


def test_rooms_are_bounded() -> None:
    bench = Bench(SignalingConfig(keys={KEY: SECRET}, limits=Limits(rooms=1)))
    api = Api(bench)
    api.call("CreateRoom", pb.CreateRoomRequest(name="one"), models.Room)
    error = api.error("CreateRoom", pb.CreateRoomRequest(name="two"))
    assert (error.code, error.http_status) == ("resource_exhausted", 429)


def test_a_draining_server_makes_no_rooms(bench: Bench, api: Api) -> None:
    bench.clock.spawn(bench.service.drain())
    assert api.error("CreateRoom", pb.CreateRoomRequest(name="r")).code == "unavailable"


def test_a_repeated_request_gets_the_first_answer(bench: Bench, api: Api) -> None:
    bench.connected("alice")
    assert api.raw("RemoveParticipant", who("alice").SerializeToString(), request_id="1") == b""
    assert api.raw("RemoveParticipant", who("alice").SerializeToString(), request_id="1") == b""
    assert api.error("RemoveParticipant", who("bob"), request_id="1").code == "not_found"
    assert api.error("RemoveParticipant", who("alice"), request_id="2").code == "not_found"
    bench.clock.advance(61)
    assert api.error("RemoveParticipant", who("alice"), request_id="1").code == "not_found"


def test_json_in_json_out(api: Api) -> None:
    answer = api.raw("CreateRoom", b'{"name": "room", "emptyTimeout": 7}', is_json=True)
    assert json.loads(answer)["emptyTimeout"] == 7
    assert json.loads(api.raw("ListRooms", b"", is_json=True))["rooms"][0]["name"] == "room"


@pytest.mark.parametrize(("body", "is_json"), [(b"\xff", False), (b"{", True), (b"\xff", True)])
def test_malformed_bodies(api: Api, body: bytes, is_json: bool) -> None:
    with pytest.raises(TwirpError) as caught:
        api.raw("CreateRoom", body, is_json=is_json)
    assert (caught.value.code, caught.value.http_status) == ("malformed", 400)


def test_what_is_not_offered(bench: Bench, api: Api) -> None:
    error = api.error("PerformRpc", pb.PerformRpcRequest(room="room"))
    assert (error.code, error.http_status) == ("unimplemented", 501)
    assert api.error("ListSIPInboundTrunk", who("x"), service="SIP").code == "unimplemented"
    with pytest.raises(TwirpError) as caught:
        asyncio.run(bench.service.call("acme.Thing", "Do", api.grants, b""))
    assert (caught.value.code, caught.value.http_status) == ("bad_route", 404)


def test_lists_of_what_we_never_have_are_empty(bench: Bench) -> None:
    api = Api(bench, room_record=True, ingress_admin=True)
    empty = api.call(
        "ListEgress", egress.ListEgressRequest(), egress.ListEgressResponse, service="Egress"
    )
    assert not empty.items
    listed = ingress.ListIngressResponse
    assert not api.call(
        "ListIngress", ingress.ListIngressRequest(), listed, service="Ingress"
    ).items
    error = Api(bench, room_list=True).error(
        "ListEgress", egress.ListEgressRequest(), service="Egress"
    )
    assert error.code == "unauthenticated"
