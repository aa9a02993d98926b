"""The periodic work: speakers, publishers' lines, connection quality, timeouts, tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable

from livekit.protocol import models, rtc

from signaling import subscriptions
from signaling.clock import Timer
from signaling.context import Context
from signaling.hooks import call_hooks
from signaling.lines import LineMeter
from signaling.membership import remove
from signaling.metadata import send_refresh_token
from signaling.participant import Participant
from signaling.quality import QualityMeter, build_quality_update, grade
from signaling.redundancy import Redundancy
from signaling.registry import RoomRegistry
from signaling.room import Room
from signaling.speakers import LevelMeter
from signaling.up_step import up_step_of
from signaling.uplinks import Uplinks

__all__ = ["Monitor"]

log = logging.getLogger(__name__)

Reason = models.DisconnectReason
Grade = tuple[models.ConnectionQuality, float]


class Monitor:
    """Runs its jobs on the clock of the context until `close`."""

    def __init__(self, context: Context, registry: RoomRegistry) -> None:
        """Starts nothing."""
        self._context = context
        self._registry = registry
        self._levels = LevelMeter()
        self._quality = QualityMeter()
        self._lines = LineMeter()
        self._uplinks = Uplinks()
        self._redundancy = Redundancy()
        self._timers: dict[str, Timer] = {}

    def start(self) -> None:
        """Starts all jobs."""
        timeouts = self._context.config.timeouts
        self._repeat("speakers", timeouts.speakers_s, self.update_speakers)
        self._repeat("uplinks", timeouts.uplinks_s, self.update_uplinks)
        self._repeat("quality", timeouts.quality_s, self.update_quality)
        self._repeat("samples", timeouts.samples_s, self.sample_lines)
        self._repeat("housekeeping", timeouts.housekeeping_s, self.keep_house)

    def close(self) -> None:
        """Stops all jobs. Idempotent."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _repeat(self, name: str, every_s: float, job: Callable[[], None]) -> None:
        def run() -> None:
            self._timers[name] = self._context.clock.call_later(every_s, run)
            try:
                job()
            except Exception:
                log.exception("the %s job failed", name)
                self._context.counters["internal_error"] += 1

        self._timers[name] = self._context.clock.call_later(every_s, run)

    def update_speakers(self) -> None:
        """Tells rooms who speaks, where that has changed."""
        rooms = self._registry.rooms.values()
        if all(track.is_video for room in rooms for track in room.tracks.values()):
            return
        levels = self._levels.measure(self._context.media.snapshot_encodings())
        for room in rooms:
            spoken: dict[str, float] = {}
            for track in room.tracks.values():
                level = levels.get(track.source.handle)
                if level is not None and not track.is_video and not track.info.muted:
                    sid = track.publisher_sid
                    spoken[sid] = max(level, spoken.get(sid, 0.0))
            visible = {sid: lv for sid, lv in spoken.items() if not room.by_sid[sid].is_hidden}
            changed = room.speakers.update(visible)
            if changed:
                message = rtc.SpeakersChanged(speakers=changed)
                room.broadcast(rtc.SignalResponse(speakers_changed=message), is_superseded=True)

    def update_uplinks(self) -> None:
        """Tells publishers what their lines carry, and which sounds need redundancy."""
        rooms = self._registry.rooms.values()
        if any(room.tracks for room in rooms):
            context = self._context
            snapshot, now_s = context.media.snapshot(), context.clock.now_s()
            self._uplinks.update(rooms, snapshot, now_s)
            self._redundancy.update(rooms, snapshot.encodings, now_s)

    def update_quality(self) -> None:
        """Grades all lines; each client hears of itself and of those it receives, on change."""
        if not self._registry.rooms:
            return
        self._quality.observe(self._context.media.snapshot())
        for room in self._registry.rooms.values():
            grades = {p.sid: self._grade(p) for p in room.participants.values() if p.link}
            changed = {
                sid: grade
                for sid, grade in grades.items()
                if room.by_sid[sid].quality is not grade[0]
            }
            for sid, (quality, _) in changed.items():
                room.by_sid[sid].quality = quality
            for participant in room.participants.values():
                self._send_quality(participant, grades, changed)
            self._send_counts(room)

    def sample_lines(self) -> None:
        """Tells who keeps a history how everybody's line is."""
        hooks = self._context.hooks.on_quality
        if not hooks or not self._registry.rooms:
            return
        media = self._context.media
        self._lines.observe(media.snapshot())
        for room in self._registry.rooms.values():
            for participant in room.participants.values():
                sample = self._lines.sample(participant, media)
                if sample is not None and not participant.is_hidden:
                    call_hooks(hooks, room.info, participant.info, sample)

    def _grade(self, participant: Participant) -> Grade:
        link = participant.link
        assert link is not None, "only participants with a link are graded"
        return grade(
            self._quality.line(
                [track.source.handle for track in participant.tracks.values()],
                link.transport_handles,
                is_lost=participant.was_active and link.primary.state in ("disconnected", "failed"),
                step=participant.step,
                up_step=up_step_of(participant),
            )
        )

    def _send_quality(
        self, participant: Participant, grades: dict[str, Grade], changed: dict[str, Grade]
    ) -> None:
        if participant.outbox is None:
            return
        heard = {s.track.publisher_sid for s in participant.subscriptions.values()}
        heard.add(participant.sid)
        # Whom it has not received before is new to it, whether or not the grade has changed.
        news = {
            sid: grades[sid]
            for sid in heard
            if sid in grades and (sid in changed or sid not in participant.graded)
        }
        participant.graded = heard
        if news:
            participant.outbox.send_superseded(build_quality_update(news).SerializeToString())

    def _send_counts(self, room: Room) -> None:
        counts = (room.info.num_participants, room.info.num_publishers)
        if counts != room.shown_counts:
            room.shown_counts = counts
            update = rtc.SignalResponse(room_update=rtc.RoomUpdate(room=room.info))
            room.broadcast(update, is_superseded=True)

    def keep_house(self) -> None:
        """Timeouts of participants and rooms, layers nobody wants, tokens about to end."""
        for room in list(self._registry.rooms.values()):
            for participant in list(room.participants.values()):
                if not participant.is_local:
                    self._check_participant(room, participant)
            for track in room.tracks.values():
                subscriptions.poll_demand(room, track)
            room.flush_lagging()
        self._registry.end_empty()

    def _check_participant(self, room: Room, participant: Participant) -> None:
        timeouts = self._context.config.timeouts
        now_s = self._context.clock.now_s()
        failed_s, lost_s = participant.failed_s, participant.lost_s
        if not participant.was_active:
            if now_s - participant.joined_s >= timeouts.join_s:
                self._context.counters["join_timeout"] += 1
                remove(room, participant, Reason.JOIN_FAILURE)
            return
        if failed_s is not None:
            # With a WebSocket the client restarts ICE by itself, and is given time for it.
            wait_s = timeouts.join_s if lost_s is None else timeouts.ice_failed_s
            if now_s - max(failed_s, lost_s or 0.0) >= wait_s:
                self._context.counters["media_lost"] += 1
                action = rtc.LeaveRequest.RECONNECT
                remove(room, participant, Reason.CONNECTION_TIMEOUT, action=action)
            return
        if lost_s is None and now_s - participant.refreshed_s >= timeouts.refresh_s:
            send_refresh_token(room, participant)
