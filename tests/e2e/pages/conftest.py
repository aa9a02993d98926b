"""One server and one browser for the page tests; every test has people and rooms of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser
from testkit.chromium_client import CALM_CAMERA, run_chromium
from testkit.people import Host, OpenPerson, open_people
from testkit.server import AislecastServer, run_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AislecastServer]:
    data: Path = tmp_path_factory.mktemp("pages") / "data"
    with run_server(data) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with run_chromium(CALM_CAMERA) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def person(server: AislecastServer, browser: Browser) -> AsyncIterator[OpenPerson]:
    """Makes people; at the end all leave, and none may have seen trouble."""
    async with open_people(server, browser) as make:
        yield make
    server.check_log()


@pytest_asyncio.fixture(loop_scope="session")
async def host(person: OpenPerson) -> Host:
    """HQ in a meeting of its own."""
    desk: Host = await person(Host)
    await desk.start_meeting()
    return desk
