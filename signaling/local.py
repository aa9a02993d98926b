"""Participants of this process: cameras, WHIP publishers, demonstration people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from livekit.protocol import models

from sfu.codecs import parse_codec
from sfu.ids import Codec
from signaling import metadata as _metadata
from signaling import publishing
from signaling.errors import MisuseError
from signaling.membership import remove
from signaling.participant import Participant
from signaling.room import Room
from signaling.track import complete_local_info, sid_hint

if TYPE_CHECKING:
    from sfu.source import Source

__all__ = ["LocalParticipant"]


class LocalParticipant:
    """A handle on a participant without a connection. It ends by `close`, or with its room."""

    def __init__(
        self, room: Room, participant: Participant, on_closed: Callable[[], None] | None
    ) -> None:
        """Made by `SignalingService.add_local_participant`."""
        self._room = room
        self._participant = participant
        participant.on_removed = on_closed

    @property
    def sid(self) -> str:
        """Its `PA_…`."""
        return self._participant.sid

    @property
    def identity(self) -> str:
        """Its identity."""
        return self._participant.identity

    @property
    def room_name(self) -> str:
        """The room it is in."""
        return self._room.name

    @property
    def is_closed(self) -> bool:
        """It has left, or was removed."""
        return self._participant.is_gone

    def publish(self, source: Source, info: models.TrackInfo) -> models.TrackInfo:
        """Publishes a source.

        Args:
            source: its media; stays the caller's, who closes it.
            info: type, source, name, width, height, muted, mime_type, layers, stream are read.

        Returns:
            What is announced, with its sid.

        Raises:
            MisuseError: the participant has left, or the codec is not one we forward.
        """
        if self.is_closed:
            raise MisuseError("participant_left", "the participant has left the room")
        default = "audio/opus" if source.is_audio else "video/VP8"
        codec = source.codec or parse_codec(info.mime_type or default)
        if codec is None:
            raise MisuseError("unknown_codec", f"{info.mime_type} is not forwarded")
        kind = models.TrackType.AUDIO if source.is_audio else models.TrackType.VIDEO
        sids = self._room.context.sids
        sid = sids.make("TR", sid_hint(kind, info.source))
        announced = complete_local_info(info, sid, kind, codec)
        codecs = (Codec.OPUS,) if codec is Codec.RED else (codec,)
        publishing.publish(self._room, self._participant, announced, source, codecs=codecs)
        return announced

    def unpublish(self, track_sid: str) -> None:
        """Takes a track back. Unknown sids are ignored. The source stays the caller's."""
        track = self._participant.tracks.get(track_sid)
        if track is not None:
            publishing.unpublish(self._room, self._participant, track, by_server=False)

    def set_muted(self, track_sid: str, muted: bool) -> None:
        """Mutes or unmutes. Unknown sids are ignored."""
        track = self._participant.tracks.get(track_sid)
        if track is not None:
            publishing.set_muted(self._room, self._participant, track, muted)

    def update(
        self,
        *,
        name: str | None = None,
        metadata: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Changes what others see. An empty attribute value deletes."""
        if not self.is_closed:
            _metadata.apply(
                self._room,
                self._participant,
                name=name,
                metadata=metadata,
                attributes=attributes,
            )

    def close(self) -> None:
        """Leaves the room. Idempotent."""
        remove(self._room, self._participant, models.DisconnectReason.CLIENT_INITIATED)
