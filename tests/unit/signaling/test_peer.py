from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.protocol import models, rtc
from signaling_bench import KEY, SECRET, Bench

import signaling
from signaling import peer
from signaling.config import Limits, SignalingConfig

Reason = models.DisconnectReason


def test_pings_of_both_kinds_are_answered() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    alice.send(ping=5)
    alice.send(ping_req=rtc.Ping(timestamp=7, rtt=1))
    assert alice.last("pong") == bench.clock.wall_ms()
    pong = alice.last("pong_resp")
    assert (pong.last_ping_timestamp, pong.timestamp) == (7, bench.clock.wall_ms())


def test_ten_thousand_messages_a_second_end_only_their_sender() -> None:
    bench = Bench()
    bob = bench.connected("bob")
    alice = bench.connected("alice")
    bench.clock.advance(5)
    bob.clear()
    for _ in range(10_000):
        alice.send(ping=1)
        bench.clock.advance(0.0001)
    assert len(alice.named("pong")) < 1300
    assert alice.last("leave").reason == Reason.PARTICIPANT_REMOVED
    assert alice.connection.closed == 1000
    assert bench.service.counters["closed_flooding"] == 1
    assert bench.service.counters["messages"] < 1400
    bench.clock.advance(1)
    bob.send(ping=1)
    assert "pong" in bob.kinds() and bob.connection.closed is None


def test_a_busy_but_honest_client_is_not_limited() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    for _ in range(60):
        for _ in range(150):
            alice.send(trickle=rtc.TrickleRequest(candidateInit="{}"))
        bench.clock.advance(1)
    assert alice.connection.closed is None


def test_rubbish_is_counted_and_dropped() -> None:
    bench = Bench(SignalingConfig(keys={KEY: SECRET}, limits=Limits(message_bytes=1000)))
    alice = bench.connected("alice")
    alice.peer.handle_message(b"\xff\xff\xff")
    alice.peer.handle_message(b"")
    alice.peer.handle_message(b"\x00" * 1001)
    alice.peer.handle_message(rtc.SignalRequest().SerializeToString())
    alice.peer.handle_message(b"\xfa\x7f\x03abc")  # a field of the future
    counters = bench.service.counters
    assert counters["message_malformed"] == 1 and counters["message_too_large"] == 1
    assert counters["message_unknown"] == 3
    alice.send(ping=1)
    assert alice.kinds() == ["pong"]


@pytest.mark.parametrize(
    "sdp",
    ["", "nonsense", "v=0\r\nm=audio", "v=0\r\n" * 3, "x" * 600_000, "v=0\r\no=- 1 1 IN IP4 0"],
)
@pytest.mark.parametrize("single", [True, False])
def test_a_malformed_offer_ends_its_sender_with_a_reason(sdp: str, single: bool) -> None:
    bench = Bench()
    bob = bench.connected("bob")
    alice = bench.connected("alice", single=single)
    bob.clear()
    alice.send(offer=rtc.SessionDescription(type="offer", sdp=sdp))
    leave = alice.last("leave")
    assert (leave.reason, leave.action) == (Reason.MEDIA_FAILURE, rtc.LeaveRequest.DISCONNECT)
    assert any(name.startswith("refused_") for name in bench.service.counters)
    bob.send(ping=1)
    assert "pong" in bob.kinds()


def test_a_malformed_answer_ends_its_sender() -> None:
    bench = Bench()
    alice = bench.join("alice", single=False)
    alice.send(answer=rtc.SessionDescription(type="answer", sdp="nonsense", id=1))
    assert alice.last("leave").reason == Reason.MEDIA_FAILURE


def test_answers_nobody_asked_for_are_dropped() -> None:
    bench = Bench()
    single, dual = bench.connected("alice"), bench.join("bob", single=False)
    single.send(answer=rtc.SessionDescription(type="answer", sdp="x"))
    dual.send(answer=rtc.SessionDescription(type="answer", sdp="x", id=99))
    assert bench.service.counters["answer_unexpected"] == 2
    assert dual.connection.closed is None
    dual.answer()
    assert bench.service.counters["answer_unexpected"] == 2


def test_a_malformed_offer_in_the_join_request_comes_after_the_join() -> None:
    offer = rtc.SessionDescription(type="offer", sdp="nonsense")
    alice = Bench().join("alice", offers=False, params={})
    assert alice.kinds() == ["join"]
    bench = Bench()
    client = bench.connected("bob")
    client.open(publisher_offer=offer)
    assert client.kinds() == ["join", "leave"]


