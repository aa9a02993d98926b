"""A token bucket: how often a peer may do something."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Allows ``rate_per_s`` on average and ``burst`` at once."""

    __slots__ = ("_burst", "_rate_per_s", "_tokens", "_updated_s")

    def __init__(self, *, rate_per_s: float, burst: float) -> None:
        """Starts full."""
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._updated_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take one token; False when there is none."""
        if self._updated_s is not None:
            gained = max(0.0, now_s - self._updated_s) * self._rate_per_s
            self._tokens = min(self._burst, self._tokens + gained)
        self._updated_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
