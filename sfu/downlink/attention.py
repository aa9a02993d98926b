"""Which lines are looked at ten times a second, and which every two seconds.

A room of hundreds always has somebody whose line is weak; what the others report is kept until
their turn comes, so that he does not cost ten looks a second at all of them. The engine calls when
a line shows weakness that nobody looks at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bandwidth.estimator import Feedback
from sfu.downlink.config import DownlinkConfig

__all__ = ["Attention", "Bools", "Look"]

Bools = npt.NDArray[np.bool_]

# Whatever shows weakness, even a little, is looked at closely for so long.
_AWAKE_US = 1_000_000
# A turn that comes a little early is that turn.
_PUNCTUAL = 0.9


class Look(NamedTuple):
    """What there is to look at in a turn.

    Attributes:
        feedback: of the lines that are not calm, and of the others if `has_calm`.
        is_calm: by slot.
        has_calm: this turn is for calm lines, too.
        is_woken: by slot, lines whose feedback of up to two seconds comes now, and is not the news
            that woke them alone.
    """

    feedback: Feedback
    is_calm: Bools
    has_calm: bool
    is_woken: Bools


class Attention:
    """Keeps feedback of calm lines.

    Attributes:
        is_calm: by slot, lines that may wait for their turn.
    """

    def __init__(self, capacity: int, config: DownlinkConfig) -> None:
        """No line is calm."""
        self._interval_us = _PUNCTUAL * config.calm_interval_s * 1e6
        self._most_rows = config.calm_rows
        self.is_calm = np.zeros(capacity, np.bool_)
        self._has_rows = np.zeros(capacity, np.bool_)
        self._awake_until_us = np.zeros(capacity, np.int64)
        self._kept: list[Feedback] = []
        self._num_kept = 0
        self._looked_us = 0

    def grow(self, more: int) -> None:
        """Room for further slots."""
        none = np.zeros(more, np.int64)
        self.is_calm = np.concatenate([self.is_calm, none > 0])
        self._has_rows = np.concatenate([self._has_rows, none > 0])
        self._awake_until_us = np.concatenate([self._awake_until_us, none])

    def forget(self, slot: int) -> None:
        """Another line may get the slot."""
        self._awake_until_us[slot] = 0
        self.is_calm[slot] = False
        if self._has_rows[slot]:
            self._take(np.arange(self.is_calm.size) == slot)

    def wake(self, slot: int, now_us: int) -> None:
        """A line shows weakness."""
        self._awake_until_us[slot] = now_us + _AWAKE_US

    def choose(self, now_us: int, feedback: Feedback) -> Look:
        """What to look at now, of what was kept and what came."""
        self.is_calm &= self._awake_until_us <= now_us
        woken = self._has_rows & ~self.is_calm
        has_calm = now_us - self._looked_us >= self._interval_us
        if has_calm or self._num_kept + len(feedback.slot) > self._most_rows:
            self._looked_us = now_us
            self._has_rows = np.zeros_like(self._has_rows)
            parts = [*self._kept, feedback]
            self._kept, self._num_kept = [], 0
            return Look(_join(parts), self.is_calm, has_calm=True, is_woken=woken)
        parts = self._take(woken) if woken.any() else []
        waits = self.is_calm[feedback.slot]
        if waits.any():
            self._keep(_where(feedback, waits))
            feedback = _where(feedback, ~waits)
        return Look(_join([*parts, feedback]), self.is_calm, has_calm=False, is_woken=woken)

    def settle(self, now_us: int, is_calm: Bools) -> npt.NDArray[np.intp]:
        """These need no close look until something is said of them; slots that are to be watched
        from now on, or again: word of one may have been lost."""
        is_calm = is_calm & (self._awake_until_us <= now_us)
        is_new = is_calm & (~self.is_calm | (self._looked_us == now_us))
        self.is_calm = is_calm
        return np.flatnonzero(is_new)

    def _keep(self, rows: Feedback) -> None:
        self._kept.append(rows)
        self._num_kept += len(rows.slot)
        self._has_rows[rows.slot] = True

    def _take(self, is_wanted: Bools) -> list[Feedback]:
        """Rows of some slots, out of what is kept."""
        taken = [_where(rows, is_wanted[rows.slot]) for rows in self._kept]
        self._kept = [_where(rows, ~is_wanted[rows.slot]) for rows in self._kept]
        self._num_kept = sum(len(rows.slot) for rows in self._kept)
        self._has_rows &= ~is_wanted
        return taken


def _where(rows: Feedback, keep: Bools) -> Feedback:
    columns: Any = [column[keep] for column in rows]
    return Feedback(*columns)


def _join(parts: list[Feedback]) -> Feedback:
    if len(parts) == 1:
        return parts[0]
    columns: Any = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Feedback(*columns)
