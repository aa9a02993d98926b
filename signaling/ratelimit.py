"""Token bucket."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Allows `burst` at once and `rate_per_s` sustained."""

    def __init__(self, rate_per_s: float, burst: int, now_s: float) -> None:
        """Starts full."""
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_s = now_s

    def take(self, now_s: float, count: float = 1.0) -> bool:
        """Takes `count` tokens; False when there are not so many."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._rate_per_s)
        self._filled_s = now_s
        if self._tokens < count:
            return False
        self._tokens -= count
        return True
