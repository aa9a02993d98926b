"""One server a file, and a healthy pair in the room where everybody misbehaves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from testkit.hostile_witness import Witness
from testkit.server import AislecastServer, run_server

ROOM = "aisle"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AislecastServer]:
    folder = tmp_path_factory.mktemp("bad_input")
    with run_server(folder / "data", "--log-level", "debug") as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def witness(server: AislecastServer) -> Iterator[Witness]:
    with Witness(server, ROOM) as pair:
        yield pair


@pytest.fixture
def room() -> str:
    return ROOM


@pytest.fixture(autouse=True)
def healthy(witness: Witness, server: AislecastServer) -> Iterator[None]:
    """Whatever a test does: the pair's picture and sound go on, and nothing broke inside."""
    witness.mark()
    yield
    witness.check()
    server.check_log()


class Counts:
    """How far counters have moved since the test began."""

    def __init__(self, server: AislecastServer) -> None:
        self._server = server
        self._before = server.metrics()

    def __getitem__(self, name: str) -> float:
        return self._server.metrics().get(name, 0) - self._before.get(name, 0)


@pytest.fixture
def counts(server: AislecastServer, healthy: None) -> Counts:
    return Counts(server)
