"""What the deciding functions of `bandwidth` carry from one turn to the next, by slot."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from bandwidth.allocator import AllocatorState, start_allocator
from bandwidth.ladder import LadderState, start_ladder
from bandwidth.protection import SUSPECTED_LOSS, Protection, cost_factor, start_protection
from sfu.downlink.budget import Belief, start_belief

__all__ = ["States"]


@dataclass
class States:
    """One entry a slot in each column of each state."""

    allocator: AllocatorState
    ladder: LadderState
    belief: Belief
    protection: Protection

    @classmethod
    def start(cls, size: int) -> States:
        """As for lines that nothing is known of."""
        return cls(
            start_allocator(size), start_ladder(size), start_belief(size), start_protection(size)
        )

    @property
    def size(self) -> int:
        """How many slots there are."""
        return int(self.belief.budget_bps.shape[0])

    @property
    def cost_factor(self) -> npt.NDArray[np.float64]:
        """What a bit of video costs on each line with its protection."""
        return cost_factor(self.protection.copies, self.protection.loss)

    def reset(self, slot: int, *, is_weak: bool = False) -> None:
        """Forget what the slot's last line left behind; the new one may seem weak already."""
        fresh = States.start(1)
        for field in fields(self):
            first = _columns(getattr(fresh, field.name))
            for name, values in _columns(getattr(self, field.name)).items():
                values[slot] = first[name][0]
        self.protection.loss[slot] = SUSPECTED_LOSS if is_weak else 0.0

    def grow(self, more: int) -> None:
        """Make room for further slots."""
        fresh = States.start(more)
        for field in fields(self):
            state: Any = getattr(self, field.name)
            new = _columns(getattr(fresh, field.name))
            columns = {
                name: np.concatenate([values, new[name]])
                for name, values in _columns(state).items()
            }
            setattr(self, field.name, state._replace(**columns))

    def pick_allocator(self, slots: npt.NDArray[np.intp]) -> AllocatorState:
        """The allocator's state of some slots."""
        picked = {name: values[slots] for name, values in _columns(self.allocator).items()}
        return AllocatorState(**picked)

    def put_allocator(self, slots: npt.NDArray[np.intp], state: AllocatorState) -> None:
        """Keep the allocator's state of some slots."""
        new = _columns(state)
        for name, values in _columns(self.allocator).items():
            values[slots] = new[name]


def _columns(state: Any) -> dict[str, npt.NDArray[Any]]:
    """The columns of a named tuple; what is no column belongs to all lines."""
    found = state._asdict().items()
    return {name: values for name, values in found if isinstance(values, np.ndarray)}
