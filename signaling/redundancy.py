"""Sound gets redundancy (RED) once its publisher's line loses packets, and keeps it.

Every frame sent twice costs 34 kb/s. On a line that loses nothing that buys nothing, and on one
that falls to 120 kb/s it is what the picture, and the end of the queue, would need.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sfu.stats import Rows
    from signaling.room import Room

__all__ = ["Redundancy"]

_WINDOW_S = 5.0
_LEAST_PACKETS = 50
"""Of a window that says anything: a second of sound."""
_LOSS = 0.01
"""One lost packet in a second of sound every two seconds. In-band FEC hides about half of those."""


class _Window(NamedTuple):
    since_s: float
    packets: int
    lost: int


class Redundancy:
    """The losses of all sounds that come without redundancy."""

    def __init__(self) -> None:
        """Knows of none."""
        self._windows: dict[int, _Window] = {}
        self._done: set[int] = set()

    def update(self, rooms: Iterable[Room], encodings: Rows, now_s: float) -> None:
        """Look at all sounds, and ask for redundancy where some was lost."""
        counts = _counts(encodings)
        windows: dict[int, _Window] = {}
        done: set[int] = set()
        for room in rooms:
            for track in room.tracks.values():
                handle = track.source.handle
                if track.is_video or handle not in counts:
                    continue
                if handle in self._done:
                    done.add(handle)
                    continue
                now = _Window(now_s, *counts[handle])
                window = self._windows.get(handle, now)
                transport = track.source.transport
                # What a full queue loses is brought back by less, not by more.
                if transport is None or transport.has_fallen:
                    window = now
                elif now_s - window.since_s >= _WINDOW_S:
                    if _is_lossy(window, now) and _ask(room, track.publisher_sid, track.mid):
                        done.add(handle)
                    window = now
                windows[handle] = window
        self._windows, self._done = windows, done


def _is_lossy(before: _Window, now: _Window) -> bool:
    packets, lost = now.packets - before.packets, now.lost - before.lost
    return packets >= _LEAST_PACKETS and lost > _LOSS * (packets + lost)


def _ask(room: Room, publisher_sid: str, mid: str) -> bool:
    publisher = room.by_sid.get(publisher_sid)
    link = publisher.link if publisher is not None else None
    if link is None or link.is_closed or not link.is_single:
        return False
    link.publisher.add_red(mid)
    return True


def _counts(encodings: Rows) -> dict[int, tuple[int, int]]:
    """Packets that came, and that never did, of each source's first encoding."""
    is_first = np.asarray(encodings["encoding"]) == 0
    columns = (encodings[name][is_first].tolist() for name in ("source", "packets", "lost"))
    return {source: (packets, lost) for source, packets, lost in zip(*columns, strict=True)}
