"""An encoder as a participant of its room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from livekit.protocol import models

from sfu.ingest.whip import IngestTrack, WhipSession
from signaling.service import LocalParticipant, SignalingService
from signaling.tokens import Grants


class Publisher:
    """Joins at the offer, publishes when media can flow, leaves with the session."""

    def __init__(self, signaling: SignalingService, session: WhipSession, grants: Grants) -> None:
        """Take what the token says of the encoder."""
        self._signaling = signaling
        self._session = session
        self._grants = grants
        self._participant: LocalParticipant | None = None
        self._waiting: list[tuple[IngestTrack, models.TrackInfo]] = []
        self.on_left: Callable[[], None] | None = None

    def join(self, tracks: Sequence[tuple[IngestTrack, models.TrackInfo]]) -> None:
        """Enter the room.

        Raises:
            JoinError: the room cannot be had.
        """
        self._waiting = list(tracks)
        self._participant = self._signaling.add_local_participant(
            self._grants.video.room,
            self._grants.identity,
            name=self._grants.name,
            metadata=self._grants.metadata,
            attributes=self._grants.attributes,
            kind=models.ParticipantInfo.INGRESS,
            on_closed=self._handle_removed,
        )
        self._session.on_connected = self._publish

    def leave(self) -> None:
        """Leave the room. Idempotent."""
        participant, self._participant = self._participant, None
        self._waiting = []
        if participant is not None:
            participant.close()

    def _publish(self) -> None:
        """Announce the tracks, once: before, others would see a black tile."""
        waiting, self._waiting = self._waiting, []
        for track, info in waiting:
            if self._participant is not None:
                self._participant.publish(track.source, info)

    def _handle_removed(self) -> None:
        """Removed by somebody else: the session ends too."""
        self._participant = None
        if self.on_left is not None:
            self.on_left()
