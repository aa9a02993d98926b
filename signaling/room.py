"""A room: who is in it, what is published, and how news of it reaches everybody.

News about participants is coalesced. What touches tracks goes out at once (one message for all
changes of the moment), the rest waits up to `update_batch_s`. Each message is serialised once and
the same bytes go to everybody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from signaling.clock import Timer
from signaling.context import Context
from signaling.history import ReliableHistory
from signaling.hooks import call_hooks
from signaling.participant import Participant
from signaling.speakers import SpeakerBoard
from signaling.track import PublishedTrack
from signaling.webhooks import build_event

if TYPE_CHECKING:
    from sfu.speakers import SpeakerGroup

__all__ = ["Room"]

# Clients on bad lines read a large update in pieces; one message holds at most this much.
_UPDATE_CHUNK_BYTES = 48 * 1024
_MAX_DEPARTED = 256


class Room:
    """State and fan-out of one room.

    Attributes:
        info: what clients see of the room.
        participants: by identity.
        tracks: everything published, by track sid.
        speakers: who speaks, as its clients know it.
        microphones: of whom only the loudest are forwarded; made with the first one.
        shown_counts: numbers of participants and publishers that clients were told last.
        has_had_people: somebody who keeps the room was here once.
        emptied_s: since when nobody is here that keeps the room; None while somebody is.
    """

    def __init__(self, context: Context, name: str) -> None:
        """Makes an empty room; `start` tells the outside."""
        config = context.config
        wall_ms = context.clock.wall_ms()
        self.context = context
        self.info = models.Room(
            sid=context.sids.make("RM"),
            name=name,
            empty_timeout=config.timeouts.empty_s,
            departure_timeout=config.timeouts.departure_s,
            max_participants=config.max_participants,
            creation_time=wall_ms // 1000,
            creation_time_ms=wall_ms,
            enabled_codecs=[models.Codec(mime=mime) for mime in config.publish_codecs],
        )
        self.participants: dict[str, Participant] = {}
        self.by_sid: dict[str, Participant] = {}
        self.tracks: dict[str, PublishedTrack] = {}
        self.history = ReliableHistory(config.limits)
        self.speakers = SpeakerBoard()
        self.microphones: SpeakerGroup | None = None
        self.shown_counts = (0, 0)
        self.keepers: set[str] = set()
        self.has_had_people = False
        self.emptied_s: float | None = context.clock.now_s()
        self.is_closed = False
        # For clients that were away when somebody left.
        self._departed: deque[tuple[float, models.ParticipantInfo]] = deque(maxlen=_MAX_DEPARTED)
        self._urgent: dict[str, Participant] = {}
        self._batched: dict[str, Participant] = {}
        self._urgent_timer: Timer | None = None
        self._batch_timer: Timer | None = None

    @property
    def name(self) -> str:
        """The name, unique on this server."""
        return self.info.name

    # --- members

    def add(self, participant: Participant, *, keeps_room: bool) -> None:
        """Takes a participant in. The caller has checked that it may come."""
        assert participant.identity not in self.participants, "the old one was removed before"
        self.participants[participant.identity] = participant
        self.by_sid[participant.sid] = participant
        if keeps_room:
            self.keepers.add(participant.sid)
            self.has_had_people = True
            self.emptied_s = None
        self._count()

    def discard(self, participant: Participant) -> None:
        """Lets a participant go; its tracks and subscriptions are gone already."""
        if self.by_sid.pop(participant.sid, None) is None:
            return
        if self.participants.get(participant.identity) is participant:
            del self.participants[participant.identity]
        if not participant.is_hidden:
            self._departed.append((self.context.clock.now_s(), participant.info))
        self.keepers.discard(participant.sid)
        if not self.keepers and self.emptied_s is None:
            self.emptied_s = self.context.clock.now_s()
        self._count()

    def has_space(self, identity: str) -> bool:
        """Is there room for one more of those that count? Who comes back takes their own seat."""
        bound = self.info.max_participants
        present = {self.by_sid[sid].identity for sid in self.keepers} - {identity}
        return not bound or len(present) < bound

    def visible_infos(self, viewer: Participant) -> Iterator[models.ParticipantInfo]:
        """The others, as `viewer` may see them."""
        for other in self.participants.values():
            if other is not viewer and not other.is_hidden:
                yield other.info

    def departed_since(self, since_s: float | None) -> list[models.ParticipantInfo]:
        """Who left after `since_s`; nobody where that is None."""
        if since_s is None:
            return []
        return [info for left_s, info in self._departed if left_s >= since_s]

    def publisher_of(self, track: PublishedTrack) -> Participant:
        """Whose track it is."""
        return self.by_sid[track.publisher_sid]

    def _count(self) -> None:
        visible = [p for p in self.participants.values() if not p.is_hidden]
        self.info.num_participants = len(visible)
        self.info.num_publishers = sum(1 for p in visible if p.tracks)

    # --- news

    def announce(self, participant: Participant, *, is_urgent: bool) -> None:
        """Something about a participant changed: tell everybody, once."""
        was_publisher = participant.info.is_publisher
        participant.touch()
        if participant.info.is_publisher != was_publisher:
            self._count()
        clock = self.context.clock
        if is_urgent:
            self._urgent[participant.sid] = participant
            if self._urgent_timer is None:
                self._urgent_timer = clock.call_later(0.0, self.flush_urgent)
        else:
            self._batched[participant.sid] = participant
            if self._batch_timer is None:
                delay_s = self.context.config.timeouts.update_batch_s
                self._batch_timer = clock.call_later(delay_s, self._flush_batched)

    def announce_change(self, participant: Participant) -> None:
        """Like `announce`: at once, unless this participant was in the news a moment ago. Whoever
        mutes and unmutes 200 times a second costs the room five updates."""
        now_s = self.context.clock.now_s()
        is_calm = now_s >= participant.quiet_until_s
        if is_calm:
            participant.quiet_until_s = now_s + self.context.config.timeouts.update_batch_s
        self.announce(participant, is_urgent=is_calm)

    def flush_urgent(self) -> None:
        """Sends news of tracks now. Call before anything that must not overtake it: clients drop
        the media of tracks they have not been told of."""
        if self._urgent_timer is not None:
            self._urgent_timer.cancel()
            self._urgent_timer = None
        if self._urgent:
            # Who left comes first: browsers look people up by identity, and somebody who left
            # and came back must not be removed by the late news of having left.
            changed = {sid: p for sid, p in self._batched.items() if p.is_gone} | self._urgent
            self._urgent = {}
            for sid in changed:
                self._batched.pop(sid, None)
            self._send_updates(list(changed.values()))

    def _flush_batched(self) -> None:
        self._batch_timer = None
        self.flush_urgent()
        if self._batched:
            changed, self._batched = self._batched, {}
            self._send_updates(list(changed.values()))

    def _send_updates(self, changed: list[Participant]) -> None:
        visible = [p.info for p in changed if not p.is_hidden]
        for participant in changed:
            if participant.is_hidden and participant.outbox is not None:
                # The hidden one itself must still learn what became of its tracks and metadata.
                self._send_update([participant.info], [participant])
        chunk: list[models.ParticipantInfo] = []
        size_bytes = 0
        for info in visible:
            chunk.append(info)
            size_bytes += info.ByteSize()
            if size_bytes > _UPDATE_CHUNK_BYTES:
                self._send_update(chunk, list(self.participants.values()))
                chunk, size_bytes = [], 0
        if chunk:
            self._send_update(chunk, list(self.participants.values()))

    def _send_update(self, infos: list[models.ParticipantInfo], to: list[Participant]) -> None:
        response = rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=infos))
        data = response.SerializeToString()
        # As they are now: held ones may be sent much later.
        frozen = list(response.update.participants)
        for participant in to:
            if participant.outbox is not None:
                participant.outbox.send_update(data, frozen)

    def broadcast(self, response: rtc.SignalResponse, *, is_superseded: bool = False) -> None:
        """Sends the same message to everybody."""
        data = response.SerializeToString()
        for participant in list(self.participants.values()):
            if participant.outbox is None:
                continue
            if is_superseded:
                participant.outbox.send_superseded(data)
            else:
                participant.outbox.send_bytes(data)

    def announce_room(self) -> None:
        """Sends the room's own state to everybody."""
        self.broadcast(rtc.SignalResponse(room_update=rtc.RoomUpdate(room=self.info)))

    def flush_lagging(self) -> None:
        """Gives clients that caught up what was held back for them."""
        for participant in self.participants.values():
            if participant.outbox is not None:
                participant.outbox.flush_held()

    def emit(
        self,
        event: str,
        *,
        participant: models.ParticipantInfo | None = None,
        track: models.TrackInfo | None = None,
    ) -> None:
        """Tells the webhook queue."""
        context = self.context
        context.on_webhook(
            build_event(
                event,
                sid=context.sids.make("EV"),
                created_s=context.clock.wall_ms() // 1000,
                room=self.info,
                participant=participant,
                track=track,
            )
        )

    def start(self) -> None:
        """Tells the outside that the room exists."""
        call_hooks(self.context.hooks.on_room_started, self.info)
        self.emit("room_started")

    def close(self) -> None:
        """Ends an empty room."""
        assert not self.participants, "everybody was removed before"
        if self.is_closed:
            return
        self.is_closed = True
        for timer in (self._urgent_timer, self._batch_timer):
            if timer is not None:
                timer.cancel()
        call_hooks(self.context.hooks.on_room_finished, self.info)
        self.emit("room_finished")
