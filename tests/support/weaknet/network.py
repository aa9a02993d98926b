"""A server's place and clients behind simulated links, each in a network namespace of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weaknet.namespaces import Namespace, check_available
from weaknet.pipe import Change, Conditions

SUPPORT = Path(__file__).resolve().parents[1]
#: RFC 2544: addresses for benchmarks; nobody's own network has them.
SERVER_ADDRESS = "198.18.0.1"
HUB_DEVICE = "hub0"
_MAX_LINKS = 200


def to_wire(plan: Conditions | Sequence[Change]) -> list[list[Any]]:
    """A plan as the forwarder reads it."""
    changes = [Change(0, plan)] if isinstance(plan, Conditions) else plan
    return [[change.at_us, dataclasses.asdict(change.conditions)] for change in changes]


class Network:
    """The hub, where servers and strong clients are, and `links` clients' places.

    Without `is_host` the hub is a namespace of its own and the machine's network is not touched.
    With it the hub is where we are, so that a server that runs already can be reached; then each
    link adds one device to the machine, until `close`.
    """

    def __init__(self, links: int, *, is_host: bool = False) -> None:
        """Make namespaces and devices, and start the process that carries the packets."""
        if not 0 < links <= _MAX_LINKS:
            raise ValueError(f"1 to {_MAX_LINKS} links")
        check_available()
        self.hub = Namespace(is_new=not is_host)
        self.clients: list[Namespace] = []
        self._hub_tun = -1
        tuns: list[tuple[int, int]] = []
        try:
            if not is_host:
                # Not on the loopback device: libwebrtc does not look for addresses there.
                self._hub_tun = self.hub.open_tun(HUB_DEVICE)
                self.hub.ip("address", "add", f"{SERVER_ADDRESS}/32", "dev", HUB_DEVICE)
            for index in range(1, links + 1):
                tuns.append(self._join(index))
            self._forwarder = self._start_forwarder(tuns)
        except BaseException:
            self._close_namespaces()
            raise
        finally:
            for pair in tuns:
                for tun in pair:
                    os.close(tun)

    def _join(self, index: int) -> tuple[int, int]:
        client = Namespace()
        self.clients.append(client)
        hub_tun = self.hub.open_tun(f"weaknet{index}")
        try:
            self.hub.ip("route", "add", f"198.18.{index}.0/24", "dev", f"weaknet{index}")
            # libwebrtc tells networks by name and likes those called tun least.
            client_tun = client.open_tun("wlan0")
        except BaseException:
            os.close(hub_tun)
            raise
        client.ip("address", "add", f"198.18.{index}.2/24", "dev", "wlan0")
        client.ip("route", "add", "default", "dev", "wlan0")
        return hub_tun, client_tun

    def _start_forwarder(self, tuns: list[tuple[int, int]]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "weaknet.forwarder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[tun for pair in tuns for tun in pair],
            env={**os.environ, "PYTHONPATH": str(SUPPORT)},
            text=True,
        )
        links = [
            {"hub_tun": hub, "client_tun": client, "address": f"198.18.{index}.2"}
            for index, (hub, client) in enumerate(tuns, 1)
        ]
        assert process.stdin is not None
        print(json.dumps({"links": links}), file=process.stdin, flush=True)
        return process

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._forwarder.stdin is not None and self._forwarder.stdout is not None
        print(json.dumps(order), file=self._forwarder.stdin, flush=True)
        answer = self._forwarder.stdout.readline()
        if not answer:
            raise RuntimeError(f"the link process ended: {self._forwarder.wait(5)}")
        return dict(json.loads(answer))

    def start(
        self,
        link: int,
        up: Conditions | Sequence[Change],
        down: Conditions | Sequence[Change],
        *,
        seed: int = 1,
        address_change_us: int | None = None,
        tcp_ports: Sequence[int] | None = None,
    ) -> int:
        """Let the conditions of a link begin; returns the moment on the monotonic clock in µs.

        With `tcp_ports` a firewall lets nothing pass but TCP to these ports of the hub.
        """
        renumbered = f"198.18.{link + 1}.3"
        addresses = [] if address_change_us is None else [[address_change_us, renumbered]]
        order = {"start": link, "up": to_wire(up), "down": to_wire(down)}
        order |= {"seed": seed, "addresses": addresses, "tcp_ports": tcp_ports}
        return int(self._ask(order)["start_us"])

    def report(self, link: int) -> dict[str, Any]:
        """The counters of a link since its start."""
        return self._ask({"report": link})

    def close(self) -> None:
        """End it all; devices and namespaces go with the last process in them."""
        assert self._forwarder.stdin is not None and self._forwarder.stdout is not None
        self._forwarder.stdin.close()
        try:
            self._forwarder.wait(5)
        except subprocess.TimeoutExpired:
            self._forwarder.kill()
            self._forwarder.wait()
        self._forwarder.stdout.close()
        self._close_namespaces()

    def _close_namespaces(self) -> None:
        if self._hub_tun >= 0:
            os.close(self._hub_tun)
            self._hub_tun = -1
        for namespace in (self.hub, *self.clients):
            namespace.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
