"""Stand-ins for the parts behind the HTTP server, for tests of the routes alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from livekit.protocol import models, rtc

from signaling.errors import JoinError, TwirpError
from signaling.join import JoinParams, parse_join_v0, parse_join_v1
from signaling.service import Hooks
from signaling.tokens import Grants, TokenKeys, VideoGrant

API_KEY = "testkey"
API_SECRET = "test-secret-of-at-least-32-characters"


def make_token(*, identity: str = "ann", ttl_s: int = 600, secret: str = API_SECRET, **video: Any):
    """Sign a token as an integrator's own program would."""
    grants = Grants(
        api_key=API_KEY,
        identity=identity,
        video=VideoGrant(**video),
        expires_s=int(time.time()) + ttl_s,
    )
    return TokenKeys({API_KEY: secret}).sign(grants, now_s=time.time())


class FakePeer:
    """Answers every message with itself."""

    def __init__(self, connection: Any, service: FakeSignaling) -> None:
        self.connection = connection
        self.service = service
        self.messages: list[bytes] = []
        self.is_closed = False

    def handle_message(self, data: bytes) -> None:
        self.messages.append(data)
        if data == b"bug":
            raise RuntimeError("a bug")
        if data == b"close":
            self.connection.close(1000)
        elif data == b"flood":
            for _ in range(200):
                self.connection.send(bytes(100_000))
            if self.connection.unsent_bytes > 1_000_000:
                self.connection.close(1013)
        else:
            self.connection.send(data)

    def handle_closed(self) -> None:
        self.is_closed = True


@dataclass
class FakeLocalParticipant:
    room: str
    identity: str
    attributes: dict[str, str]
    on_closed: Callable[[], None] | None
    sid: str = "PA_local"
    tracks: list[models.TrackInfo] = field(default_factory=list)
    is_closed: bool = False

    def publish(self, source: Any, info: models.TrackInfo) -> models.TrackInfo:
        self.tracks.append(info)
        return info

    def update(self, *, attributes: Mapping[str, str] | None = None, **_: Any) -> None:
        self.attributes.update(attributes or {})

    def close(self) -> None:
        self.is_closed = True


class FakeSignaling:
    """The face of `SignalingService` that web uses; rooms are what a test says they are."""

    def __init__(self, *, is_v1_on: bool = True) -> None:
        self.keys = TokenKeys({API_KEY: API_SECRET})
        self.hooks = Hooks()
        self.counters = {"joins": 1}
        self.rooms: dict[str, models.Room] = {}
        self.peers: list[FakePeer] = []
        self.locals: list[FakeLocalParticipant] = []
        self.calls: list[tuple[str, str, bytes, bool, str]] = []
        self.recording: dict[str, bool] = {}
        self.sources: dict[str, Any] = {}
        self.participants: dict[str, list[models.ParticipantInfo]] = {}
        self.is_v1_on = is_v1_on

    def authenticate(self, token: str) -> Grants:
        return self.keys.verify(token, now_s=time.time())

    def sign(self, grants: Grants) -> str:
        return self.keys.sign(grants, now_s=time.time())

    def parse_join(self, query: Mapping[str, str], *, is_v1: bool) -> JoinParams:
        if is_v1 and not self.is_v1_on:
            raise JoinError("no_v1", "not here", http_status=404)
        return parse_join_v1(query) if is_v1 else parse_join_v0(query)

    def validate(self, grants: Grants, params: JoinParams) -> None:
        if not grants.video.room_join:
            raise JoinError("no_join_grant", "no permission to join", http_status=401)

    def open(self, grants: Grants, params: JoinParams, connection: Any) -> FakePeer:
        peer = FakePeer(connection, self)
        self.peers.append(peer)
        connection.send(rtc.SignalResponse(join=rtc.JoinResponse()).SerializeToString())
        return peer

    async def call(
        self,
        service: str,
        method: str,
        grants: Grants,
        request: bytes,
        *,
        is_json: bool = False,
        request_id: str = "",
    ) -> bytes:
        self.calls.append((service, method, request, is_json, request_id))
        if method == "Broken":
            raise RuntimeError("a bug that names token=abcdefgh")
        if not grants.video.room_list:
            raise TwirpError("permission_denied", "no room_list")
        return b"{}" if is_json else b""

    def add_local_participant(
        self,
        room_name: str,
        identity: str,
        *,
        attributes: Mapping[str, str] | None = None,
        on_closed: Callable[[], None] | None = None,
        **_: Any,
    ) -> FakeLocalParticipant:
        participant = FakeLocalParticipant(room_name, identity, dict(attributes or {}), on_closed)
        self.locals.append(participant)
        return participant

    def set_recording(self, room_name: str, is_recording: bool) -> None:
        self.recording[room_name] = is_recording
        if room_name in self.rooms:
            self.rooms[room_name].active_recording = is_recording

    def list_rooms(self) -> list[models.Room]:
        return list(self.rooms.values())

    def list_participants(self, room_name: str) -> list[models.ParticipantInfo]:
        return self.participants.get(room_name, [])

    def find_source(self, room_name: str, track_sid: str) -> Any:
        return self.sources.get(track_sid)

    def snapshot(self) -> dict[str, int]:
        return {"rooms": len(self.rooms), "participants": 2}

    def add_room(self, name: str) -> models.Room:
        """Make a room live, as the first join does."""
        room = models.Room(name=name, sid=f"RM_{name}", creation_time=1_700_000_000)
        room.num_participants = 1
        self.rooms[name] = room
        for hook in self.hooks.on_room_started:
            hook(room)
        return room

    def end_room(self, name: str) -> None:
        """End a room."""
        room = self.rooms.pop(name)
        for hook in self.hooks.on_room_finished:
            hook(room)
