from __future__ import annotations

from livekit.protocol import models, rtc
from signaling_bench import LAYERS

from sfu.ids import Codec, EncodingSpec
from sfu.session import OfferedTrack
from signaling.track import (
    PendingTrack,
    build_track_info,
    complete_local_info,
    describe_codec,
    describe_media,
    sid_hint,
)

Source = models.TrackSource
Type = models.TrackType
Mode = models.VideoLayer


def test_hints_tell_readers_of_logs_what_a_track_is() -> None:
    assert sid_hint(Type.VIDEO, Source.CAMERA) == "VC"
    assert sid_hint(Type.VIDEO, Source.SCREEN_SHARE) == "VS"
    assert sid_hint(Type.AUDIO, Source.MICROPHONE) == "AM"
    assert sid_hint(Type.AUDIO, Source.UNKNOWN) == "AX"


def test_everything_the_client_said_is_announced() -> None:
    request = rtc.AddTrackRequest(
        cid="c",
        name="n",
        type=Type.AUDIO,
        source=Source.SCREEN_SHARE_AUDIO,
        muted=True,
        stereo=True,
        disable_dtx=True,
        disable_red=True,
        encryption=models.Encryption.GCM,
        audio_features=[models.AudioTrackFeature.TF_STEREO],
        backup_codec_policy=models.BackupCodecPolicy.SIMULCAST,
        packet_trailer_features=[models.PacketTrailerFeature.PTF_FRAME_ID],
    )
    info = build_track_info(request, "TR_1")
    assert (info.sid, info.name, info.stream, info.muted) == ("TR_1", "n", "screen", True)
    assert info.stereo and info.disable_dtx and info.disable_red
    assert info.encryption == models.Encryption.GCM
    assert info.codecs[0].cid == "c" and not info.mime_type and not info.simulcast
    # We would have to strip trailers for others; a client that reads none here sends none.
    assert not info.packet_trailer_features


def test_streams_group_what_belongs_together() -> None:
    for source, stream in (
        (Source.CAMERA, "camera"),
        (Source.MICROPHONE, "camera"),
        (Source.SCREEN_SHARE, "screen"),
        (Source.UNKNOWN, "unknown"),
    ):
        assert build_track_info(rtc.AddTrackRequest(source=source), "TR_1").stream == stream
    own = rtc.AddTrackRequest(source=Source.CAMERA, stream="mine")
    assert build_track_info(own, "TR_1").stream == "mine"


def test_layers_are_sorted_and_scalable_video_is_no_simulcast() -> None:
    codec = rtc.SimulcastCodec(codec="vp9", cid="c", layers=reversed(LAYERS))
    request = rtc.AddTrackRequest(type=Type.VIDEO, simulcast_codecs=[codec])
    info = build_track_info(request, "TR_1")
    assert info.simulcast and [layer.quality for layer in info.layers] == [0, 1, 2]
    assert info.codecs[0].mime_type == "video/VP9"
    codec.video_layer_mode = Mode.MULTIPLE_SPATIAL_LAYERS_PER_STREAM
    request = rtc.AddTrackRequest(type=Type.VIDEO, simulcast_codecs=[codec])
    assert not build_track_info(request, "TR_1").simulcast


def test_unknown_codecs_keep_their_names() -> None:
    codec = rtc.SimulcastCodec(codec="h265")
    request = rtc.AddTrackRequest(type=Type.VIDEO, simulcast_codecs=[codec])
    assert build_track_info(request, "TR_1").codecs[0].mime_type == "video/h265"
    assert PendingTrack(request, models.TrackInfo()).wanted_codecs == ()


def test_media_completes_the_announcement() -> None:
    info = build_track_info(rtc.AddTrackRequest(cid="c", type=Type.VIDEO, layers=LAYERS), "TR_1")
    encodings = tuple(EncodingSpec(rid, ssrc) for rid, ssrc in (("q", 1), ("h", 2), ("f", 3)))
    offered = OfferedTrack("4", "video", "-", "c", "sendonly", (Codec.VP8,), encodings)
    describe_media(info, offered, Codec.VP8, has_rids=True)
    assert (info.mid, info.mime_type, info.codecs[0].mid) == ("4", "video/VP8", "4")
    assert [(layer.rid, layer.ssrc) for layer in info.layers] == [("q", 1), ("h", 2), ("f", 3)]
    assert info.simulcast


def test_the_codec_that_flows_is_the_one_announced() -> None:
    codecs = [rtc.SimulcastCodec(codec="av1"), rtc.SimulcastCodec(codec="vp8")]
    request = rtc.AddTrackRequest(type=Type.VIDEO, simulcast_codecs=codecs)
    info = build_track_info(request, "TR_1")
    assert describe_codec(info, Codec.VP8) and not describe_codec(info, Codec.VP8)
    assert info.mime_type == "video/VP8" and info.codecs[0].mime_type == "video/AV1"
    assert describe_codec(info, Codec.H264) and info.codecs[0].mime_type == "video/H264"


def test_local_tracks_have_at_least_one_layer() -> None:
    wanted = models.TrackInfo(source=Source.CAMERA, width=640, height=360)
    info = complete_local_info(wanted, "TR_1", Type.VIDEO, Codec.H264)
    assert [(layer.quality, layer.width) for layer in info.layers] == [(2, 640)]
    assert not info.simulcast and info.codecs[0].mime_type == "video/H264"
