"""All video subscriptions that follow a wish, as columns; a row is kept as long as its sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bandwidth.allocator import Allocation, Subscriptions
from bandwidth.demand import ALL_TEMPORAL, NOTHING
from sfu.downlink.wish import Wish
from sfu.ids import Layers
from sfu.thin.versions import can_thin

if TYPE_CHECKING:
    from sfu.source import Sink

__all__ = ["Table"]

_COLUMNS: dict[str, tuple[type, int]] = {
    "slot": (np.int64, 0),
    "source": (np.int64, 0),
    "kind": (np.int8, 0),
    "area_px": (np.float64, 0),
    "wanted_spatial": (np.int8, NOTHING),
    "wanted_temporal": (np.int8, ALL_TEMPORAL),
    "min_spatial": (np.int8, 0),
    "current_spatial": (np.int8, NOTHING),
    "current_temporal": (np.int8, ALL_TEMPORAL),
    "is_fresh": (np.bool_, 0),
    "is_thin": (np.bool_, 0),
    "is_open": (np.bool_, 0),
}


class Table:
    """Rows of subscriptions.

    Attributes:
        sinks: the sink of each row, None where the row is free.
    """

    def __init__(self, capacity: int = 64) -> None:
        """No rows."""
        self._columns: dict[str, npt.NDArray[Any]] = {
            name: np.full(capacity, fill, kind) for name, (kind, fill) in _COLUMNS.items()
        }
        self.sinks: list[Sink | None] = [None] * capacity
        self._free = list(range(capacity))[::-1]
        self._row_of: dict[Sink, int] = {}

    def __len__(self) -> int:
        """How many rows are in use."""
        return len(self._row_of)

    def row_of(self, sink: Sink) -> int | None:
        """The row of a sink."""
        return self._row_of.get(sink)

    def add(self, sink: Sink, slot: int, source_row: int) -> int:
        """A row for a sink, granted what the sink's layers say."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._row_of[sink] = row
        self.sinks[row] = sink
        columns = self._columns
        columns["slot"][row] = slot
        columns["source"][row] = source_row
        columns["is_open"][row] = True
        layers = sink.layers
        columns["current_spatial"][row] = NOTHING if layers.paused else layers.spatial
        columns["current_temporal"][row] = layers.temporal
        columns["is_thin"][row] = False
        return row

    def set_wish(self, row: int, wish: Wish) -> None:
        """What is wanted from now on; it need not wait."""
        columns = self._columns
        columns["kind"][row] = wish.kind
        columns["area_px"][row] = wish.area_px
        columns["wanted_spatial"][row] = NOTHING if wish.is_paused else wish.spatial
        columns["wanted_temporal"][row] = wish.temporal
        columns["min_spatial"][row] = wish.min_spatial
        columns["is_fresh"][row] = True

    def remove(self, sink: Sink) -> int | None:
        """Frees the row of a sink; returns its slot."""
        row = self._row_of.pop(sink, None)
        if row is None:
            return None
        self.sinks[row] = None
        self._columns["is_open"][row] = False
        self._free.append(row)
        return int(self._columns["slot"][row])

    def slots_of_sources(self, has_news: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """The slots that receive any of the sources."""
        columns = self._columns
        found: npt.NDArray[np.int64] = columns["slot"][
            columns["is_open"] & has_news[columns["source"]]
        ]
        return found

    def select(
        self, is_picked: npt.NDArray[np.bool_], rates_bps: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.intp], Subscriptions]:
        """Rows of some slots, for the allocator.

        Args:
            is_picked: by slot.
            rates_bps: by row of the sources.

        Returns:
            The rows, and what they want; slots count anew, in the order of `is_picked`.
        """
        columns = self._columns
        rows = np.flatnonzero(columns["is_open"] & is_picked[columns["slot"]])
        compact = np.cumsum(is_picked) - 1
        picked = {name: values[rows] for name, values in columns.items()}
        return rows, Subscriptions(
            compact[picked["slot"]],
            picked["kind"],
            picked["area_px"],
            picked["wanted_spatial"],
            picked["wanted_temporal"],
            picked["min_spatial"],
            rates_bps[picked["source"]],
            picked["current_spatial"],
            picked["current_temporal"],
            picked["is_fresh"],
        )

    def has_thin(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Which rows get the thin version."""
        found: npt.NDArray[np.bool_] = self._columns["is_thin"][rows]
        return found

    def refuse_thin(self, sink: Sink) -> None:
        """It could not be had: its row is as if nothing were granted, and tries again later."""
        if (row := self.row_of(sink)) is not None:
            self._columns["is_thin"][row] = False

    def can_thin(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Of which rows a thin version can be made."""
        sinks = (self.sinks[row] for row in rows)
        return np.array([sink is not None and can_thin(sink.source) for sink in sinks], np.bool_)

    def take(
        self, rows: npt.NDArray[np.intp], found: Allocation, is_thin: npt.NDArray[np.bool_]
    ) -> list[tuple[Sink, Layers, bool]]:
        """Keep what was granted; returns what is new, with the sinks to be told."""
        columns = self._columns
        spatial, temporal = columns["current_spatial"], columns["current_temporal"]
        was_fresh = columns["is_fresh"][rows]
        is_news = (spatial[rows] != found.spatial) | (temporal[rows] != found.temporal) | was_fresh
        is_news |= columns["is_thin"][rows] != is_thin
        columns["is_thin"][rows] = is_thin
        spatial[rows], temporal[rows] = found.spatial, found.temporal
        columns["is_fresh"][rows] = False
        news = []
        for index in np.flatnonzero(is_news):
            sink = self.sinks[rows[index]]
            if sink is not None:
                layer = int(found.spatial[index])
                layers = Layers(
                    max(0, layer), int(found.temporal[index]), layer < 0 and not is_thin[index]
                )
                news.append((sink, layers, bool(is_thin[index])))
        return news

    def _grow(self) -> None:
        count = len(self.sinks)
        for name, (kind, fill) in _COLUMNS.items():
            more: npt.NDArray[Any] = np.full(count, fill, kind)
            self._columns[name] = np.concatenate([self._columns[name], more])
        self.sinks += [None] * count
        self._free = list(range(count, 2 * count))[::-1]
