"""The whole job for one recording: a file per track first, then the file of the session."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recorder.errors import FinishError
from recorder.finish.composite import FRAMES_PER_S, HEIGHT, WIDTH, Compositor
from recorder.finish.copy import TimedPacket, copy_audio, copy_video
from recorder.finish.mix import Mixer
from recorder.finish.output import MIME_OF, Output
from recorder.finish.plan import Audio, SessionPlan, Video, companions, plan_session
from recorder.finish.track import Track, load_tracks
from recorder.manifest import Manifest, load_manifest
from recorder.model import TrackFile
from recorder.results import RESULT_NAME
from recorder.segment import ClockReading, scan_segment
from sfu.ids import Codec

__all__ = ["FinishResult", "finish_recording", "to_wall_us"]

_SESSION_NAME = "session"
_VERSION = 1

OnProgress = Callable[[float], None]
OnTracks = Callable[[list[TrackFile]], None]


@dataclass
class FinishResult:
    """What was made; kept beside the files as ``result.json``.

    Attributes:
        zero_us: engine clock at second 0 of the session file.
        clocks: (engine µs, Unix µs) readings, by which engine time becomes wall time.
        keyframes_s: of a session file with one copied picture, where seeking is cheap.
    """

    file_name: str
    mime: str
    duration_s: float
    size_bytes: int
    zero_us: int
    clocks: list[ClockReading]
    tracks: list[TrackFile] = field(default_factory=list)
    keyframes_s: list[float] = field(default_factory=list)
    version: int = _VERSION

    def to_json(self) -> str:
        """For the file and for the wire to the server process."""
        return json.dumps(asdict(self), ensure_ascii=False)


def finish_recording(
    directory: Path, on_progress: OnProgress, on_tracks: OnTracks = lambda tracks: None
) -> FinishResult:
    """Make the playable files of the recording in ``directory``; may be repeated at any time.

    ``on_tracks`` is called when the tracks can be played one by one, before the long part.

    Raises:
        FinishError: with the reason.
        OSError: the disk.
    """
    manifest = load_manifest(directory)
    if manifest is None:
        raise FinishError("manifest_missing", "there is no manifest to go by")
    for old in directory.glob("*.part"):
        old.unlink()
    tracks = load_tracks(directory, manifest)
    if not tracks:
        raise FinishError("no_media", "nothing was heard or seen while it recorded")
    all_tracks = list(tracks.values())
    files = [
        _finish_track(directory, tracks.get(entry.name), all_tracks, index)
        or TrackFile(
            entry.name, entry.track_id, entry.identity, entry.display_name, entry.source,
            entry.is_audio, reason="no_media",
        )
        for index, entry in enumerate(manifest.tracks)
    ]  # fmt: skip
    on_tracks(files)
    on_progress(0.1)
    zero_us = min(track.start_us for track in all_tracks)
    end_us = max(track.end_us for track in all_tracks)
    plan = plan_session(all_tracks)
    path = directory / f"{_SESSION_NAME}.{plan.container}"
    _write_session(path, plan, zero_us, end_us, lambda part: on_progress(0.1 + 0.9 * part))
    for other in directory.glob(f"{_SESSION_NAME}.*"):
        if other != path:
            other.unlink()
    result = FinishResult(
        file_name=path.name,
        mime=_mime(plan.container, has_video=plan.video is not Video.NONE),
        duration_s=(end_us - zero_us) / 1e6,
        size_bytes=path.stat().st_size,
        zero_us=manifest.started_us + zero_us,
        clocks=_clocks(directory, manifest),
        tracks=files,
        keyframes_s=_keyframes(plan, zero_us),
    )
    temporary = directory / f"{RESULT_NAME}.part"
    temporary.write_text(result.to_json(), "utf-8")
    temporary.replace(directory / RESULT_NAME)
    return result


def _mime(container: str, *, has_video: bool) -> str:
    return MIME_OF[container] if has_video else MIME_OF[container].replace("video", "audio")


def _finish_track(
    directory: Path, track: Track | None, tracks: Sequence[Track], index: int
) -> TrackFile | None:
    """The file of one track, with its owner's sound where it is a picture."""
    if track is None:
        return None
    container = "mp4" if track.codec is Codec.H264 else "webm"
    entry = track.entry
    path = directory / f"{entry.name}.{container}"
    sound = (track,) if entry.is_audio else companions(track, tracks)
    zero_us, end_us = track.start_us, track.end_us
    with Output(path, container) as output:
        lines: list[Iterator[TimedPacket]] = []
        if not entry.is_audio:
            lines.append(copy_video(output.add_copied_video(track), (track,), zero_us))
        if sound:
            lines.append(copy_audio(output.add_copied_audio(), sound, zero_us, end_us))
        for _, packet in heapq.merge(*lines, key=_time_of):
            output.mux(packet)
    return TrackFile(
        name=entry.name,
        track_id=entry.track_id,
        identity=entry.identity,
        display_name=entry.display_name,
        source=entry.source,
        is_audio=entry.is_audio,
        codec=track.codec.name.lower(),
        file_name=path.name,
        mime=_mime(container, has_video=not entry.is_audio),
        size_bytes=path.stat().st_size,
        started_s=zero_us / 1e6,
        duration_s=(end_us - zero_us) / 1e6,
        lost_frames=track.lost_frames,
    )


