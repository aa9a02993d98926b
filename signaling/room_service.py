"""The server API: livekit.RoomService, as pure calls. HTTP is the caller's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError, Message
from livekit.protocol import egress, ingress, models, rtc
from livekit.protocol import room as pb

from signaling import data, publishing, subscriptions
from signaling import metadata as _metadata
from signaling.context import Context
from signaling.errors import JoinError, TwirpError
from signaling.membership import remove
from signaling.metadata import find_excess, merge_attributes
from signaling.participant import Participant
from signaling.registry import RoomRegistry
from signaling.rights import check_call
from signaling.room import Room
from signaling.tokens import Grants

__all__ = ["RoomService"]

# Clients repeat a call under the same request id after a lost answer.
_MAX_REMEMBERED = 1024
_REMEMBERED_S = 60.0
_MAX_TOPIC_BYTES = 256

# API key, request id, method, body
_CallKey = tuple[str, str, str, bytes]

# Lists of things we never have: an empty answer serves dashboards better than an error.
_EMPTY_LISTS: dict[tuple[str, str], tuple[type[Message], type[Message]]] = {
    ("livekit.Egress", "ListEgress"): (egress.ListEgressRequest, egress.ListEgressResponse),
    ("livekit.Ingress", "ListIngress"): (ingress.ListIngressRequest, ingress.ListIngressResponse),
}


class RoomService:
    """Answers Twirp calls."""

    def __init__(self, context: Context, registry: RoomRegistry) -> None:
        """Works on the registry's rooms."""
        self._context = context
        self._registry = registry
        self._answers: OrderedDict[_CallKey, tuple[float, Message]] = OrderedDict()
        self._methods: dict[str, tuple[type[Message], Callable[[Any], Message]]] = {
            "CreateRoom": (pb.CreateRoomRequest, self._create_room),
            "ListRooms": (pb.ListRoomsRequest, self._list_rooms),
            "DeleteRoom": (pb.DeleteRoomRequest, self._delete_room),
            "ListParticipants": (pb.ListParticipantsRequest, self._list_participants),
            "GetParticipant": (pb.RoomParticipantIdentity, self._get_participant),
            "RemoveParticipant": (pb.RoomParticipantIdentity, self._remove_participant),
            "MutePublishedTrack": (pb.MuteRoomTrackRequest, self._mute_track),
            "UpdateParticipant": (pb.UpdateParticipantRequest, self._update_participant),
            "UpdateSubscriptions": (pb.UpdateSubscriptionsRequest, self._update_subscriptions),
            "SendData": (pb.SendDataRequest, self._send_data),
            "UpdateRoomMetadata": (pb.UpdateRoomMetadataRequest, self._update_room_metadata),
        }

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
        """One call, body in and body out in the same encoding.

        Raises:
            TwirpError: with its code; the answer body is `to_json()`.
        """
        request_type, handler = self._find(service, method)
        request = _parse(request_type, body, is_json=is_json)
        # CreateRoom and DeleteRoom need a grant, not a grant for that room.
        check_call(grants, service, method, getattr(request, "room", ""))
        # The body is part of it: a request id must never fetch the answer to another question.
        key = (grants.api_key, request_id, method, body)
        answer = self._recall(key) if request_id else None
        if answer is None:
            answer = handler(request)
            if request_id:
                self._remember(key, answer)
        if is_json:
            return MessageToJson(answer, indent=None, ensure_ascii=False).encode()
        return answer.SerializeToString()

    def _find(self, service: str, method: str) -> tuple[type[Message], Callable[[Any], Message]]:
        if service == "livekit.RoomService" and method in self._methods:
            return self._methods[method]
        if (empty := _EMPTY_LISTS.get((service, method))) is not None:
            request_type, response_type = empty
            return request_type, lambda _request: response_type()
        if service.startswith("livekit."):
            raise TwirpError("unimplemented", f"{service}/{method} is not offered here")
        raise TwirpError("bad_route", f"no service {service[:80]}")

    def _recall(self, key: _CallKey) -> Message | None:
        found = self._answers.get(key)
        if found is None or self._context.clock.now_s() - found[0] > _REMEMBERED_S:
            return None
        return found[1]

    def _remember(self, key: _CallKey, answer: Message) -> None:
        copy = type(answer)()
        copy.CopyFrom(answer)
        self._answers[key] = (self._context.clock.now_s(), copy)
        while len(self._answers) > _MAX_REMEMBERED:
            self._answers.popitem(last=False)

    # --- rooms

    def _create_room(self, request: pb.CreateRoomRequest) -> models.Room:
        self._check_size(metadata=request.metadata)
        existing = self._registry.find(request.name)
        try:
            self._registry.check_name(request.name)
            if self._registry.is_draining:
                raise TwirpError("unavailable", "the server is shutting down")
        except JoinError as error:
            raise TwirpError("invalid_argument", error.message) from error
        if existing is not None:
            return existing.info
        if len(self._registry.rooms) >= self._context.config.limits.rooms:
            raise TwirpError("resource_exhausted", "too many rooms")
        return self._registry.create(request.name, request).info

    def _list_rooms(self, request: pb.ListRoomsRequest) -> pb.ListRoomsResponse:
        names = set(request.names)
        rooms = self._registry.rooms.values()
        return pb.ListRoomsResponse(
            rooms=[room.info for room in rooms if not names or room.name in names]
        )

    def _delete_room(self, request: pb.DeleteRoomRequest) -> pb.DeleteRoomResponse:
        self._registry.end(self._room(request.room), models.DisconnectReason.ROOM_DELETED)
        return pb.DeleteRoomResponse()

    def _update_room_metadata(self, request: pb.UpdateRoomMetadataRequest) -> models.Room:
        room = self._room(request.room)
        self._check_size(metadata=request.metadata)
        room.info.metadata = request.metadata
        room.announce_room()
        return room.info

    # --- participants

    def _list_participants(
        self, request: pb.ListParticipantsRequest
    ) -> pb.ListParticipantsResponse:
        room = self._registry.find(request.room)
        people = room.participants.values() if room is not None else []
        return pb.ListParticipantsResponse(participants=[p.info for p in people])

    def _get_participant(self, request: pb.RoomParticipantIdentity) -> models.ParticipantInfo:
        return self._participant(request)[1].info

    def _remove_participant(
        self, request: pb.RoomParticipantIdentity
    ) -> pb.RemoveParticipantResponse:
        room, participant = self._participant(request)
        remove(room, participant, models.DisconnectReason.PARTICIPANT_REMOVED)
        return pb.RemoveParticipantResponse()

    def _mute_track(self, request: pb.MuteRoomTrackRequest) -> pb.MuteRoomTrackResponse:
        room, participant = self._participant(request)
        track = participant.tracks.get(request.track_sid)
        if track is None:
            raise TwirpError("not_found", "track does not exist")
        is_unmuting = not request.muted and track.info.muted
        if is_unmuting and not self._context.config.is_remote_unmute_allowed:
            # Nobody's microphone or camera is switched on from afar.
            raise TwirpError("failed_precondition", "remote unmute not enabled")
        participant.send(mute=rtc.MuteTrackRequest(sid=track.sid, muted=request.muted))
        publishing.set_muted(room, participant, track, request.muted)
        return pb.MuteRoomTrackResponse(track=track.info)

    def _update_participant(self, request: pb.UpdateParticipantRequest) -> models.ParticipantInfo:
        room, participant = self._participant(request)
        merged = merge_attributes(participant.info.attributes, request.attributes)
        self._check_size(name=request.name, metadata=request.metadata, attributes=merged)
        if request.HasField("permission"):
            participant.info.permission.CopyFrom(request.permission)
            publishing.enforce_permission(room, participant)
            subscriptions.reconcile_participant(room, participant)
        _metadata.apply(
            room,
            participant,
            name=request.name or None,
            metadata=request.metadata or None,
            attributes=request.attributes,
        )
        return participant.info

    def _update_subscriptions(
        self, request: pb.UpdateSubscriptionsRequest
    ) -> pb.UpdateSubscriptionsResponse:
        room, participant = self._participant(request)
        update = rtc.UpdateSubscription(
            track_sids=request.track_sids,
            subscribe=request.subscribe,
            participant_tracks=request.participant_tracks,
        )
        subscriptions.handle_subscription(room, participant, update)
        return pb.UpdateSubscriptionsResponse()

    def _send_data(self, request: pb.SendDataRequest) -> pb.SendDataResponse:
        room = self._room(request.room)
        limit = self._context.config.limits.data_payload_bytes
        if len(request.data) > limit or len(request.topic.encode()) > _MAX_TOPIC_BYTES:
            raise TwirpError("invalid_argument", "data or topic is too large")
        packet = models.DataPacket(
            kind=request.kind,
            destination_identities=request.destination_identities,
            user=models.UserPacket(
                payload=request.data,
                topic=request.topic,
                nonce=request.nonce,
                destination_identities=request.destination_identities,
                destination_sids=request.destination_sids,
            ),
        )
        data.deliver(room, packet, sender=None)
        return pb.SendDataResponse()

    # --- shared

    def _room(self, name: str) -> Room:
        room = self._registry.find(name)
        if room is None:
            raise TwirpError("not_found", "requested room does not exist")
        return room

    def _participant(self, request: Any) -> tuple[Room, Participant]:
        room = self._registry.find(request.room)
        participant = room.participants.get(request.identity) if room is not None else None
        if room is None or participant is None:
            raise TwirpError("not_found", "participant does not exist")
        return room, participant

    def _check_size(self, **fields: Any) -> None:
        excess = find_excess(self._context.config.limits, **fields)
        if excess:
            raise TwirpError("invalid_argument", f"{excess} exceeds the limit")


def _parse(request_type: type[Message], body: bytes, *, is_json: bool) -> Message:
    try:
        if is_json:
            return Parse(body or b"{}", request_type(), ignore_unknown_fields=True)
        return request_type.FromString(body)
    except (DecodeError, ParseError, UnicodeDecodeError, RecursionError) as error:
        raise TwirpError("malformed", "the request could not be decoded") from error
