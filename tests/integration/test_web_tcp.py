"""Connections of the HTTP port are set up for lines that lose packets."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from aiohttp import web

from web.http.tcp import PatientSite, set_option

USER_TIMEOUT, RTO_MAX_MS, CONGESTION = 18, 44, 13


def has(option: int, value: int | bytes) -> bool:
    with socket.socket() as probe:
        return set_option(probe, option, value)


async def test_accepted_connections_have_what_the_listening_socket_was_given() -> None:
    seen: dict[str, object] = {}

    async def look(request: web.Request) -> web.Response:
        assert request.transport is not None
        found = request.transport.get_extra_info("socket")
        seen["silence_ms"] = found.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT)
        if has(RTO_MAX_MS, 1000):
            seen["wait_ms"] = found.getsockopt(socket.IPPROTO_TCP, RTO_MAX_MS)
        if has(CONGESTION, b"bbr"):
            seen["control"] = found.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16).rstrip(b"\0")
        return web.Response()

    app = web.Application()
    app.router.add_get("/", look)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await PatientSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            assert answer.status == 200
    finally:
        await runner.cleanup()
    known = {"silence_ms": 900_000, "wait_ms": 1000, "control": b"bbr"}
    assert seen and seen == {name: known[name] for name in seen}


def test_a_system_without_an_option_goes_without() -> None:
    with socket.socket() as one:
        assert not set_option(one, 9999, 1)
        with pytest.raises(OSError, match=r"."):
            one.setsockopt(socket.IPPROTO_TCP, 9999, 1)
