"""Coming, going, being lost, timing out."""

from __future__ import annotations

import pytest
from livekit.protocol import models, rtc
from livekit.protocol.room import CreateRoomRequest
from signaling_bench import KEY, SECRET, Bench, Client

from signaling.config import SignalingConfig, Timeouts

Reason = models.DisconnectReason
Leave = rtc.LeaveRequest
State = models.ParticipantInfo


@pytest.fixture
def bench() -> Bench:
    return Bench()


def people(bench: Bench) -> set[str]:
    return {p.identity for p in bench.service.list_participants("room")}


def event_names(bench: Bench) -> list[str]:
    return [event.event for event in bench.events]


def test_active_when_the_primary_transport_connects(bench: Bench) -> None:
    bob = bench.connected("bob")
    alice = bench.join("alice", single=False)
    bench.clock.advance(0.3)
    seen = bob.seen("alice")
    assert seen is not None and seen.state == State.JOINED
    alice.transports[0].become("connected")  # the publisher's is not the primary one
    assert "participant_joined" not in event_names(bench)[2:]
    alice.transports[1].become("connected")
    bench.clock.advance(0.3)
    again = bob.seen("alice")
    assert again is not None and again.state == State.ACTIVE and again.version > seen.version


def test_joined_hooks_and_webhooks_come_once(bench: Bench) -> None:
    heard: list[str] = []
    bench.service.hooks.on_participant_joined.append(lambda r, p: heard.append(p.identity))
    bench.service.hooks.on_participant_left.append(lambda r, p: heard.append("-" + p.identity))
    alice = bench.connected("alice")
    alice.transports[0].become("disconnected")
    alice.transports[0].become("connected")
    alice.send(leave=rtc.LeaveRequest(reason=Reason.CLIENT_INITIATED))
    assert heard == ["alice", "-alice"]
    assert event_names(bench) == ["room_started", "participant_joined", "participant_left"]


