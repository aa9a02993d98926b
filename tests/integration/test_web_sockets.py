"""`/rtc`: who is let in, framing, flow control, clients that misbehave."""

from __future__ import annotations

import asyncio
import base64
import time

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from livekit.protocol import models, rtc
from web_fakes import FakeSignaling, make_token

from web.http.rates import RateLimit
from web.rtc.routes import MAX_MESSAGE_BYTES, RtcRoutes
from web.server.app import MAX_LINE_BYTES, build_app, build_runner

GOOD = {"protocol": "16"}


class Rig:
    def __init__(self, client: TestClient, signaling: FakeSignaling, routes: RtcRoutes) -> None:
        self.client = client
        self.signaling = signaling
        self.routes = routes

    async def connect(self, path: str = "/rtc", **more: object) -> aiohttp.ClientWebSocketResponse:
        query = {**GOOD, "access_token": make_token(room_join=True, room="r")}
        return await self.client.ws_connect(path, params={**query, **more})


@pytest.fixture
async def rig():
    signaling = FakeSignaling()
    routes = RtcRoutes(
        signaling,
        failures=RateLimit(burst=5, per_s=0.001, clock=time.monotonic),
        now_s=time.monotonic,
    )
    app = build_app(routes.operations(), [], is_behind_proxy=False)
    server = TestServer(app)
    limits = {"max_line_size": MAX_LINE_BYTES, "max_field_size": MAX_LINE_BYTES}
    await server.start_server(**limits)
    async with TestClient(server) as client:
        yield Rig(client, signaling, routes)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_upgrade_carries_no_header_that_nobody_needs(rig: Rig) -> None:
    """With `join` and `answer` behind it, it has to fit three packets."""
    async with rig.client.get(
        "/rtc",
        params={**GOOD, "access_token": make_token(room_join=True, room="r")},
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        },
    ) as answer:
        assert answer.status == 101
        assert sorted(answer.headers) == ["Connection", "Sec-WebSocket-Accept", "Upgrade"]


async def test_join_answer_comes_first_and_frames_go_both_ways(rig: Rig) -> None:
    ws = await rig.connect()
    first = rtc.SignalResponse.FromString(await ws.receive_bytes())
    assert first.WhichOneof("message") == "join"
    for number in range(100):
        await ws.send_bytes(b"m%d" % number)
    assert [await ws.receive_bytes() for _ in range(100)] == [b"m%d" % n for n in range(100)]
    assert rig.routes.num_open == 1
    await ws.close()
    await until(lambda: rig.signaling.peers[0].is_closed and rig.routes.num_open == 0)


async def test_token_in_the_header_wins_over_the_query(rig: Rig) -> None:
    token = make_token(room_join=True, room="r")
    ws = await rig.client.ws_connect(
        "/rtc",
        params={**GOOD, "access_token": "rubbish"},
        headers={"Authorization": f"Bearer {token}"},
    )
    await ws.receive_bytes()
    await ws.close()


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("", 401),
        ("rubbish", 401),
        ("a.b.c", 401),
        (make_token(room_join=True, room="r", secret="x" * 40), 401),
        (make_token(room_join=True, room="r", ttl_s=-3600), 401),
        (make_token(room="r"), 401),
        ("x" * 20_000, 401),
    ],
)
async def test_bad_tokens_are_refused_before_the_upgrade(rig: Rig, token: str, status: int) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await rig.client.ws_connect("/rtc", params={**GOOD, "access_token": token})
    assert caught.value.status == status
    answer = await rig.client.get("/rtc/validate", params={**GOOD, "access_token": token})
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (token or "-") not in await answer.text()
    assert rig.signaling.peers == []


@pytest.mark.parametrize(
    "query",
    [
        {"protocol": "3"},
        {"protocol": "x"},
        {"protocol": "16", "reconnect_reason": "-1"},
        {"protocol": "16", "attributes": "!!"},
    ],
)
async def test_bad_arguments_are_400(rig: Rig, query: dict[str, str]) -> None:
    query["access_token"] = make_token(room_join=True, room="r")
    assert (await rig.client.get("/rtc/validate", params=query)).status == 400


def join_request(size: int = 0) -> str:
    inner = rtc.JoinRequest(
        client_info=models.ClientInfo(protocol=17, os="x" * size),
    ).SerializeToString()
    wrapped = rtc.WrappedJoinRequest(join_request=inner).SerializeToString()
    return base64.urlsafe_b64encode(wrapped).decode()


async def test_a_long_join_request_fits_into_the_address(rig: Rig) -> None:
    token = make_token(room_join=True, room="r")
    query = {"access_token": token, "join_request": join_request(45_000)}
    ws = await rig.client.ws_connect("/rtc/v1", params=query)
    await ws.receive_bytes()
    await ws.close()


