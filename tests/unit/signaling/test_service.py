"""Opening connections: join and resume, both modes, as clients see it."""

from __future__ import annotations

import dataclasses

import pytest
from livekit.protocol import models, rtc
from signaling_bench import KEY, SECRET, Bench, BenchSource, Client

from signaling.config import Limits, SignalingConfig
from signaling.errors import AuthError, JoinError
from signaling.join import JoinParams
from signaling.messages import SERVER_VERSION

Reason = models.DisconnectReason
Leave = rtc.LeaveRequest


def bench(**config: object) -> Bench:
    return Bench(SignalingConfig(keys={KEY: SECRET}, **config))  # type: ignore[arg-type]


def refusal(bench: Bench, **arguments: object) -> JoinError:
    grants = bench.grants("alice", **arguments)  # type: ignore[arg-type]
    with pytest.raises(JoinError) as caught:
        bench.service.validate(grants, JoinParams(is_single_pc=True))
    return caught.value


def test_join_comes_first_then_the_answer_and_nothing_else() -> None:
    client = Bench().join("alice")
    assert client.kinds() == ["join", "answer"]


def test_join_response_has_what_clients_insist_on() -> None:
    bench = Bench(SignalingConfig(keys={KEY: SECRET}, debug_info="aislecast 0.1.0"))
    join = bench.join("alice").last("join")
    assert join.room.sid.startswith("RM_") and join.room.name == "room"
    assert join.participant.sid.startswith("PA_") and join.participant.identity == "alice"
    assert join.participant.state == models.ParticipantInfo.JOINING
    assert join.server_version == SERVER_VERSION == "1.9.0"
    assert join.server_info.version == "1.9.0" and join.server_info.debug_info == "aislecast 0.1.0"
    assert join.ping_interval == 5 and join.ping_timeout == 15
    assert join.enabled_publish_codecs and join.fast_publish
    assert not join.subscriber_primary and not join.sif_trailer
    assert join.room.enabled_codecs and not join.room.turn_password


def test_dual_mode_is_subscriber_primary_and_gets_our_offer() -> None:
    client = Bench().join("alice", single=False)
    assert client.kinds() == ["join", "offer"]
    assert client.last("join").subscriber_primary
    assert client.last("offer").id == 1 and "m=application" in client.last("offer").sdp
    assert client.data.opened == ["_reliable", "_lossy"]


def test_others_are_in_the_join_response_and_hear_of_the_newcomer() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    bob = bench.join("bob")
    assert [p.identity for p in bob.last("join").other_participants] == ["alice"]
    bob.connect()
    bench.clock.advance(0.3)
    seen = alice.seen("bob")
    assert seen is not None and seen.state == models.ParticipantInfo.ACTIVE


def test_hidden_participants_are_not_shown() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    ghost = bench.connected("ghost", hidden=True)
    assert alice.seen("ghost") is None and ghost.sid
    assert not bench.join("bob").last("join").other_participants[1:]
    bench.clock.advance(0.3)
    assert alice.seen("ghost") is None and alice.seen("bob") is not None
    assert bench.service.list_rooms()[0].num_participants == 2


def test_the_answer_echoes_the_offers_id() -> None:
    bench = Bench()
    client = bench.connected("alice")
    client.offer(id=7)
    assert client.last("answer").id == 7


@pytest.mark.parametrize(
    ("video", "code", "status"),
    [
        ({"room_join": False}, "not_allowed", 401),
        ({"room": ""}, "no_room", 400),
        ({"room": "r" * 257}, "bad_room_name", 400),
    ],
)
def test_validate_refuses_with_an_http_status(
    video: dict[str, object], code: str, status: int
) -> None:
    error = refusal(Bench(), **video)
    assert (error.code, error.http_status) == (code, status)


def test_validate_bounds_names_and_metadata() -> None:
    bench = Bench()
    grants = bench.grants("alice")
    params = JoinParams(is_single_pc=True)
    for change in (
        {"identity": "i" * 257},
        {"name": "n" * 600},
        {"metadata": "m" * 70_000},
        {"attributes": {"a": "v" * 70_000}},
    ):
        with pytest.raises(JoinError, match="exceeds the limit"):
            bench.service.validate(dataclasses.replace(grants, **change), params)
    with pytest.raises(JoinError, match="no identity"):
        bench.service.validate(dataclasses.replace(grants, identity=""), params)


def test_v1_can_be_switched_off_with_exactly_404() -> None:
    with pytest.raises(JoinError) as caught:
        bench(is_single_pc_enabled=False).service.parse_join({}, is_v1=True)
    assert caught.value.http_status == 404


def test_rooms_may_have_to_exist() -> None:
    error = refusal(bench(is_room_auto_created=False))
    assert error.http_status == 404 and "requested room does not exist" in error.message


