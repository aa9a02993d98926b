"""What callers see of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ["Clock", "Participant", "Recording", "RecordingState", "TrackFile", "TrackInfo"]


class Clock(Protocol):
    """The server's wall clock."""

    def __call__(self) -> float:
        """Unix time in seconds."""


class RecordingState(StrEnum):
    """How far a recording is. Nothing ever leaves this list silently."""

    RECORDING = "recording"
    FINISHING = "finishing"  # the playable file is being made; progress tells how far
    READY = "ready"
    FAILED = "failed"  # with a reason; what was written is kept and the finish can be retried


@dataclass(frozen=True)
class Participant:
    """Who published a track."""

    identity: str
    name: str = ""


@dataclass(frozen=True)
class TrackInfo:
    """What the room knows of a track.

    Attributes:
        source: camera, microphone, screen_share or screen_share_audio.
    """

    id: str
    source: str


@dataclass(frozen=True)
class TrackFile:
    """One recorded track and its own playable file.

    Attributes:
        name: for ``RecorderService.file_path``.
        file_name: empty while there is none.
        started_s: its first frame, on the recording's timeline.
        lost_frames: known to be missing.
        reason: why there is no file, such as no_media; empty otherwise.
    """

    name: str
    track_id: str
    identity: str
    display_name: str
    source: str
    is_audio: bool
    codec: str = ""
    file_name: str = ""
    mime: str = ""
    size_bytes: int = 0
    started_s: float = 0.0
    duration_s: float = 0.0
    lost_frames: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Recording:
    """One recorded session of a room.

    Attributes:
        reason: why it failed, a stable code; empty in every other state.
        cut_short: why it ended other than by order: interrupted (crash), server_stopped, disk_full
            or disk_error; empty = it is complete.
        progress: of the finish, 0..1.
        file_name: the playable file of the whole session; empty before it is ready.
        is_published: whether people without the right to see all recordings may see it.
    """

    id: str
    room: str
    title: str
    started_at_s: float
    ended_at_s: float | None = None
    state: RecordingState = RecordingState.RECORDING
    reason: str = ""
    cut_short: str = ""
    progress: float = 0.0
    duration_s: float = 0.0
    size_bytes: int = 0
    file_name: str = ""
    mime: str = ""
    participants: tuple[str, ...] = ()
    tracks: tuple[TrackFile, ...] = ()
    is_published: bool = False
