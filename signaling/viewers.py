"""Readers of tracks who are not participants: WHEP players. They get what a subscriber of the same
identity would get, and count as demand for its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livekit.protocol import models

from signaling import subscriptions
from signaling.rights import is_allowed_subscriber
from signaling.room import Room

if TYPE_CHECKING:
    from sfu.ids import Codec
    from sfu.source import Source

__all__ = ["ViewableTrack", "list_viewable", "set_watching"]


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


def set_watching(room: Room, track_sid: str, viewer_id: str, *, is_watching: bool) -> None:
    """Counts a viewer's wish for the best layer. Unknown tracks are ignored."""
    track = room.tracks.get(track_sid)
    if track is not None:
        track.demand.set(viewer_id, models.VideoQuality.HIGH if is_watching else None)
        subscriptions.poll_demand(room, track)
