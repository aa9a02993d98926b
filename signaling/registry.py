"""The rooms of this process: made, found, ended."""

from __future__ import annotations

from google.protobuf.json_format import ParseDict, ParseError
from livekit.protocol import models, rtc
from livekit.protocol.room import CreateRoomRequest, RoomConfiguration

from signaling.context import Context
from signaling.errors import JoinError
from signaling.membership import leave_all
from signaling.room import Room
from signaling.tokens import Grants

__all__ = ["RoomRegistry", "parse_room_config"]

_MAX_TIMEOUT_S = 7 * 24 * 3600


class RoomRegistry:
    """Rooms by name."""

    def __init__(self, context: Context) -> None:
        """Starts without rooms."""
        self._context = context
        self.rooms: dict[str, Room] = {}
        self.is_draining = False

    def find(self, name: str) -> Room | None:
        """The room, if it exists."""
        return self.rooms.get(name)

    def check_name(self, name: str) -> None:
        """Raises JoinError for a name that cannot be a room's."""
        if not name or len(name.encode()) > self._context.config.limits.room_name_bytes:
            raise JoinError("bad_room_name", "the room name is empty or too long")

    def check_open(self, name: str) -> None:
        """May somebody enter (and so perhaps make) this room now? Raises JoinError."""
        self.check_name(name)
        config = self._context.config
        if self.is_draining:
            raise JoinError("draining", "the server is shutting down", http_status=503)
        if name in self.rooms:
            return
        if not config.is_room_auto_created:
            raise JoinError("no_such_room", "requested room does not exist", http_status=404)
        if len(self.rooms) >= config.limits.rooms:
            raise JoinError("too_many_rooms", "the server is full", http_status=503)

    def enter(self, grants: Grants) -> Room:
        """The room of a token, made where needed with the options that the token brings.

        Raises:
            JoinError: the options are malformed.
        """
        name = grants.video.room
        return self.rooms.get(name) or self.create(name, parse_room_config(grants))

    def create(self, name: str, options: CreateRoomRequest | None = None) -> Room:
        """Makes a room, or returns the one that is there. The caller has checked.

        Args:
            options: of a new room; zeros keep the defaults.
        """
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = Room(self._context, name)
            if options is not None:
                _apply_options(room.info, options)
            room.start()
        return room

    def end(
        self,
        room: Room,
        reason: models.DisconnectReason,
        action: rtc.LeaveRequest.Action = rtc.LeaveRequest.DISCONNECT,
    ) -> None:
        """Removes everybody and ends the room. Idempotent."""
        if self.rooms.get(room.name) is room:
            del self.rooms[room.name]
        leave_all(room, reason, action)
        room.close()

    def end_empty(self) -> None:
        """Ends rooms that nobody has used for their time."""
        now_s = self._context.clock.now_s()
        for room in list(self.rooms.values()):
            if room.emptied_s is None:
                continue
            info = room.info
            wait_s = info.departure_timeout if room.has_had_people else info.empty_timeout
            if now_s - room.emptied_s >= wait_s:
                self.end(room, models.DisconnectReason.ROOM_CLOSED)


def parse_room_config(grants: Grants) -> CreateRoomRequest:
    """Reads the `roomConfig` claim; what a new room cannot use of it is ignored.

    Raises:
        JoinError: it is not a RoomConfiguration.
    """
    try:
        config = ParseDict(
            dict(grants.room_config or {}), RoomConfiguration(), ignore_unknown_fields=True
        )
    except ParseError as error:
        raise JoinError("bad_room_config", "roomConfig is malformed") from error
    return CreateRoomRequest(
        empty_timeout=config.empty_timeout,
        departure_timeout=config.departure_timeout,
        max_participants=config.max_participants,
        metadata=config.metadata,
    )


def _apply_options(info: models.Room, options: CreateRoomRequest) -> None:
    empty_s = min(options.empty_timeout, _MAX_TIMEOUT_S)
    departure_s = min(options.departure_timeout, _MAX_TIMEOUT_S)
    info.empty_timeout = empty_s or info.empty_timeout
    info.departure_timeout = departure_s or info.departure_timeout
    info.max_participants = options.max_participants or info.max_participants
    info.metadata = options.metadata
