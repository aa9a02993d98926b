"""A recording in progress: takes frames from taps a few times a second, for the writer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from recorder.config import RecorderConfig
from recorder.manifest import Manifest, TrackEntry
from recorder.model import Clock, Participant, TrackInfo
from recorder.segment import ClockReading, Note
from recorder.writer import SegmentWriter
from sfu.errors import MediaClosedError
from sfu.tap import Frame, Tap

if TYPE_CHECKING:
    from sfu.source import Source

__all__ = ["Media", "RecordingSession"]

logger = logging.getLogger(__name__)

# Wall clock against engine clock, so often that a stepped or drifting clock stays within 200 ms.
_CLOCK_INTERVAL_S = 10.0
_DRAIN_FRAMES = 1000


class Media(Protocol):
    """What a recording needs of ``sfu.server.MediaServer``."""

    def open_tap(self, source: Source) -> Tap:
        """Start reading complete frames."""

    def now_us(self) -> int:
        """The engine's clock."""


@dataclass
class _Track:
    entry: TrackEntry
    tap: Tap
    lost_here: int = 0  # frames that the writer refused since the last it took
    key_us: int = 0  # last key frame, or last wish for one


class RecordingSession:
    """One room being recorded. Methods are for the event loop; only ``stop`` waits.

    Attributes:
        manifest: what has been recorded so far.
        lost_frames: counted over all tracks, by the engine or by a slow disk.
    """

    def __init__(
        self,
        manifest: Manifest,
        directory: Path,
        media: Media,
        config: RecorderConfig,
        clock: Clock,
        on_failed: Callable[[str], None],
    ) -> None:
        """Starts at once. ``on_failed(reason)`` is called in the event loop when the disk fails."""
        self.manifest = manifest
        self.lost_frames = 0
        self._media = media
        self._config = config
        self._clock = clock
        self._tracks: dict[str, _Track] = {}
        self._clock_us = 0
        loop = asyncio.get_running_loop()

        def fail(reason: str) -> None:
            loop.call_soon_threadsafe(on_failed, reason)

        self._writer = SegmentWriter(
            directory,
            sync_s=config.sync_s,
            max_pending_bytes=config.max_pending_bytes,
            min_free_bytes=config.min_free_bytes,
            on_failed=fail,
        )
        self._writer.save_manifest(manifest.to_json())
        self._task = asyncio.create_task(self._run(), name=f"recording-{manifest.id}")

    def add_track(self, participant: Participant, track: TrackInfo, source: Source) -> None:
        """Record a track from now on; one that is recorded already is left alone."""
        if track.id in self._tracks:
            return
        try:
            tap = self._media.open_tap(source)
        except MediaClosedError:
            logger.info("track %s ended before it could be recorded", track.id)
            return
        now_us = self._media.now_us()
        entry = TrackEntry(
            name=f"{len(self.manifest.tracks) + 1:03d}-{'audio' if source.is_audio else 'video'}",
            track_id=track.id,
            is_audio=source.is_audio,
            source=track.source,
            identity=participant.identity,
            display_name=participant.name,
            started_us=now_us,
        )
        self.manifest.tracks.append(entry)
        self._tracks[track.id] = _Track(entry, tap, key_us=now_us)
        self._writer.open_segment(entry.name, {"recording": self.manifest.id, **vars(entry)})
        self._writer.write_clock(entry.name, self._read_clock())
        self._writer.save_manifest(self.manifest.to_json())
        source.request_keyframe()

    def remove_track(self, track_id: str) -> None:
        """Stop recording a track; frames that wait are still taken."""
        track = self._tracks.pop(track_id, None)
        if track is None:
            return
        self._collect(track)
        track.tap.close()
        track.entry.ended_us = self._media.now_us()
        self._writer.close_segment(track.entry.name)
        self._writer.save_manifest(self.manifest.to_json())

    def set_muted(self, track_id: str, is_muted: bool) -> None:
        """Note that a track pauses or goes on, so that replay need not guess."""
        if (track := self._tracks.get(track_id)) is not None:
            note = Note(self._media.now_us(), "muted" if is_muted else "unmuted")
            self._writer.write_note(track.entry.name, note)

    async def stop(self, reason: str = "", timeout_s: float = 10.0) -> bool:
        """End all tracks and wait for the disk; False = the disk did not answer in time."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for track_id in list(self._tracks):
            self.remove_track(track_id)
        self.manifest.ended_us = self._media.now_us()
        self.manifest.reason = reason
        self._writer.save_manifest(self.manifest.to_json())
        return await asyncio.to_thread(self._writer.close, timeout_s)

    async def _run(self) -> None:
        # Waking up a few times a second, not per frame: recording must stay cheap.
        while True:
            await asyncio.sleep(self._config.batch_s)
            for track_id, track in list(self._tracks.items()):
                try:
                    self._collect(track)
                except Exception:
                    # A bug with one track must not end the recording of the others.
                    logger.exception("recording of track %s failed", track_id)
                    self.remove_track(track_id)
                    continue
                if track.tap.source.is_closed:
                    self.remove_track(track_id)
            self._write_clocks()

    def _collect(self, track: _Track) -> None:
        while True:
            frames = track.tap.drain(_DRAIN_FRAMES)
            if frames:
                self._hand_over(track, frames)
            if len(frames) < _DRAIN_FRAMES:
                break
        if not track.entry.is_audio:
            self._seek_keyframe(track)

    def _hand_over(self, track: _Track, frames: list[Frame]) -> None:
        lost = sum(frame.lost_before for frame in frames)
        if track.lost_here:
            frames[0] = frames[0]._replace(lost_before=frames[0].lost_before + track.lost_here)
        if self._writer.write_frames(track.entry.name, frames):
            track.lost_here = 0
        else:
            track.lost_here += len(frames)
            lost += len(frames)
        self.lost_frames += lost
        keys = [frame.arrived_us for frame in frames if frame.is_key]
        if keys:
            track.key_us = keys[-1]
        elif lost and not track.entry.is_audio:
            # What follows a loss cannot be decoded until the next key frame.
            track.key_us = 0

    def _seek_keyframe(self, track: _Track) -> None:
        interval_us = int(self._config.keyframe_interval_s * 1e6)
        now_us = self._media.now_us()
        if track.key_us == 0 or (interval_us and now_us - track.key_us > interval_us):
            track.key_us = now_us
            track.tap.source.request_keyframe()

    def _write_clocks(self) -> None:
        now_us = self._media.now_us()
        if now_us - self._clock_us > _CLOCK_INTERVAL_S * 1e6:
            self._clock_us = now_us
            for track in self._tracks.values():
                self._writer.write_clock(track.entry.name, self._read_clock())

    def _read_clock(self) -> ClockReading:
        return ClockReading(self._media.now_us(), int(self._clock() * 1e6))
