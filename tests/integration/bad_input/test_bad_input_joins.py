"""Who must not get in, and requests to get in that cannot be meant."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time

import aiohttp
import jwt
import pytest
from livekit.protocol import models, rtc
from testkit.hostile import open_signal
from testkit.server import KEY, SECRET, AislecastServer

MANY = 60


def make_token(secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    claims = {
        "iss": KEY,
        "sub": "mallory",
        "exp": int(time.time()) + 600,
        "video": {"roomJoin": True, "room": "aisle"},
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, secret, algorithm=algorithm)


GOOD_TOKEN = make_token()
BAD_TOKENS = {
    "none": "",
    "rubbish": "not.a.token",
    "long": "x" * 20_000,
    "expired": make_token(exp=int(time.time()) - 3600),
    "never expires": make_token(exp=None),
    "not yet": make_token(nbf=int(time.time()) + 3600),
    "endless": make_token(exp=float("inf")),
    "no number": make_token(exp=float("nan")),
    "wrong secret": make_token("another-secret-that-is-long-enough-x"),
    "wrong key": make_token(iss="somebody-else"),
    "no key": make_token(iss=None),
    "unsigned": jwt.encode(
        {"iss": KEY, "sub": "m", "exp": 2**33, "video": {"roomJoin": True, "room": "aisle"}},
        None,
        algorithm="none",
    ),
    "other algorithm": make_token(2 * SECRET, algorithm="HS512"),
    "no grant": make_token(video={"room": "aisle"}),
    "grant is a list": make_token(video=[1]),
    "grant is a text": make_token(video={"roomJoin": "yes", "room": "aisle"}),
    "cut": GOOD_TOKEN[:-3],
    "changed": GOOD_TOKEN[:60] + ("A" if GOOD_TOKEN[60] != "A" else "B") + GOOD_TOKEN[61:],
    "control characters": "a\r\nb.c.d",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_bad_tokens_open_nothing(server: AislecastServer, name: str) -> None:
    token = BAD_TOKENS[name]
    async with aiohttp.ClientSession() as session:
        for path in ("/rtc/validate", "/rtc/v1/validate"):
            query = {"access_token": token, "protocol": "16", "join_request": join_request()}
            async with session.get(server.url + path, params=query) as answer:
                assert answer.status in (401, 429), (answer.status, await answer.text())
                text = await answer.text()
                assert len(text) < 300
                assert not token or token not in text
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(server.ws_url + "/rtc", params=query)
        assert caught.value.status in (401, 429)
    assert len(token) < 8 or token not in server.output


async def test_many_bad_tokens_lock_no_good_one_out(server: AislecastServer, counts) -> None:
    async with aiohttp.ClientSession() as session:
        statuses = set()
        for _ in range(MANY):
            query = {"access_token": BAD_TOKENS["wrong secret"], "protocol": "16"}
            async with session.get(f"{server.url}/rtc/validate", params=query) as answer:
                statuses.add(answer.status)
        assert statuses <= {401, 429}
        assert 429 in statuses
        assert counts["failed_tries_refused"] > 0
        # A colleague behind the same address.
        query["access_token"] = server.token("colleague", "aisle")
        async with session.get(f"{server.url}/rtc/validate", params=query) as answer:
            assert (answer.status, await answer.text()) == (200, "success")


async def test_a_token_for_one_room_opens_no_other(server: AislecastServer) -> None:
    token = server.token("mallory", "my-room", room_admin=True)
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {token}"}
        for method, body in (
            ("ListParticipants", {"room": "aisle"}),
            ("RemoveParticipant", {"room": "aisle", "identity": "ann"}),
            ("SendData", {"room": "aisle", "data": "AAAA"}),
            ("DeleteRoom", {"room": "aisle"}),
            ("ListRooms", {}),
            ("UpdateRoomMetadata", {"room": "aisle", "metadata": "mine"}),
        ):
            url = f"{server.url}/twirp/livekit.RoomService/{method}"
            async with session.post(url, json=body, headers=headers) as answer:
                assert answer.status in (401, 403), method
        for path in ("/whip/aisle", "/whep/aisle"):
            headers["Content-Type"] = "application/sdp"
            async with session.post(server.url + path, data="v=0\r\n", headers=headers) as answer:
                assert answer.status == 403, path
    async with open_signal(server, token) as signal:
        join = await signal.receive("join")
        assert join is not None
        assert join.join.room.name == "my-room"
        assert not join.join.other_participants


def join_request(request: rtc.JoinRequest | None = None) -> str:
    request = request or rtc.JoinRequest(client_info=models.ClientInfo(protocol=17))
    wrapped = rtc.WrappedJoinRequest(join_request=request.SerializeToString())
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


def gzipped(data: bytes) -> str:
    wrapped = rtc.WrappedJoinRequest(
        compression=rtc.WrappedJoinRequest.GZIP, join_request=gzip.compress(data)
    )
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


BAD_REQUESTS = {
    "missing": "",
    "no base64": "%%%",
    "no protobuf": base64.urlsafe_b64encode(b"\xff" * 40).decode(),
    "bomb": gzipped(bytes(20_000_000)),
    "cut gzip": gzipped(bytes(1000))[:-12],
    "no gzip": base64.urlsafe_b64encode(
        rtc.WrappedJoinRequest(
            compression=rtc.WrappedJoinRequest.GZIP, join_request=b"plain"
        ).SerializeToString()
    ).decode(),
    "old protocol": join_request(rtc.JoinRequest(client_info=models.ClientInfo(protocol=1))),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
async def test_bad_join_requests(server: AislecastServer, name: str) -> None:
    query = {"access_token": server.token("mallory"), "join_request": BAD_REQUESTS[name]}
    async with aiohttp.ClientSession() as session:
        started_s = time.monotonic()
        async with session.get(f"{server.url}/rtc/v1/validate", params=query) as answer:
            assert answer.status == 400, await answer.text()
        assert time.monotonic() - started_s < 2
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(server.ws_url + "/rtc/v1", params=query)
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "query",
    [
        {"protocol": "-1"},
        {"protocol": "9" * 5000},
        {"protocol": "16", "attributes": base64.b64encode(b"[" * 5000).decode()},
        {"protocol": "16", "attributes": base64.b64encode(b'{"a":1}').decode()},
    ],
    ids=["negative", "huge", "deep", "no text"],
)
async def test_bad_parameters(server: AislecastServer, query: dict[str, str]) -> None:
    query = {"access_token": server.token("mallory"), **query}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}/rtc/validate", params=query) as answer:
            assert answer.status == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "x" * 5000},
        {"metadata": "m" * 8000, "name": "n" * 3000},
        {"video": {"roomJoin": True, "room": "r" * 3000}},
        {"sub": ""},
        {"video": {"roomJoin": True, "room": ""}},
    ],
    ids=["identity", "name", "room", "nobody", "nowhere"],
)
async def test_claims_beyond_bounds(server: AislecastServer, changes: dict[str, object]) -> None:
    query = {"access_token": make_token(**changes), "protocol": "16"}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}/rtc/validate", params=query) as answer:
            assert answer.status == 400, await answer.text()


async def test_a_thousand_rooms_by_one_key(server: AislecastServer) -> None:
    """Rooms are cheap; those that nobody stays in cost nothing for long."""
    before = server.metrics()
    token = make_token(video={"roomCreate": True, "roomList": True})
    headers = {"Authorization": f"Bearer {token}"}
    base = f"{server.url}/twirp/livekit.RoomService"
    async with aiohttp.ClientSession(headers=headers) as session:

        async def make(number: int) -> int:
            body = {"name": f"many-{number}", "emptyTimeout": 1}
            async with session.post(f"{base}/CreateRoom", json=body) as answer:
                return answer.status

        for start in range(0, 1000, 50):
            found = await asyncio.gather(*(make(number) for number in range(start, start + 50)))
            assert set(found) == {200}
        assert server.metrics()["aislecast_rooms"] >= before["aislecast_rooms"] + 900
        grown = server.metrics()["process_resident_memory_bytes"]
        assert grown - before["process_resident_memory_bytes"] < 30e6
        async with asyncio.timeout(20):
            while server.metrics()["aislecast_rooms"] > before["aislecast_rooms"] + 1:
                await asyncio.sleep(0.1)
