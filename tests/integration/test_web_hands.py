"""Raising a hand over HTTP: everybody his own, in the room his token names, and nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from livekit.protocol.room import UpdateParticipantRequest
from web_fakes import API_KEY, FakeSignaling, make_token

from signaling.errors import TwirpError
from web.http.rates import RateLimit
from web.people.hands import HandRoutes
from web.server.app import build_app


class Rooms(FakeSignaling):
    """Remembers what was asked of the room service."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[UpdateParticipantRequest] = []

    async def call(self, service, method, grants, request, **_) -> bytes:
        assert (service, method) == ("livekit.RoomService", "UpdateParticipant")
        update = UpdateParticipantRequest.FromString(request)
        assert grants.video.room_admin and grants.video.room == update.room
        if update.identity == "gone":
            raise TwirpError("not_found", "participant does not exist")
        self.updates.append(update)
        return b""


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
async def client(rooms: Rooms) -> AsyncIterator[TestClient]:
    failures = RateLimit(burst=9, per_s=1, clock=time.monotonic)
    hands = HandRoutes(rooms, api_key=API_KEY, failures=failures, wall_s=lambda: 12.5)
    app = build_app(hands.operations(), [], is_behind_proxy=False)
    async with TestClient(TestServer(app)) as client:
        yield client


async def ask(client: TestClient, token: str, hand: object = "up", room: str = "r") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {"X-Requested-With": "aislecast"}
    answer = await client.post(f"/api/rooms/{room}/hand", json={"hand": hand}, headers=headers)
    return answer.status


async def test_the_own_hand_goes_up_and_down(client: TestClient, rooms: Rooms) -> None:
    token = make_token(identity="ann", room_join=True, room="r")
    assert await ask(client, token) == 204
    assert await ask(client, token, "down") == 204
    shown = [(one.room, one.identity, dict(one.attributes)) for one in rooms.updates]
    assert shown == [("r", "ann", {"hand": "12500"}), ("r", "ann", {"hand": ""})]
    assert not any(one.name or one.metadata or one.HasField("permission") for one in rooms.updates)


@pytest.mark.parametrize(
    ("token", "hand", "status"),
    [
        ("", "up", 401),
        ("rubbish", "up", 401),
        (make_token(room_join=True, room="other"), "up", 403),
        (make_token(room_admin=True, room="r"), "up", 403),
        (make_token(identity="gone", room_join=True, room="r"), "up", 404),
        (make_token(room_join=True, room="r"), "sideways", 400),
        (make_token(room_join=True, room="r"), {"identity": "bob"}, 400),
    ],
)
async def test_nobody_elses(client: TestClient, rooms: Rooms, token, hand, status) -> None:
    assert await ask(client, token, hand) == status
    assert rooms.updates == []
