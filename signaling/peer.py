"""One WebSocket: messages in, by kind to the module that owns the subject."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from signaling import membership, offers, publishing, subscriptions
from signaling.join import JoinParams
from signaling.metadata import handle_update_metadata
from signaling.outbox import Outbox
from signaling.participant import Participant
from signaling.ratelimit import TokenBucket
from signaling.room import Room
from signaling.simulate import handle_simulate

__all__ = ["HANDLERS", "SignalPeer"]

log = logging.getLogger(__name__)

_BYTES_PER_TOKEN = 16 * 1024

Reason = models.DisconnectReason
Action = rtc.LeaveRequest


class SignalPeer:
    """The open connection of one participant, or (without a participant) one that was refused."""

    def __init__(self, room: Room | None, participant: Participant | None, outbox: Outbox) -> None:
        """Made by `SignalingService.open`."""
        self._room = room
        self._participant = participant
        self._outbox = outbox
        self._bucket: TokenBucket | None = None
        if room is not None:
            limits = room.context.config.limits
            self._bucket = TokenBucket(
                limits.messages_per_s, limits.messages_burst, room.context.clock.now_s()
            )

    @property
    def participant_sid(self) -> str:
        """For logs; empty when the connection was refused."""
        return self._participant.sid if self._participant is not None else ""

    def start(self, params: JoinParams) -> None:
        """Takes what a join request brought along, after the `join` was sent."""
        room, participant = self._room, self._participant
        assert room is not None and participant is not None, "it was let in"
        for request in params.add_tracks:
            self._handle("add_track", request)
        if params.publisher_offer is not None:
            self._handle("offer", params.publisher_offer)
        if not params.is_single_pc and participant.link is not None:
            participant.link.start()

    def handle_message(self, data: bytes) -> None:
        """Takes one binary frame. Never raises for what the client sent."""
        room, participant = self._room, self._participant
        if room is None or participant is None or participant.outbox is not self._outbox:
            return
        counters = room.context.counters
        counters["messages"] += 1
        # A message of a megabyte takes as long to read as a hundred small ones.
        cost = 1 + len(data) / _BYTES_PER_TOKEN
        if self._bucket is not None and not self._bucket.take(room.context.clock.now_s(), cost):
            counters["closed_flooding"] += 1
            membership.remove(room, participant, Reason.PARTICIPANT_REMOVED)
            return
        if len(data) > room.context.config.limits.message_bytes:
            counters["message_too_large"] += 1
            return
        try:
            request = rtc.SignalRequest.FromString(data)
        except DecodeError:
            counters["message_malformed"] += 1
            return
        kind = request.WhichOneof("message")
        if kind is None:
            counters["message_unknown"] += 1
        else:
            self._handle(kind, getattr(request, kind))

    def _handle(self, kind: str, request: Any) -> None:
        room, participant = self._room, self._participant
        assert room is not None and participant is not None, "it was let in"
        counters = room.context.counters
        handler = HANDLERS.get(kind)
        if handler is None:
            counters["message_unknown"] += 1
            return
        try:
            handler(room, participant, request)
        except Exception:
            # Our bug: this session ends and may start anew, everybody else goes on.
            log.exception("handling %s of %r failed", kind, participant)
            counters["internal_error"] += 1
            membership.remove(room, participant, Reason.STATE_MISMATCH, action=Action.RECONNECT)

    def handle_closed(self) -> None:
        """The socket is gone. The participant stays as long as its media does. Idempotent."""
        if self._room is not None and self._participant is not None:
            membership.handle_lost(self._room, self._participant, self._outbox)
        self._outbox.detach()


def _handle_trickle(room: Room, participant: Participant, request: rtc.TrickleRequest) -> None:
    """We are ICE-lite: the client's checks tell us its addresses, its candidates are not needed."""


def _handle_leave(room: Room, participant: Participant, request: rtc.LeaveRequest) -> None:
    membership.remove(room, participant, Reason.CLIENT_INITIATED, is_silent=True)


def _handle_ping(room: Room, participant: Participant, timestamp: int) -> None:
    participant.send(pong=room.context.clock.wall_ms())


def _handle_ping_req(room: Room, participant: Participant, request: rtc.Ping) -> None:
    participant.send(
        pong_resp=rtc.Pong(
            last_ping_timestamp=request.timestamp, timestamp=room.context.clock.wall_ms()
        )
    )


def _ignore(room: Room, participant: Participant, request: object) -> None:
    """Deprecated or optional: nothing to do, nothing to answer."""


def _refuse_data_track(
    room: Room, participant: Participant, request: rtc.PublishDataTrackRequest
) -> None:
    participant.send(
        request_response=rtc.RequestResponse(
            reason=rtc.RequestResponse.UNSUPPORTED_TYPE,
            message="data tracks are not supported",
            publish_data_track=request,
        )
    )


Handler = Callable[[Room, Participant, Any], None]

# Every message a client may send, by its field name in SignalRequest. PROTOCOL.md lists the same.
HANDLERS: dict[str, Handler] = {
    "offer": offers.take_offer,
    "answer": offers.take_answer,
    "trickle": _handle_trickle,
    "add_track": offers.take_add_track,
    "mute": publishing.handle_mute,
    "subscription": subscriptions.handle_subscription,
    "track_setting": subscriptions.handle_track_setting,
    "leave": _handle_leave,
    "update_layers": _ignore,
    "subscription_permission": subscriptions.handle_permission_rule,
    "sync_state": membership.sync,
    "simulate": handle_simulate,
    "ping": _handle_ping,
    "update_metadata": handle_update_metadata,
    "ping_req": _handle_ping_req,
    "update_audio_track": publishing.handle_update_audio,
    "update_video_track": publishing.handle_update_video,
    "publish_data_track_request": _refuse_data_track,
    "unpublish_data_track_request": _ignore,
    "update_data_subscription": _ignore,
    "store_data_blob_request": _ignore,
    "get_data_blob_request": _ignore,
}
