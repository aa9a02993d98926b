"""The five-second check before a call: who may run one, and how much it may move."""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from web.http.problems import Problem, not_found, too_many
from web.http.rates import RateLimit, caller_key

DOWN_BYTES: Final = 4_000_000
UP_BYTES: Final = 3_000_000
DOWN_S: Final = 2.0
UP_S: Final = 2.0
MIN_BYTES: Final = 2_000
"""Fewer say nothing of a rate."""
GRACE_S: Final = 3.0
"""A phone on a slow line gets so much longer before it is cut off."""
LIFETIME_S: Final = 30.0
MAX_PINGS: Final = 40
MAX_CHECKS: Final = 500
MAX_STREAMS: Final = 12
"""At once, of all checks: they must not take the line of those who are in a call."""
MAX_CALLER_STREAMS: Final = 6
"""At once, of one address: a check has one each way, so this is a shop with three phones."""
RETRY_S: Final = 5.0
STARTS: Final = {"burst": 5.0, "per_s": 0.1}


@dataclass(slots=True)
class Check:
    """One check that runs.

    Attributes:
        room: what it is for; "" = no room.
        name: whose line, where that is known.
        is_walker: who checks is about to walk a store.
        expires_s: monotonic.
        left: what may still be asked for, by kind.
        up_kbps: as measured here, None before.
        up_s: how long that took.
    """

    room: str
    name: str
    is_walker: bool
    expires_s: float
    left: dict[str, int] = field(
        default_factory=lambda: {"down": 1, "up": 1, "ping": MAX_PINGS, "result": 1}
    )
    up_kbps: float | None = None
    up_s: float = 0.0

    def note_up(self, size_bytes: int, elapsed_s: float) -> None:
        """Take how much has come up so far."""
        self.up_s = max(1e-3, elapsed_s)
        if size_bytes >= MIN_BYTES:
            self.up_kbps = round(size_bytes * 8 / 1000 / self.up_s, 1)


class NetworkChecks:
    """Checks by their id, which only who began one knows. All bounds in one place.

    Attributes:
        refused: how often a bound said no, for metrics.
    """

    def __init__(self, *, now_s: Callable[[], float]) -> None:
        """Take a monotonic clock."""
        self._now_s = now_s
        self._starts = RateLimit(**STARTS, clock=now_s)
        self._checks: OrderedDict[str, Check] = OrderedDict()
        self._streams: Counter[str] = Counter()  # by caller
        self.refused = 0

    def admit(self, caller: str) -> None:
        """Count a try, before anything is looked up for it.

        Raises:
            Problem: this caller asks too often.
        """
        if wait_s := self._starts.take(caller):
            self.refused += 1
            raise too_many(wait_s)

    def begin(self, *, room: str = "", name: str = "", is_walker: bool = False) -> str:
        """Allow one check, of a caller who was admitted, and return its id.

        Raises:
            Problem: all together ask too often.
        """
        self._forget_old()
        if len(self._checks) >= MAX_CHECKS:
            raise self._busy()
        check_id = secrets.token_urlsafe(16)
        self._checks[check_id] = Check(room, name, is_walker, self._now_s() + LIFETIME_S)
        return check_id

    def take(self, check_id: str, kind: str) -> Check:
        """Use up one call of a kind.

        Raises:
            Problem: no such check (any more), or none of this kind is left.
        """
        self._forget_old()
        check = self._checks.get(check_id)
        if check is None:
            raise not_found("That check")
        if check.left[kind] < 1:
            self.refused += 1
            raise Problem(409, "already_done", "This part of the check is done.")
        check.left[kind] -= 1
        return check

    @contextmanager
    def stream(self, caller: str) -> Iterator[None]:
        """Hold one of the places for streams.

        Raises:
            Problem: this caller has enough of them, or all are taken.
        """
        key = caller_key(caller)
        if self._streams[key] >= MAX_CALLER_STREAMS:
            self.refused += 1
            raise too_many(RETRY_S)
        if self._streams.total() >= MAX_STREAMS:
            raise self._busy()
        self._streams[key] += 1
        try:
            yield
        finally:
            self._streams[key] -= 1
            self._streams += Counter()  # forgets who has none

    @property
    def num_streams(self) -> int:
        """How many streams run just now."""
        return self._streams.total()

    def _busy(self) -> Problem:
        self.refused += 1
        return Problem(
            503,
            "busy",
            "Too many checks run just now.",
            headers={"Retry-After": str(round(RETRY_S))},
        )

    def _forget_old(self) -> None:
        now_s = self._now_s()
        while self._checks:
            check_id, check = next(iter(self._checks.items()))
            if check.expires_s > now_s:
                return
            del self._checks[check_id]
