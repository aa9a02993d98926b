"""The public face of signaling: open connections, call the room service, add local participants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

from signaling.clock import Clock
from signaling.config import SignalingConfig
from signaling.join import JoinParams
from signaling.outbox import Connection
from signaling.tokens import Grants

if TYPE_CHECKING:
    from sfu.server import MediaServer
    from sfu.source import Source


class SignalPeer:
    """One open WebSocket of one participant."""

    def handle_message(self, data: bytes) -> None:
        """Takes one binary frame. Never raises for what the client sent."""
        raise NotImplementedError

    def handle_closed(self) -> None:
        """The socket is gone. The participant stays as long as its media does. Idempotent."""
        raise NotImplementedError


class LocalParticipant:
    """A participant that lives in this process: a camera, a WHIP publisher, a demonstration person."""

    sid: str
    identity: str

    def publish(self, source: Source, info: models.TrackInfo) -> models.TrackInfo:
        """Publishes a source. Of `info`, type, source, name, width, height, mime_type, layers are read."""
        raise NotImplementedError

    def unpublish(self, track_sid: str) -> None:
        """Takes a track back. Unknown sids are ignored. The source stays the caller's."""
        raise NotImplementedError

    def set_muted(self, track_sid: str, muted: bool) -> None:
        """Mutes or unmutes."""
        raise NotImplementedError

    def update(self, *, name: str | None = None, metadata: str | None = None,
               attributes: Mapping[str, str] | None = None) -> None:
        """Changes what others see. An empty attribute value deletes."""
        raise NotImplementedError

    def close(self) -> None:
        """Leaves the room. Idempotent."""
        raise NotImplementedError


@dataclass
class Hooks:
    """Lists to append callables to. A hook that raises is logged and the others still run."""

    on_room_started: list[Callable[[models.Room], None]] = field(default_factory=list)
    on_room_finished: list[Callable[[models.Room], None]] = field(default_factory=list)
    on_participant_joined: list[Callable[[models.Room, models.ParticipantInfo], None]] = field(
        default_factory=list
    )
    on_participant_left: list[Callable[[models.Room, models.ParticipantInfo], None]] = field(
        default_factory=list
    )
    on_track_published: list[
        Callable[[models.Room, models.ParticipantInfo, models.TrackInfo, Source], None]
    ] = field(default_factory=list)
    on_track_unpublished: list[
        Callable[[models.Room, models.ParticipantInfo, models.TrackInfo], None]
    ] = field(default_factory=list)


class SignalingService:
    """All rooms of this process."""

    hooks: Hooks
    counters: dict[str, int]

    def __init__(
        self,
        media: MediaServer,
        config: SignalingConfig,
        *,
        clock: Clock,
        token_bytes: Callable[[int], bytes],
        on_webhook: Callable[[WebhookEvent], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Starts the periodic work (speakers, quality, updates, timeouts)."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Tells everybody to reconnect elsewhere (SERVER_SHUTDOWN), refuses new joins, closes all rooms."""
        raise NotImplementedError

    def authenticate(self, token: str) -> Grants:
        """Verifies an access token. Raises AuthError."""
        raise NotImplementedError

    def sign(self, grants: Grants) -> str:
        """Signs a token with the key that `grants` name."""
        raise NotImplementedError

    def parse_join(self, query: Mapping[str, str], *, is_v1: bool) -> JoinParams:
        """Reads the query of `/rtc` or `/rtc/v1`. Raises JoinError (404 when v1 is switched off)."""
        raise NotImplementedError

    def validate(self, grants: Grants, params: JoinParams) -> None:
        """Would `open` succeed? Call before the upgrade. Raises JoinError with an HTTP status."""
        raise NotImplementedError

    def open(self, grants: Grants, params: JoinParams, connection: Connection) -> SignalPeer:
        """Joins or resumes. The first message is sent before this returns. Never raises JoinError:
        what changed since `validate` is said by a `leave`."""
        raise NotImplementedError

    async def call(
        self, service: str, method: str, grants: Grants, request: bytes | Any, *,
        is_json: bool = False, request_id: str = "",
    ) -> bytes:
        """One Twirp call: `service` "livekit.RoomService", body in, body out in the same encoding.
        Raises TwirpError."""
        raise NotImplementedError

    def add_local_participant(
        self, room_name: str, identity: str, *, name: str = "", metadata: str = "",
        attributes: Mapping[str, str] | None = None,
        kind: models.ParticipantInfo.Kind = models.ParticipantInfo.STANDARD,
        keeps_room: bool = False, on_closed: Callable[[], None] | None = None,
    ) -> LocalParticipant:
        """Adds a participant of this process; the room is made where needed. A participant that
        does not keep the room is closed with it (`on_closed`). Raises JoinError."""
        raise NotImplementedError

    def set_recording(self, room_name: str, is_recording: bool) -> None:
        """Shows everyone in the room whether it is being recorded. Unknown rooms are ignored."""
        raise NotImplementedError

    def list_rooms(self) -> list[models.Room]:
        """All rooms of this process."""
        raise NotImplementedError

    def list_participants(self, room_name: str) -> list[models.ParticipantInfo]:
        """Everybody in the room, hidden ones too; empty for an unknown room."""
        raise NotImplementedError

    def find_source(self, room_name: str, track_sid: str) -> Source | None:
        """The media of a published track: for WHEP viewers and recorders."""
        raise NotImplementedError

    def snapshot(self) -> dict[str, int]:
        """Counts for metrics: rooms, participants, tracks, subscriptions."""
        raise NotImplementedError
