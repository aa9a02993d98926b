"""Encoded frames, a media server and segments for tests of the recorder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.frame import PictureType

from recorder.manifest import Manifest, TrackEntry, save_manifest
from recorder.segment import ClockReading, encode_clock, encode_frame, encode_header
from sfu.ids import Codec
from sfu.tap import Frame

ZERO_US = 5_000_000
WALL_US = 1_700_000_000_000_000


class Encoded(NamedTuple):
    """One frame of an encoder."""

    ts_rtp: int
    data: bytes
    is_key: bool


def open_video_encoder(codec: Codec, size: tuple[int, int], gop: int) -> Any:
    """A fast encoder of 25 frames per second that gives the same every time."""
    name = {Codec.VP8: "libvpx", Codec.H264: "libx264"}[codec]
    encoder: Any = av.CodecContext.create(name, "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size = Fraction(1, 90_000), 25, gop
    options = {Codec.VP8: {"deadline": "realtime", "cpu-used": "-8", "keyint_min": str(gop)}}
    encoder.options = options.get(codec, {"preset": "ultrafast", "tune": "zerolatency"})
    return encoder


def encode_video(
    codec: Codec, count: int, *, size: tuple[int, int] = (160, 120), gop: int = 25, seed: int = 0
) -> list[Encoded]:
    """``count`` frames; brightness grows by one each frame, for recognition."""
    width, height = size
    encoder = open_video_encoder(codec, size, gop)
    frames = []
    for number in range(count):
        level = (30 + seed + number) % 220
        image = np.full((height * 3 // 2, width), level, np.uint8)
        image[height:] = 128
        frame: Any = av.VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts, frame.time_base = number * 3600, Fraction(1, 90_000)
        frames += encoder.encode(frame)
    frames += encoder.encode(None)
    return [Encoded(packet.pts, bytes(packet), packet.is_keyframe) for packet in frames]


class NoisyCamera:
    """Encodes noise, frames of several packets each, with key frames on demand.

    Attributes:
        frames: all so far.
    """

    def __init__(self, seed: int = 0) -> None:
        """320x240 VP8; a key frame is about 50 packets, another frame 8."""
        self.frames: list[Encoded] = []
        self._random = np.random.default_rng(seed)
        self._encoder = open_video_encoder(Codec.VP8, (320, 240), 10_000)
        self._encoder.bit_rate = 1_000_000

    def encode(self, *, is_key: bool) -> Encoded:
        """The next frame."""
        number = len(self.frames)
        noise = self._random.integers(0, 255, (360, 320), np.uint8)
        noise[240:] = 128
        frame: Any = av.VideoFrame.from_ndarray(noise, format="yuv420p")
        frame.pts, frame.time_base = number * 3600, Fraction(1, 90_000)
        frame.pict_type = PictureType.I if is_key else PictureType.NONE
        (packet,) = self._encoder.encode(frame)
        self.frames.append(Encoded(packet.pts, bytes(packet), packet.is_keyframe))
        return self.frames[-1]


def encode_audio(count: int, *, tone_hz: float = 440.0, beep_at: int = -1) -> list[Encoded]:
    """``count`` packets of 20 ms of a tone; with ``beep_at`` silence but for that packet."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    encoder.time_base = Fraction(1, 48_000)
    packets = []
    for number in range(count):
        at = np.arange(960) + number * 960
        wave = np.sin(at * 2 * np.pi * tone_hz / 48_000) * 8000
        if beep_at >= 0 and number != beep_at:
            wave *= 0
        frame: Any = av.AudioFrame.from_ndarray(
            wave.astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = 48_000, number * 960, Fraction(1, 48_000)
        packets += encoder.encode(frame)
    return [Encoded(number * 960, bytes(packet), True) for number, packet in enumerate(packets)]


def to_frames(
    encoded: Iterable[Encoded], codec: Codec, *, start_us: int = ZERO_US, delay_us: int = 30_000
) -> Iterator[Frame]:
    """What a tap would hand over for a sender with reports and a constant delay."""
    for ts_rtp, data, is_key in encoded:
        captured_us = start_us + ts_rtp * 1_000_000 // codec.clock_hz
        yield Frame(ts_rtp, captured_us + delay_us, captured_us, is_key, 0, codec, 0, data)


def write_segment(path: Path, frames: Iterable[Frame]) -> None:
    """A complete segment file."""
    parts = [encode_header({}), *encode_clock(ClockReading(ZERO_US, WALL_US))]
    for frame in frames:
        parts += encode_frame(*frame)
    path.write_bytes(b"".join(parts))


class FakeRecording:
    """A recording's folder, made track by track."""

    def __init__(self, directory: Path) -> None:
        """Makes the folder."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.manifest = Manifest(directory.name, "shop", "Walk", ZERO_US, WALL_US)

    def add(self, source: str, frames: Iterable[Frame], *, identity: str = "ann") -> TrackEntry:
        """One track with its segment."""
        is_audio = source in ("microphone", "screen_share_audio")
        number = len(self.manifest.tracks) + 1
        entry = TrackEntry(
            name=f"{number:03d}-{'audio' if is_audio else 'video'}",
            track_id=f"TR_{number}",
            is_audio=is_audio,
            source=source,
            identity=identity,
            display_name=identity.title(),
            started_us=ZERO_US,
        )
        self.manifest.tracks.append(entry)
        write_segment(self.directory / f"{entry.name}.seg", frames)
        save_manifest(self.directory, self.manifest.to_json())
        return entry


class FakeSource:
    """A source that hands out what a test puts into it."""

    def __init__(self, *, is_audio: bool) -> None:
        """Holds nothing."""
        self.is_audio = is_audio
        self.is_closed = False
        self.frames: list[Frame] = []
        self.keyframe_wishes = 0

    def request_keyframe(self) -> None:
        """Counts."""
        self.keyframe_wishes += 1


class FakeTap:
    """Drains its source."""

    def __init__(self, source: FakeSource) -> None:
        """Opens."""
        self.source = source
        self.is_closed = False

    def drain(self, max_frames: int = 1000) -> list[Frame]:
        """The oldest frames."""
        taken, self.source.frames = (
            self.source.frames[:max_frames],
            self.source.frames[max_frames:],
        )
        return taken

    def close(self) -> None:
        """Ends."""
        self.is_closed = True


class FakeMedia:
    """A media server with a clock that tests turn."""

    def __init__(self) -> None:
        """At the zero of the tests' recordings."""
        self.clock_us = ZERO_US

    def now_us(self) -> int:
        """The engine's clock."""
        return self.clock_us

    def wall_s(self) -> float:
        """The server's clock."""
        return (WALL_US + self.clock_us - ZERO_US) / 1e6

    def open_tap(self, source: Any) -> Any:
        """A tap on a fake source."""
        return FakeTap(source)
