"""All recordings of this server: starts, stops, finishes, lists, and repairs after a crash."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recorder.config import RecorderConfig
from recorder.errors import (
    DiskFullError,
    FinishError,
    RecorderError,
    RecordingNotFoundError,
    RecordingStateError,
)
from recorder.finisher import Finisher
from recorder.manifest import Manifest, load_manifest
from recorder.model import Clock, Participant, Recording, RecordingState, TrackFile, TrackInfo
from recorder.results import build_recording, load_result, result_fields
from recorder.session import Media, RecordingSession
from recorder.store import RecordingStore

if TYPE_CHECKING:
    from sfu.source import Source

__all__ = ["RecorderService"]

logger = logging.getLogger(__name__)

_DELETED_PREFIX = ".deleted-"
OnChange = Callable[[Recording], None]


class RecorderService:
    """Call ``recover`` before anything else and ``drain`` at the end, in one event loop.

    Attributes:
        on_change: called with a recording whenever its state or progress changes.
        counters: what happened since the start, for metrics.
    """

    def __init__(self, media: Media, config: RecorderConfig, clock: Clock = time.time) -> None:
        """Opens nothing yet."""
        self._media = media
        self._config = config
        self._clock = clock
        self._store = RecordingStore(config.database)
        self._finisher = Finisher(max_jobs=config.finish_jobs, timeout_s=config.finish_timeout_s)
        self._sessions: dict[str, RecordingSession] = {}
        self._stopping: dict[str, asyncio.Task[Recording]] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._progress: dict[str, float] = {}
        self._finishing: dict[str, Recording] = {}
        self._is_draining = False
        self.on_change: list[OnChange] = []
        self.counters = {
            "recordings_started": 0,
            "recordings_ready": 0,
            "recordings_failed": 0,
            "recordings_cut_short": 0,
            "recorded_frames_lost": 0,
        }

    async def recover(self) -> None:
        """Open the list, and go on with everything that a stop or a crash left unfinished."""
        self._config.directory.mkdir(parents=True, exist_ok=True)
        await self._store.open()
        known = {recording.id: recording for recording in await self._store.list(limit=-1)}
        for path in sorted(self._config.directory.iterdir()):
            if path.name.startswith(_DELETED_PREFIX):
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
            elif path.name not in known and (manifest := load_manifest(path)) is not None:
                # The list was lost, the files were not.
                await self._adopt(manifest, path)
        for recording in known.values():
            if not self._path(recording.id).is_dir():
                if recording.reason != "files_missing":
                    await self._fail(recording.id, "files_missing")
            elif recording.state is RecordingState.RECORDING:
                await self._store.update(recording.id, cut_short="interrupted")
                await self._finish(recording.id)
            elif recording.state is RecordingState.FINISHING:
                await self._finish(recording.id)

    async def start(self, room_name: str, title: str) -> Recording:
        """Begin a recording; add its tracks with ``add_track``.

        Raises:
            DiskFullError: less than the reserve is free.
            RecordingStateError: the server is about to stop.
        """
        if self._is_draining:
            raise RecordingStateError("the server is stopping")
        if shutil.disk_usage(self._config.directory).free < self._config.min_free_bytes:
            raise DiskFullError("not enough space to record")
        recording_id = secrets.token_hex(16)
        wall_s = self._clock()
        directory = self._path(recording_id)
        directory.mkdir(mode=0o750)
        manifest = Manifest(
            recording_id, room_name, title, self._media.now_us(), int(wall_s * 1_000_000)
        )
        recording = Recording(recording_id, room_name, title, wall_s)
        await self._store.put(recording)
        self._sessions[recording_id] = RecordingSession(
            manifest,
            directory,
            self._media,
            self._config,
            self._clock,
            lambda reason: self._handle_disk_failed(recording_id, reason),
        )
        self.counters["recordings_started"] += 1
        self._announce(recording)
        return recording

    def add_track(
        self, recording_id: str, participant: Participant, track: TrackInfo, source: Source
    ) -> None:
        """Record a track from now on. Returns at once; harmless when the recording is over."""
        if (session := self._sessions.get(recording_id)) is not None:
            session.add_track(participant, track, source)

    def remove_track(self, recording_id: str, track_id: str) -> None:
        """Stop recording a track; one whose source closes ends by itself."""
        if (session := self._sessions.get(recording_id)) is not None:
            session.remove_track(track_id)

    def set_muted(self, recording_id: str, track_id: str, is_muted: bool) -> None:
        """Tell that a track was muted or is heard again."""
        if (session := self._sessions.get(recording_id)) is not None:
            session.set_muted(track_id, is_muted)

    async def stop(self, recording_id: str, reason: str = "") -> Recording:
        """End a recording and begin to make its file; one that is over is only returned."""
        task = self._stopping.get(recording_id)
        if task is None:
            session = self._sessions.pop(recording_id, None)
            if session is None:
                return await self.get(recording_id)
            task = asyncio.create_task(self._stop(recording_id, session, reason))
            self._stopping[recording_id] = task
            task.add_done_callback(lambda _: self._stopping.pop(recording_id, None))
        return await asyncio.shield(task)

    async def retry(self, recording_id: str) -> Recording:
        """Make the file again, after a failure or with newer means."""
        recording = await self.get(recording_id)
        if recording.state not in (RecordingState.FAILED, RecordingState.READY):
            raise RecordingStateError(f"it is {recording.state}")
        return await self._finish(recording_id)

    async def get(self, recording_id: str) -> Recording:
        """One recording as it is now. Raises RecordingNotFoundError."""
        return self._with_progress(await self._store.get(recording_id))

    async def list(
        self, *, room: str | None = None, published_only: bool = True, limit: int = 200
    ) -> tuple[Recording, ...]:
        """Recordings, newest first; all of them only for who has the right to see them."""
        found = await self._store.list(room=room, published_only=published_only, limit=limit)
        return tuple(self._with_progress(recording) for recording in found)

    def active(self, room_name: str) -> tuple[str, ...]:
        """Ids of recordings of a room that go on now."""
        sessions = self._sessions.items()
        return tuple(key for key, session in sessions if session.manifest.room == room_name)

    async def set_published(self, recording_id: str, is_published: bool) -> Recording:
        """Show a recording to everybody, or only to who may see all."""
        changed = await self._store.update(recording_id, is_published=is_published)
        self._announce(changed)
        return changed

    async def file_path(self, recording_id: str, track_name: str = "") -> tuple[Path, str]:
        """The playable file of the session, or of one track, and its media type.

        Raises:
            RecordingNotFoundError: no such recording or track.
            RecordingStateError: there is no file of it (yet).
        """
        recording = await self.get(recording_id)
        wanted: Recording | TrackFile = recording
        if track_name:
            names = {track.name: track for track in recording.tracks}
            if track_name not in names:
                raise RecordingNotFoundError(f"{recording_id}/{track_name}")
            wanted = names[track_name]
        path = self._path(recording_id) / wanted.file_name
        if not wanted.file_name or not path.is_file():
            raise RecordingStateError(f"no file: {recording.state}")
        return path, wanted.mime

    async def delete(self, recording_id: str) -> None:
        """Remove a recording with all its files, for ever."""
        if recording_id in self._sessions or recording_id in self._stopping:
            raise RecordingStateError("it is being recorded")
        await self._store.get(recording_id)
        if (job := self._jobs.get(recording_id)) is not None:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        path = self._path(recording_id)
        gone = path.with_name(_DELETED_PREFIX + path.name)
        if path.exists():
            # Renamed first: a crash in between leaves something that recover() clears away.
            path.rename(gone)
        await self._store.delete(recording_id)
        await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)

    async def drain(self, timeout_s: float = 7.0) -> None:
        """End all recordings; files that are not made in time are made after the next start."""
        self._is_draining = True
        until_s = time.monotonic() + timeout_s
        stops = [asyncio.create_task(self.stop(i, "server_stopped")) for i in [*self._sessions]]
        stops += self._stopping.values()
        if stops:
            await asyncio.wait(stops, timeout=timeout_s)
        jobs = list(self._jobs.values())
        if jobs:
            _, unfinished = await asyncio.wait(jobs, timeout=max(0.0, until_s - time.monotonic()))
            for job in unfinished:
                job.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await self._store.close()

    # ---- inside --------------------------------------------------------------------------------

    def _path(self, recording_id: str) -> Path:
        return self._config.directory / recording_id

    def _handle_disk_failed(self, recording_id: str, reason: str) -> None:
        logger.error("recording %s is cut short: %s", recording_id, reason)
        self.counters["recordings_cut_short"] += 1
        if recording_id in self._sessions:
            task = asyncio.create_task(self.stop(recording_id, reason))
            task.add_done_callback(_log_failure)

    async def _stop(self, recording_id: str, session: RecordingSession, reason: str) -> Recording:
        is_written = await session.stop(reason)
        self.counters["recorded_frames_lost"] += session.lost_frames
        if not is_written:
            logger.error("the disk did not take the end of recording %s in time", recording_id)
            reason = reason or "disk_error"
        names = {entry.identity for entry in session.manifest.tracks}
        await self._store.update(
            recording_id,
            ended_at_s=self._clock(),
            cut_short=reason,
            participants=tuple(sorted(names)),
        )
        return await self._finish(recording_id)

    async def _adopt(self, manifest: Manifest, path: Path) -> None:
        await self._store.put(build_recording(manifest))
        result = load_result(path)
        if result is None:
            await self._finish(manifest.id)
        else:
            await self._store.update(manifest.id, **result_fields(result, manifest.started_wall_us))

    async def _finish(self, recording_id: str) -> Recording:
        """Queue the job; the recording is honest about it at once."""
        recording = await self._store.update(
            recording_id, state=RecordingState.FINISHING, reason=""
        )
        self._progress[recording_id] = 0.0
        if recording_id not in self._jobs:
            job = asyncio.create_task(self._run_job(recording), name=f"finish-{recording_id}")
            self._jobs[recording_id] = job
            job.add_done_callback(lambda _: self._jobs.pop(recording_id, None))
        self._announce(recording)
        return recording

    async def _run_job(self, recording: Recording) -> None:
        self._finishing[recording.id] = recording
        try:
            result = await self._finisher.finish(
                self._path(recording.id),
                lambda part: self._handle_progress(recording.id, part),
                lambda tracks: self._handle_tracks(recording.id, tracks),
            )
            fields = result_fields(result, int(recording.started_at_s * 1e6))
            ready = await self._store.update(recording.id, **fields)
            self.counters["recordings_ready"] += 1
            self._announce(ready)
        except FinishError as error:
            logger.warning("recording %s: %s (%s)", recording.id, error.code, error)
            await self._fail(recording.id, error.code)
        except asyncio.CancelledError:
            # Stays "finishing": the next start goes on.
            raise
        except RecorderError:
            logger.info("recording %s went away while its file was made", recording.id)
        except Exception:
            logger.exception("finishing recording %s failed", recording.id)
            await self._fail(recording.id, "finish_crashed")
        finally:
            self._progress.pop(recording.id, None)
            self._finishing.pop(recording.id, None)

    async def _fail(self, recording_id: str, reason: str) -> None:
        failed = await self._store.update(recording_id, state=RecordingState.FAILED, reason=reason)
        self.counters["recordings_failed"] += 1
        self._announce(failed)

    def _handle_progress(self, recording_id: str, part: float) -> None:
        self._progress[recording_id] = part
        if (known := self._finishing.get(recording_id)) is not None:
            self._announce(known)

    async def _handle_tracks(self, recording_id: str, tracks: Sequence[dict[str, Any]]) -> None:
        """Tracks can be played one by one while the session's file is still being made."""
        files = tuple(TrackFile(**track) for track in tracks)
        self._finishing[recording_id] = await self._store.update(recording_id, tracks=files)

    def _with_progress(self, recording: Recording) -> Recording:
        if recording.state is not RecordingState.FINISHING:
            return recording
        return replace(recording, progress=self._progress.get(recording.id, 0.0))

    def _announce(self, recording: Recording) -> None:
        current = self._with_progress(recording)
        for listener in list(self.on_change):
            try:
                listener(current)
            except Exception:
                logger.exception("a listener failed on recording %s", recording.id)


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("stopping a recording failed", exc_info=error)
