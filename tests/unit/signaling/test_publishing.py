from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol import models, rtc
from signaling_bench import KEY, LAYERS, SECRET, Bench, Client, Section

from sfu.ids import Codec
from signaling.config import Limits, SignalingConfig

Source = models.TrackSource
Type = models.TrackType
Request = rtc.RequestResponse


@pytest.fixture
def bench() -> Bench:
    return Bench()


def refused(client: Client) -> rtc.RequestResponse.Reason:
    assert "track_published" not in client.kinds()
    response = client.last("request_response")
    assert response.HasField("add_track")
    return response.reason


def test_add_track_is_answered_before_any_media(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.send(add_track=rtc.AddTrackRequest(cid="c", name="mic", source=Source.MICROPHONE))
    published = alice.last("track_published")
    assert published.cid == "c" and published.track.sid.startswith("TR_AM")
    assert published.track.stream == "camera" and not published.track.mime_type
    assert bench.service.snapshot()["tracks"] == 0


def test_everybody_hears_of_the_track_with_its_codec_and_section(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("c")
    for client in (alice, bob):
        info = client.seen("alice")
        assert info is not None and info.is_publisher
        (track,) = info.tracks
        assert (track.sid, track.mime_type, track.mid) == (sid, "audio/opus", "7")
        assert track.codecs[0].mime_type == "audio/opus" and track.version.unix_micro


def test_simulcast_layers_get_their_rids_by_name(bench: Bench) -> None:
    alice = bench.connected("alice")
    codec = rtc.SimulcastCodec(codec="h264", cid="c", layers=reversed(LAYERS))
    alice.publish(
        "c", "video", rids=("f", "h", "q"), layers=reversed(LAYERS), simulcast_codecs=[codec]
    )
    info = alice.seen("alice")
    assert info is not None
    (track,) = info.tracks
    assert track.simulcast and track.mime_type == "video/H264"
    assert [(layer.quality, layer.rid) for layer in track.layers] == [(0, "q"), (1, "h"), (2, "f")]
    assert [layer.spatial_layer for layer in track.codecs[0].layers] == [0, 1, 2]
    answer = alice.last("answer").sdp
    assert answer.count("a=rid:") == 3 and "a=simulcast:recv" in answer
    section = answer[answer.index("a=mid:7") :]
    assert section.index("H264/90000") < section.index("VP8/90000")


def test_fewer_layers_than_announced_are_no_simulcast(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.publish("c", "video", layers=LAYERS)
    info = alice.seen("alice")
    assert info is not None and not info.tracks[0].simulcast


def test_the_offer_may_come_before_the_announcement(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.offer(Section("audio", "sendonly", "c"))
    assert bench.service.snapshot()["tracks"] == 0
    alice.send(add_track=rtc.AddTrackRequest(cid="c", source=Source.MICROPHONE))
    bench.clock.advance()
    info = bob.seen("alice")
    assert info is not None and len(info.tracks) == 1


def test_a_made_up_track_id_takes_the_oldest_announcement_of_its_kind(bench: Bench) -> None:
    alice = bench.connected("alice")
    for cid, kind in (("v1", Type.VIDEO), ("a1", Type.AUDIO), ("a2", Type.AUDIO)):
        alice.send(add_track=rtc.AddTrackRequest(cid=cid, name=cid, type=kind))
    alice.offer(Section("audio", "sendonly", "other"))
    bench.clock.advance()
    info = alice.seen("alice")
    assert info is not None and [track.name for track in info.tracks] == ["a1"]


def test_an_announcement_whose_own_section_is_in_the_offer_is_not_taken_by_another(
    bench: Bench,
) -> None:
    alice = bench.connected("alice")
    for cid in ("a1", "a2"):
        alice.send(add_track=rtc.AddTrackRequest(cid=cid, name=cid))
    alice.offer(Section("audio", "sendonly", "strange"), Section("audio", "sendonly", "a1"))
    bench.clock.advance()
    info = alice.seen("alice")
    assert info is not None
    assert {track.name: track.mid for track in info.tracks} == {"a1": "8", "a2": "7"}


def test_a_repeated_announcement_is_the_same_track(bench: Bench) -> None:
    alice = bench.connected("alice")
    for _ in range(3):
        alice.send(add_track=rtc.AddTrackRequest(cid="c"))
    assert len({answer.track.sid for answer in alice.named("track_published")}) == 1


def test_announcements_in_the_join_request_come_after_the_join(bench: Bench) -> None:
    alice = bench.join("alice", params={"add_tracks": (rtc.AddTrackRequest(cid="c"),)})
    assert alice.kinds() == ["join", "track_published", "answer"]


def test_microphones_of_a_room_share_a_group_and_other_sound_is_outside(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    for client, cid, source in (
        (alice, "a", Source.MICROPHONE),
        (bob, "b", Source.MICROPHONE),
        (bob, "s", Source.SCREEN_SHARE_AUDIO),
    ):
        client.send(add_track=rtc.AddTrackRequest(cid=cid, name=cid, source=source))
    alice.offer(Section("audio", "sendonly", "a"))
    bob.offer(Section("audio", "sendonly", "b"), Section("audio", "sendonly", "s"))
    (group,) = bench.media.groups
    made = [client.transports[0].sources[0] for client in (alice, bob)]
    assert group.members == made, "in the order of coming"


@pytest.mark.parametrize(
    ("video", "source", "is_allowed"),
    [
        ({"can_publish": False}, Source.MICROPHONE, False),
        ({"can_publish_sources": ("microphone",)}, Source.MICROPHONE, True),
        ({"can_publish_sources": ("microphone",)}, Source.CAMERA, False),
        ({"can_publish": False, "can_publish_sources": ("camera",)}, Source.CAMERA, True),
        ({"can_publish_sources": ("telepathy",)}, Source.CAMERA, False),
    ],
)
def test_the_right_to_publish(
    bench: Bench, video: dict[str, object], source: models.TrackSource, is_allowed: bool
) -> None:
    alice = bench.connected("alice", **video)
    alice.send(add_track=rtc.AddTrackRequest(cid="c", source=source))
    if is_allowed:
        assert "track_published" in alice.kinds()
    else:
        assert refused(alice) == Request.NOT_ALLOWED


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (rtc.AddTrackRequest(), Request.INVALID_REQUEST),
        (rtc.AddTrackRequest(cid="c", type=Type.DATA), Request.INVALID_REQUEST),
        (rtc.AddTrackRequest(cid="c", sid="TR_x"), Request.UNSUPPORTED_TYPE),
        (rtc.AddTrackRequest(cid="c" * 257), Request.LIMIT_EXCEEDED),
        (rtc.AddTrackRequest(cid="c", name="n" * 600), Request.LIMIT_EXCEEDED),
        (rtc.AddTrackRequest(cid="c", layers=LAYERS * 3), Request.LIMIT_EXCEEDED),
    ],
)
def test_impossible_announcements_are_refused(
    bench: Bench, request_: rtc.AddTrackRequest, reason: rtc.RequestResponse.Reason
) -> None:
    alice = bench.connected("alice")
    alice.send(add_track=request_)
    assert refused(alice) == reason


def test_tracks_of_one_participant_are_bounded() -> None:
    limits = Limits(tracks_per_participant=2)
    alice = Bench(SignalingConfig(keys={KEY: SECRET}, limits=limits)).connected("alice")
    alice.publish("one")
    alice.send(add_track=rtc.AddTrackRequest(cid="two"))
    alice.clear()
    alice.send(add_track=rtc.AddTrackRequest(cid="three"))
    assert refused(alice) == Request.LIMIT_EXCEEDED


def test_mute_is_told_to_all_and_stops_forwarding(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("c", "video")
    (source,) = alice.transports[0].sources
    for muted in (True, False):
        alice.send(mute=rtc.MuteTrackRequest(sid=sid, muted=muted))
        bench.clock.advance(0.3)
        for client in (alice, bob):
            info = client.seen("alice")
            assert info is not None and info.tracks[0].muted is muted
        assert source.is_muted is muted  # type: ignore[attr-defined]
    assert source.keyframe_requests == 1  # type: ignore[attr-defined]


def test_muting_without_end_costs_the_room_five_updates_a_second(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("c", "video")
    bench.clock.advance(1.0)
    bob.clear()
    for count in range(200):
        alice.send(mute=rtc.MuteTrackRequest(sid=sid, muted=count % 2 == 0))
        bench.clock.advance(0.005)
    bench.clock.advance(0.3)
    assert bob.kinds().count("update") <= 11
    seen = bob.seen("alice")
    assert seen is not None and not seen.tracks[0].muted, "the last word counts"


def test_a_track_may_be_muted_before_its_media_comes(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.send(add_track=rtc.AddTrackRequest(cid="c"))
    sid = alice.last("track_published").track.sid
    alice.send(mute=rtc.MuteTrackRequest(sid=sid, muted=True))
    alice.offer(Section("audio", "sendonly", "c"))
    bench.clock.advance()
    info = alice.seen("alice")
    assert info is not None and info.tracks[0].muted
    assert alice.transports[0].sources[0].is_muted  # type: ignore[attr-defined]


def test_muting_an_unknown_track_is_answered(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.send(mute=rtc.MuteTrackRequest(sid="TR_x", muted=True))
    response = alice.last("request_response")
    assert response.reason == Request.NOT_FOUND and response.mute.sid == "TR_x"


def test_unpublish_is_a_section_that_no_longer_sends(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    sid = alice.publish("c")
    bench.clock.advance(0.1)
    bob.offer()
    assert bob.last("answer").mid_to_track_id == {"0": sid}
    bob.clear()
    alice.sections[-1] = Section("audio", "inactive")
    alice.offer()
    bench.clock.advance(0.1)
    info = bob.seen("alice")
    assert info is not None and not info.tracks and not info.is_publisher
    assert "track_unpublished" not in alice.kinds()
    assert "media_sections_requirement" in bob.kinds()
    assert bob.offer() and not bob.last("answer").mid_to_track_id
    assert alice.transports[0].sources[0].is_closed


def test_a_section_may_carry_another_track_later(bench: Bench) -> None:
    alice = bench.connected("alice")
    first = alice.publish("one")
    alice.send(add_track=rtc.AddTrackRequest(cid="two"))
    alice.sections[-1] = Section("audio", "sendonly", "two")
    alice.offer()
    bench.clock.advance()
    info = alice.seen("alice")
    assert info is not None and len(info.tracks) == 1
    assert info.tracks[0].sid != first and info.tracks[0].mid == "7"


def test_the_codec_is_corrected_by_what_arrives(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.publish("c", "video")
    bench.clock.advance(0.1)
    bob.offer()
    (source,) = alice.transports[0].sources
    assert source.on_started is not None  # type: ignore[attr-defined]
    source.on_started(0, 1, Codec.H264)  # type: ignore[attr-defined]
    bench.clock.advance(0.1)
    info = bob.seen("alice")
    assert info is not None and info.tracks[0].mime_type == "video/H264"
    # The old subscription was negotiated for another codec.
    bob.offer()
    bench.clock.advance(2)
    bob.offer()
    assert [sink.is_closed for sink in bob.transports[0].sinks] == [True, False]


@pytest.mark.parametrize(
    ("said", "uses_dtx"),
    [
        ({}, True),
        ({"disable_dtx": True}, False),  # the Rust SDK
        ({"audio_features": [models.AudioTrackFeature.TF_NO_DTX]}, False),
    ],
)
def test_who_wants_all_of_a_silence_says_so_in_either_field(
    bench: Bench, said: dict[str, Any], uses_dtx: bool
) -> None:
    alice = bench.connected("alice")
    alice.publish("c", **said)
    assert ("usedtx=1" in alice.last("answer").sdp) is uses_dtx


def test_audio_and_video_details_can_change(bench: Bench) -> None:
    alice = bench.connected("alice")
    audio, video = alice.publish("a"), alice.publish("v", "video")
    features = [models.AudioTrackFeature.TF_STEREO]
    alice.send(update_audio_track=rtc.UpdateLocalAudioTrack(track_sid=audio, features=features))
    alice.send(
        update_video_track=rtc.UpdateLocalVideoTrack(track_sid=video, width=720, height=1280)
    )
    bench.clock.advance()
    info = alice.seen("alice")
    assert info is not None
    assert info.tracks[0].stereo and list(info.tracks[0].audio_features) == features
    assert (info.tracks[1].width, info.tracks[1].height) == (720, 1280)


def test_changes_of_unknown_tracks_are_answered(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.send(update_audio_track=rtc.UpdateLocalAudioTrack(track_sid="TR_x"))
    assert alice.last("request_response").HasField("update_audio_track")
    alice.send(update_video_track=rtc.UpdateLocalVideoTrack(track_sid="TR_x"))
    assert alice.last("request_response").reason == Request.NOT_FOUND


def test_hooks_and_webhooks_hear_of_tracks(bench: Bench) -> None:
    heard: list[str] = []
    bench.service.hooks.on_track_published.append(
        lambda room, who, track, source: heard.append(f"+{who.identity} {track.mime_type}")
    )
    bench.service.hooks.on_track_unpublished.append(
        lambda room, who, track: heard.append(f"-{who.identity} {room.name}")
    )
    alice = bench.connected("alice")
    alice.publish("c")
    alice.send(leave=rtc.LeaveRequest())
    assert heard == ["+alice audio/opus", "-alice room"]
    track_events = [event for event in bench.events if event.event.startswith("track_")]
    assert [event.event for event in track_events] == ["track_published", "track_unpublished"]
    published = track_events[0]
    assert published.track.sid and published.participant.identity == "alice"
    assert not published.participant.name and not published.room.creation_time


def test_a_failing_hook_harms_nobody(bench: Bench) -> None:
    heard: list[str] = []

    def fail(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    bench.service.hooks.on_track_published += [fail, lambda *_: heard.append("second")]
    alice = bench.connected("alice")
    assert alice.publish("c").startswith("TR_") and heard == ["second"]
