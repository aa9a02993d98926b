"""Published tracks: what is announced, and what a client announced but has not sent yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from bandwidth.uplink import NO_NEWS
from sfu.codecs import mime_of, parse_codec
from sfu.ids import Codec
from signaling.dynacast import LayerDemand

if TYPE_CHECKING:
    from sfu.session import OfferedTrack
    from sfu.source import Source

__all__ = ["PendingTrack", "PublishedTrack", "build_track_info", "describe_media"]

_VIDEO_HINTS = {models.TrackSource.CAMERA: "VC", models.TrackSource.SCREEN_SHARE: "VS"}
_AUDIO_HINTS = {models.TrackSource.MICROPHONE: "AM", models.TrackSource.SCREEN_SHARE_AUDIO: "AS"}
_STREAMS = {
    models.TrackSource.CAMERA: "camera",
    models.TrackSource.MICROPHONE: "camera",
    models.TrackSource.SCREEN_SHARE: "screen",
    models.TrackSource.SCREEN_SHARE_AUDIO: "screen",
}
_SVC_CODECS = (Codec.VP9, Codec.AV1)
_ONE_PER_STREAM = models.VideoLayer.ONE_SPATIAL_LAYER_PER_STREAM
_MANY_PER_STREAM = models.VideoLayer.MULTIPLE_SPATIAL_LAYERS_PER_STREAM
# Layer names of the clients, lowest first. A client with fewer layers starts at `q`.
_RIDS = ("q", "h", "f")


def sid_hint(kind: models.TrackType, source: models.TrackSource) -> str:
    """Two letters that tell a reader of logs what a track sid is."""
    if kind == models.TrackType.VIDEO:
        return _VIDEO_HINTS.get(source, "VX")
    return _AUDIO_HINTS.get(source, "AX")


@dataclass
class PendingTrack:
    """An add_track that no m-section has claimed yet.

    Attributes:
        first_layers: see `PublishedTrack`.
    """

    request: rtc.AddTrackRequest
    info: models.TrackInfo
    first_layers: int = 0

    @property
    def cids(self) -> list[str]:
        """The client's ids of the track: the request's and those of its codecs."""
        return [self.request.cid, *(codec.cid for codec in self.request.simulcast_codecs)]

    @property
    def wanted_codecs(self) -> tuple[Codec, ...]:
        """The codecs the client means to send, first choice first."""
        found = (parse_codec(codec.codec) for codec in self.request.simulcast_codecs)
        return tuple(codec for codec in found if codec is not None)


@dataclass
class PublishedTrack:
    """A track that others may subscribe to.

    Attributes:
        codecs: what its packets may carry; a subscriber must be able to take one of them.
        mid: its section on the publisher's connection; empty for local tracks.
        demand: which layers are wanted by anybody.
        first_layers: how many layers it was let send at first, lowest first; 0 = all.
        lowered_to: the highest layer that its publisher was told to send when its line fell; None =
            no such order stands.
        line_news: highest layer that its publisher's line carries, by news that no judgement has
            taken in yet.
        was_subscribed: the publisher was told that somebody receives it.
        subscribers: sids of the participants that have a subscription.
    """

    info: models.TrackInfo
    source: Source
    publisher_sid: str
    demand: LayerDemand
    codecs: tuple[Codec, ...] = ()
    mid: str = ""
    first_layers: int = 0
    lowered_to: int | None = None
    line_news: int = NO_NEWS
    was_subscribed: bool = False
    subscribers: set[str] = field(default_factory=set)

    @property
    def sid(self) -> str:
        """The track's sid, `TR_…`."""
        return self.info.sid

    @property
    def is_video(self) -> bool:
        """Video or audio."""
        return self.info.type == models.TrackType.VIDEO

    @property
    def encoding_count(self) -> int:
        """How many encodings the engine can choose from."""
        return max(1, len(self.source.specs))


def _sorted_layers(layers: list[models.VideoLayer]) -> list[models.VideoLayer]:
    ordered = sorted(layers, key=lambda layer: layer.quality)
    for index, layer in enumerate(ordered):
        layer.spatial_layer = index
    return ordered


