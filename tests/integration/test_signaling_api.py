"""`livekit-api` unchanged against our server API, with SDK clients in the room."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from livekit import api, rtc
from livekit.protocol import models
from livekit.protocol import room as pb
from sdk_client import SdkClient, hear_hz, sdk_clients, until
from signaling_server import RunningServer, run_server

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with run_server() as running:
        yield running


@pytest.fixture
async def calls(server: RunningServer) -> AsyncIterator[api.room_service.RoomService]:
    client = server.api()
    yield client.room
    await client.aclose()


async def test_rooms(calls: api.room_service.RoomService, server: RunningServer) -> None:
    made = await calls.create_room(pb.CreateRoomRequest(name="room", empty_timeout=60))
    assert made.sid.startswith("RM_") and made.empty_timeout == 60
    listed = await calls.list_rooms(pb.ListRoomsRequest())
    assert [room.sid for room in listed.rooms] == [made.sid]
    async with sdk_clients(server, "alice") as (alice,):
        assert await alice.room.sid == made.sid
        updated = await calls.update_room_metadata(
            pb.UpdateRoomMetadataRequest(room="room", metadata="m")
        )
        assert updated.metadata == "m"
        await until(lambda: alice.room.metadata == "m")
        await calls.delete_room(pb.DeleteRoomRequest(room="room"))
        await until(lambda: "disconnected" in alice.heard)
        assert alice.reason == rtc.DisconnectReason.ROOM_DELETED
    assert not (await calls.list_rooms(pb.ListRoomsRequest())).rooms


async def test_participants(calls: api.room_service.RoomService, server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        publication = await alice.publish_tone(440)
        await hear_hz(await bob.track("audio"))
        listed = await calls.list_participants(pb.ListParticipantsRequest(room="room"))
        assert {p.identity for p in listed.participants} == {"alice", "bob"}
        who = pb.RoomParticipantIdentity(room="room", identity="alice")
        assert (await calls.get_participant(who)).tracks[0].sid == publication.sid
        await calls.mute_published_track(
            pb.MuteRoomTrackRequest(
                room="room", identity="alice", track_sid=publication.sid, muted=True
            )
        )
        await until(lambda: publication.muted and muted_for(bob, publication.sid))
        with pytest.raises(api.TwirpError) as caught:
            await calls.mute_published_track(
                pb.MuteRoomTrackRequest(
                    room="room", identity="alice", track_sid=publication.sid, muted=False
                )
            )
        assert caught.value.code == "failed_precondition"
        await calls.update_participant(
            pb.UpdateParticipantRequest(
                room="room", identity="alice", metadata="m", attributes={"a": "1"}
            )
        )
        await until(lambda: alice.me.metadata == "m" and alice.me.attributes == {"a": "1"})
        permission = models.ParticipantPermission(can_subscribe=True)
        await calls.update_participant(
            pb.UpdateParticipantRequest(room="room", identity="alice", permission=permission)
        )
        await until(lambda: not bob.tracks)
        await calls.send_data(
            pb.SendDataRequest(
                room="room", data=b"x", topic="t", destination_identities=["bob"], kind="RELIABLE"
            )
        )
        await until(lambda: bob.data)
        assert bob.data[0].participant is None and bob.data[0].topic == "t"
        await calls.remove_participant(who)
        await until(lambda: "disconnected" in alice.heard and bob.other("alice") is None)
        with pytest.raises(api.TwirpError) as caught:
            await calls.get_participant(who)
        assert caught.value.code == "not_found"


def muted_for(client: SdkClient, track_sid: str) -> bool:
    other = client.other("alice")
    return other is not None and other.track_publications[track_sid].muted


async def test_a_wrong_secret_is_refused(server: RunningServer) -> None:
    stranger = api.LiveKitAPI(server.url, "testkey", "another-secret-that-is-long-enough-too")
    try:
        with pytest.raises(api.TwirpError) as caught:
            await stranger.room.list_rooms(pb.ListRoomsRequest())
        assert caught.value.status == 401
    finally:
        await stranger.aclose()


async def test_what_we_lack_is_said_clearly(server: RunningServer) -> None:
    client = server.api()
    try:
        assert not (await client.egress.list_egress(api.ListEgressRequest())).items
        with pytest.raises(api.TwirpError) as caught:
            await client.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
        assert caught.value.code == "unimplemented"
    finally:
        await client.aclose()


async def test_events_of_a_session(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        await bob.track("audio")
    await until(lambda: len(server.events) >= 7)
    assert [event.event for event in server.events] == [
        "room_started",
        "participant_joined",
        "participant_joined",
        "track_published",
        "track_unpublished",
        "participant_left",
        "participant_left",
    ]
