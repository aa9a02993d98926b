"""Which rooms are being recorded: the bridge from rooms' news to the recorder.

The recorder knows no rooms and signaling no disks; here every track of a recorded room is handed
to the recorder when it is published, and everybody in the room is shown that it records.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from livekit.protocol import models

from recorder.errors import RecorderClosedError, RecorderError
from recorder.model import Participant, Recording, RecordingState, TrackInfo
from recorder.service import RecorderService
from sfu.source import Source
from signaling.service import SignalingService
from web.http.problems import Problem, stopping
from web.ops.errands import Errands
from web.rooms.catalogue import RoomCatalogue

log = structlog.get_logger("web.recordings")

SOURCES: Final = {
    models.CAMERA: "camera",
    models.MICROPHONE: "microphone",
    models.SCREEN_SHARE: "screen_share",
    models.SCREEN_SHARE_AUDIO: "screen_share_audio",
}


class RecordingControl:
    """Starts and stops recordings of rooms."""

    def __init__(
        self, recorder: RecorderService, signaling: SignalingService, catalogue: RoomCatalogue
    ) -> None:
        """Take the parts."""
        self._recorder = recorder
        self._signaling = signaling
        self._catalogue = catalogue
        self._running: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._errands = Errands("web.recordings")

    def start(self) -> None:
        """Follow rooms from now on."""
        hooks = self._signaling.hooks
        hooks.on_track_published.append(self._on_track_published)
        hooks.on_track_unpublished.append(self._on_track_unpublished)
        hooks.on_track_muted.append(self._on_track_muted)
        hooks.on_room_finished.append(self._on_room_finished)
        self._recorder.on_change.append(self._on_recording_changed)

    async def start_recording(self, room: str) -> str:
        """Record a live room from now on; returns the recording's id, also of one that runs.

        Raises:
            Problem: the room is not live, or the disk is full.
        """
        async with self._lock:
            if (running := self._running.get(room)) is not None:
                return running
            if all(live.name != room for live in self._signaling.list_rooms()):
                raise Problem(409, "room_not_live", "Nobody is in that room.")
            title = await self._catalogue.title(room)
            try:
                recording_id = (await self._recorder.start(room, title)).id
            except RecorderError as error:
                raise as_problem(error) from None
            self._running[room] = recording_id
            # Shown before the first frame is written.
            self._signaling.set_recording(room, True)
            self._add_present(room, recording_id)
            log.info("recording_started", room=room, recording=recording_id)
            return recording_id

    async def stop_recording(self, room: str) -> str | None:
        """End the recording of a room; returns its id, None if there was none."""
        async with self._lock:
            recording_id = self._running.pop(room, None)
            if recording_id is None:
                return None
            self._signaling.set_recording(room, False)
            await self._recorder.stop(recording_id)
            log.info("recording_stopped", room=room, recording=recording_id)
            return recording_id

    def running(self, room: str) -> str | None:
        """Return the id of the recording of a room, if one runs."""
        return self._running.get(room)

    async def settle(self) -> None:
        """Wait until the room news so far has been acted on."""
        await self._errands.settle()

    def _add_present(self, room: str, recording_id: str) -> None:
        for participant in self._signaling.list_participants(room):
            for track in participant.tracks:
                source = self._signaling.find_source(room, track.sid)
                if source is not None:
                    self._add(recording_id, participant, track, source)

    def _add(
        self,
        recording_id: str,
        participant: models.ParticipantInfo,
        track: models.TrackInfo,
        source: Source,
    ) -> None:
        try:
            self._recorder.add_track(
                recording_id,
                Participant(participant.identity, participant.name),
                TrackInfo(track.sid, SOURCES.get(track.source, "camera")),
                source,
            )
        except RecorderError as error:
            log.warning("track_not_recorded", recording=recording_id, code=error.code)
        else:
            if track.muted:
                self._recorder.set_muted(recording_id, track.sid, True)

    def _on_track_published(
        self,
        room: models.Room,
        participant: models.ParticipantInfo,
        track: models.TrackInfo,
        source: Source,
    ) -> None:
        if (recording_id := self._running.get(room.name)) is not None:
            self._add(recording_id, participant, track, source)

    def _on_track_unpublished(
        self, room: models.Room, _participant: models.ParticipantInfo, track: models.TrackInfo
    ) -> None:
        if (recording_id := self._running.get(room.name)) is not None:
            self._recorder.remove_track(recording_id, track.sid)

    def _on_track_muted(
        self, room: models.Room, _participant: models.ParticipantInfo, track: models.TrackInfo
    ) -> None:
        if (recording_id := self._running.get(room.name)) is not None:
            self._recorder.set_muted(recording_id, track.sid, track.muted)

    def _on_room_finished(self, room: models.Room) -> None:
        if room.name in self._running:
            self._errands.run(self._stop_quietly(room.name))

    def _on_recording_changed(self, recording: Recording) -> None:
        """Show the room when the recorder gave up by itself, for example on a full disk."""
        is_over = recording.state is not RecordingState.RECORDING
        if is_over and self._running.get(recording.room) == recording.id:
            del self._running[recording.room]
            self._signaling.set_recording(recording.room, False)
            log.info("recording_ended", recording=recording.id, why=recording.reason)

    async def _stop_quietly(self, room: str) -> None:
        await self.stop_recording(room)


def as_problem(error: RecorderError) -> Problem:
    """Return what an API call answers when the recorder refuses."""
    if isinstance(error, RecorderClosedError):
        return stopping()
    known = {
        "recording_not_found": (404, "not_found", "That recording is not here (any more)."),
        "recording_not_possible": (409, "not_possible", "The recording cannot do that now."),
        "disk_full": (507, "disk_full", "There is no space left for recordings."),
    }
    status, code, message = known.get(error.code, (500, error.code, "The recorder failed."))
    return Problem(status, code, message)
