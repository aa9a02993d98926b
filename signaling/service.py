"""The public face of signaling: open connections, call the room service, add local participants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from sfu.stills import Stills
from signaling import membership
from signaling.clock import Clock
from signaling.config import IceServer, SignalingConfig
from signaling.context import Context
from signaling.errors import JoinError
from signaling.hooks import Hooks
from signaling.ids import SidMaker
from signaling.join import JoinParams, parse_join_v0, parse_join_v1
from signaling.local import LocalParticipant
from signaling.messages import build_leave
from signaling.metadata import find_excess
from signaling.monitor import Monitor
from signaling.outbox import Connection, Outbox
from signaling.participant import Participant
from signaling.peer import SignalPeer
from signaling.registry import RoomRegistry, parse_room_config
from signaling.rights import check_join, permission_from_grant
from signaling.room import Room
from signaling.room_service import RoomService
from signaling.stills import StillSender
from signaling.tokens import Grants, TokenKeys, VideoGrant
from signaling.turn import list_ice_servers
from signaling.viewers import ViewableTrack, list_viewable, unwatch, watch

if TYPE_CHECKING:
    from livekit.protocol.webhook import WebhookEvent

    from sfu.downlink import LineRoom
    from sfu.server import MediaServer
    from sfu.session import Subscription
    from sfu.source import Source

__all__ = [
    "Connection",
    "Hooks",
    "LocalParticipant",
    "SignalPeer",
    "SignalingService",
    "ViewableTrack",
]

Reason = models.DisconnectReason
Action = rtc.LeaveRequest


def _ignore_event(_event: WebhookEvent) -> None:
    """No webhooks are configured."""


def _room_of(media: MediaServer, participant: Participant) -> LineRoom | None:
    downlink = media.downlink
    if participant.link is None or downlink is None:
        return None
    return downlink.room_of(participant.link.primary)


class SignalingService:
    """All rooms of this process. Every method runs on the event loop's thread and none blocks.

    Attributes:
        hooks: what others in the process are told.
        counters: drops and refusals by reason, for metrics.
    """

    def __init__(
        self,
        media: MediaServer,
        config: SignalingConfig,
        *,
        clock: Clock,
        token_bytes: Callable[[int], bytes],
        on_webhook: Callable[[WebhookEvent], None] | None = None,
    ) -> None:
        """Starts nothing.

        Args:
            token_bytes: source of randomness, such as `secrets.token_bytes`.
            on_webhook: takes every webhook event, in order.

        Raises:
            MisuseError: a configured secret is too short.
        """
        counters: Counter[str] = Counter()
        self._stills = StillSender(
            Stills(media, counters=counters),
            clock=clock,
            counters=counters,
            media_now_us=lambda: media.now_us(),
            room=lambda participant: _room_of(media, participant),
        )
        self._context = Context(
            media=media,
            config=config,
            clock=clock,
            sids=SidMaker(token_bytes),
            keys=TokenKeys(config.keys, token_bytes=config.limits.token_bytes),
            on_webhook=on_webhook or _ignore_event,
            stills=self._stills,
            counters=counters,
        )
        self._registry = RoomRegistry(self._context)
        self._room_service = RoomService(self._context, self._registry)
        self._monitor = Monitor(self._context, self._registry)
        self.hooks: Hooks = self._context.hooks
        self.counters: Counter[str] = self._context.counters

    def start(self) -> None:
        """Starts the periodic work (speakers, quality, timeouts)."""
        self._monitor.start()

    async def drain(self) -> None:
        """Refuses new joins, tells everybody to reconnect (SERVER_SHUTDOWN), ends all rooms."""
        self._registry.is_draining = True
        self._monitor.close()
        self._stills.close()
        for room in list(self._registry.rooms.values()):
            self._registry.end(room, Reason.SERVER_SHUTDOWN, Action.RECONNECT)

    # --- connections

    def authenticate(self, token: str) -> Grants:
        """Verifies an access token. Raises AuthError."""
        return self._context.keys.verify(token, now_s=self._context.clock.wall_ms() / 1000)

    def sign(self, grants: Grants) -> str:
        """Signs a token with the key that `grants` name."""
        return self._context.keys.sign(grants, now_s=self._context.clock.wall_ms() / 1000)

    def parse_join(self, query: Mapping[str, str], *, is_v1: bool) -> JoinParams:
        """Reads the query of `/rtc` or `/rtc/v1`. Raises JoinError (404 where v1 is off)."""
        if not is_v1:
            return parse_join_v0(query)
        if not self._context.config.is_single_pc_enabled:
            # Clients fall back to `/rtc` on exactly this status.
            raise JoinError("no_single_pc", "not found", http_status=404)
        bound = self._context.config.limits.join_request_bytes
        return parse_join_v1(query, inflated_bytes=bound)

    def validate(self, grants: Grants, params: JoinParams) -> None:
        """Would `open` succeed? Call before the upgrade. Raises JoinError with an HTTP status."""
        check_join(grants)
        limits = self._context.config.limits
        excess = find_excess(
            limits,
            name=grants.name,
            metadata=grants.metadata,
            attributes={**grants.attributes, **params.attributes},
        )
        if len(grants.identity.encode()) > limits.identity_bytes:
            excess = "identity"
        if excess:
            raise JoinError("too_large", f"{excess} exceeds the limit")
        self._registry.check_open(grants.video.room)
        options = parse_room_config(grants)
        if find_excess(limits, metadata=options.metadata):
            raise JoinError("too_large", "the metadata of roomConfig exceeds the limit")
        if params.is_reconnect:
            return  # it holds its seat already
        room = self._registry.find(grants.video.room)
        if room is not None and not room.has_space(grants.identity):
            raise JoinError("room_full", "the room is full", http_status=403)

    def open(self, grants: Grants, params: JoinParams, connection: Connection) -> SignalPeer:
        """Joins or resumes; the first message is sent before this returns.

        What has changed since `validate` is told to the client by a `leave`; nothing is raised.
        """
        outbox = Outbox(connection, self._context.config.limits, self.counters)
        if params.is_reconnect:
            return self._resume(grants, params, outbox)
        try:
            self.validate(grants, params)
        except JoinError:
            self.counters["join_refused"] += 1
            return self._refuse(outbox, Reason.JOIN_FAILURE, Action.DISCONNECT)
        room = self._registry.enter(grants)
        participant = membership.join(room, grants, params, outbox)
        peer = SignalPeer(room, participant, outbox)
        peer.start(params)
        return peer

    def _resume(self, grants: Grants, params: JoinParams, outbox: Outbox) -> SignalPeer:
        room = self._registry.find(grants.video.room)
        participant = membership.find_resumable(room, grants, params)
        if room is None or participant is None:
            self.counters["resume_refused"] += 1
            return self._refuse(outbox, Reason.STATE_MISMATCH, Action.RECONNECT)
        membership.resume(room, participant, params, outbox)
        return SignalPeer(room, participant, outbox)

    def _refuse(
        self, outbox: Outbox, reason: models.DisconnectReason, action: rtc.LeaveRequest.Action
    ) -> SignalPeer:
        outbox.send(build_leave(reason, action))
        outbox.close()
        return SignalPeer(None, None, outbox)

    # --- the rest of the process

    async def call(
        self,
        service: str,
        method: str,
        grants: Grants,
        body: bytes,
        *,
        is_json: bool = False,
        request_id: str = "",
    ) -> bytes:
        """One Twirp call: `service` such as "livekit.RoomService", body in, body out in the same
        encoding. Raises TwirpError."""
        return await self._room_service.call(
            service, method, grants, body, is_json=is_json, request_id=request_id
        )

    def add_local_participant(
        self,
        room_name: str,
        identity: str,
        *,
        name: str = "",
        metadata: str = "",
        attributes: Mapping[str, str] | None = None,
        kind: models.ParticipantInfo.Kind = models.ParticipantInfo.STANDARD,
        keeps_room: bool = False,
        on_closed: Callable[[], None] | None = None,
    ) -> LocalParticipant:
        """Adds a participant of this process; the room is made where needed.

        Args:
            keeps_room: the room lives as long as this participant. Otherwise the participant is
                removed with it.
            on_closed: called once it has left, for whatever reason.

        Raises:
            JoinError: the room cannot be had.
        """
        self._registry.check_open(room_name)
        room = self._registry.create(room_name)
        previous = room.participants.get(identity)
        if previous is not None:
            membership.remove(room, previous, Reason.DUPLICATE_IDENTITY)
        grants = Grants(
            api_key="",
            identity=identity,
            name=name,
            metadata=metadata,
            attributes=dict(attributes or {}),
            video=VideoGrant(room_join=True, room=room_name, can_subscribe=False),
        )
        wall_ms = self._context.clock.wall_ms()
        permission = permission_from_grant(grants.video)
        sid = self._context.sids.make("PA")
        participant = Participant(sid, grants, permission, wall_ms=wall_ms)
        participant.info.kind = kind
        room.add(participant, keeps_room=keeps_room)
        membership.activate(room, participant)
        return LocalParticipant(room, participant, on_closed)

    def set_recording(self, room_name: str, is_recording: bool) -> None:
        """Shows everyone in the room whether it is being recorded. Unknown rooms are ignored."""
        room = self._registry.find(room_name)
        if room is not None and room.info.active_recording != is_recording:
            room.info.active_recording = is_recording
            room.announce_room()

    def list_rooms(self) -> list[models.Room]:
        """All rooms of this process (live messages: copy what you keep)."""
        return [room.info for room in self._registry.rooms.values()]

    def list_participants(self, room_name: str) -> list[models.ParticipantInfo]:
        """Everybody in the room, hidden ones too; empty for an unknown room."""
        room = self._registry.find(room_name)
        return [p.info for p in room.participants.values()] if room is not None else []

    def ice_servers(self, user: str) -> list[IceServer]:
        """What a client outside the rooms (WHIP, WHEP) is told of; `user` names its quota."""
        wall_s = self._context.clock.wall_ms() / 1000
        return list_ice_servers(self._context.config, user, wall_s)

    def find_source(self, room_name: str, track_sid: str) -> Source | None:
        """The media of a published track: for WHEP viewers and recorders."""
        room = self._registry.find(room_name)
        track = room.tracks.get(track_sid) if room is not None else None
        return track.source if track is not None else None

    def list_viewable(self, room_name: str, identity: str) -> list[ViewableTrack]:
        """What a player that is no participant (WHEP) may read; empty for an unknown room."""
        room = self._registry.find(room_name)
        return list_viewable(room, identity) if room is not None else []

    def watch(self, room_name: str, viewer_id: str, media: Subscription) -> None:
        """Counts such a player as demand for what its line carries of a track."""
        room = self._registry.find(room_name)
        if room is not None:
            watch(room, viewer_id, media)

    def unwatch(self, room_name: str, viewer_id: str, media: Subscription) -> None:
        """It counts no more."""
        room = self._registry.find(room_name)
        if room is not None:
            unwatch(room, viewer_id, media)

    def snapshot(self) -> dict[str, int]:
        """Counts for metrics: rooms, participants, tracks, subscriptions."""
        rooms: list[Room] = list(self._registry.rooms.values())
        people = [p for room in rooms for p in room.participants.values()]
        return {
            "rooms": len(rooms),
            "participants": len(people),
            "tracks": sum(len(room.tracks) for room in rooms),
            "subscriptions": sum(len(p.subscriptions) for p in people),
        }
