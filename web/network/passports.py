"""Passports as they are asked for: drawn up beside the event loop, and kept for a minute."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from web.network.passport import Passport, draw_up
from web.network.store import LineStore
from web.people.roles import Role

KEPT_S: Final = 60.0
"""Six samples: nothing a passport says changes sooner. All dealers of a meeting check their lines
in the same minutes, and ask for the same place."""
MAX_KEPT: Final = 500


class Passports:
    """Draws up passports, one at a time, from what is remembered."""

    def __init__(self, store: LineStore, *, wall_s: Callable[[], float]) -> None:
        """Take the store and the wall clock."""
        self._store = store
        self._wall_s = wall_s
        self._kept: OrderedDict[tuple[str, str, int], tuple[float, Passport]] = OrderedDict()
        # Two at once would only take turns, and the event loop would have its turn less often.
        self._one_at_a_time = asyncio.Lock()
        self.num_drawn_up = 0

    async def of(self, place: str, *, name: str = "", utc_offset_s: int = 0) -> Passport:
        """Return a place's passport, of its walkers or of one name, a minute old at most.

        Whoever calls has checked the rights.
        """
        key = (place, name, utc_offset_s)
        async with self._one_at_a_time:
            now_s = self._wall_s()
            at_s, passport = self._kept.get(key, (0.0, None))
            # A wall clock may be set back: what comes from the future is drawn up anew.
            if passport is not None and 0 <= now_s - at_s < KEPT_S:
                return passport
            since_s = now_s - self._store.retention_s
            samples = await self._store.place(place, Role.WALKER.value, name, since_s)
            passport = await asyncio.to_thread(draw_up, samples, utc_offset_s=utc_offset_s)
            self.num_drawn_up += 1
            self._kept[key] = (now_s, passport)
            self._kept.move_to_end(key)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
            return passport
