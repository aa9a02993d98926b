"""Passports as they are asked for: drawn up beside the event loop, and kept for a minute."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from web.network.passport import Passport, draw_up
from web.network.store import LineStore
from web.people.roles import Role
from web.rooms.catalogue import Place

KEPT_S: Final = 60.0
"""Six samples: nothing a passport says changes sooner. All dealers of a meeting check their lines
in the same minutes, and ask for the same place."""
MAX_KEPT: Final = 500

_Key = tuple[str, str, str, int]
"""Store, else room; name; offset of the clock."""


class Passports:
    """Draws up passports, one at a time, from what is remembered."""

    def __init__(
        self,
        store: LineStore,
        *,
        place_of: Callable[[str], Awaitable[Place]],
        wall_s: Callable[[], float],
    ) -> None:
        """Take the store, who knows where a room is, and the wall clock."""
        self._store = store
        self._place_of = place_of
        self._wall_s = wall_s
        self._kept: OrderedDict[_Key, tuple[float, Passport]] = OrderedDict()
        # Under way, by what was asked for. Whoever gives up waiting ends none of them: on a slow
        # machine nobody would ever be told, and each try would begin anew.
        self._drawing: dict[_Key, asyncio.Task[Passport]] = {}
        # Two at once would only take turns, and the event loop would have its turn less often.
        self._one_at_a_time = asyncio.Lock()
        self.num_drawn_up = 0

    async def of(self, room: str, *, name: str = "", utc_offset_s: int = 0) -> Passport:
        """Return a passport that is a minute old at most: of all who walked in the room's store,
        or of one name, in this room alone.

        Whoever calls has checked the rights on the room.
        """
        place = Place("", (room,)) if name else await self._place_of(room)
        return await self._of(place, name, utc_offset_s)

    async def usual(self, room: str, *, name: str, is_walker: bool) -> Passport | None:
        """Return how the line of somebody who is about to enter a room usually is.

        Of a walker that is the store's, where its name is known; of others only their own, by the
        name in their link. None where nothing is known.
        """
        if not (name or is_walker):
            return None
        place = await self._place_of(room)
        if is_walker and place.name:
            passport = await self._of(place, "", 0)
        else:
            passport = await self._of(Place("", (room,)), name, 0)
        return None if passport.advice.grade == "unknown" else passport

    async def _of(self, place: Place, name: str, utc_offset_s: int) -> Passport:
        key = (place.name, "" if place.name else place.rooms[0], name, utc_offset_s)
        at_s, passport = self._kept.get(key, (0.0, None))
        # A wall clock may be set back: what comes from the future is drawn up anew.
        if passport is not None and 0 <= self._wall_s() - at_s < KEPT_S:
            return passport
        drawing = self._drawing.get(key)
        if drawing is None:
            drawing = asyncio.create_task(self._draw_up(key, place.rooms))
            self._drawing[key] = drawing
            drawing.add_done_callback(lambda _: self._drawing.pop(key))
        return await asyncio.shield(drawing)

    async def _draw_up(self, key: _Key, rooms: Sequence[str]) -> Passport:
        _, _, name, utc_offset_s = key
        async with self._one_at_a_time:
            now_s = self._wall_s()
            since_s = now_s - self._store.retention_s
            samples = await self._store.place(rooms, Role.WALKER.value, name, since_s)
            passport = await asyncio.to_thread(draw_up, samples, utc_offset_s=utc_offset_s)
        self.num_drawn_up += 1
        self._kept[key] = (now_s, passport)
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return passport