def test_a_full_room_takes_no_one_but_those_who_sit_in_it() -> None:
    full = bench(max_participants=2)
    full.connected("alice")
    bob = full.connected("bob")
    with pytest.raises(JoinError) as caught:
        full.service.validate(full.grants("carol"), JoinParams(is_single_pc=True))
    assert (caught.value.code, caught.value.http_status) == ("room_full", 403)
    carol = full.join("carol")
    assert carol.kinds() == ["leave"] and carol.connection.closed == 1000
    assert carol.last("leave").reason == Reason.JOIN_FAILURE
    again = full.join("bob")
    assert again.kinds()[0] == "join" and bob.connection.closed is not None


def test_a_burst_of_joins_never_exceeds_the_bound() -> None:
    full = bench(max_participants=5)
    clients = [full.join(f"p{i}") for i in range(50)]
    assert sum(client.kinds()[0] == "join" for client in clients) == 5
    assert full.service.snapshot()["participants"] == 5


def test_a_new_room_takes_its_options_from_the_token() -> None:
    bench = Bench()
    config = {"maxParticipants": 2, "emptyTimeout": 9, "metadata": "m", "unheardOf": 1}
    client = Client(
        bench, dataclasses.replace(bench.grants("alice"), room_config=config), is_single=True
    )
    client.open()
    room = client.last("join").room
    assert (room.max_participants, room.empty_timeout, room.metadata) == (2, 9, "m")
    assert room.departure_timeout == 20
    for bad in ({"maxParticipants": "many"}, {"metadata": "m" * 70_000}):
        grants = dataclasses.replace(bench.grants("bob", "other"), room_config=bad)
        with pytest.raises(JoinError):
            bench.service.validate(grants, JoinParams(is_single_pc=True))


def test_hidden_ones_take_no_seat() -> None:
    full = bench(max_participants=1)
    full.connected("ghost", hidden=True)
    assert full.join("alice").kinds()[0] == "join"


def test_rooms_are_bounded() -> None:
    small = bench(limits=Limits(rooms=1))
    small.connected("alice")
    with pytest.raises(JoinError) as caught:
        small.service.validate(small.grants("bob", "other"), JoinParams(is_single_pc=True))
    assert caught.value.http_status == 503


def test_duplicate_identity_moves_the_seat() -> None:
    bench = Bench()
    bob = bench.connected("bob")
    old = bench.connected("alice")
    bob.clear()
    new = bench.join("alice")
    leave = old.last("leave")
    assert (leave.reason, leave.action) == (Reason.DUPLICATE_IDENTITY, Leave.DISCONNECT)
    assert old.connection.closed == 1000
    bench.clock.advance(0.3)
    states = [
        (info.sid, info.state)
        for update in bob.named("update")
        for info in update.participants
        if info.identity == "alice"
    ]
    # Browsers look people up by identity: the departure must come before the arrival.
    assert states[0] == (old.sid, models.ParticipantInfo.DISCONNECTED)
    assert states[-1][0] == new.sid
    old.lose()  # the old socket's end must not touch the new seat
    assert new.connection.closed is None and len(bench.service.list_participants("room")) == 2


def test_departure_is_never_told_after_a_quick_return_that_publishes() -> None:
    bench = Bench()
    bob = bench.connected("bob")
    first = bench.connected("alice")
    bob.clear()
    first.send(leave=rtc.LeaveRequest())
    second = bench.join("alice")
    second.publish("cid")
    bench.clock.advance(1)
    order = [i.sid for u in bob.named("update") for i in u.participants if i.identity == "alice"]
    assert order[0] == first.sid and first.sid not in order[1:]


def test_join_attributes_need_the_right_to_update_them() -> None:
    bench = Bench()
    params = {"attributes": {"k": "v"}}
    assert not bench.join("a", params=params).last("join").participant.attributes
    allowed = bench.join("b", params=params, can_update_own_metadata=True)
    assert allowed.last("join").participant.attributes == {"k": "v"}


def test_clients_capabilities_are_passed_on() -> None:
    bench = Bench()
    info = models.ClientInfo(protocol=18, client_protocol=2, capabilities=[1])
    participant = bench.join("a", params={"client": info}).last("join").participant
    assert participant.client_protocol == 2 and list(participant.capabilities) == [1]


def test_authenticate_uses_the_wall_clock_of_the_service() -> None:
    bench = Bench()
    grants = bench.grants("alice")
    token = bench.service.sign(grants)
    assert bench.service.authenticate(token) == grants
    bench.clock.advance(3700)
    with pytest.raises(AuthError):
        bench.service.authenticate(token)


# Resume.


def resumed_kinds(client: Client) -> list[str]:
    return [kind for kind in client.kinds() if kind != "offer"]