def build_track_info(request: rtc.AddTrackRequest, sid: str) -> models.TrackInfo:
    """What is announced for an AddTrackRequest, before its media is known."""
    info = models.TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name,
        muted=request.muted,
        width=request.width,
        height=request.height,
        source=request.source,
        disable_dtx=request.disable_dtx,
        stereo=request.stereo,
        disable_red=request.disable_red,
        encryption=request.encryption,
        stream=request.stream or _STREAMS.get(request.source, "unknown"),
        backup_codec_policy=request.backup_codec_policy,
        audio_features=request.audio_features,
        layers=_sorted_layers(list(request.layers)),
    )
    # packet_trailer_features stays empty: we would have to strip trailers for clients without
    # CAP_PACKET_TRAILER, and a client that is told of none sends none.
    for codec in request.simulcast_codecs:
        mode = codec.video_layer_mode
        is_svc = mode == _MANY_PER_STREAM
        info.codecs.add(
            mime_type=_mime(request.type, codec.codec),
            cid=codec.cid,
            layers=_sorted_layers(list(codec.layers or request.layers)),
            video_layer_mode=_MANY_PER_STREAM if is_svc else _ONE_PER_STREAM,
        )
    if not info.codecs:
        info.codecs.add(cid=request.cid, layers=info.layers, video_layer_mode=_ONE_PER_STREAM)
    if info.codecs[0].layers and not info.layers:
        info.layers.extend(info.codecs[0].layers)
    is_svc = info.codecs[0].video_layer_mode == _MANY_PER_STREAM
    info.simulcast = len(info.layers) >= 2 and not is_svc
    return info


def _mime(kind: models.TrackType, name: str) -> str:
    codec = parse_codec(name)
    if codec is not None:
        return mime_of(codec)
    prefix = "video/" if kind == models.TrackType.VIDEO else "audio/"
    return prefix + name if name and "/" not in name else name


def describe_media(
    info: models.TrackInfo, offered: OfferedTrack, codec: Codec, *, has_rids: bool
) -> None:
    """Completes an announcement with what the negotiation showed: codec, section, layers."""
    info.mid = offered.mid
    describe_codec(info, codec)
    info.codecs[0].mid = offered.mid
    rids = offered.rids if has_rids else ()
    for layers in (info.layers, info.codecs[0].layers):
        for index, layer in enumerate(layers):
            layer.rid = rids[index] if index < len(rids) else ""
            if index < len(offered.ssrcs):
                layer.ssrc = offered.ssrcs[index]
    # Browsers that cannot encode all layers offer fewer than were announced.
    if info.simulcast and len(rids) < 2 and codec not in _SVC_CODECS:
        info.simulcast = False


def describe_codec(info: models.TrackInfo, codec: Codec) -> bool:
    """Sets the announced codec. Returns whether that changed anything."""
    mime = mime_of(codec)
    for index, entry in enumerate(info.codecs):
        if entry.mime_type == mime and index > 0:
            break
    else:
        info.codecs[0].mime_type = mime
    has_changed = info.mime_type != mime
    info.mime_type = mime
    return has_changed


def complete_local_info(
    wanted: models.TrackInfo, sid: str, kind: models.TrackType, codec: Codec
) -> models.TrackInfo:
    """What is announced for a track of this process."""
    info = models.TrackInfo(
        sid=sid,
        type=kind,
        source=wanted.source,
        name=wanted.name,
        width=wanted.width,
        height=wanted.height,
        muted=wanted.muted,
        stream=wanted.stream or _STREAMS.get(wanted.source, "unknown"),
        layers=_sorted_layers(list(wanted.layers)),
        disable_red=True,
        mime_type=mime_of(codec),
    )
    if kind == models.TrackType.VIDEO and not info.layers:
        info.layers.add(quality=models.VideoQuality.HIGH, width=wanted.width, height=wanted.height)
    info.simulcast = len(info.layers) >= 2
    info.codecs.add(mime_type=info.mime_type, layers=info.layers, video_layer_mode=_ONE_PER_STREAM)
    return info
