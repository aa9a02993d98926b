"""Writing WebM and MP4 with PyAV: copied and encoded streams, seekable, whole or not at all."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import av

from recorder.finish.track import Track
from sfu.ids import Codec

__all__ = ["MICROSECOND", "MIME_OF", "Output", "Packet", "make_packet"]

# PyAV types packets by a stream it does not need here.
Packet: TypeAlias = Any

MICROSECOND = Fraction(1, 1_000_000)
MIME_OF = {"webm": "video/webm", "mp4": "video/mp4"}
# The index in front: a player can seek after its first request.
_OPTIONS = {"webm": {"cues_to_front": "1"}, "mp4": {"movflags": "+faststart"}}
_AUDIO_RATE_BPS = 96_000


@cache
def _opus_template() -> Any:
    """An input stream from which a muxer learns what Opus is: PyAV has no other way to say it."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream: Any = container.add_stream("libopus", rate=48_000)
        stream.layout = "stereo"
        frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
        frame.sample_rate = 48_000
        frame.pts = 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame) + stream.encode(None))
    file.seek(0)
    # Never closed: the stream lives as long as the process.
    return av.open(file, "r", format="ogg").streams[0]


def make_packet(
    stream: Any, data: bytes, pts_us: int, dts_us: int, *, is_key: bool, duration_us: int = 0
) -> Packet:
    """A packet that was encoded elsewhere."""
    packet = av.Packet(data)
    packet.time_base = MICROSECOND
    packet.pts, packet.dts = pts_us, dts_us
    packet.duration = duration_us
    packet.is_keyframe = is_key
    packet.stream = stream
    return packet


class Output:
    """A file being written; it gets its name when everything is in it.

    Use it as a context manager; after an exception nothing is left.
    """

    def __init__(self, path: Path, container: str) -> None:
        """Begins ``path`` under a temporary name. ``container``: webm or mp4."""
        self.path = path
        self.container = container
        self._part = path.with_name(path.name + ".part")
        self._file: Any = av.open(
            str(self._part), "w", format=container, options=_OPTIONS[container]
        )

    def __enter__(self) -> Output:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the file, or remove it after an error."""
        try:
            self._file.close()
        except Exception:
            self._part.unlink(missing_ok=True)
            if kind is None:
                raise
            return
        if kind is not None:
            self._part.unlink(missing_ok=True)
            return
        handle = os.open(self._part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        self._part.replace(self.path)

    def add_copied_video(self, track: Track) -> Any:
        """A stream for frames like those of ``track``."""
        if track.codec is Codec.VP8:
            width, height = track.size
            return self._file.add_mux_stream("vp8", rate=30, width=width, height=height)
        first = min(track.parameter_sets)
        sample = io.BytesIO(track.read(first))
        with av.open(sample, "r", format="h264") as template:
            stream = self._file.add_stream_from_template(template.streams[0], opaque=True)
        stream.time_base = Fraction(1, 90_000)
        return stream

    def add_copied_audio(self) -> Any:
        """A stream for Opus packets."""
        return self._file.add_stream_from_template(_opus_template(), opaque=True)

    def add_encoded_audio(self) -> Any:
        """An encoder: Opus in WebM, AAC in MP4, which every phone plays."""
        codec = "libopus" if self.container == "webm" else "aac"
        stream = self._file.add_stream(codec, rate=48_000)
        stream.layout = "stereo"
        stream.bit_rate = _AUDIO_RATE_BPS
        return stream

    def add_encoded_video(self, width: int, height: int, frames_per_s: int) -> Any:
        """An H.264 encoder that leaves most of a core to others."""
        stream = self._file.add_stream("libx264", rate=frames_per_s)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        # Key frames every 2 s at most, for seeking; no B-frames, for old phones.
        stream.options = {
            "preset": "veryfast",
            "crf": "25",
            "bf": "0",
            "g": str(2 * frames_per_s),
        }
        return stream

    def mux(self, packet: Packet) -> None:
        """Write one packet."""
        self._file.mux(packet)
