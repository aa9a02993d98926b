"""Publishers whose lines do not carry all their layers are told which to send.

What they carry is judged by `bandwidth.uplink` from what arrives of each layer. Where we can ask
for an offer, our answer pauses the layers above; until that is answered, and where we cannot, a
limit for the whole line keeps them off.

A line that falls far below what it carried is told of by the engine at once: see `handle_fall`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bandwidth.demand import MAX_LAYERS
from bandwidth.uplink import (
    FIRST_WAIT_S,
    NO_NEWS,
    Carried,
    find_limit_bps,
    judge,
    take_news,
)
from signaling.pages import is_page
from signaling.subscriptions import tell_layers
from signaling.up_step import UpStep

if TYPE_CHECKING:
    from sfu.stats import MediaSnapshot, Rows
    from sfu.transport import Transport
    from signaling.negotiate import ClientOffers
    from signaling.participant import Participant
    from signaling.room import Room
    from signaling.track import PublishedTrack

__all__ = ["Uplinks", "handle_fall"]

_NEWS_SHARE = 0.02
"""A limit that moves by less is not told."""
_PRESS, _MOST_PRESSED = 0.96, 0.7
"""A limit under which the layer above still comes is lowered by this each time, down to this."""
_GROWTH = 1.5
"""While it holds a limit only falls: padding and retransmissions fill what it leaves, and look like
something else that needs room. Unless that is as much as another track."""
_SMOOTHING = 0.2
"""Weight of the newest measure of what else comes on a line: a limit follows within seconds."""


_FILLED = 0.75
"""Of what the highest layer that is not paused announces: then one more may fit."""


_WITHOUT_TOP = (UpStep.STARTING, UpStep.REDUCED)


class _Line(NamedTuple):
    track: PublishedTrack
    publisher: Participant | None
    transport: Transport
    offers: ClientOffers | None
    top: int
    rates_bps: list[float]


class Uplinks:
    """What the lines of all publishers of simulcast carry."""

    def __init__(self) -> None:
        """Knows of no track."""
        self._sids: list[str] = []
        self._carried = Carried.start(0, 0.0)
        self._received: dict[int, int] = {}
        self._other_bps: dict[int, float] = {}
        self._at_s = 0.0
        self._limited: dict[int, Transport] = {}

    def update(self, rooms: Collection[Room], snapshot: MediaSnapshot, now_s: float) -> None:
        """Look at all lines, tell publishers what has changed, and note how they are."""
        elapsed_s, self._at_s = max(now_s - self._at_s, 1e-3), now_s
        lines = _lines(rooms, _rates(snapshot.encodings))
        self._align(lines, now_s)
        received_bps = self._measure(snapshot.transports, elapsed_s)
        limits: dict[int, float] = {}
        if lines:
            rates = [line.rates_bps for line in lines]
            top = [line.top for line in lines]
            is_filled = self._find_filled(lines)
            news = [line.track.line_news for line in lines]
            known = take_news(now_s, news, top, self._carried)
            self._carried = judge(now_s, elapsed_s, rates, top, known, is_filled=is_filled)
            other = self._find_other(lines, received_bps)
            announced = [_announced(line.track) for line in lines]
            found = find_limit_bps(self._carried, top, rates, announced, other)
            for line, limit_bps, limit in zip(
                lines, found.tolist(), self._carried.limit.tolist(), strict=True
            ):
                line.track.line_news = NO_NEWS
                is_told = _raise(line, limit) or _pause_above(line, limit)
                if limit_bps > 0 and not is_told:
                    handle = line.transport.handle
                    limit_bps = self._hold(line, limit_bps)
                    limits[handle] = min(limit_bps, limits.get(handle, limit_bps))
        self._tell({line.transport.handle: line.transport for line in lines}, limits)
        self._note_steps(rooms, lines)

    def _note_steps(self, rooms: Collection[Room], lines: list[_Line]) -> None:
        """Each participant's `seen_step`: layers that are wanted and that its line does not carry.

        What a weak line was let begin with says nothing until one layer more has been tried.
        """
        steps: dict[str, UpStep] = {}
        limits, waits_s = self._carried.limit.tolist(), self._carried.wait_s.tolist()
        for line, limit, wait_s in zip(lines, limits, waits_s, strict=True):
            is_guess = limit == line.track.first_layers - 1 and wait_s <= FIRST_WAIT_S
            if limit < line.top and not is_guess:
                sid = line.track.publisher_sid
                step = UpStep.REDUCED if line.top - limit == 1 else UpStep.SLOW
                steps[sid] = max(step, steps.get(sid, UpStep.FULL))
        for room in rooms:
            for participant in room.by_sid.values():
                participant.seen_step = steps.get(participant.sid, UpStep.FULL)

    def _find_filled(self, lines: list[_Line]) -> list[bool]:
        """Where layers are paused those below may take what they like; others we keep short."""
        limits = self._carried.limit.tolist()
        return [
            (line.offers is None and line.track.lowered_to is None)
            or limit >= line.track.encoding_count
            or line.rates_bps[limit] >= _FILLED * _announced(line.track)[limit]
            for line, limit in zip(lines, limits, strict=True)
        ]

    def _find_other(self, lines: list[_Line], received_bps: dict[int, float]) -> list[float]:
        """What comes beside each track on its line, smoothed: layers are measured by the second."""
        before, self._other_bps = self._other_bps, {}
        for line in lines:
            if line.transport.handle in received_bps:
                handle = line.track.source.handle
                now_bps = received_bps[line.transport.handle] - sum(line.rates_bps)
                mean_bps = before.get(handle, now_bps)
                self._other_bps[handle] = mean_bps + _SMOOTHING * (now_bps - mean_bps)
        return [self._other_bps.get(line.track.source.handle, 0.0) for line in lines]

    def _hold(self, line: _Line, limit_bps: float) -> float:
        """A limit in force only falls, as long as the layer that it keeps off still comes."""
        before_bps = line.transport.uplink_limit_bps
        if not before_bps or limit_bps > _GROWTH * before_bps:
            return limit_bps
        if line.rates_bps[line.top] > 0:
            return max(min(limit_bps, before_bps * _PRESS), limit_bps * _MOST_PRESSED)
        return min(limit_bps, before_bps)

    def _tell(self, transports: dict[int, Transport], limits: dict[int, float]) -> None:
        for handle in [handle for handle in self._limited if handle not in limits]:
            self._limited.pop(handle).limit_uplink(0)
        for handle, limit_bps in limits.items():
            transport = self._limited.setdefault(handle, transports[handle])
            before_bps = transport.uplink_limit_bps
            if abs(limit_bps - before_bps) > _NEWS_SHARE * limit_bps:
                transport.limit_uplink(int(limit_bps))

    def _align(self, lines: list[_Line], now_s: float) -> None:
        """Rows in the order of the tracks; a new one knows what its first answer said."""
        sids = [line.track.sid for line in lines]
        if sids == self._sids:
            return
        row_of = {sid: row for row, sid in enumerate(self._sids)}
        new_row = len(self._sids)
        both = self._carried.join(Carried.start(1, now_s))
        self._carried = both.take([row_of.get(sid, new_row) for sid in sids])
        for row, line in enumerate(lines):
            if line.track.first_layers and line.track.sid not in row_of:
                self._carried.limit[row] = line.track.first_layers - 1
        self._sids = sids

    def _measure(self, rows: Rows, elapsed_s: float) -> dict[int, float]:
        """Bits per second that came on each transport since the last call."""
        before = self._received
        names = ("transport", "received_bytes")
        self._received = dict(zip(*(rows[name].tolist() for name in names), strict=True))
        return {
            handle: (count - before[handle]) * 8 / elapsed_s
            for handle, count in self._received.items()
            if handle in before
        }


def _lines(rooms: Iterable[Room], rates: dict[int, list[float]]) -> list[_Line]:
    none = [0.0] * MAX_LAYERS
    return [
        _Line(
            track,
            room.by_sid.get(track.publisher_sid),
            track.source.transport,
            _offers_of(room, track),
            _top_of(room, track),
            rates.get(track.source.handle, none),
        )
        for room in rooms
        for track in room.tracks.values()
        if track.is_video
        and track.encoding_count > 1
        and not track.info.muted
        and track.source.transport is not None
    ]


def _top_of(room: Room, track: PublishedTrack) -> int:
    """Highest layer that is wanted, and not held back by its own sender: that one is not judged."""
    publisher = room.by_sid.get(track.publisher_sid)
    is_held = publisher is not None and publisher.announced_step in _WITHOUT_TOP
    return min(track.demand.top, track.encoding_count - (2 if is_held else 1))


def _offers_of(room: Room, track: PublishedTrack) -> ClientOffers | None:
    """Of a publisher that we can ask for an offer."""
    publisher = room.by_sid.get(track.publisher_sid)
    link = publisher.link if publisher is not None else None
    return link.publisher if link is not None and link.is_single and not link.is_closed else None


def handle_fall(room: Room, participant: Participant, rate_bps: int) -> None:
    """A participant's line has fallen to this rate; 0 = it is back.

    With all its layers on, libwebrtc sends more than is left, whatever its estimate; with the
    lowest alone it goes down to 30 kb/s and to smaller pictures. Clients with dynacast obey an
    order in one trip, and our pages are known for it. From others an offer is asked for, at once:
    TCP sends nothing new once a message before it stayed unconfirmed for 200 ms.
    """
    has_fallen = rate_bps > 0
    room.context.counters["uplink_falls"] += has_fallen
    for track in participant.tracks.values():
        if not track.is_video or track.encoding_count < 2 or track.info.muted:
            continue
        track.line_news = 0 if has_fallen else MAX_LAYERS - 1
        lowered_to = 0 if has_fallen else None
        if track.lowered_to != lowered_to:
            track.lowered_to = lowered_to
            tell_layers(participant, track)
        offers = _offers_of(room, track)
        if offers is not None and not (has_fallen and is_page(participant)):
            offers.limit_layers(track.mid, 1 if has_fallen else 0)


def _raise(line: _Line, limit: int) -> bool:
    """Takes an order back that a fall had led to, step by step; returns whether it still stands for
    a client that obeys it."""
    track = line.track
    if track.lowered_to is None or line.publisher is None:
        return False
    lowered_to = None if limit >= track.encoding_count - 1 else limit
    if track.lowered_to != lowered_to:
        track.lowered_to = lowered_to
        tell_layers(line.publisher, track)
    return lowered_to is not None and is_page(line.publisher)


def _pause_above(line: _Line, limit: int) -> bool:
    """Lets the publisher know which layers its line carries; returns whether it does know."""
    if line.offers is None:
        return False
    is_all = limit >= line.track.encoding_count - 1
    return line.offers.limit_layers(line.track.mid, 0 if is_all else limit + 1)


def _announced(track: PublishedTrack) -> list[float]:
    rates = [float(layer.bitrate) for layer in track.info.layers[:MAX_LAYERS]]
    return rates + [0.0] * (MAX_LAYERS - len(rates))


def _rates(encodings: Rows) -> dict[int, list[float]]:
    """Bits per second of each source's encodings, lowest first."""
    found: dict[int, list[float]] = {}
    names = ("source", "encoding", "bitrate_bps")
    columns = (np.asarray(encodings[name]).tolist() for name in names)
    for source, encoding, rate_bps in zip(*columns, strict=True):
        if encoding < MAX_LAYERS:
            found.setdefault(source, [0.0] * MAX_LAYERS)[encoding] = float(rate_bps)
    return found
