"""Real media for the load: a moving picture in three VP8 sizes, and Opus, encoded once and kept."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = 25
LOOP_S = 4
# rid, width, height, bit/s: 1.8 Mb/s in all, as a phone publishes 720p.
LAYERS = (("q", 320, 180, 150_000), ("h", 640, 360, 400_000), ("f", 1280, 720, 1_250_000))


@dataclass(frozen=True)
class EncodedLayer:
    """One simulcast layer: frames as (is_key, VP8 frame)."""

    rid: str
    width: int
    height: int
    bitrate_bps: int
    frames: list[tuple[bool, bytes]]


def load_media(cache_dir: Path) -> tuple[list[EncodedLayer], list[bytes]]:
    """Layers lowest first, and 20 ms Opus packets; made once, then read from `cache_dir`."""
    cached = cache_dir / "load-media-1.pickle"
    if cached.exists():
        return pickle.loads(cached.read_bytes())  # type: ignore[no-any-return]
    media = ([_encode_layer(*layer) for layer in LAYERS], _encode_audio())
    cache_dir.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(pickle.dumps(media))
    return media


def _encode_layer(rid: str, width: int, height: int, bitrate_bps: int) -> EncodedLayer:
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.bit_rate = width, height, bitrate_bps
    encoder.pix_fmt = "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(FPS), Fraction(1, FPS)
    encoder.options = {
        "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1",
        "minrate": str(bitrate_bps), "maxrate": str(bitrate_bps), "bufsize": str(bitrate_bps // 2),
        "g": str(FPS * LOOP_S), "keyint_min": str(FPS * LOOP_S),
    }  # fmt: skip
    noise = np.random.default_rng(7).integers(0, 90, (height, width), dtype=np.uint8)
    gradient = np.linspace(0, 150, width, dtype=np.uint8)[None, :].repeat(height, 0)
    frames: list[tuple[bool, bytes]] = []
    for index in range(FPS * LOOP_S):
        picture = gradient + np.roll(noise, index * width // 160, axis=1)
        frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        frames += [(packet.is_keyframe, bytes(packet)) for packet in encoder.encode(frame)]
    frames += [(packet.is_keyframe, bytes(packet)) for packet in encoder.encode(None)]
    assert frames[0][0], "the loop starts with a key frame"
    return EncodedLayer(rid, width, height, bitrate_bps, frames)


def _encode_audio() -> list[bytes]:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    encoder.bit_rate, encoder.time_base = 32_000, Fraction(1, 48_000)
    time_s = np.arange(48_000 * LOOP_S) / 48_000
    tone = (np.sin(2 * np.pi * 440 * time_s) * 8_000).astype(np.int16)
    packets: list[bytes] = []
    for start in range(0, len(tone), 960):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 960], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets
