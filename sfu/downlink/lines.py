"""The lines to subscribers: which slot is whose transport, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sfu.transport import Transport

__all__ = ["LineColumns", "Lines"]


@dataclass
class LineColumns:
    """One entry a slot; garbage where the slot is free, until `Lines.open`.

    Attributes:
        handle: the engine's number of the transport.
        is_open: in use.
        has_estimate: the estimator knows it: the transport was connected.
        settles_us: until then nothing grows: the first probes are under way.
        videos: rows of video subscriptions.
        audios: sinks of audio.
        start_bps: believed until there is an estimate.
        used_bps: what is granted costs, without audio.
        needed_bps: what all wishes would cost, without audio.
        next_bps: what is granted and the next step up would cost, without audio; 0 = no step.
        proven_bps: what a probe has shown of late, audio included; 0 = nothing.
        is_full: the last probe found where the line ends.
        base_bps: the least video that makes sense.
        settled_bps: the budget of the last allocation.
        allocated_us: when that was.
        due_us: when growth that waits may happen, 0 = none waits.
        is_dirty: wishes or rates have changed.
        raw_step: as allocated.
        paced_bps: what the engine was told last, 0 = no limit.
        paced_us: when.
        audio_bps: plain audio, for the reserve.
        red_sent: the longest distance in what was sent in the last second.
        red_changed_us: when the distance was changed last.
    """

    handle: npt.NDArray[np.int64]
    is_open: npt.NDArray[np.bool_]
    has_estimate: npt.NDArray[np.bool_]
    settles_us: npt.NDArray[np.int64]
    videos: npt.NDArray[np.int64]
    audios: npt.NDArray[np.int64]
    start_bps: npt.NDArray[np.float64]
    used_bps: npt.NDArray[np.float64]
    needed_bps: npt.NDArray[np.float64]
    next_bps: npt.NDArray[np.float64]
    proven_bps: npt.NDArray[np.float64]
    is_full: npt.NDArray[np.bool_]
    base_bps: npt.NDArray[np.float64]
    settled_bps: npt.NDArray[np.float64]
    allocated_us: npt.NDArray[np.int64]
    due_us: npt.NDArray[np.int64]
    is_dirty: npt.NDArray[np.bool_]
    raw_step: npt.NDArray[np.int8]
    paced_bps: npt.NDArray[np.float64]
    paced_us: npt.NDArray[np.int64]
    audio_bps: npt.NDArray[np.float64]
    red_sent: npt.NDArray[np.float64]
    red_changed_us: npt.NDArray[np.int64]

    @classmethod
    def zeros(cls, size: int) -> LineColumns:
        """All free."""
        kinds = {
            "is_open": np.bool_,
            "has_estimate": np.bool_,
            "is_dirty": np.bool_,
            "is_full": np.bool_,
            "raw_step": np.int8,
            "handle": np.int64,
            "videos": np.int64,
            "audios": np.int64,
            "allocated_us": np.int64,
            "due_us": np.int64,
            "paced_us": np.int64,
            "settles_us": np.int64,
            "red_changed_us": np.int64,
        }
        return cls(**{f.name: np.zeros(size, kinds.get(f.name, np.float64)) for f in fields(cls)})


class Lines:
    """Slots of transports.

    Attributes:
        columns: what is known, by slot.
        transports: whose slot it is, None where free.
    """

    def __init__(self, capacity: int = 64) -> None:
        """All slots are free."""
        self.columns = LineColumns.zeros(capacity)
        self.transports: list[Transport | None] = [None] * capacity
        self._free = list(range(capacity))[::-1]
        self._slot_of: dict[int, int] = {}
        self._handles = np.zeros(0, np.int64)
        self._slots = np.zeros(0, np.int64)
        self._is_indexed = True

    def __len__(self) -> int:
        """How many are in use."""
        return len(self._slot_of)

    @property
    def capacity(self) -> int:
        """How many slots there are."""
        return len(self.transports)

    def find(self, handle: int) -> int | None:
        """The slot of a transport."""
        return self._slot_of.get(handle)

    def open(self, transport: Transport, start_bps: int) -> int:
        """The slot of a transport, taken if it has none."""
        slot = self._slot_of.get(transport.handle)
        if slot is not None:
            return slot
        if not self._free:
            self._grow()
        slot = self._free.pop()
        self._slot_of[transport.handle] = slot
        self.transports[slot] = transport
        for field in fields(self.columns):
            getattr(self.columns, field.name)[slot] = 0
        self.columns.handle[slot] = transport.handle
        self.columns.start_bps[slot] = start_bps
        self.columns.is_open[slot] = True
        self._is_indexed = False
        return slot

    def close(self, handle: int) -> int | None:
        """Frees the slot of a transport, and returns it."""
        slot = self._slot_of.pop(handle, None)
        if slot is not None:
            self.transports[slot] = None
            self.columns.is_open[slot] = False
            self.columns.has_estimate[slot] = False
            self._free.append(slot)
            self._is_indexed = False
        return slot

    def slots_of(self, handles: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
        """Slots by handle, -1 = none."""
        if not self._is_indexed:
            pairs = sorted(self._slot_of.items())
            self._handles = np.array([handle for handle, _ in pairs], np.int64)
            self._slots = np.array([slot for _, slot in pairs], np.int64)
            self._is_indexed = True
        if not self._handles.size:
            return np.full(handles.shape[0], -1, np.int64)
        at = np.minimum(np.searchsorted(self._handles, handles), self._handles.size - 1)
        return np.where(self._handles[at] == handles, self._slots[at], -1)

    def _grow(self) -> None:
        count = self.capacity
        more = LineColumns.zeros(count)
        for field in fields(more):
            old = getattr(self.columns, field.name)
            setattr(self.columns, field.name, np.concatenate([old, getattr(more, field.name)]))
        self.transports += [None] * count
        self._free = list(range(count, 2 * count))[::-1]
