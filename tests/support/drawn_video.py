"""Encoded pictures that are drawn here: what a publisher would send, as a tap reads it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from sfu.ids import Codec
from sfu.tap import Frame

FRAMES_PER_S = 20
FRAME_US = 1_000_000 // FRAMES_PER_S
_ENCODERS = {
    Codec.VP8: ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    Codec.H264: ("libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
}


def draw(width: int, height: int, level: int) -> VideoFrame:
    """A shelf of boxes; ``level`` (0..255) is the brightness of the middle third."""
    rows, columns = np.mgrid[0:height, 0:width]
    boxes = np.where((columns // 40 + rows // 40) % 2, 200, 60).astype(np.uint8)
    boxes[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = level
    return VideoFrame.from_ndarray(np.repeat(boxes[:, :, None], 3, axis=2), format="rgb24")


def encode(
    levels: list[int],
    *,
    codec: Codec = Codec.VP8,
    width: int = 320,
    height: int = 180,
    key_every: int = 1000,
    start_us: int = 0,
) -> list[Frame]:
    """One frame for each level, ``FRAME_US`` apart; a key frame first and every ``key_every``."""
    name, options = _ENCODERS[codec]
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, FRAMES_PER_S), FRAMES_PER_S
    context.bit_rate, context.gop_size, context.options = 600_000, key_every, options
    context.thread_count = 1
    return list(_frames(context, levels, codec, width, height, start_us))


def _frames(
    context: VideoCodecContext,
    levels: list[int],
    codec: Codec,
    width: int,
    height: int,
    start_us: int,
) -> Iterator[Frame]:
    for index, level in enumerate(levels):
        picture = draw(width, height, level)
        picture.pts = index
        now_us = start_us + index * FRAME_US
        for packet in context.encode(picture):
            yield Frame(
                index * 90_000 // FRAMES_PER_S,
                now_us,
                now_us,
                packet.is_keyframe,
                0,
                codec,
                0,
                bytes(packet),
            )
