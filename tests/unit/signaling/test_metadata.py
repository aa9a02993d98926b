from __future__ import annotations

from livekit.protocol import rtc
from signaling_bench import Bench

from signaling.config import Limits
from signaling.metadata import find_excess, merge_attributes

Update = rtc.UpdateParticipantMetadata
Reason = rtc.RequestResponse


def test_own_metadata_is_told_to_all_and_answered_last() -> None:
    bench = Bench()
    alice = bench.connected("alice", can_update_own_metadata=True)
    bob = bench.connected("bob")
    alice.clear()
    alice.send(update_metadata=Update(metadata="m", name="A", attributes={"k": "v"}, request_id=9))
    assert alice.kinds() == ["update", "refresh_token", "request_response"]
    response = alice.last("request_response")
    assert (response.request_id, response.reason) == (9, Reason.OK)
    seen = bob.seen("alice")
    assert seen is not None and (seen.metadata, seen.name) == ("m", "A")
    assert bench.service.authenticate(alice.last("refresh_token")).attributes == {"k": "v"}
    alice.send(update_metadata=Update(attributes={"k": ""}, request_id=10))
    seen = bob.seen("alice")
    assert seen is not None and not seen.attributes and seen.metadata == "m"


def test_without_the_right_it_is_answered_so() -> None:
    alice = Bench().connected("alice")
    alice.send(update_metadata=Update(metadata="m", request_id=3))
    response = alice.last("request_response")
    assert (response.request_id, response.reason) == (3, Reason.NOT_ALLOWED)
    assert response.update_metadata.metadata == "m" and "update" not in alice.kinds()


def test_too_much_is_answered_so() -> None:
    alice = Bench().connected("alice", can_update_own_metadata=True)
    for update in (
        Update(metadata="m" * 70_000),
        Update(name="n" * 600),
        Update(attributes={"k": "v" * 70_000}),
    ):
        alice.send(update_metadata=update)
        assert alice.last("request_response").reason == Reason.LIMIT_EXCEEDED
    assert "update" not in alice.kinds()


def test_a_stream_of_changes_is_answered_so_and_others_are_spared() -> None:
    bench = Bench()
    alice = bench.connected("alice", can_update_own_metadata=True)
    bob = bench.connected("bob")
    bob.clear()
    for request_id in range(1, 101):
        alice.send(update_metadata=Update(metadata=str(request_id), request_id=request_id))
    assert alice.last("request_response").reason == Reason.LIMIT_EXCEEDED
    assert bob.kinds().count("update") == Limits().own_changes_burst
    bench.clock.advance(1.0)
    alice.send(update_metadata=Update(metadata="later", request_id=101))
    assert alice.last("request_response").reason == Reason.OK


def test_limits_count_bytes_not_letters() -> None:
    limits = Limits(name_bytes=6)
    assert find_excess(limits, name="店长") == ""
    assert find_excess(limits, name="店长们") == "name"


def test_empty_attributes_are_deleted() -> None:
    assert merge_attributes({"a": "1", "b": "2"}, {"a": "", "c": "3"}) == {"b": "2", "c": "3"}