@pytest.mark.parametrize("request_text", ["", "!!!", "AAAA", "x" * 1000])
async def test_a_bad_join_request_is_400(rig: Rig, request_text: str) -> None:
    query = {
        "access_token": make_token(room_join=True, room="r"),
        "join_request": request_text,
    }
    assert (await rig.client.get("/rtc/v1/validate", params=query)).status == 400


async def test_too_long_a_request_line_is_refused(rig: Rig) -> None:
    answer = await rig.client.get("/rtc/v1/validate", params={"join_request": "x" * 200_000})
    assert answer.status in (400, 414)


async def test_v1_switched_off_is_404_so_that_clients_fall_back(rig: Rig) -> None:
    rig.signaling.is_v1_on = False
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await rig.connect("/rtc/v1")
    assert caught.value.status == 404


async def test_plain_http_is_404(rig: Rig) -> None:
    token = make_token(room_join=True, room="r")
    answer = await rig.client.get("/rtc", params={**GOOD, "access_token": token})
    assert answer.status == 404


async def test_validate_says_success(rig: Rig) -> None:
    query = {**GOOD, "access_token": make_token(room_join=True, room="r")}
    answer = await rig.client.get("/rtc/validate", params=query)
    assert (answer.status, await answer.text()) == (200, "success")


async def test_guessing_tokens_is_slowed_down_per_caller(rig: Rig) -> None:
    for _ in range(5):
        assert (await rig.client.get("/rtc/validate", params=GOOD)).status == 401
    assert (await rig.client.get("/rtc/validate", params=GOOD)).status == 429


async def test_a_message_that_is_too_large_ends_the_socket(rig: Rig) -> None:
    ws = await rig.connect()
    await ws.receive_bytes()
    await ws.send_bytes(bytes(MAX_MESSAGE_BYTES + 1))
    message = await ws.receive()
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert message.data == 1009
    await until(lambda: rig.signaling.peers[0].is_closed)


async def test_text_frames_are_refused(rig: Rig) -> None:
    ws = await rig.connect()
    await ws.receive_bytes()
    await ws.send_str("{}")
    assert (await ws.receive()).data == 1003


async def test_what_is_queued_is_sent_before_a_normal_close(rig: Rig) -> None:
    ws = await rig.connect()
    await ws.receive_bytes()
    await ws.send_bytes(b"last words")
    await ws.send_bytes(b"close")
    assert await ws.receive_bytes() == b"last words"
    assert (await ws.receive()).data == 1000


async def test_a_client_that_never_reads_is_cut(rig: Rig) -> None:
    ws = await rig.connect()
    await ws.send_bytes(b"flood")
    await until(lambda: rig.routes.num_open == 0)
    assert rig.signaling.peers[0].is_closed
    assert rig.signaling.peers[0].connection.unsent_bytes == 0
    await ws.close()


@pytest.mark.alone
async def test_ten_thousand_messages_do_not_starve_others(rig: Rig) -> None:
    noisy = await rig.connect()
    calm = await rig.connect()
    await calm.receive_bytes()

    async def drain() -> None:
        while (await noisy.receive()).type is aiohttp.WSMsgType.BINARY:
            pass

    reader = asyncio.create_task(drain())
    flood = asyncio.create_task(_send_many(noisy, 10_000))
    slowest_s = 0.0
    for _ in range(20):
        sent_s = time.monotonic()
        await calm.send_bytes(b"ping")
        await calm.receive_bytes()
        slowest_s = max(slowest_s, time.monotonic() - sent_s)
    await flood
    await noisy.close()
    await reader
    assert slowest_s < 1.0


async def _send_many(ws: aiohttp.ClientWebSocketResponse, count: int) -> None:
    for _ in range(count):
        await ws.send_bytes(b"x" * 50)


async def test_a_cut_line_is_noticed(rig: Rig) -> None:
    ws = await rig.connect()
    await ws.receive_bytes()
    assert ws._writer.transport is not None
    ws._writer.transport.abort()
    await until(lambda: rig.signaling.peers[0].is_closed)


async def test_a_bug_ends_one_connection_only(rig: Rig) -> None:
    broken, other = await rig.connect(), await rig.connect()
    await broken.receive_bytes()
    await other.receive_bytes()
    await broken.send_bytes(b"bug")
    assert (await broken.receive()).data == 1011
    await other.send_bytes(b"still here")
    assert await other.receive_bytes() == b"still here"
    assert rig.routes.counters["rtc_failed"] == 1


async def test_pings_are_answered(rig: Rig) -> None:
    ws = await rig.client.ws_connect(
        "/rtc",
        params={**GOOD, "access_token": make_token(room_join=True, room="r")},
        autoping=False,
    )
    await ws.receive_bytes()
    await ws.ping(b"are you there")
    message = await ws.receive()
    assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"are you there")
    await ws.close()


def test_the_runner_never_logs_requests() -> None:
    app = build_app([], [], is_behind_proxy=False)
    runner = build_runner(app)
    assert runner._kwargs["access_log"] is None
    assert runner._kwargs["max_line_size"] >= 64 * 1024