@pytest.mark.parametrize("single", [True, False])
def test_resume_says_reconnect_first_and_then_everything(single: bool) -> None:
    bench = Bench()
    bench.connected("bob")
    alice = bench.connected("alice", single=single)
    alice.resume()
    assert resumed_kinds(alice) == ["reconnect", "update", "room_update", "refresh_token"]
    assert {p.identity for p in alice.last("update").participants} == {"alice", "bob"}
    assert alice.last("room_update").room.name == "room"
    if not single:
        assert "ufrag1" in alice.last("offer").sdp


def test_resume_tells_who_left_meanwhile() -> None:
    bench = Bench()
    bob = bench.connected("bob")
    alice = bench.connected("alice")
    alice.lose()
    bench.clock.advance(1)
    bob.send(leave=rtc.LeaveRequest())
    bench.clock.advance(1)
    alice.resume()
    seen = alice.seen("bob")
    assert seen is not None and seen.state == models.ParticipantInfo.DISCONNECTED


def test_others_do_not_notice_a_resume() -> None:
    bench = Bench()
    bob = bench.connected("bob")
    alice = bench.connected("alice")
    bob.clear()
    alice.lose()
    bench.clock.advance(3)
    alice.resume()
    bench.clock.advance(3)
    assert bob.seen("alice") is None
    assert {p.identity for p in bench.service.list_participants("room")} == {"alice", "bob"}


@pytest.mark.parametrize("change", ["sid", "identity", "mode", "room"])
def test_a_resume_that_fits_nobody_must_start_anew(change: str) -> None:
    bench = Bench()
    alice = bench.connected("alice")
    alice.lose()
    if change == "sid":
        alice.sid = "PA_unknown"
    elif change == "identity":
        alice.grants = dataclasses.replace(alice.grants, identity="mallory")
    elif change == "mode":
        alice.is_single = False
    else:
        alice.grants = bench.grants("alice", "elsewhere")
    alice.open(is_reconnect=True, participant_sid=alice.sid)
    assert alice.kinds() == ["leave"] and alice.connection.closed == 1000
    leave = alice.last("leave")
    assert (leave.reason, leave.action) == (Reason.STATE_MISMATCH, Leave.RECONNECT)
    assert leave.can_reconnect


def test_resume_while_the_old_socket_lingers_takes_over() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    old, old_peer = alice.connection, alice.peer
    alice.open(is_reconnect=True, participant_sid=alice.sid)
    assert old.closed == 1000 and alice.kinds()[0] == "reconnect"
    old_peer.handle_closed()
    old_peer.handle_message(rtc.SignalRequest(leave=rtc.LeaveRequest()).SerializeToString())
    alice.send(ping=1)
    assert alice.kinds()[-1] == "pong"


def test_resume_reports_the_last_reliable_message() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    packet = models.DataPacket(sequence=5, user=models.UserPacket(payload=b"x"))
    alice.send_data(packet)
    alice.resume()
    assert alice.last("reconnect").last_message_seq == 5


# The rest of the process.


def test_drain_tells_everybody_to_reconnect() -> None:
    bench = Bench()
    clients = [bench.connected("alice"), bench.connected("bob", room="other")]
    closed: list[str] = []
    bench.service.add_local_participant("room", "camera", on_closed=lambda: closed.append("c"))
    bench.clock.spawn(bench.service.drain())
    for client in clients:
        leave = client.last("leave")
        assert (leave.reason, leave.action) == (Reason.SERVER_SHUTDOWN, Leave.RECONNECT)
        assert client.connection.closed == 1000
    assert closed == ["c"] and bench.service.snapshot()["rooms"] == 0
    assert all(transport.is_closed for transport in bench.media.transports)
    error = refusal(bench)
    assert (error.code, error.http_status) == ("draining", 503)


def test_recording_is_shown_to_all_and_to_those_who_come() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    bench.service.set_recording("room", True)
    assert alice.last("room_update").room.active_recording
    assert bench.join("bob").last("join").room.active_recording
    count = len(alice.received)
    bench.service.set_recording("room", True)
    assert len(alice.received) == count
    bench.service.set_recording("room", False)
    assert not alice.last("room_update").room.active_recording
    bench.service.set_recording("nowhere", True)


def test_sources_are_found_by_track() -> None:
    bench = Bench()
    camera = bench.service.add_local_participant("room", "camera")
    source = BenchSource(is_audio=False)
    info = camera.publish(source, models.TrackInfo(mime_type="video/H264"))  # type: ignore[arg-type]
    assert bench.service.find_source("room", info.sid) is source
    assert bench.service.find_source("room", "TR_x") is None
    assert bench.service.find_source("nowhere", info.sid) is None


def test_snapshot_counts() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    alice.publish("cid")
    bench.connected("bob")
    assert bench.service.snapshot() == {
        "rooms": 1,
        "participants": 2,
        "tracks": 1,
        "subscriptions": 1,
    }
