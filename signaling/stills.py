"""Stills to participants whose line is too weak for video, as slowly as the line bears.

Chunks go out one by one at a share of what the line is believed to carry, and the next one only
when the peer has the one before: a picture must never queue in front of somebody's voice. The
layout of a chunk is in PROTOCOL.md.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from livekit.protocol import models

from sfu.errors import MediaClosedError
from sfu.stills import Still, has_stills
from signaling.data import RELIABLE
from signaling.pages import is_page
from signaling.still_line import CHUNK_BYTES, PUMP_S, Line, Way

if TYPE_CHECKING:
    from collections import Counter

    from sfu.downlink import LineRoom
    from sfu.source import Source
    from sfu.stills import Watch
    from signaling.clock import Clock, Timer
    from signaling.participant import Participant
    from signaling.track import PublishedTrack

__all__ = ["TOPIC", "StillSender", "build_chunks"]

TOPIC = "aislecast.still"
_VERSION = 1
_MIMES = {"image/webp": 1}
_HEADER = struct.Struct("!BBHHIHHQB")
_MAX_CHUNKS = 64
_MAX_AGE_US = 5_000_000
# Of the line's estimate; the voice, and what tries to get better, have the rest.
_SHARE = 0.5
_MIN_RATE_BPS = 32_000.0
_MAX_RATE_BPS = 400_000.0
_UNKNOWN_RATE_BPS = 64_000.0
# On the way to the peer, as time of that rate, and two chunks in any case: whatever the line does,
# a voice waits for no more. One would wait for SCTP's delayed answer (RFC 9260 §6.2, 200 ms).
_MAX_UNACKED_S = 0.2
_FEW_BYTES = 2.4 * CHUNK_BYTES
_LOWEST_LAYER = 0
_BEST_LAYER = 2


class StillMaker(Protocol):
    """What the sender needs of `sfu.stills.Stills`."""

    def watch(self, source: Source, on_still: Callable[[Still], None], *, is_screen: bool) -> Watch:
        """Begin to make stills of a source."""

    def close(self) -> None:
        """End all."""


def build_chunks(still: Still, number: int, *, track_sid: str, wall_ms: int) -> list[bytes]:
    """Payloads of one still, in order.

    Args:
        number: tells this still from others; rising.
        wall_ms: when it was taken, since the Unix epoch.
    """
    parts = [
        still.data[start : start + CHUNK_BYTES] for start in range(0, len(still.data), CHUNK_BYTES)
    ]
    sid = track_sid.encode()
    mime = _MIMES[still.mime]
    return [
        _HEADER.pack(
            _VERSION,
            mime,
            still.width,
            still.height,
            number & 0xFFFF_FFFF,
            index,
            len(parts),
            wall_ms,
            len(sid),
        )
        + sid
        + part
        for index, part in enumerate(parts)
    ]


class StillSender:
    """Starts and stops stills per participant and track. Everything on the event loop's thread."""

    def __init__(
        self,
        stills: StillMaker,
        *,
        clock: Clock,
        counters: Counter[str],
        media_now_us: Callable[[], int],
        room: Callable[[Participant], LineRoom | None],
    ) -> None:
        """Starts nothing.

        Args:
            media_now_us: the clock stills are stamped with.
            room: what is known of a participant's line; None = nothing.
        """
        self._stills = stills
        self._clock = clock
        self._counters = counters
        self._media_now_us = media_now_us
        self._room = room
        self._lines: dict[str, Line] = {}
        self._timer: Timer | None = None
        self._number = 0

    def start(
        self, participant: Participant, track: PublishedTrack, on_turn: Callable[[], None]
    ) -> bool:
        """Begin to send stills of a track; again changes nothing.

        Args:
            on_turn: called when what `is_through` says of the participant has changed.

        Returns:
            Whether stills will come. Not to other clients than our pages, and not of VP9 and AV1:
            there the step below is audio only.
        """
        if participant.link is None or participant.is_gone or not is_page(participant):
            return False
        if not track.is_video or not has_stills(track.source):
            return False
        line = self._lines.get(participant.sid)
        if line is not None and track.sid in line.ways:
            return True
        is_screen = track.info.source == models.TrackSource.SCREEN_SHARE
        way = Way(track, is_screen=is_screen)
        try:
            way.watch = self._stills.watch(
                track.source,
                lambda still: self._handle_still(participant, way, still),
                is_screen=is_screen,
            )
        except MediaClosedError:
            return False
        way.watch.on_closed = lambda: self.stop(participant, track)
        if line is None:
            line = Line(participant, self._clock.now_s(), on_turn)
            self._lines[participant.sid] = line
        line.ways[track.sid] = way
        # The publisher must go on sending what stills are made of.
        layer = _BEST_LAYER if is_screen else _LOWEST_LAYER
        track.demand.set(_demand_key(participant), layer)
        return True

    def stop(self, participant: Participant, track: PublishedTrack) -> None:
        """End the stills of a track; harmless when there are none."""
        line = self._lines.get(participant.sid)
        way = line.ways.pop(track.sid, None) if line is not None else None
        if line is None or way is None:
            return
        if way.watch is not None:
            way.watch.close()
        track.demand.set(_demand_key(participant), None)
        for queue in line.queues():
            if way in queue:
                queue.remove(way)
        if not line.ways:
            del self._lines[participant.sid]

    def is_sending(self, participant: Participant, track: PublishedTrack) -> bool:
        """Whether stills of a track go to a participant."""
        line = self._lines.get(participant.sid)
        return line is not None and track.sid in line.ways

    def is_through(self, participant: Participant) -> bool:
        """Whether stills arrive there: not only sent, and of late."""
        line = self._lines.get(participant.sid)
        return line is not None and line.is_through

    def close(self) -> None:
        """End everything. Idempotent."""
        for line in list(self._lines.values()):
            for way in list(line.ways.values()):
                self.stop(line.participant, way.track)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stills.close()

    def _handle_still(self, participant: Participant, way: Way, still: Still) -> None:
        line = self._lines.get(participant.sid)
        if line is None or line.ways.get(way.track.sid) is not way:
            return  # stopped while it was on its way
        if self._has_ended(line, way):
            self.stop(participant, way.track)
            return
        if way.waiting is not None:
            self._counters["still_superseded"] += 1
        way.waiting = still
        line.wait(self._clock.now_s())
        queue = line.screens if way.is_screen else line.cameras
        if way not in queue:
            queue.append(way)
        if self._timer is None:
            self._timer = self._clock.call_later(0.0, self._pump)

    def _has_ended(self, line: Line, way: Way) -> bool:
        link = line.participant.link
        is_subscribed = way.track.sid in line.participant.subscriptions
        return line.participant.is_gone or link is None or link.is_closed or not is_subscribed

    def _pump(self) -> None:
        """Send what the lines bear now, and come back while anything waits."""
        self._timer = None
        for line in list(self._lines.values()):
            if line.has_work:
                self._serve(line)
        if any(line.has_work for line in self._lines.values()):
            self._timer = self._clock.call_later(PUMP_S, self._pump)

    def _serve(self, line: Line) -> None:
        for ended in [way for way in line.ways.values() if self._has_ended(line, way)]:
            self.stop(line.participant, ended.track)
        link = line.participant.link
        if link is not None:
            line.judge(self._clock.now_s(), link.primary.data.unacked_bytes)
        line.earn(self._clock.now_s(), self._rate_bps(line))
        while self._is_free(line) and (way := self._next_way(line)) is not None:
            chunk = way.chunks[0]
            if not line.spend(len(chunk)) or not self._send(line, chunk, len(way.chunks) == 1):
                return
            way.chunks.popleft()
            line.is_screens_turn = not way.is_screen
            if not way.chunks:
                # The next of its kind; this one comes again if a newer still waits.
                queue = line.screens if way.is_screen else line.cameras
                queue.rotate(-1)

    def _next_way(self, line: Line) -> Way | None:
        """The way whose next chunk is to be sent; leaves out what has nothing to send."""
        for queue in line.queues():
            while queue:
                way = queue[0]
                if way.track.source.is_muted:
                    # Switched off meanwhile: also what is half sent stays here.
                    way.chunks.clear()
                    way.waiting = None
                    line.drop()
                if way.chunks or self._begin(way):
                    return way
                else:
                    queue.popleft()
        return None

    def _is_free(self, line: Line) -> bool:
        """Whether the channel is up and the peer has what was sent."""
        link = line.participant.link
        if link is None or not link.is_connected:
            return False
        rate_bps = self._rate_bps(line)
        most_bytes = max(_FEW_BYTES, rate_bps * _MAX_UNACKED_S / 8)
        lacked_bytes = link.primary.data.unacked_bytes
        return rate_bps > 0 and lacked_bytes + 1.2 * CHUNK_BYTES <= most_bytes

    def _send(self, line: Line, chunk: bytes, is_last: bool) -> bool:
        link, packet = line.participant.link, _pack(chunk)
        if link is None or not link.send_data(RELIABLE, packet):
            self._counters["still_not_sent"] += 1
            return False
        line.count(len(packet), is_last=is_last)
        return True

    def _begin(self, way: Way) -> bool:
        """Take the newest still; False if there is none worth sending."""
        still, way.waiting = way.waiting, None
        if still is None:
            return False
        age_us = self._media_now_us() - still.captured_us
        if age_us > _MAX_AGE_US and not way.is_screen:
            # A newer one is being made; a screen's stays true until the next.
            self._counters["still_too_old"] += 1
            return False
        self._number += 1
        wall_ms = self._clock.wall_ms() - max(0, age_us) // 1000
        way.chunks.extend(
            build_chunks(still, self._number, track_sid=way.track.sid, wall_ms=wall_ms)
        )
        self._counters["still_sent"] += 1
        return True

    def _rate_bps(self, line: Line) -> float:
        """0 while something waits on the line: whatever is added then waits, too, and words wait
        behind it. What the line is believed to carry says less: after a cliff that is nothing for
        many seconds, and a still chunk by chunk is felt by nobody."""
        room = self._room(line.participant)
        if room is None:
            return _UNKNOWN_RATE_BPS
        if not room.is_clear:
            return 0.0
        return min(max(room.line_bps * _SHARE, _MIN_RATE_BPS), _MAX_RATE_BPS)


def _demand_key(participant: Participant) -> str:
    return f"stills {participant.sid}"


def _pack(payload: bytes) -> bytes:
    packet = models.DataPacket(
        kind=models.DataPacket.RELIABLE, user=models.UserPacket(payload=payload, topic=TOPIC)
    )
    return packet.SerializeToString()
