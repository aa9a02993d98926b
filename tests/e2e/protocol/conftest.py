"""One server and one browser for all protocol tests; every test has a room of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser
from testkit.chromium_client import ChromiumClient, run_chromium, serve_page
from testkit.server import AislecastServer, run_server

Join = Callable[..., Awaitable[ChromiumClient]]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AislecastServer]:
    data: Path = tmp_path_factory.mktemp("protocol") / "data"
    with run_server(data) as running:
        yield running


@pytest.fixture(scope="session")
def page_url() -> Iterator[str]:
    with serve_page() as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with run_chromium() as running:
        yield running


@pytest.fixture
def room() -> str:
    return f"room-{next(_numbers)}"


@pytest_asyncio.fixture(loop_scope="session")
async def join(
    server: AislecastServer, browser: Browser, page_url: str, room: str
) -> AsyncIterator[Join]:
    """Makes a participant of the test's room; all leave at its end."""
    opened: list[ChromiumClient] = []

    async def make(identity: str, *, on: AislecastServer = server, **options: object):
        grants = options.pop("grants", {})
        client = await ChromiumClient.open(browser, page_url, identity)
        opened.append(client)
        await client.connect(on.ws_url, on.token(identity, room, **grants), **options)
        return client

    yield make
    for client in opened:
        await client.close()
    server.check_log()
