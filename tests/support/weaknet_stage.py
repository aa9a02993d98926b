"""Our own server with clients behind simulated links, for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from testkit.server import KEY, SECRET, AislecastServer
from weaknet.namespaces import WeaknetUnavailableError, check_available
from weaknet.network import SERVER_ADDRESS, Network
from weaknet.runs import Stage, Target

HTTPS_PORT = 443


def require_links() -> None:
    """Skip the test on a machine that cannot make simulated links."""
    try:
        check_available()
    except WeaknetUnavailableError as error:
        # Where tests decide about a change they must not be left out silently.
        if os.environ.get("CI") or os.geteuid() == 0:
            raise
        pytest.skip(str(error))


@contextmanager
def open_stage(data: Path, links: int, *arguments: str, only_443: bool = False) -> Iterator[Stage]:
    """A room of our own server, with places behind links.

    Args:
        data: the server's folder.
        links: how many places there are.
        arguments: of the server's command line.
        only_443: media over TCP is at port 443, and a firewall lets the places reach nothing but
            that and the pages.
    """
    require_links()
    if only_443:
        arguments = (*arguments, "--rtc-tcp-port", str(HTTPS_PORT))
    with ExitStack() as stack:
        stack.enter_context(_ahead_of_others())
        network = stack.enter_context(Network(links))
        with network.hub.entered():
            server = AislecastServer(data, *arguments, address=SERVER_ADDRESS)
            stack.enter_context(server)
        target = Target(server.url, KEY, SECRET)
        ports = (server.port, HTTPS_PORT) if only_443 else None
        yield stack.enter_context(Stage(network, target, seed=1, tcp_ports=ports))


@contextmanager
def _ahead_of_others() -> Iterator[None]:
    """Server and clients go before whatever else the machine does: this is about links, not load.

    Needs the right to do so; without it a busy machine may fail these tests.
    """
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # what is started from here inherits it
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
