"""ICE over TCP and plain HTTP: rubbish, half sentences, and callers who take their time."""

from __future__ import annotations

import asyncio
import contextlib
import random

import aiohttp
import pytest
from testkit.server import AislecastServer

MANY = 200


async def is_closed(reader: asyncio.StreamReader, timeout_s: float) -> bool:
    """Whether the server ends the connection in time."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(timeout_s):
            while await reader.read(65536):
                pass
            return True
    return reader.at_eof() or reader.exception() is not None


async def test_rubbish_over_ice_tcp(server: AislecastServer, counts) -> None:
    rng = random.Random(3)
    for data in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + rng.randbytes(512),
        b"\0\0" * 20,
        b"\xff\xff" + rng.randbytes(4000),
        b"\0\x14" + rng.randbytes(20),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.rtc_tcp_port)
        writer.write(data)
        assert await is_closed(reader, 12), data[:8]
        writer.close()
    async with asyncio.timeout(5):
        while counts["net_tcp_garbage"] < 3:
            await asyncio.sleep(0.05)


async def test_hundreds_of_silent_ice_tcp_connections(server: AislecastServer, counts) -> None:
    """They neither keep the ports nor the healthy pair busy, and are closed before long."""
    opened = [await asyncio.open_connection("127.0.0.1", server.rtc_tcp_port) for _ in range(MANY)]
    for _, writer in opened[::2]:
        writer.write(b"\0")  # half of a length
    waits = [is_closed(reader, 20) for reader, _ in opened]
    assert all(await asyncio.gather(*waits))
    for _, writer in opened:
        writer.close()
    async with asyncio.timeout(5):
        while counts["net_tcp_idle"] + counts["net_tcp_refused"] < MANY - 5:
            await asyncio.sleep(0.05)


async def test_slow_http_keeps_nobody_waiting(server: AislecastServer) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MANY)]
    for number, (_, writer) in enumerate(opened):
        writer.write(b"POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-A: ")
        if number % 2:
            writer.write(b"b\r\nContent-Type: application/json\r\n\r\n{")
        await writer.drain()
    async with aiohttp.ClientSession() as session, asyncio.timeout(2):
        async with session.get(f"{server.url}/healthz") as answer:
            assert answer.status == 200
    for _, writer in opened:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (b"RUBBISH\r\n\r\n", {400}),
        (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n\r\n", {400, 414}),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 300_000 + b"\r\n\r\n", {400, 431}),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
        (b"POST /twirp/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", {400}),
        (
            b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            {400, 404},
        ),
        (b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n", {400}),
    ],
    ids=["no http", "long path", "long header", "chunks", "negative", "both", "control"],
)
async def test_broken_requests(
    server: AislecastServer, request_bytes: bytes, statuses: set[int]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    with contextlib.suppress(ConnectionError):
        writer.write(request_bytes)
        await writer.drain()
    async with asyncio.timeout(5):
        line = await reader.readline()
    # A connection that is cut in mid-request is an answer too.
    assert not line or int(line.split()[1]) in statuses, line
    writer.close()
