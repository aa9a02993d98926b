"""Compressed messages on `/rtc`, frame by frame: who may, which are, and what a bomb does."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import time
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer
from web_fakes import FakeSignaling, make_token

from web.http.rates import RateLimit
from web.rtc.routes import MAX_MESSAGE_BYTES, RtcRoutes
from web.rtc.socket import MIN_DEFLATE_BYTES, NUM_FIRST
from web.server.app import build_app

# As a browser's offer: long, and much of it again and again.
OFFER = b"".join(b"a=rtpmap:%d VP8/90000\r\na=rtcp-fb:%d nack pli\r\n" % (n, n) for n in range(350))
_TAIL = b"\0\0\xff\xff"


class Browser:
    """One WebSocket, seen from the wire."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._deflate = zlib.compressobj(wbits=-15)
        self._inflate = zlib.decompressobj(wbits=-15)
        self.extensions = ""

    async def upgrade(self, extensions: str) -> None:
        token = make_token(room_join=True, room="r")
        lines = [
            f"GET /rtc?protocol=16&access_token={token} HTTP/1.1",
            "Host: localhost",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
            *([f"Sec-WebSocket-Extensions: {extensions}"] if extensions else []),
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        assert " 101 " in head, head
        named = [line for line in head.splitlines() if line.startswith("Sec-WebSocket-Ext")]
        self.extensions = named[0].partition(": ")[2] if named else ""

    def send(self, data: bytes, *, is_deflated: bool = False) -> int:
        """Send one binary message; returns its bytes on the wire."""
        if is_deflated:
            packed = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            data = packed.removesuffix(_TAIL)
        head = bytes([0x82 | (0x40 if is_deflated else 0)])
        head += bytes([0x80 | 126]) + struct.pack("!H", len(data))
        self._writer.write(head + bytes(4) + data)  # a mask of zeros changes nothing
        return len(data)

    async def receive(self) -> tuple[int, bytes, int]:
        """Opcode, message, and its bytes on the wire."""
        async with asyncio.timeout(5):
            first, length = await self._reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack("!H", await self._reader.readexactly(2))
            data = await self._reader.readexactly(length)
        message = data
        if first & 0x40:
            assert self.extensions, "it was not agreed on"
            message = self._inflate.decompress(data + _TAIL)
        return first & 0x0F, message, len(data)


@pytest.fixture
async def open_browser() -> AsyncIterator:
    routes = RtcRoutes(
        FakeSignaling(),
        failures=RateLimit(burst=5, per_s=0.001, clock=time.monotonic),
        now_s=time.monotonic,
    )
    server = TestServer(build_app(routes.operations(), [], is_behind_proxy=False))
    await server.start_server()
    writers = []

    async def open_one(extensions: str = "permessage-deflate; client_max_window_bits") -> Browser:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writers.append(writer)
        browser = Browser(reader, writer)
        await browser.upgrade(extensions)
        await browser.receive()  # the join
        return browser

    yield open_one
    for writer in writers:
        writer.close()
    await server.close()


async def test_a_browsers_offers_come_deflated_and_the_second_costs_next_to_nothing(
    open_browser,
) -> None:
    browser = await open_browser()
    assert browser.extensions == "permessage-deflate"
    sizes = []
    for _ in range(2):
        sizes.append(browser.send(OFFER, is_deflated=True))
        opcode, echo, size = await browser.receive()
        assert (opcode, echo) == (2, OFFER)
        assert size < len(OFFER) / 4, "what a join waits for is deflated too"
    assert sizes[0] < len(OFFER) / 4 and sizes[1] < sizes[0] / 4
    # Plain messages are as good.
    browser.send(b"plain")
    assert (await browser.receive())[:2] == (2, b"plain")


async def test_later_messages_on_a_good_line_and_small_ones_are_plain(open_browser) -> None:
    browser = await open_browser()
    small = OFFER[: MIN_DEFLATE_BYTES - 1]
    for message in [small] * NUM_FIRST + [OFFER]:
        browser.send(message)
        assert await browser.receive() == (2, message, len(message))


async def test_who_does_not_ask_for_it_gets_none_and_may_send_none(open_browser) -> None:
    browser = await open_browser("")
    assert browser.extensions == ""
    browser.send(OFFER)
    assert await browser.receive() == (2, OFFER, len(OFFER))
    browser.send(OFFER, is_deflated=True)
    opcode, message, _ = await browser.receive()
    assert (opcode, message[:2]) == (8, struct.pack("!H", 1002))


async def test_a_bomb_and_garbage_end_their_own_connection_only(open_browser) -> None:
    other, bomber, noisy = [await open_browser() for _ in range(3)]
    assert bomber.send(bytes(30 * MAX_MESSAGE_BYTES), is_deflated=True) < 65_536
    opcode, message, _ = await bomber.receive()
    assert (opcode, message[:2]) == (8, struct.pack("!H", 1009))
    noisy._deflate = zlib.compressobj(level=0, wbits=-15)
    noisy.send(b"x", is_deflated=True)
    assert (await noisy.receive())[1] == b"x"
    noisy._writer.write(bytes([0xC2, 0x80 | 20]) + bytes(4) + os.urandom(20))
    assert (await noisy.receive())[0] == 8
    other.send(OFFER, is_deflated=True)
    assert (await other.receive())[:2] == (2, OFFER)
