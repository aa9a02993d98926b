from __future__ import annotations

import pytest
from livekit.protocol import models, rtc
from signaling_bench import KEY, RECEIVE_ONLY, SECRET, Bench, Client, Section

from sfu.ids import Layers
from signaling.config import Limits, SignalingConfig

RIDS = ("q", "h", "f")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def settle(bench: Bench, client: Client) -> dict[str, str]:
    """The client answers what it is asked for; returns what it receives, by mid."""
    bench.clock.advance(0.1)
    for requirement in client.named("media_sections_requirement"):
        client.sections = [
            *client.sections,
            *[Section("audio")] * requirement.num_audios,
            *[Section("video")] * requirement.num_videos,
        ]
    if "media_sections_requirement" in client.kinds():
        client.clear()
        client.offer()
    return dict(client.last("answer").mid_to_track_id) if "answer" in client.kinds() else {}


def sink_layers(client: Client) -> list[Layers]:
    return [sink.layers for sink in client.transports[-1].sinks if not sink.is_closed]


def test_single_mode_asks_for_an_offer_and_puts_the_track_on_a_free_section(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("c")
    bench.clock.advance(0.1)
    # The news of the track comes before anything that makes the client look for its media.
    assert bob.kinds() == ["update", "media_sections_requirement"]
    requirement = bob.last("media_sections_requirement")
    assert (requirement.num_audios, requirement.num_videos) == (0, 0)
    assert settle(bench, bob) == {"0": sid}
    assert f"a=msid:{alice.sid}|{sid} {sid}" in bob.last("answer").sdp


def test_existing_tracks_are_in_the_first_answer(bench: Bench) -> None:
    alice = bench.connected("alice")
    audio, video = alice.publish("a"), alice.publish("v", "video")
    bob = bench.join("bob")
    assert dict(bob.last("answer").mid_to_track_id) == {"0": audio, "3": video}


def test_existing_tracks_are_in_the_first_server_offer(bench: Bench) -> None:
    alice = bench.connected("alice")
    sid = alice.publish("a")
    bob = bench.join("bob", single=False)
    assert dict(bob.last("offer").mid_to_track_id) == {"1": sid}


def test_a_fourth_track_of_a_kind_needs_another_section(bench: Bench) -> None:
    publishers = [bench.connected(f"p{i}") for i in range(4)]
    bob = bench.connected("bob")
    for publisher in publishers:
        publisher.publish("c")
    bench.clock.advance(0.1)
    requirement = bob.last("media_sections_requirement")
    assert (requirement.num_audios, requirement.num_videos) == (1, 0)
    assert len(settle(bench, bob)) == 4


def test_the_publisher_hears_of_its_first_subscriber_once(bench: Bench) -> None:
    alice, bob, carol = (bench.connected(name) for name in ("alice", "bob", "carol"))
    sid = alice.publish("c")
    assert "track_subscribed" not in alice.kinds()
    for client in (bob, carol):
        settle(bench, client)
    assert [message.track_sid for message in alice.named("track_subscribed")] == [sid]


def test_without_auto_subscribe_nothing_comes_until_asked(bench: Bench) -> None:
    alice = bench.connected("alice")
    sid = alice.publish("c")
    bob = bench.connected("bob", params={"auto_subscribe": False})
    assert settle(bench, bob) == {}
    bob.send(subscription=rtc.UpdateSubscription(track_sids=[sid], subscribe=True))
    assert settle(bench, bob) == {"0": sid}


def test_unsubscribing_frees_the_section_for_the_next_track(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    first = alice.publish("one")
    assert settle(bench, bob) == {"0": first}
    tracks = [models.ParticipantTracks(participant_sid=alice.sid, track_sids=[first])]
    bob.send(subscription=rtc.UpdateSubscription(participant_tracks=tracks))
    assert bob.transports[0].sinks[0].is_closed
    assert settle(bench, bob) == {}
    second = alice.publish("two")
    assert settle(bench, bob) == {"0": second}


def test_a_wish_for_an_unknown_track_is_answered_and_kept(bench: Bench) -> None:
    bob = bench.connected("bob", params={"auto_subscribe": False})
    bob.send(subscription=rtc.UpdateSubscription(track_sids=["TR_x"], subscribe=True))
    response = bob.last("subscription_response")
    assert response.track_sid == "TR_x"
    assert response.err == models.SubscriptionError.SE_TRACK_NOTFOUND


def test_wishes_for_unknown_tracks_are_bounded() -> None:
    limits = Limits(remembered_subscriptions=3)
    bench = Bench(SignalingConfig(keys={KEY: SECRET}, limits=limits))
    bob = bench.connected("bob")
    sids = [f"TR_{i}" for i in range(10)]
    bob.send(subscription=rtc.UpdateSubscription(track_sids=sids))
    bob.send(track_setting=rtc.UpdateTrackSettings(track_sids=sids))
    assert bench.service.counters["dropped_subscription"] == 7
    assert bench.service.counters["dropped_track_setting"] == 7


def test_a_client_without_the_codec_is_told(bench: Bench) -> None:
    alice = bench.connected("alice")
    sections = [Section(s.kind, codecs=("H264",)) for s in RECEIVE_ONLY]
    bob = bench.connected("bob", offers=False)
    bob.offer(*sections)
    sid = alice.publish("v", "video")
    bench.clock.advance(0.1)
    bob.offer()
    response = bob.last("subscription_response")
    assert response.track_sid == sid
    assert response.err == models.SubscriptionError.SE_CODEC_UNSUPPORTED
    count = len(bob.received)
    bench.clock.advance(30)
    assert "media_sections_requirement" not in bob.kinds()[count:]
    assert bench.service.list_participants("room")[1].identity == "bob"


def test_without_the_right_nothing_is_received(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.publish("c")
    bob = bench.connected("bob", can_subscribe=False)
    assert settle(bench, bob) == {}


def test_a_publisher_may_choose_who_receives(bench: Bench) -> None:
    alice, bob, carol = (bench.connected(name) for name in ("alice", "bob", "carol"))
    sid = alice.publish("c")
    other = alice.publish("d")
    for client in (bob, carol):
        assert set(settle(bench, client).values()) == {sid, other}
    permissions = [
        rtc.TrackPermission(participant_identity="bob", track_sids=[sid]),
        rtc.TrackPermission(participant_sid=carol.sid, all_tracks=True),
    ]
    bob.clear()
    carol.clear()
    alice.send(subscription_permission=rtc.SubscriptionPermission(track_permissions=permissions))
    denied = bob.last("subscription_permission_update")
    assert (denied.participant_sid, denied.track_sid) == (alice.sid, other)
    assert not denied.allowed and "subscription_permission_update" not in carol.kinds()
    assert set(settle(bench, bob).values()) == {sid}
    alice.send(subscription_permission=rtc.SubscriptionPermission(all_participants=True))
    assert bob.last("subscription_permission_update").allowed
    assert set(settle(bench, bob).values()) == {sid, other}


def test_track_settings_choose_the_layer(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("v", "video", rids=RIDS)
    settle(bench, bob)
    assert sink_layers(bob) == [Layers(2, 7, False)]

    def ask(**settings: object) -> Layers:
        bob.send(track_setting=rtc.UpdateTrackSettings(track_sids=[sid], **settings))
        return sink_layers(bob)[0]

    assert ask() == Layers(0, 7, False)  # an all-default message means LOW
    assert ask(quality=models.VideoQuality.MEDIUM) == Layers(1, 7, False)
    assert ask(width=300, height=160) == Layers(0, 7, False)
    assert ask(width=640, height=360) == Layers(1, 7, False)
    assert ask(width=4000, height=2000) == Layers(2, 7, False)
    assert ask(disabled=True).paused
    assert not ask(quality=models.VideoQuality.HIGH).paused


def test_settings_before_the_subscription_are_kept(bench: Bench) -> None:
    alice = bench.connected("alice")
    sid = alice.publish("v", "video", rids=RIDS)
    bob = bench.connected("bob", params={"auto_subscribe": False})
    bob.send(track_setting=rtc.UpdateTrackSettings(track_sids=[sid], disabled=True))
    bob.send(subscription=rtc.UpdateSubscription(track_sids=[sid], subscribe=True))
    settle(bench, bob)
    assert sink_layers(bob)[0].paused


def test_audio_can_be_disabled(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("a")
    settle(bench, bob)
    bob.send(track_setting=rtc.UpdateTrackSettings(track_sids=[sid], disabled=True))
    assert sink_layers(bob) == [Layers(0, 7, True)]


def test_dynacast_stops_what_nobody_wants_after_a_while(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("v", "video", rids=RIDS)
    settle(bench, bob)

    def enabled() -> list[bool]:
        update = alice.last("subscribed_quality_update")
        assert update.track_sid == sid
        (codec,) = update.subscribed_codecs
        assert codec.codec == "vp8" and codec.qualities == update.subscribed_qualities
        return [quality.enabled for quality in codec.qualities]

    bob.send(track_setting=rtc.UpdateTrackSettings(track_sids=[sid], quality=1))
    bench.clock.advance(4)
    assert "subscribed_quality_update" not in alice.kinds()
    bench.clock.advance(3)
    assert enabled() == [True, True, False]
    bob.send(track_setting=rtc.UpdateTrackSettings(track_sids=[sid], quality=2))
    assert enabled() == [True, True, True]
    bob.send(leave=rtc.LeaveRequest())
    bench.clock.advance(7)
    assert enabled() == [False, False, False]


def test_a_recorder_keeps_the_best_layer_alive(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.publish("v", "video", rids=RIDS)
    (source,) = alice.transports[0].sources
    source.has_tap = True  # type: ignore[attr-defined]
    bench.clock.advance(20)
    assert "subscribed_quality_update" not in alice.kinds()
    source.has_tap = False  # type: ignore[attr-defined]
    bench.clock.advance(10)
    assert "subscribed_quality_update" in alice.kinds()
    source.has_tap = True  # type: ignore[attr-defined]
    source.on_watched(True)  # type: ignore[attr-defined]
    qualities = alice.last("subscribed_quality_update").subscribed_qualities
    assert all(quality.enabled for quality in qualities)


def test_tracks_of_who_left_are_gone_everywhere(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.publish("a")
    settle(bench, bob)
    alice.send(leave=rtc.LeaveRequest())
    assert settle(bench, bob) == {}
    assert bench.service.snapshot()["subscriptions"] == 0
    assert bob.transports[0].sinks[0].is_closed
