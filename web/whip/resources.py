"""The sessions behind WHIP and WHEP resource addresses: found, watched over, ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from sfu.ingest.resource import HttpSession
from web.http.problems import Problem

log = structlog.get_logger("web.whip")

Kind = Literal["whip", "whep"]
RETRY_AFTER_S = 10
EVENTS = (
    "whip_opened",
    "whep_opened",
    "whip_never_connected",
    "whep_never_connected",
    "whip_refused_full",
)


@dataclass(slots=True)
class Resource:
    """One resource.

    Attributes:
        id: unguessable, part of its address.
        room: the room in its address.
        identity: who made it; only that identity may patch or delete it.
        on_removed: called once, when it is forgotten.
    """

    id: str
    kind: Kind
    room: str
    identity: str
    session: HttpSession
    on_removed: Callable[[], None] | None = None
    deadline: asyncio.TimerHandle | None = None


class Resources:
    """All live resources; bounded, so that callers cannot fill the memory."""

    def __init__(
        self, *, make_id: Callable[[], str], maximum: int, connect_timeout_s: float
    ) -> None:
        """Starts empty.

        Args:
            make_id: unguessable and unique.
            maximum: more are refused.
            connect_timeout_s: a peer that has not connected by then is given up.
        """
        self._make_id = make_id
        self._maximum = maximum
        self._connect_timeout_s = connect_timeout_s
        self._resources: dict[str, Resource] = {}
        self._closing: set[asyncio.Task[None]] = set()
        # From the start, so that a first event is a rise and no new series.
        self.counters: Counter[str] = Counter(dict.fromkeys(EVENTS, 0))

    def check_room_left(self) -> None:
        """Refuse (Problem 503) when there are as many as allowed."""
        if len(self._resources) >= self._maximum:
            self.counters["whip_refused_full"] += 1
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            raise Problem(503, "server_full", "Too many streams now.", headers=headers)

    def add(self, kind: Kind, room: str, identity: str, session: HttpSession) -> Resource:
        """Keep a session until its peer is gone, it is removed, or it never connects."""
        resource = Resource(self._make_id(), kind, room, identity, session)
        self._resources[resource.id] = resource
        self.counters[f"{kind}_opened"] += 1
        loop = asyncio.get_running_loop()
        resource.deadline = loop.call_later(self._connect_timeout_s, self._give_up, resource)
        session.on_ended = lambda: self.remove(resource)
        return resource

    def find(self, id_: str, kind: Kind, room: str) -> Resource | None:
        """Return the resource at an address."""
        found = self._resources.get(id_)
        return found if found is not None and (found.kind, found.room) == (kind, room) else None

    def remove(self, resource: Resource) -> None:
        """Forget a resource and end its session in the background. Idempotent."""
        if self._resources.pop(resource.id, None) is None:
            return
        if resource.deadline is not None:
            resource.deadline.cancel()
        if resource.on_removed is not None:
            resource.on_removed()
        task = asyncio.create_task(resource.session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def of_kind(self, kind: Kind) -> list[Resource]:
        """Return the live ones of a kind."""
        return [resource for resource in self._resources.values() if resource.kind == kind]

    def snapshot(self) -> dict[str, int]:
        """Count the live ones, for metrics."""
        kinds = Counter(resource.kind for resource in self._resources.values())
        return {"whip_sessions": kinds["whip"], "whep_sessions": kinds["whep"]}

    async def close(self) -> None:
        """End all, and wait for it."""
        for resource in list(self._resources.values()):
            self.remove(resource)
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _give_up(self, resource: Resource) -> None:
        resource.deadline = None
        if resource.session.transport.state != "connected":
            self.counters[f"{resource.kind}_never_connected"] += 1
            self.remove(resource)
