"""What decoding costs, in cores: measured in turns of some seconds, of each piece of work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

__all__ = ["Effort"]

Key = TypeVar("Key")


class Effort(Generic[Key]):
    """Cores by key, from how long each one's worker has been busy so far.

    Attributes:
        cores: as of the last turn; who is not in it has not been measured yet.
    """

    def __init__(self) -> None:
        """Knows of nobody."""
        self.cores: dict[Key, float] = {}
        self._busy_s: dict[Key, float] = {}
        self._at_s: float | None = None

    @property
    def total(self) -> float:
        """Of all together."""
        return sum(self.cores.values())

    def weigh(self, now_s: float, busy_s: Mapping[Key, float]) -> None:
        """End a turn.

        Args:
            now_s: a steady clock.
            busy_s: of all there are, seconds of a processor so far.
        """
        before, self._busy_s = self._busy_s, dict(busy_s)
        elapsed_s = 0.0 if self._at_s is None else now_s - self._at_s
        self._at_s = now_s
        if elapsed_s <= 0:
            self.cores = {}
            return
        self.cores = {
            key: max(0.0, spent_s - before[key]) / elapsed_s
            for key, spent_s in busy_s.items()
            if key in before
        }

    def forget(self, key: Key) -> None:
        """It has ended."""
        self.cores.pop(key, None)
        self._busy_s.pop(key, None)
