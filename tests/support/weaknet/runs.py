"""Runs of the project's table: who is behind which link, and what became of it."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from livekit import api
from weaknet import links, measures
from weaknet.network import Network
from weaknet.people import Person
from weaknet.pipe import SECOND_US

#: A publisher's estimate and a strong viewer's layer have settled by then.
WARM_S = 5.0
FIRST_PICTURE_TIMEOUT_S = 30.0
_SLACK_S = 40.0
TEN = ("hotspot", "township", "loss30", "cliff", "dead10") * 2
_STEADY_FROM_US = 10 * SECOND_US  # of the 1 Mb/s row


@dataclass(frozen=True)
class Target:
    """A server that runs, and how to get into it."""

    url: str
    key: str
    secret: str

    def order(self, room: str, name: str, *, is_page: bool = False) -> dict[str, str]:
        """What a client needs to join."""
        grants = api.VideoGrants(room_join=True, room=room)
        token = api.AccessToken(self.key, self.secret).with_identity(name).with_grants(grants)
        token = token.with_ttl(datetime.timedelta(hours=1))
        if is_page:
            # What our own pages have: the server then sends them stills and the ladder's words.
            token = token.with_attributes({"aislecast.page": "1"})
        return {"url": self.url, "token": token.to_jwt()}


class Stage:
    """A room with people in it, for the length of one run."""

    def __init__(
        self,
        network: Network,
        target: Target,
        seed: int,
        *,
        tcp_ports: Sequence[int] | None = None,
    ) -> None:
        """Nobody is there yet. With `tcp_ports` a firewall stands before every link."""
        self.network, self.target, self.seed = network, target, seed
        self._tcp_ports = tcp_ports
        self._run = uuid.uuid4().hex[:8]
        self._stack = ExitStack()

    def person(
        self, role: str, name: str, link: int | None = None, *, is_page: bool = False, **order: Any
    ) -> Person:
        """A client beside the server, or behind a link."""
        place = self.network.hub if link is None else self.network.clients[link]
        # A new name in every run: a server may remember what a person's network was like.
        name = f"{name}-{self._run}"
        joins = self.target.order(f"room-{self._run}", name, is_page=is_page)
        return self._stack.enter_context(Person(place, role, name, **joins, **order))

    def tokens(self, count: int) -> list[str]:
        """Tokens of different people."""
        room = f"room-{self._run}"
        names = [f"joiner-{self._run}-{number}" for number in range(count)]
        return [self.target.order(room, name)["token"] for name in names]

    def begin(self, link: int, kind: str, seconds: float) -> int:
        """Let a link of the table begin; returns when that was."""
        plan = links.plan(kind, seconds)
        change_us = links.address_change_us(kind, seconds)
        seed = self.seed * 100 + link
        return self.network.start(
            link, plan, plan, seed=seed, address_change_us=change_us, tcp_ports=self._tcp_ports
        )

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def _captured_us(publisher: Person) -> dict[int, int]:
    publisher.stop()
    return dict(enumerate(publisher.report(_SLACK_S)["captured_us"]))


def _notes(viewer: Person, seconds: float = 0) -> measures.Notes:
    return measures.Notes.from_report(viewer.report(seconds + _SLACK_S))


def _start_room(stage: Stage, seconds: float) -> tuple[Person, Person]:
    """A publisher and a viewer, both beside the server and settled."""
    publisher = stage.person("publisher", "publisher")
    strong = stage.person("viewer", "strong", seconds=seconds + 10 * _SLACK_S)
    publisher.go()
    publisher.wait_for("joined", FIRST_PICTURE_TIMEOUT_S)
    strong.go()
    strong.wait_for("seen", FIRST_PICTURE_TIMEOUT_S)
    time.sleep(WARM_S)
    return publisher, strong


def _link_figures(
    report: dict[str, Any], seconds: float, kind: str, direction: str = "down"
) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"link_{name}": {key: value for key, value in report[name].items() if key != "history"}
        for name in ("up", "down")
    }
    found["blocked_udp"] = report["blocked_udp"]
    found["link_late_p99_ms"] = round(report["late_p99_us"] / 1000, 2)
    found["link_late_max_ms"] = round(report["late_max_us"] / 1000, 2)
    history = report[direction]["history"]
    from_us = _STEADY_FROM_US if seconds * SECOND_US > _STEADY_FROM_US else 0
    found |= measures.standing_queue_ms(history, from_us)
    conditions = links.plan(kind, seconds)[0].conditions
    if conditions.rate_bps is not None:
        to_us = round(seconds * SECOND_US)
        found["used_percent"] = measures.used_percent(history, from_us, to_us, conditions.rate_bps)
    return found


def _after_trouble(
    notes: measures.Notes, link_us: int, kind: str, seconds: float
) -> dict[str, Any]:
    trouble = links.trouble_us(kind, seconds)
    return measures.after_return(notes, link_us + trouble[1]) if trouble else {}


def viewer_run(stage: Stage, kind: str, seconds: float) -> dict[str, Any]:
    """One viewer behind a link, a strong one beside the server."""
    weak = stage.person("viewer", "weak", 0, is_page=kind == "cliff", seconds=seconds)
    weak.wait_for("ready", _SLACK_S)
    publisher, strong = _start_room(stage, seconds)
    link_us = stage.begin(0, kind, seconds)
    weak.go()
    seen = _notes(weak, seconds)
    report = stage.network.report(0)
    strong.stop()
    strong_notes = measures.since(_notes(strong), link_us)
    captured_us = _captured_us(publisher)
    row = measures.figures(seen, captured_us)
    row |= _after_trouble(seen, link_us, kind, seconds)
    row |= _link_figures(report, seconds, kind)
    row["strong"] = measures.figures(strong_notes, captured_us)
    row["is_same_seat"] = is_same_seat(strong_notes, seen)
    return row


def is_same_seat(others: measures.Notes, own: measures.Notes) -> bool:
    """Whether nobody saw the weak one leave or come twice, and its own session never ended."""
    seen = [name for _, name in others.events]
    ended = [name for _, name in own.events if name.startswith("disconnected")]
    return (
        not ended
        and "participant_disconnected" not in seen
        and seen.count("participant_connected") <= 1
    )


def sender_run(stage: Stage, kind: str, seconds: float) -> dict[str, Any]:
    """One publisher behind a link, as a viewer beside the server sees it."""
    weak = stage.person("publisher", "weak", 0)
    weak.wait_for("ready", _SLACK_S)
    viewer = stage.person("viewer", "strong", seconds=seconds + 10 * _SLACK_S)
    viewer.go()
    viewer.wait_for("joined", FIRST_PICTURE_TIMEOUT_S)
    link_us = stage.begin(0, kind, seconds)
    weak.go()
    time.sleep(max(0.0, link_us / 1e6 + seconds - time.monotonic()))
    viewer.stop()
    seen = replace(_notes(viewer), go_us=link_us)  # what counts is when the sender began
    report = stage.network.report(0)
    weak.stop()
    sent = weak.report(_SLACK_S)
    row = measures.figures(seen, dict(enumerate(sent["captured_us"])))
    row["join_s"] = (sent["joined_us"] - sent["go_us"]) / 1e6 if sent["joined_us"] else None
    row |= _after_trouble(seen, link_us, kind, seconds)
    return row | _link_figures(report, seconds, kind, "up")


def ten_run(
    stage: Stage, seconds: float, kinds: tuple[str, ...] = TEN, alone_s: float | None = None
) -> dict[str, Any]:
    """Weak viewers at once, and what a strong one had before and with them."""
    weak = [
        stage.person("viewer", f"weak{link}", link, is_page=kind == "cliff", seconds=seconds)
        for link, kind in enumerate(kinds)
    ]
    for person in weak:
        person.wait_for("ready", _SLACK_S)
    publisher, strong = _start_room(stage, seconds)
    alone_us = time.monotonic_ns() // 1000
    time.sleep(seconds if alone_s is None else alone_s)
    link_us = [stage.begin(link, kind, seconds) for link, kind in enumerate(kinds)]
    for person in weak:
        person.go()
    seen = [_notes(person, seconds) for person in weak]
    reports = [stage.network.report(link) for link in range(len(kinds))]
    strong.stop()
    noted = _notes(strong)
    captured_us = _captured_us(publisher)
    before = measures.until(measures.since(noted, alone_us), link_us[0])
    with_them = measures.since(noted, link_us[0])
    alone = measures.figures(before, captured_us)
    row = {"strong": measures.figures(with_them, captured_us), "alone": alone}
    row["kbps_percent"] = round(100 * row["strong"]["kbps"] / alone["kbps"], 1)
    row["viewers"] = [
        measures.figures(notes, captured_us)
        | _after_trouble(notes, begun_us, kind, seconds)
        | _link_figures(report, seconds, kind)
        | {"link": kind}
        for kind, notes, begun_us, report in zip(kinds, seen, link_us, reports, strict=True)
    ]
    return row


def joins_run(stage: Stage, kind: str, tries: int, seconds: float) -> dict[str, Any]:
    """One person after the other joins a room in which somebody speaks."""
    joiner = stage.person("joiner", "joiner", 0, tokens=stage.tokens(tries))
    publisher = stage.person("publisher", "publisher")
    publisher.go()
    publisher.wait_for("joined", FIRST_PICTURE_TIMEOUT_S)
    stage.begin(0, kind, seconds)
    joiner.go()
    joins_s = joiner.report(tries * 30.0 + _SLACK_S)["joins_s"]
    known = [each if each is not None else float("inf") for each in joins_s]
    return {
        "joins_s": joins_s,
        "join_p50_s": measures.percentile(known, 0.5),
        "join_p95_s": measures.percentile(known, 0.95),
    }
