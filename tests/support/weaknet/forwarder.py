"""Carries packets between pairs of TUN devices through simulated links: a process of its own.

Started by `network.Network`, with the devices as inherited file descriptors. One JSON object a
line comes on stdin and goes to stdout:

    {"links": [{"hub_tun": 5, "client_tun": 6, "address": "198.18.1.2"}, …]}    at first
    {"start": 0, "up": plan, "down": plan, "seed": 1, "addresses": [[at_us, "198.18.1.3"], …],
     "tcp_ports": null}
    {"report": 0}    -> {"up": {…}, "down": {…}, "late_p99_us": …, …}

where a plan is [[at_us, conditions as in `pipe.Conditions`], …] and `tcp_ports` are those that a
firewall leaves open. A link that was not started lets
everything pass. `start` may be repeated; it begins anew. The process ends with its stdin.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import select
import sys
import time
from typing import Any

from weaknet.firewall import Firewall
from weaknet.nat import Nat
from weaknet.pipe import Change, Conditions, Pipe

_BATCH = 64  # packets read from one device before others have their turn
_PACKET_BYTES = 2048
_MAX_LATENESSES = 1_000_000


def to_plan(plan: list[list[Any]]) -> list[Change]:
    """A plan as it was sent."""
    return [Change(at_us, Conditions(**conditions)) for at_us, conditions in plan]


def now_us() -> int:
    """The machine's monotonic clock."""
    return time.monotonic_ns() // 1000


class Link:
    """Two pipes between two TUN devices, and a NAT at the client's end."""

    def __init__(self, hub_tun: int, client_tun: int, address: str) -> None:
        """Open for everything until it is started."""
        self.tuns = (hub_tun, client_tun)
        self._address = address
        anything = [[0, {}]]
        order = {"up": anything, "down": anything, "seed": 0, "addresses": [], "tcp_ports": None}
        self.start(now_us(), order)

    def start(self, start_us: int, order: dict[str, Any]) -> None:
        """Begin with new conditions, empty queues and zero counters."""
        rng = random.Random(order["seed"])
        self.up: Pipe[bytes] = Pipe(to_plan(order["up"]), rng, start_us=start_us)
        self.down: Pipe[bytes] = Pipe(to_plan(order["down"]), rng, start_us=start_us)
        self._nat = Nat(self._address)
        self._firewall = Firewall(order["tcp_ports"])
        self._addresses = [(start_us + at_us, address) for at_us, address in order["addresses"]]
        self.start_us = start_us
        self._refused = 0
        self._late_us: list[int] = []

    def receive(self, tun: int) -> None:
        """A device has packets."""
        is_up = tun == self.tuns[1]
        pipe = self.up if is_up else self.down
        allows = self._firewall.outbound if is_up else self._firewall.inbound
        for _ in range(_BATCH):
            try:
                packet = os.read(tun, _PACKET_BYTES)
            except BlockingIOError:
                return
            if allows(packet):
                pipe.push(now_us(), packet, len(packet))

    def next_us(self) -> int | None:
        """When `poll` has something to do."""
        due = [at_us for at_us, _ in self._addresses[:1]]
        due += [at_us for pipe in (self.up, self.down) if (at_us := pipe.next_us()) is not None]
        return min(due, default=None)

    def poll(self) -> None:
        """Deliver what is due."""
        at_us = now_us()
        while self._addresses and self._addresses[0][0] <= at_us:
            self._nat.change(self._addresses.pop(0)[1])
        for pipe, tun, translate in (
            (self.up, self.tuns[0], self._nat.outbound),
            (self.down, self.tuns[1], self._nat.inbound),
        ):
            due_us = pipe.next_us()
            if due_us is None or due_us > at_us:
                continue
            packets = pipe.pop(at_us)
            if packets and len(self._late_us) < _MAX_LATENESSES:
                self._late_us.append(at_us - due_us)
            for packet in packets:
                self._deliver(tun, translate(packet))

    def _deliver(self, tun: int, packet: bytes | None) -> None:
        if packet is None:
            return
        try:
            os.write(tun, packet)
        except OSError:
            self._refused += 1  # the device is going down, or its queue is full

    def report(self) -> dict[str, Any]:
        """All counters since the start."""
        late_us = sorted(self._late_us) or [0]
        return {
            "start_us": self.start_us,
            "late_p50_us": late_us[len(late_us) // 2],
            "late_p99_us": late_us[len(late_us) * 99 // 100],
            "late_max_us": late_us[-1],
            "refused": self._refused,
            "dropped_address": self._nat.dropped,
            "blocked_udp": self._firewall.blocked_udp,
            "blocked_other": self._firewall.blocked_other,
            **{
                name: dataclasses.asdict(pipe.counters) | {"history": pipe.finish_history()}
                for name, pipe in (("up", self.up), ("down", self.down))
            },
        }


class Forwarder:
    """The loop over all links."""

    def __init__(self, links: list[Link]) -> None:
        """Of the links there are."""
        self._links = links
        self._by_tun = {tun: link for link in links for tun in link.tuns}
        self._typed = b""

    def run(self) -> None:
        """Until stdin ends."""
        stdin = sys.stdin.fileno()
        watched = [stdin, *self._by_tun]
        while True:
            due = [at_us for link in self._links if (at_us := link.next_us()) is not None]
            # select, not epoll: Python rounds epoll's timeout up to a whole millisecond.
            wait_s = max(0, min(due) - now_us()) / 1e6 if due else None
            ready, _, _ = select.select(watched, [], [], wait_s)
            for each in ready:
                if each != stdin:
                    self._by_tun[each].receive(each)
                elif not self._handle_orders(os.read(stdin, 1 << 16)):
                    return
            for link in self._links:
                link.poll()

    def _handle_orders(self, typed: bytes) -> bool:
        *lines, self._typed = (self._typed + typed).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "start" in order:
                self._links[order["start"]].start(now_us(), order)
                answer = {"start_us": self._links[order["start"]].start_us}
            else:
                answer = self._links[order["report"]].report()
            print(json.dumps(answer), flush=True)
        return bool(typed)


def main() -> None:
    """Take the devices, then forward."""
    try:
        # Before everything else on the machine, or a busy machine makes the link slower.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        os.nice(-15)
    # One line, byte by byte: what follows it belongs to the loop.
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(sys.stdin.fileno(), 1)
    Forwarder([Link(**link) for link in json.loads(line)["links"]]).run()


if __name__ == "__main__":
    main()
