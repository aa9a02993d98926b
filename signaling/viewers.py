"""Readers of tracks who are not participants: WHEP players. They get what a subscriber of the same
identity would get, and count as demand for the layers that their lines carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livekit.protocol import models

from signaling import subscriptions
from signaling.rights import is_allowed_subscriber
from signaling.room import Room

if TYPE_CHECKING:
    from sfu.ids import Codec, Layers
    from sfu.session import Subscription
    from sfu.source import Source

__all__ = ["ViewableTrack", "list_viewable", "unwatch", "watch"]


@dataclass(frozen=True)
class ViewableTrack:
    """A track that a viewer may read.

    Attributes:
        info: the track (a live message: copy what you keep).
        publisher: whose it is (live as well).
        source: its media.
        codecs: what it comes in.
    """

    info: models.TrackInfo
    publisher: models.ParticipantInfo
    source: Source
    codecs: tuple[Codec, ...]


def list_viewable(room: Room, identity: str) -> list[ViewableTrack]:
    """What a viewer of this identity may read, oldest first. A publisher's own rule counts."""
    found = []
    for track in room.tracks.values():
        publisher = room.publisher_of(track)
        is_allowed = is_allowed_subscriber(
            publisher.permission_rule, sid="", identity=identity, track_sid=track.sid
        )
        if is_allowed and not publisher.is_hidden:
            found.append(ViewableTrack(track.info, publisher.info, track.source, track.codecs))
    return found


def watch(room: Room, viewer_id: str, media: Subscription) -> None:
    """Counts a viewer's wish, and what its line carries of it, from now on. Unknown tracks and
    sounds are ignored."""
    track = room.tracks.get(media.track_id)
    if track is None or not track.is_video:
        return
    media.on_granted = lambda layers: _handle_granted(room, viewer_id, media, layers)
    _handle_granted(room, viewer_id, media, media.layers)


def unwatch(room: Room, viewer_id: str, media: Subscription) -> None:
    """A viewer counts no more."""
    media.on_granted = None
    track = room.tracks.get(media.track_id)
    if track is not None:
        track.demand.set(viewer_id, None)
        subscriptions.poll_demand(room, track)


def _handle_granted(room: Room, viewer_id: str, media: Subscription, layers: Layers) -> None:
    track = room.tracks.get(media.track_id)
    if track is not None and media.wish is not None:
        track.demand.take(viewer_id, media.wish, layers, encoding_count=track.encoding_count)
        subscriptions.poll_demand(room, track)
