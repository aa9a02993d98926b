"""Encoded loops: made once with FFmpeg's encoders, kept in the data folder."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

from sfu.ids import Codec
from web.demo.drawing import Picture
from web.demo.voice import SAMPLE_RATE_HZ

__all__ = [
    "Loop",
    "VideoSize",
    "encode_h264",
    "encode_opus",
    "encode_vp8",
    "load_loops",
    "save_loops",
]

logger = logging.getLogger(__name__)

_OPUS_SAMPLES = 960  # 20 ms
_GOP_S = 2  # as long as the engine keeps frames for joiners


@dataclass(frozen=True, slots=True)
class VideoSize:
    """One simulcast layer."""

    width: int
    height: int
    bitrate_bps: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Frames that are played around and around.

    Attributes:
        codec: of every frame.
        rate_hz: frames per second.
        frames: VP8 frames, H.264 access units (Annex B) or Opus packets.
        keys: which frames start a group of pictures.
    """

    codec: Codec
    rate_hz: int
    frames: tuple[bytes, ...]
    keys: tuple[bool, ...]

    def key_before(self, index: int) -> int:
        """Return the last key frame at or before ``index``; the first frame is always one."""
        while index > 0 and not self.keys[index]:
            index -= 1
        return index


def encode_vp8(pictures: Iterator[Picture], rate_hz: int, sizes: Sequence[VideoSize]) -> list[Loop]:
    """Encode pictures at several sizes in one pass, lowest first as given."""
    options = {"deadline": "realtime", "cpu-used": "16", "lag-in-frames": "0", "auto-alt-ref": "0"}
    encoders = [_video_encoder("libvpx", size, rate_hz, options) for size in sizes]
    return _encode_video(pictures, rate_hz, encoders, Codec.VP8)


def encode_h264(pictures: Iterator[Picture], rate_hz: int, size: VideoSize) -> Loop:
    """Encode as a store camera does: baseline, no B-frames, parameter sets in the stream."""
    options = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline"}
    encoder = _video_encoder("libx264", size, rate_hz, options)
    return _encode_video(pictures, rate_hz, [encoder], Codec.H264)[0]


def encode_opus(samples: npt.NDArray[np.float64]) -> Loop:
    """Encode mono sound in packets of 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate = SAMPLE_RATE_HZ
    encoder.layout = "mono"
    encoder.format = av.AudioFormat("s16")
    encoder.bit_rate = 24_000
    encoder.options = {"application": "voip", "frame_duration": "20"}
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    packets: list[bytes] = []
    whole = len(pcm) // _OPUS_SAMPLES
    for index in range(whole):
        part = pcm[index * _OPUS_SAMPLES : (index + 1) * _OPUS_SAMPLES]
        frame = av.AudioFrame.from_ndarray(part[None, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = index * _OPUS_SAMPLES
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    packets += [bytes(packet) for packet in encoder.encode(None)]
    packets = packets[:whole]
    rate_hz = SAMPLE_RATE_HZ // _OPUS_SAMPLES
    return Loop(Codec.OPUS, rate_hz, tuple(packets), (True,) * len(packets))


def load_loops(path: Path) -> dict[str, Loop] | None:
    """Read kept loops; None when there are none or they are damaged."""
    try:
        # An open file of our own: numpy leaves its own open when the archive is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = sorted({key.partition(".")[0] for key in archive.files})
            return {name: _unpack(archive, name) for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("demonstration media are made again: %s", error)
        return None


def save_loops(path: Path, loops: Mapping[str, Loop]) -> None:
    """Keep loops; a crash leaves either the old file or the new one."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, loop in loops.items():
        arrays[f"{name}.data"] = np.frombuffer(b"".join(loop.frames), dtype=np.uint8)
        arrays[f"{name}.sizes"] = np.array([len(frame) for frame in loop.frames], dtype=np.int64)
        arrays[f"{name}.keys"] = np.array(loop.keys, dtype=np.bool_)
        arrays[f"{name}.kind"] = np.array([loop.codec, loop.rate_hz], dtype=np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        save: Callable[..., None] = np.savez
        save(file, **arrays)
    temporary.replace(path)


def _unpack(archive: Mapping[str, npt.NDArray[np.generic]], name: str) -> Loop:
    data = archive[f"{name}.data"].tobytes()
    ends = np.cumsum(archive[f"{name}.sizes"]).tolist()
    frames = tuple(data[start:end] for start, end in zip([0, *ends], ends, strict=False))
    keys = tuple(bool(key) for key in archive[f"{name}.keys"])
    codec, rate_hz = (int(value) for value in archive[f"{name}.kind"].tolist())
    if not frames or len(frames) != len(keys):
        raise ValueError(f"loop {name} is incomplete")
    return Loop(Codec(codec), rate_hz, frames, keys)


def _video_encoder(
    name: str, size: VideoSize, rate_hz: int, options: dict[str, str]
) -> av.VideoCodecContext:
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = size.width, size.height
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, rate_hz)
    encoder.framerate = Fraction(rate_hz)
    encoder.bit_rate = size.bitrate_bps
    encoder.gop_size = rate_hz * _GOP_S
    encoder.options = options
    return encoder


def _encode_video(
    pictures: Iterator[Picture],
    rate_hz: int,
    encoders: Sequence[av.VideoCodecContext],
    codec: Codec,
) -> list[Loop]:
    packets: list[list[av.Packet[av.VideoStream]]] = [[] for _ in encoders]
    for index, picture in enumerate(pictures):
        original = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        for encoder, made in zip(encoders, packets, strict=True):
            frame = original.reformat(encoder.width, encoder.height, "yuv420p")
            frame.pts = index
            is_key = index % (rate_hz * _GOP_S) == 0
            frame.pict_type = PictureType.I if is_key else PictureType.NONE
            made += encoder.encode(frame)
    for encoder, made in zip(encoders, packets, strict=True):
        made += encoder.encode(None)
    return [
        Loop(codec, rate_hz, tuple(map(bytes, made)), tuple(p.is_keyframe for p in made))
        for made in packets
    ]
