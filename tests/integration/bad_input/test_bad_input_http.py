"""The HTTP side: bodies that never end, paths that lead out, calls without rights."""

from __future__ import annotations

import asyncio
import gzip
import json

import aiohttp
import pytest
from testkit.server import AislecastServer

ESCAPES = (
    "/static/x/../../../../etc/passwd",
    "/static/x/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/static/x/%2e%2e/%2e%2e/pages/routes.py",
    "/static/x//etc/passwd",
    "/static/x/....//....//etc/passwd",
    "/static/%00/js/home/home.js%00.png",
    "/recordings/..%2f..%2faislecast.sqlite3",
    "/api/recordings/..%2f..%2faislecast.sqlite3/file",
    "/api/recordings/%2fetc%2fpasswd/file",
    "/j/..%2f..%2fetc%2fpasswd",
    "/.git/config",
    "/static/../templates/base.html",
)
PRIVATE = (
    ("GET", "/api/rooms"),
    ("GET", "/api/cameras"),
    ("GET", "/api/recordings"),
    ("GET", "/api/recordings/some/file"),
    ("GET", "/recordings"),
    ("GET", "/room/aisle"),
    ("POST", "/api/invites"),
    ("POST", "/api/rooms"),
    ("DELETE", "/api/recordings/some"),
)


@pytest.mark.parametrize("path", ESCAPES)
async def test_no_path_leads_out(server: AislecastServer, path: str) -> None:
    # As raw bytes: clients would tidy these paths up.
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    status = int(answer.split(maxsplit=2)[1])
    assert status in (400, 401, 404), answer[:300]
    for secret in (b"root:", b"SQLite", b"[core]", b"def ", b"{% "):
        assert secret not in answer


@pytest.mark.parametrize(("method", "path"), PRIVATE)
async def test_nothing_private_without_rights(
    server: AislecastServer, method: str, path: str
) -> None:
    plain = server.token("guest", "aisle")
    async with aiohttp.ClientSession() as session:
        for headers in (
            {},
            {"Authorization": f"Bearer {plain}"},
            {"Cookie": "aislecast_host=1.a.b"},
        ):
            body = {"title": "t"} if path == "/api/rooms" else {"room": "aisle", "role": "host"}
            headers = {**headers, "X-Requested-With": "fetch"}
            request = session.request(
                method, server.url + path, json=None if method == "GET" else body, headers=headers
            )
            async with request as answer:
                assert answer.status in (401, 403, 404), (headers, await answer.text())


async def endless(size: int):
    for _ in range(size // 65536):
        yield bytes(65536)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/api/session", "application/json"),
        ("/twirp/livekit.RoomService/CreateRoom", "application/protobuf"),
        ("/twirp/livekit.RoomService/CreateRoom", "application/json"),
        ("/whip/aisle", "application/sdp"),
        ("/whep/aisle", "application/sdp"),
    ],
)
async def test_bodies_are_bounded(server: AislecastServer, path: str, content_type: str) -> None:
    before = server.metrics()["process_resident_memory_bytes"]
    token = server.token("mallory", "aisle", room_create=True)
    headers = {"Content-Type": content_type, "X-Requested-With": "fetch"}
    if not path.startswith("/api"):
        headers["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession() as session:
        try:
            request = session.post(server.url + path, data=endless(200 << 20), headers=headers)
            async with request as answer:
                assert answer.status in (413, 429), await answer.text()
        except (aiohttp.ClientError, ConnectionError):
            pass  # cut off while still sending
    assert server.metrics()["process_resident_memory_bytes"] - before < 30e6


async def test_compressed_bodies_do_not_grow(server: AislecastServer) -> None:
    """A gzip bomb as request body: bounded by what comes out, not by what goes in."""
    bomb = gzip.compress(bytes(100 << 20))
    before = server.metrics()["process_resident_memory_bytes"]
    headers = {
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "X-Requested-With": "fetch",
    }
    async with aiohttp.ClientSession() as session:
        try:
            request = session.post(f"{server.url}/api/session", data=bomb, headers=headers)
            async with request as answer:
                assert answer.status in (400, 413, 415)
        except (aiohttp.ClientError, ConnectionError):
            pass
    assert server.metrics()["process_resident_memory_bytes"] - before < 30e6


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 60_000,
        b'{"key": ' + b"9" * 60_000 + b"}",
        b'"\\ud800"',
        b"\xff\xfe",
        b"null",
        json.dumps({"key": ["a"]}).encode(),
        json.dumps({"key": "a\u0000b"}).encode(),
        json.dumps({"unknown": 1}).encode(),
    ],
    ids=range(9),
)
async def test_broken_json(server: AislecastServer, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "X-Requested-With": "fetch"}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{server.url}/api/session", data=body, headers=headers) as answer:
            assert answer.status == 400, await answer.text()


@pytest.mark.parametrize(
    "body", [b"", b"\xff" * 50, b"{", b"[" * 5000, b'{"name": 5}'], ids=range(5)
)
async def test_broken_server_calls(server: AislecastServer, body: bytes) -> None:
    token = server.token("admin", "aisle", room_create=True, room_admin=True)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for method in ("CreateRoom", "UpdateParticipant", "SendData", "NoSuchMethod"):
            for content_type in ("application/protobuf", "application/json"):
                url = f"{server.url}/twirp/livekit.RoomService/{method}"
                headers = {"Content-Type": content_type}
                async with session.post(url, data=body, headers=headers) as answer:
                    allowed = {501} if method == "NoSuchMethod" else set(range(400, 500))
                    assert answer.status in allowed, (method, await answer.text())
                    assert set(await answer.json()) >= {"code", "msg"}


@pytest.mark.parametrize("sdp", ["", "rubbish", "v=0\r\n", "v=0\r\na=" + "x" * 9000])
async def test_broken_whip_and_whep_offers(server: AislecastServer, sdp: str) -> None:
    before = server.metrics()["aislecast_transports"]
    token = server.token("encoder", "aisle")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in ("/whip/aisle", "/whep/aisle"):
            async with session.post(server.url + path, data=sdp) as answer:
                assert answer.status in (400, 404, 422), await answer.text()
    async with asyncio.timeout(5):
        while server.metrics()["aislecast_transports"] > before:
            await asyncio.sleep(0.05)
