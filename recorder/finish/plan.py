"""Decides how the one playable file of a session is made: copied where that is honest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from recorder.finish.track import Track
from sfu.ids import Codec

__all__ = ["Audio", "SessionPlan", "Video", "chain", "companions", "plan_session"]

# Tracks that follow each other may overlap by this much, as when a client joins again.
_OVERLAP_US = 1_000_000


class Video(Enum):
    """Where the picture comes from."""

    NONE = "none"
    COPY = "copy"
    COMPOSITE = "composite"


class Audio(Enum):
    """Where the sound comes from."""

    NONE = "none"
    COPY = "copy"
    MIX = "mix"


@dataclass(frozen=True)
class SessionPlan:
    """What to do with which tracks."""

    video: Video
    audio: Audio
    video_tracks: tuple[Track, ...]
    audio_tracks: tuple[Track, ...]
    container: str  # webm or mp4


def chain(tracks: Sequence[Track]) -> tuple[Track, ...] | None:
    """The tracks in order of time if each begins when the one before is over, else None."""
    ordered = tuple(sorted(tracks, key=lambda track: track.start_us))
    for one, following in zip(ordered, ordered[1:], strict=False):
        if following.start_us < one.end_us - _OVERLAP_US:
            return None
    return ordered


def can_copy_video(tracks: Sequence[Track]) -> bool:
    """VP8 tells its size in every key frame; H.264 in MP4 has one set of parameters for a file."""
    codecs = {track.codec for track in tracks}
    if codecs == {Codec.VP8}:
        return True
    sets = {value for track in tracks for value in track.parameter_sets.values()}
    return codecs == {Codec.H264} and len(sets) == 1


def companions(video: Track, tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The sound that belongs to a picture: the same person's, while the picture lasts."""
    source = "screen_share_audio" if video.entry.source == "screen_share" else "microphone"
    own = [
        track
        for track in tracks
        if track.entry.is_audio
        and track.entry.identity == video.entry.identity
        and track.entry.source == source
        and track.start_us < video.end_us
        and track.end_us > video.start_us
    ]
    return chain(own) or ()


def plan_session(tracks: Sequence[Track]) -> SessionPlan:
    """Copy one picture after the other; mix sound only when it overlaps; compose otherwise."""
    pictures = [track for track in tracks if not track.entry.is_audio]
    sounds = [track for track in tracks if track.entry.is_audio]
    line = chain(sounds)
    audio = Audio.NONE if not sounds else Audio.MIX if line is None else Audio.COPY
    video_line = chain(pictures)
    if not pictures:
        return SessionPlan(Video.NONE, audio, (), line or tuple(sounds), "webm")
    if video_line is not None and can_copy_video(video_line):
        container = "webm" if video_line[0].codec is Codec.VP8 else "mp4"
        return SessionPlan(Video.COPY, audio, video_line, line or tuple(sounds), container)
    # Encoded anyway: then in what every browser plays.
    mixed = Audio.MIX if sounds else Audio.NONE
    return SessionPlan(Video.COMPOSITE, mixed, tuple(pictures), tuple(sounds), "mp4")
