"""Token buckets per caller address, in bounded memory."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

MAX_CALLERS = 20_000


class RateLimit:
    """Allows `burst` calls at once and `per_s` a second on average, for each caller.

    Beyond `MAX_CALLERS` the caller who was quiet for longest is forgotten.
    """

    def __init__(self, *, burst: float, per_s: float, clock: Callable[[], float]) -> None:
        """Take the limits and a monotonic clock in seconds."""
        self._burst = burst
        self._per_s = per_s
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.refused = 0

    def wait_s(self, caller: str) -> float:
        """Return how long this caller must wait; 0 = go ahead. Takes nothing."""
        left, _ = self._refilled(caller_key(caller))
        return 0.0 if left >= 1 else (1 - left) / self._per_s

    def take(self, caller: str) -> float:
        """Count a call; returns 0 if it is allowed, else the seconds to wait."""
        key = caller_key(caller)
        left, now_s = self._refilled(key)
        is_allowed = left >= 1
        self._buckets[key] = (left - 1 if is_allowed else left, now_s)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        if is_allowed:
            return 0.0
        self.refused += 1
        return (1 - left) / self._per_s

    def _refilled(self, key: str) -> tuple[float, float]:
        now_s = self._clock()
        left, since_s = self._buckets.get(key, (self._burst, now_s))
        return min(self._burst, left + (now_s - since_s) * self._per_s), now_s


def caller_key(address: str) -> str:
    """Return what counts as one caller: an IPv4 address, or an IPv6 /64 (one household)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
