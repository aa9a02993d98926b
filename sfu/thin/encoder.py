"""From pictures to the frames of a thin version. For the worker thread."""

from __future__ import annotations

from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from sfu.ids import Codec

__all__ = ["THIN_BPS", "ThinEncoder"]

# What it costs a line with headers and key frames. Beside 40 kb/s of sound once repeated it goes
# into half of 300 kb/s, and with two copies of every packet into 600 kb/s.
THIN_BPS = 72_000
_BITRATE_BPS = 60_000
_SIDE_PX = 320
# Half the rate of most cameras; slower than that, people no longer call it moving.
_MIN_GAP_US = 90_000
# A new scene told as a change of the old one takes 10 kB, a quarter of a second of 300 kb/s. As a
# key frame, which is bounded, it takes 4, and looks right a second later.
_MOST_BYTES = 4_500
# Who comes to it asks for a key frame. One every two seconds, which would save the asking, takes
# a third of the bits, and each is a queue of 100 ms on the lines that this is for.
_KEY_EVERY_US = 20_000_000
_CLOCK = Fraction(1, 1_000_000)
_FRAMES_PER_S = 10

_OPTIONS = {
    Codec.VP8: {
        "deadline": "realtime",
        "cpu-used": "6",
        "lag-in-frames": "0",
        "auto-alt-ref": "0",
        "error-resilient": "1",
        # In percent of a frame's share: a key frame of 4 kB leaves in a few packets.
        "max-intra-rate": "500",
        "qmin": "4",
        "qmax": "60",
        "maxrate": str(_BITRATE_BPS),
        "bufsize": str(_BITRATE_BPS // 2),
    },
    Codec.H264: {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "maxrate": str(_BITRATE_BPS),
        "bufsize": str(_BITRATE_BPS // 2),
        # Parameter sets with every key frame, no scene-cut keys: they would break the rate.
        "x264-params": "repeat-headers=1:scenecut=0:keyint=1000:sliced-threads=0:threads=1",
    },
}
_ENCODERS = {Codec.VP8: "libvpx", Codec.H264: "libx264"}


class ThinEncoder:
    """Makes frames of at most 320 px, ten a second, key frames when they are asked for."""

    def __init__(self, codec: Codec) -> None:
        """Opens nothing before the first picture. `codec` is VP8 or H264."""
        self._codec = codec
        self._context: VideoCodecContext | None = None
        self._shown_us: int | None = None
        self._key_us = 0
        self._pts = 0

    def wants(self, captured_us: int) -> bool:
        """Whether a picture of that time would be shown; another one was just now, if not."""
        last_us = self._shown_us
        return last_us is None or not 0 <= captured_us - last_us < _MIN_GAP_US

    def encode(self, picture: VideoFrame, captured_us: int, *, is_key: bool = False) -> list[bytes]:
        """The frames made of a picture: none where the last one was just now, else one.

        Args:
            picture: of any size.
            captured_us: when it was taken.
            is_key: somebody needs a key frame.

        Raises:
            av.error.FFmpegError: the encoder failed.
        """
        if not self.wants(captured_us):
            return []
        last_us = self._shown_us
        scaled = _scale(picture)
        context = self._context
        if context is None or (context.width, context.height) != (scaled.width, scaled.height):
            context = self._context = _open(self._codec, scaled.width, scaled.height)
            self._key_us = captured_us - _KEY_EVERY_US
        # Encoders take no time that stands still or steps back.
        self._pts += 100_000 if last_us is None else max(1, min(captured_us - last_us, 1_000_000))
        self._shown_us = captured_us
        scaled.pts, scaled.time_base = self._pts, _CLOCK
        scaled.pict_type = PictureType.NONE
        if is_key or not 0 <= captured_us - self._key_us < _KEY_EVERY_US:
            self._key_us = captured_us
            scaled.pict_type = PictureType.I
        made = [bytes(packet) for packet in context.encode(scaled)]
        if scaled.pict_type != PictureType.I and sum(map(len, made)) > _MOST_BYTES:
            self._key_us, self._pts = captured_us, self._pts + 1
            scaled.pts, scaled.pict_type = self._pts, PictureType.I
            made = [bytes(packet) for packet in context.encode(scaled)]
        return made


def _scale(picture: VideoFrame) -> VideoFrame:
    factor = min(1.0, _SIDE_PX / max(picture.width, picture.height))
    # Chroma is shared by two pixels each way.
    width = max(2, round(picture.width * factor / 2) * 2)
    height = max(2, round(picture.height * factor / 2) * 2)
    return picture.reformat(width, height, format="yuv420p", interpolation="AREA", threads=1)


def _open(codec: Codec, width: int, height: int) -> VideoCodecContext:
    context = av.CodecContext.create(_ENCODERS[codec], "w")
    assert isinstance(context, VideoCodecContext), "all our encoders are of video"
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = _CLOCK, Fraction(_FRAMES_PER_S)
    context.bit_rate, context.gop_size = _BITRATE_BPS, 1000
    context.thread_count = 1
    context.options = _OPTIONS[codec]
    return context