def test_leave_is_told_with_its_reason(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.send(leave=rtc.LeaveRequest(reason=Reason.CLIENT_INITIATED))
    bench.clock.advance(0.3)
    seen = bob.seen("alice")
    assert seen is not None and seen.state == State.DISCONNECTED
    assert seen.disconnect_reason == Reason.CLIENT_INITIATED
    assert alice.connection.closed == 1000 and alice.transports[0].is_closed


def test_a_lost_socket_keeps_the_seat_while_media_lives(bench: Bench) -> None:
    alice = bench.connected("alice")
    bench.connected("bob")
    alice.lose()
    bench.clock.advance(600)
    assert "alice" in people(bench)


def test_a_socket_lost_before_media_came_ends_it(bench: Bench) -> None:
    alice = bench.join("alice")
    alice.lose()
    assert people(bench) == set()
    assert event_names(bench)[-1] == "participant_connection_aborted"


def test_failed_media_without_a_socket_ends_it_after_five_seconds(bench: Bench) -> None:
    bench.connected("bob")
    alice = bench.connected("alice")
    alice.lose()
    alice.transports[0].become("failed")
    bench.clock.advance(4)
    assert "alice" in people(bench)
    bench.clock.advance(2)
    assert "alice" not in people(bench)
    assert bench.service.counters["media_lost"] == 1


def test_media_that_comes_back_in_time_is_forgiven(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.lose()
    alice.transports[0].become("failed")
    bench.clock.advance(3)
    alice.transports[0].become("connected")
    bench.clock.advance(60)
    assert "alice" in people(bench)


def test_with_a_socket_the_client_gets_time_to_restart_ice(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.transports[0].become("failed")
    bench.clock.advance(50)
    assert "alice" in people(bench)
    bench.clock.advance(11)
    leave = alice.last("leave")
    assert leave.action == Leave.RECONNECT and people(bench) == set()


def test_who_never_connects_is_shown_the_door(bench: Bench) -> None:
    alice = bench.join("alice")
    bench.clock.advance(59)
    assert people(bench) == {"alice"}
    bench.clock.advance(2)
    assert alice.last("leave").reason == Reason.JOIN_FAILURE
    assert bench.service.counters["join_timeout"] == 1


@pytest.mark.parametrize("single", [True, False])
def test_who_never_answers_must_reconnect(bench: Bench, single: bool) -> None:
    alice, bob = bench.connected("alice"), bench.join("bob", single=single)
    bob.connect()
    if not single:
        bob.answer()
    alice.publish("c")
    bench.clock.advance(29.9)
    assert "bob" in people(bench)
    bench.clock.advance(0.2)
    leave = bob.last("leave")
    assert (leave.reason, leave.action) == (Reason.STATE_MISMATCH, Leave.RECONNECT)
    assert people(bench) == {"alice"} and bench.service.counters["negotiation_timeout"] == 1


@pytest.mark.parametrize("single", [True, False])
def test_nobody_waits_for_an_answer_of_who_is_away(bench: Bench, single: bool) -> None:
    alice, bob = bench.connected("alice"), bench.join("bob", single=single)
    bob.connect()
    if not single:
        bob.answer()
    bob.lose()
    alice.publish("c")
    bench.clock.advance(60)
    assert "bob" in people(bench)


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_line_dead_for_ten_seconds_costs_no_seat(bench: Bench, is_noticed: bool) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    track_sid = alice.publish("c")
    bench.clock.advance(1)
    sid, before = alice.sid, alice.connection
    bob.clear()
    alice.transports[0].become("disconnected")
    bench.clock.advance(10)
    alice.transports[0].become("connected")
    # The server may not know yet that the old socket is dead.
    if is_noticed:
        alice.lose()
    alice.open(is_reconnect=True, participant_sid=sid)
    assert alice.kinds()[0] == "reconnect" and "leave" not in alice.kinds()
    assert is_noticed or before.closed == 1000
    bench.clock.advance(40)
    seen = bench.service.list_participants("room")
    assert {p.sid for p in seen if p.identity == "alice"} == {sid}
    assert [t.sid for p in seen for t in p.tracks] == [track_sid]
    assert all(
        p.state != State.DISCONNECTED for update in bob.named("update") for p in update.participants
    )


def test_a_missed_request_is_repeated_on_resume(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    bob.lose()
    sid = alice.publish("c")
    bench.clock.advance(1)
    bob.resume()
    bench.clock.advance(1)
    assert "media_sections_requirement" in bob.kinds()
    bob.offer(ufrag="new1")
    assert dict(bob.last("answer").mid_to_track_id) == {"0": sid}
    assert bob.transports[0].restarts == 1


def test_a_dual_resume_replaces_the_offer_it_may_have_missed(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.join("bob", single=False)
    bob.connect()
    alice.publish("c")
    bench.clock.advance(0.1)
    bob.resume()
    assert bob.last("offer").id == 2 and bob.transports[1].restarts == 1
    bob.answer()
    bench.clock.advance(60)
    assert "bob" in people(bench) and len(bob.transports[1].sinks) == 1


def test_sync_state_with_a_track_we_lost_starts_anew(bench: Bench) -> None:
    alice = bench.connected("alice")
    sid = alice.publish("c")
    alice.resume()
    known = rtc.TrackPublishedResponse(cid="c", track=models.TrackInfo(sid=sid))
    alice.send(sync_state=rtc.SyncState(publish_tracks=[known]))
    assert "leave" not in alice.kinds()
    lost = rtc.TrackPublishedResponse(cid="d", track=models.TrackInfo(sid="TR_gone"))
    alice.send(sync_state=rtc.SyncState(publish_tracks=[known, lost]))
    assert alice.last("leave").action == Leave.RECONNECT


def test_sync_state_carries_wishes_made_while_away(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    video, audio = alice.publish("v", "video"), alice.publish("a")
    bench.clock.advance(0.1)
    bob.offer()
    wish = rtc.UpdateSubscription(track_sids=[audio], subscribe=False)
    bob.resume(sync_state=rtc.SyncState(subscription=wish, track_sids_disabled=[video]))
    live = [sink for sink in bob.transports[0].sinks if not sink.is_closed]
    assert len(live) == 1 and live[0].layers.paused


# Rooms.


def test_an_abandoned_room_ends_after_its_departure_time(bench: Bench) -> None:
    finished: list[str] = []
    bench.service.hooks.on_room_finished.append(lambda room: finished.append(room.name))
    alice = bench.connected("alice")
    sid = bench.service.list_rooms()[0].sid
    alice.send(leave=rtc.LeaveRequest())
    bench.clock.advance(19)
    assert bench.service.list_rooms()
    assert bench.join("bob").last("join").room.sid == sid  # in time: the same room
    bench.clock.advance(100)
    bench.clock.advance(22)
    assert not bench.service.list_rooms() and finished == ["room"]
    assert event_names(bench)[-1] == "room_finished"


def test_a_room_nobody_ever_entered_ends_after_its_empty_time() -> None:
    bench = Bench(SignalingConfig(keys={KEY: SECRET}, timeouts=Timeouts(empty_s=30)))
    bench.service._registry.create("early", CreateRoomRequest(name="early"))
    bench.clock.advance(29)
    assert bench.service.list_rooms()
    bench.clock.advance(2)
    assert not bench.service.list_rooms()


def test_local_participants_keep_a_room_only_if_they_say_so(bench: Bench) -> None:
    closed: list[str] = []
    bench.service.add_local_participant("store", "cam", on_closed=lambda: closed.append("cam"))
    bench.service.add_local_participant(
        "live", "encoder", keeps_room=True, on_closed=lambda: closed.append("encoder")
    )
    bench.clock.advance(400)
    assert [room.name for room in bench.service.list_rooms()] == ["live"]
    assert closed == ["cam"]


def test_tokens_are_refreshed_in_time(bench: Bench) -> None:
    alice = bench.connected("alice")
    bench.clock.advance(5)
    (first,) = alice.named("refresh_token")
    bench.clock.advance(302)
    (_, second) = alice.named("refresh_token")
    for token in (first, second):
        assert bench.service.authenticate(token).identity == "alice"


# Simulated faults.


def simulate(client: Client, **scenario: object) -> None:
    client.send(simulate=rtc.SimulateScenario(**scenario))


def test_simulated_node_failure_is_silent(bench: Bench) -> None:
    for scenario in ("node_failure", "migration"):
        alice = bench.connected("alice")
        simulate(alice, **{scenario: True})
        assert alice.connection.closed == 1000 and "leave" not in alice.kinds()
        alice.open(is_reconnect=True, participant_sid=alice.sid)
        assert alice.last("leave").reason == Reason.STATE_MISMATCH


def test_simulated_leaves_say_what_to_do(bench: Bench) -> None:
    alice = bench.connected("alice")
    simulate(alice, leave_request_full_reconnect=True)
    assert alice.last("leave").action == Leave.RECONNECT
    bob = bench.connected("bob")
    simulate(bob, server_leave=True)
    assert bob.last("leave").reason == Reason.SERVER_SHUTDOWN


def test_simulated_faults_that_leave_the_session_alive(bench: Bench) -> None:
    alice = bench.connected("alice")
    simulate(alice, speaker_update=3)
    assert alice.last("speakers_changed").speakers[0].sid == alice.sid
    simulate(alice, switch_candidate_protocol=1)
    assert alice.last("leave").action == Leave.RESUME and people(bench) == {"alice"}
    simulate(alice, subscriber_bandwidth=1000)
    simulate(alice, disconnect_signal_on_resume=True)
    alice.resume()
    assert alice.kinds() == ["leave"]
    alice.resume()
    assert alice.kinds()[0] == "reconnect"
