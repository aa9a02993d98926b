"""Between the media side's tracks and the room's."""

from __future__ import annotations

from collections.abc import Sequence

from livekit.protocol import models

from sfu.codecs import mime_of
from sfu.ingest.whep import PlayableTrack
from sfu.ingest.whip import IngestTrack
from signaling.rights import may_publish
from signaling.service import ViewableTrack

_Source = models.TrackSource
_SCREENS = (_Source.SCREEN_SHARE, _Source.SCREEN_SHARE_AUDIO)


def describe_tracks(tracks: Sequence[IngestTrack]) -> list[models.TrackInfo]:
    """Say what an encoder's tracks are: the first picture is its camera, others are screens."""
    infos = []
    seen: set[str] = set()
    for track in tracks:
        kind = track.offered.kind
        is_first = kind not in seen
        seen.add(kind)
        if kind == "audio":
            source = _Source.MICROPHONE if is_first else _Source.SCREEN_SHARE_AUDIO
        else:
            source = _Source.CAMERA if is_first else _Source.SCREEN_SHARE
        infos.append(
            models.TrackInfo(
                type=models.TrackType.AUDIO if kind == "audio" else models.TrackType.VIDEO,
                source=source,
                name=track.offered.msid_track[:64],
                mime_type=mime_of(track.codec),
                layers=_layers(track),
            )
        )
    return infos


def _layers(track: IngestTrack) -> list[models.VideoLayer]:
    rids = track.offered.rids
    # One layer counts as HIGH; of two, the lower one as LOW.
    qualities = (models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH)
    return [
        models.VideoLayer(quality=quality, rid=rid, spatial_layer=index)
        for index, (rid, quality) in enumerate(zip(rids, qualities, strict=False))
    ]


def may_publish_all(
    permission: models.ParticipantPermission, infos: Sequence[models.TrackInfo]
) -> bool:
    """Whether a token's holder may publish each of the tracks."""
    return all(may_publish(permission, info.source) for info in infos)


def playable_tracks(viewable: Sequence[ViewableTrack], target: str) -> list[PlayableTrack]:
    """Return what a player may get.

    Args:
        viewable: tracks in the room that it may read.
        target: identity or track sid that it asked for; empty = anything.
    """
    return [
        PlayableTrack(
            source=track.source,
            owner=track.publisher.sid,
            stream_id=track.publisher.sid,
            track_id=track.info.sid,
            is_screen=track.info.source in _SCREENS,
            codecs=track.codecs,
        )
        for track in viewable
        if target in ("", track.publisher.identity, track.info.sid)
    ]