def _time_of(item: TimedPacket) -> int:
    return item[0]


def _write_session(
    path: Path, plan: SessionPlan, zero_us: int, end_us: int, on_progress: OnProgress
) -> None:
    with Output(path, plan.container) as output:
        mixer = Mixer(plan.audio_tracks, zero_us, end_us)
        lines = []
        if plan.video is Video.COPY:
            stream = output.add_copied_video(plan.video_tracks[0])
            lines.append(copy_video(stream, plan.video_tracks, zero_us))
        elif plan.video is Video.COMPOSITE:
            compositor = Compositor(plan.video_tracks, zero_us, end_us, lambda: mixer.loudest)
            lines.append(compositor.packets(output.add_encoded_video(WIDTH, HEIGHT, FRAMES_PER_S)))
        if plan.audio is Audio.COPY:
            stream = output.add_copied_audio()
            lines.append(copy_audio(stream, plan.audio_tracks, zero_us, end_us))
        elif plan.audio is Audio.MIX:
            lines.append(mixer.packets(output.add_encoded_audio()))
        _mux(output, lines, end_us - zero_us, on_progress)


def _mux(
    output: Output, lines: list[Iterator[TimedPacket]], length_us: int, on_progress: OnProgress
) -> None:
    reported = 0.0
    for at_us, packet in heapq.merge(*lines, key=_time_of):
        output.mux(packet)
        part = min(1.0, max(0.0, at_us / max(1, length_us)))
        if part - reported >= 0.01:
            reported = part
            on_progress(part)


def _clocks(directory: Path, manifest: Manifest) -> list[ClockReading]:
    readings = {ClockReading(manifest.started_us, manifest.started_wall_us)}
    for entry in manifest.tracks:
        path = directory / f"{entry.name}.seg"
        if path.exists():
            readings |= set(scan_segment(path).clocks)
    return sorted(readings)


def _keyframes(plan: SessionPlan, zero_us: int) -> list[float]:
    if plan.video is not Video.COPY:
        return []
    times = [
        int(at_us) - zero_us for track in plan.video_tracks for at_us in track.pts_us[track.is_key]
    ]
    return [round(at_us / 1e6, 3) for at_us in sorted(times)]


def to_wall_us(clocks: Sequence[ClockReading], engine_us: int) -> int:
    """Unix time of a moment of the engine's clock, by the last reading before it."""
    before: Any = [reading for reading in clocks if reading.engine_us <= engine_us]
    reading = before[-1] if before else clocks[0]
    return reading.wall_us + engine_us - reading.engine_us
