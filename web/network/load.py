"""How busy this server is, so that "it was the server" is not guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FULL_LAG_S: Final = 0.5
"""An event loop so late counts as fully loaded, whatever the processors do."""


class LoadMeter:
    """Share of the processors this process uses, or how late its event loop is: what is worse."""

    def __init__(
        self, *, cpu_s: Callable[[], float], now_s: Callable[[], float], num_cpus: int
    ) -> None:
        """Take the process's CPU clock and a monotonic one."""
        self._cpu_s = cpu_s
        self._now_s = now_s
        self._num_cpus = max(1, num_cpus)
        self._last = (cpu_s(), now_s())
        self._worst_lag_s = 0.0
        self.percent = 0

    def note_lag(self, lag_s: float) -> None:
        """Take how late a timer was."""
        self._worst_lag_s = max(self._worst_lag_s, lag_s)

    def measure(self) -> int:
        """Return the load since the last call, 0..100."""
        cpu_s, now_s = self._cpu_s(), self._now_s()
        elapsed_s = now_s - self._last[1]
        used = (cpu_s - self._last[0]) / elapsed_s / self._num_cpus if elapsed_s > 0 else 0.0
        self._last = (cpu_s, now_s)
        late = self._worst_lag_s / FULL_LAG_S
        self._worst_lag_s = 0.0
        self.percent = round(100 * min(1.0, max(used, late, 0.0)))
        return self.percent
