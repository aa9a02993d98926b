"""State as columns: one array a quantity, one entry a slot."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Columns:
    """Arrays of equal length that a subclass names in `INITIAL`.

    `INITIAL` gives each column's value in a fresh slot; its type decides the array's: bool, int or
    float. `WIDTH` names the columns that hold a row of so many values per slot.
    """

    INITIAL: ClassVar[dict[str, bool | int | float]] = {}
    WIDTH: ClassVar[dict[str, int]] = {}

    def __init__(self, capacity: int) -> None:
        """Make room for slots 0 … capacity-1, all of them fresh."""
        for name in self.INITIAL:
            setattr(self, name, self._fresh(name, capacity))

    @classmethod
    def _fresh(cls, name: str, count: int) -> NDArray[Any]:
        initial = cls.INITIAL[name]
        shape = (count, cls.WIDTH[name]) if name in cls.WIDTH else (count,)
        return np.full(shape, initial, np.asarray(initial).dtype)

    def reset(self, slots: NDArray[np.intp] | int, *names: str) -> None:
        """Make slots fresh again, in all columns or in those named."""
        for name in names or self.INITIAL:
            getattr(self, name)[slots] = self.INITIAL[name]

    def grow(self, capacity: int) -> None:
        """Add fresh slots at the end."""
        for name in self.INITIAL:
            column = getattr(self, name)
            more = self._fresh(name, capacity - len(column))
            setattr(self, name, np.concatenate([column, more]))
