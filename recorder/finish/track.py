"""One recorded track, as read back from its segment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recorder.finish.bitstream import h264_parameter_sets, opus_duration_us, vp8_size
from recorder.finish.timeline import monotonic_dts, spread, to_engine_us
from recorder.manifest import Manifest, TrackEntry
from recorder.segment import FrameRecord, SegmentScan, scan_segment
from sfu.ids import Codec

__all__ = ["Track", "load_tracks"]

_VIDEO_CODECS = (Codec.VP8, Codec.H264)
# The last frame of a track is shown for as long as a frame usually lasts.
_LAST_FRAME_US = 40_000


@dataclass
class Track:
    """Frames in decoding order, on the recording's timeline.

    Attributes:
        pts_us: shape (n,), when each is shown or heard; 0 = the recording's start.
        dts_us: shape (n,), when each is decoded; strictly increasing.
        parameter_sets: of H.264, those of each key frame by frame index.
        size: of VP8 and H.264, width and height of the first key frame; (0, 0) when unknown.
        muted: (from, to) of the times in which it was muted.
        lost_frames: known to be missing.
    """

    entry: TrackEntry
    codec: Codec
    path: Path
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    is_key: npt.NDArray[np.bool_]
    pts_us: npt.NDArray[np.int64]
    dts_us: npt.NDArray[np.int64]
    parameter_sets: dict[int, bytes] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    muted: list[tuple[int, int]] = field(default_factory=list)
    lost_frames: int = 0
    _handle: int = -1

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.pts_us)

    def read(self, index: int) -> bytes:
        """The bytes of one frame."""
        if self._handle < 0:
            self._handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._handle, int(self.sizes[index]), int(self.offsets[index]))

    def close(self) -> None:
        """Give the file back; reading opens it again."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    @property
    def start_us(self) -> int:
        """Its first frame."""
        return int(self.pts_us.min())

    @property
    def end_us(self) -> int:
        """Where its last frame is over."""
        last = int(self.pts_us.max())
        if self.entry.is_audio:
            return last + opus_duration_us(self.read(int(self.pts_us.argmax())))
        return last + _LAST_FRAME_US

    def is_muted_at(self, at_us: int) -> bool:
        """Whether the publisher had muted it."""
        return any(start <= at_us < end for start, end in self.muted)


def load_tracks(directory: Path, manifest: Manifest) -> dict[str, Track]:
    """Tracks with at least one playable frame, by name."""
    tracks = {}
    for entry in manifest.tracks:
        path = directory / f"{entry.name}.seg"
        if path.exists() and (track := _load(path, entry, manifest.started_us)) is not None:
            tracks[entry.name] = track
    return tracks


def _load(path: Path, entry: TrackEntry, zero_us: int) -> Track | None:
    scan = scan_segment(path)
    codec = _codec_of(scan.frames, entry.is_audio)
    frames = [frame for frame in scan.frames if _plays(frame, codec, entry.is_audio)]
    if codec is None or not frames:
        return None
    rows = np.array(frames, np.int64)
    captured_us = to_engine_us(rows[:, 0], rows[:, 2], rows[:, 1], rows[:, 5], codec.clock_hz)
    track = Track(
        entry=entry,
        codec=codec,
        path=path,
        offsets=rows[:, 7],
        sizes=rows[:, 8],
        is_key=rows[:, 4].astype(bool),
        pts_us=captured_us - zero_us,
        dts_us=np.empty(0, np.int64),
        muted=_muted(scan, zero_us),
        lost_frames=int(rows[:, 3].sum()),
    )
    first = _first_decodable(track)
    if first == len(track):
        return None
    _keep(track, slice(first, None))
    # Before the start: captured earlier, arrived later. Nobody can seek there.
    first = int(np.argmax(track.pts_us >= 0)) if entry.is_audio else 0
    _keep(track, slice(first, None))
    track.pts_us = np.maximum(track.pts_us, 0)
    if codec is Codec.H264:
        track.dts_us = monotonic_dts(track.pts_us)
        # Where times repeat (pictures from before the start), nothing may be shown undecoded.
        track.pts_us = np.maximum(track.pts_us, track.dts_us)
    else:
        track.pts_us = spread(track.pts_us)
        track.dts_us = track.pts_us
    return track


def _codec_of(frames: list[FrameRecord], is_audio: bool) -> Codec | None:
    """The codec of most bytes; a publisher that changes it mid-track is very rare."""
    sizes: dict[int, int] = {}
    for frame in frames:
        sizes[frame.codec] = sizes.get(frame.codec, 0) + frame.size_bytes
    if is_audio:
        return Codec.OPUS if sizes else None
    known = {codec: sizes[codec] for codec in _VIDEO_CODECS if codec in sizes}
    return max(known, key=lambda codec: known[codec]) if known else None


def _plays(frame: FrameRecord, codec: Codec | None, is_audio: bool) -> bool:
    return frame.size_bytes > 0 and (is_audio or frame.codec == codec)


def _first_decodable(track: Track) -> int:
    """Index of the first key frame that tells its size; also notes sizes and parameter sets."""
    if track.entry.is_audio:
        return 0
    first = len(track)
    for index in np.flatnonzero(track.is_key).tolist():
        data = track.read(index)
        if track.codec is Codec.VP8:
            size = vp8_size(data)
            is_start = size is not None
            if size is not None and first == len(track):
                track.size = size
        else:
            sets = h264_parameter_sets(data)
            is_start = sets is not None
            if sets is not None:
                track.parameter_sets[index] = sets
        if is_start:
            first = min(first, index)
    return first


def _keep(track: Track, which: slice) -> None:
    start = which.start or 0
    track.offsets, track.sizes = track.offsets[which], track.sizes[which]
    track.is_key, track.pts_us = track.is_key[which], track.pts_us[which]
    track.parameter_sets = {
        index - start: sets for index, sets in track.parameter_sets.items() if index >= start
    }


def _muted(scan: SegmentScan, zero_us: int) -> list[tuple[int, int]]:
    spans, since = [], None
    for note in sorted(scan.notes):
        at_us = note.engine_us - zero_us
        if note.kind == "muted" and since is None:
            since = at_us
        elif note.kind == "unmuted" and since is not None:
            spans.append((since, at_us))
            since = None
    if since is not None:
        spans.append((since, 1 << 62))
    return spans