def test_our_own_bug_ends_only_that_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setitem(peer.HANDLERS, "ping", fail)
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    with caplog.at_level(logging.CRITICAL):
        alice.send(ping=1)
    assert alice.last("leave").action == rtc.LeaveRequest.RECONNECT
    assert bench.service.counters["internal_error"] == 1
    bob.send(ping_req=rtc.Ping())
    assert bob.kinds()[-1] == "pong_resp"


def test_optional_messages_are_answered_or_ignored() -> None:
    alice = Bench().connected("alice")
    alice.send(publish_data_track_request=rtc.PublishDataTrackRequest(pub_handle=1))
    response = alice.last("request_response")
    assert response.reason == rtc.RequestResponse.UNSUPPORTED_TYPE
    assert response.publish_data_track.pub_handle == 1
    alice.clear()
    alice.send(update_layers=rtc.UpdateVideoLayers())
    alice.send(unpublish_data_track_request=rtc.UnpublishDataTrackRequest())
    alice.send(update_data_subscription=rtc.UpdateDataSubscription())
    alice.send(store_data_blob_request=rtc.StoreDataBlobRequest())
    alice.send(get_data_blob_request=rtc.GetDataBlobRequest())
    assert alice.kinds() == [] and alice.connection.closed is None


def test_every_request_of_the_protocol_has_a_handler() -> None:
    fields = rtc.SignalRequest.DESCRIPTOR.oneofs_by_name["message"].fields
    assert {field.name for field in fields} == set(peer.HANDLERS)


def test_the_protocol_document_names_every_message() -> None:
    text = (Path(signaling.__file__).parent / "PROTOCOL.md").read_text()
    for message in (rtc.SignalRequest, rtc.SignalResponse):
        for field in message.DESCRIPTOR.oneofs_by_name["message"].fields:
            assert f"`{field.name}`" in text, field.name


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_no_bytes_break_a_session_for_others(frames: list[bytes]) -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    for frame in frames:
        alice.peer.handle_message(frame)
        on_message = alice.transports[0].data.on_message
        if on_message is not None:
            on_message("_reliable", frame)
    bench.clock.advance(1)
    bob.send(ping=1)
    assert "pong" in bob.kinds() and bench.service.counters["internal_error"] == 0


REQUESTS = st.one_of(
    st.builds(
        lambda sids, on: rtc.SignalRequest(
            subscription=rtc.UpdateSubscription(track_sids=sids, subscribe=on)
        ),
        st.lists(st.sampled_from(["TR_x", "", "TR_AM7"]), max_size=3),
        st.booleans(),
    ),
    st.builds(
        lambda cid, kind, source, layers: rtc.SignalRequest(
            add_track=rtc.AddTrackRequest(
                cid=cid,
                type=kind,
                source=source,
                layers=[models.VideoLayer(quality=q) for q in layers],
            )
        ),
        st.text(max_size=4),
        st.integers(0, 5),
        st.integers(0, 9),
        st.lists(st.integers(0, 7), max_size=4),
    ),
    st.builds(
        lambda q, w, h, fps: rtc.SignalRequest(
            track_setting=rtc.UpdateTrackSettings(
                track_sids=["TR_x"], quality=q, width=w, height=h, fps=fps
            )
        ),
        st.integers(0, 9),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
    ),
    st.builds(
        lambda text: rtc.SignalRequest(offer=rtc.SessionDescription(sdp=text)),
        st.text(max_size=60),
    ),
    st.builds(
        lambda sid, muted: rtc.SignalRequest(mute=rtc.MuteTrackRequest(sid=sid, muted=muted)),
        st.sampled_from(["", "TR_x"]),
        st.booleans(),
    ),
    st.builds(
        lambda sids: rtc.SignalRequest(
            sync_state=rtc.SyncState(
                publish_tracks=[
                    rtc.TrackPublishedResponse(track=models.TrackInfo(sid=sid)) for sid in sids
                ],
                track_sids_disabled=sids,
            )
        ),
        st.lists(st.text(max_size=3), max_size=2),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUESTS, max_size=8))
def test_no_well_formed_request_breaks_anything(requests: list[rtc.SignalRequest]) -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    for request in requests:
        alice.peer.handle_message(request.SerializeToString())
    bench.clock.advance(20)
    assert bench.service.counters["internal_error"] == 0
    bob.send(ping=1)
    assert "pong" in bob.kinds() or bob.connection.closed is not None
