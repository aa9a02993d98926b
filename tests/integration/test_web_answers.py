"""What every address answers: to wrong bodies, faults and strange hosts; and RoomService."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from web_fakes import make_token
from web_rig import OURS, Rig, run_rig

from web.http import bodies


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with run_rig(tmp_path) as made:
        yield made


async def test_wrong_bodies_get_plain_words(rig: Rig) -> None:
    await rig.sign_in()
    for body, content_type, status in (
        (b"{", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"title=x", "application/x-www-form-urlencoded", 415),
        (b" " * 70_000, "application/json", 413),
    ):
        answer = await rig.client.post(
            "/api/rooms", data=body, headers={**OURS, "Content-Type": content_type}
        )
        assert answer.status == status, body[:10]
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["message"]


async def test_a_body_without_a_length_is_bounded_too(rig: Rig) -> None:
    await rig.sign_in()

    async def endless():
        for _ in range(1000):
            yield b" " * 1000

    headers = {**OURS, "Content-Type": "application/json"}
    answer = await rig.client.post("/api/rooms", data=endless(), headers=headers)
    assert answer.status == 413


async def test_a_body_that_never_ends_is_given_up(rig: Rig, monkeypatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.1)
    await rig.sign_in()

    async def stuck():
        yield b"{"
        await asyncio.sleep(5)

    headers = {**OURS, "Content-Type": "application/json"}
    answer = await rig.client.post("/api/rooms", data=stuck(), headers=headers)
    assert (answer.status, (await answer.json())["code"]) == (408, "too_slow")


async def test_unknown_addresses_and_faults_are_problems_without_internals(rig: Rig) -> None:
    for method, path, status in (
        ("GET", "/api/none", 404),
        ("PUT", "/api/rooms", 405),
        ("GET", "/api/faulty", 500),
    ):
        got, answer = await rig.call(method, path)
        assert got == status
        assert answer["code"]
        assert "internals" not in str(answer)


async def test_every_answer_has_security_headers(rig: Rig) -> None:
    for path in ("/api/rooms", "/api/none", "/nowhere"):
        headers = (await rig.client.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers
    assert (await rig.client.get("/api/none")).headers["Cache-Control"] == "no-store"


async def test_a_strange_host_header_does_not_get_into_the_policy(rig: Rig) -> None:
    answer = await rig.client.get("/api/rooms", headers={"Host": "x;script-src *"})
    assert "script-src *" not in answer.headers.get("Content-Security-Policy", "")


async def test_api_clients_find_the_server_at_the_root(rig: Rig) -> None:
    for method in ("GET", "HEAD"):
        answer = await rig.client.request(method, "/")
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert await (await rig.client.get("/")).text() == "OK"
    preflight = await rig.client.options(
        "/twirp/livekit.RoomService/ListRooms",
        headers={"Origin": "https://x", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status == 204
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]


TWIRP = "/twirp/livekit.RoomService/"


async def twirp(
    rig: Rig, method: str, token: str, content_type: str, body: bytes | io.BytesIO = b""
):
    headers = {"Content-Type": content_type}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    answer = await rig.client.post(TWIRP + method, data=body, headers=headers)
    return answer.status, answer.content_type, await answer.read()


async def test_twirp_passes_calls_on_in_both_encodings(rig: Rig) -> None:
    token = make_token(room_list=True)
    for content_type, body in (("application/protobuf", b""), ("application/json", b"{}")):
        got = await twirp(rig, "ListRooms", token, content_type, body)
        assert got == (200, content_type, body)
    assert [call[:4] for call in rig.signaling.calls] == [
        ("livekit.RoomService", "ListRooms", b"", False),
        ("livekit.RoomService", "ListRooms", b"{}", True),
    ]


async def test_twirp_errors_are_json(rig: Rig) -> None:
    token = make_token()
    protobuf = "application/protobuf"
    for args, status, code in (
        (("ListRooms", "", protobuf), 401, b"unauthenticated"),
        (("ListRooms", "rubbish", protobuf), 401, b"unauthenticated"),
        (("ListRooms", token, protobuf), 403, b"permission_denied"),
        (("ListRooms", token, "text/plain"), 404, b"bad_route"),
        (("ListRooms", token, protobuf, io.BytesIO(bytes(2 << 20))), 413, b"resource_exhausted"),
        (("Broken", token, protobuf), 500, b"internal"),
    ):
        got, content_type, body = await twirp(rig, *args)
        assert (got, content_type) == (status, "application/json")
        assert code in body
        assert b"abcdefgh" not in body
