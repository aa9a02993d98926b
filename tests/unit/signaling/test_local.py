from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol import models
from livekit.protocol.room import RoomParticipantIdentity
from signaling_bench import LAYERS, Bench, BenchSource

from sfu.ids import Codec, EncodingSpec
from signaling.errors import JoinError, MisuseError

Source = models.TrackSource


def video(**fields: Any) -> Any:
    source = BenchSource(is_audio=False)
    source.codec = fields.get("codec")
    return source


def test_a_camera_is_a_participant_like_any_other() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    camera = bench.service.add_local_participant(
        "room", "camera-1", name="Shelf", attributes={"kind": "camera"}
    )
    info = camera.publish(
        video(), models.TrackInfo(source=Source.CAMERA, mime_type="video/H264", width=1280)
    )
    bench.clock.advance(0.3)
    seen = alice.seen("camera-1")
    assert seen is not None and seen.state == models.ParticipantInfo.ACTIVE
    assert (seen.name, seen.attributes) == ("Shelf", {"kind": "camera"})
    (track,) = seen.tracks
    assert track == info and track.sid.startswith("TR_VC")
    assert (track.mime_type, track.stream) == ("video/H264", "camera")
    assert track.layers[0].quality == models.VideoQuality.HIGH
    assert "media_sections_requirement" in alice.kinds()
    alice.offer()
    assert alice.last("answer").mid_to_track_id == {"3": info.sid}
    names = [event.event for event in bench.events]
    assert names[-2:] == ["participant_joined", "track_published"]


def test_it_publishes_mutes_changes_and_leaves() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    local = bench.service.add_local_participant("room", "demo")
    source = BenchSource(is_audio=True)
    info = local.publish(source, models.TrackInfo(source=Source.MICROPHONE))  # type: ignore[arg-type]
    assert info.mime_type == "audio/opus" and info.type == models.TrackType.AUDIO
    told: list[bool] = []
    bench.service.hooks.on_track_muted.append(lambda _r, _p, track: told.append(track.muted))
    local.set_muted(info.sid, True)
    local.set_muted(info.sid, True)
    assert told == [True], "recorders hear of a change, once"
    local.update(name="Demo", attributes={"k": "v"})
    bench.clock.advance(0.3)
    seen = alice.seen("demo")
    assert seen is not None and seen.tracks[0].muted and seen.name == "Demo" and source.is_muted
    local.unpublish(info.sid)
    local.unpublish("TR_unknown")
    bench.clock.advance(0.3)
    seen = alice.seen("demo")
    assert seen is not None and not seen.tracks and not source.is_closed
    local.close()
    local.close()
    bench.clock.advance(0.3)
    seen = alice.seen("demo")
    assert seen is not None and seen.state == models.ParticipantInfo.DISCONNECTED
    assert local.is_closed
    local.update(name="late")
    with pytest.raises(MisuseError):
        local.publish(source, models.TrackInfo())  # type: ignore[arg-type]


def test_simulcast_sources_keep_their_layers() -> None:
    bench = Bench()
    local = bench.service.add_local_participant("room", "demo")
    specs = (EncodingSpec(), EncodingSpec(), EncodingSpec())
    source = BenchSource(False, specs=specs)
    info = local.publish(source, models.TrackInfo(layers=reversed(LAYERS), mime_type="video/vp8"))  # type: ignore[arg-type]
    assert info.simulcast and [layer.quality for layer in info.layers] == [0, 1, 2]


def test_what_flows_decides_the_codec() -> None:
    local = Bench().service.add_local_participant("room", "demo")
    info = local.publish(video(codec=Codec.H264), models.TrackInfo(mime_type="video/VP8"))
    assert info.mime_type == "video/H264"
    with pytest.raises(MisuseError) as caught:
        local.publish(video(), models.TrackInfo(mime_type="video/theora"))
    assert caught.value.code == "unknown_codec"


def test_it_can_be_removed_and_hears_of_it() -> None:
    bench = Bench()
    closed: list[int] = []
    local = bench.service.add_local_participant("room", "demo", on_closed=lambda: closed.append(1))
    import asyncio

    from signaling.tokens import Grants, VideoGrant

    grants = Grants(api_key="key", video=VideoGrant(room_admin=True, room="room"))
    body = RoomParticipantIdentity(room="room", identity="demo").SerializeToString()
    asyncio.run(bench.service.call("livekit.RoomService", "RemoveParticipant", grants, body))
    assert closed == [1] and local.is_closed


def test_the_same_identity_takes_the_seat() -> None:
    bench = Bench()
    closed: list[int] = []
    bench.service.add_local_participant("room", "demo", on_closed=lambda: closed.append(1))
    bench.service.add_local_participant("room", "demo", on_closed=lambda: closed.append(2))
    assert closed == [1] and len(bench.service.list_participants("room")) == 1


def test_a_room_that_cannot_be_had() -> None:
    bench = Bench()
    with pytest.raises(JoinError):
        bench.service.add_local_participant("", "demo")
    bench.clock.spawn(bench.service.drain())
    with pytest.raises(JoinError):
        bench.service.add_local_participant("room", "demo")
