"""From encoded frames to a picture, and from a picture to a small file. For the worker thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from sfu.ids import Codec
from sfu.tap import Frame

__all__ = ["MIME", "CompressedPicture", "Decoder", "PictureSize", "compress", "look_at"]

# Smaller than JPEG for the same sharpness; every browser that speaks WebRTC shows it (Safari: 14).
MIME = "image/webp"
_DECODERS = {Codec.VP8: "vp8", Codec.H264: "h264"}
# A key frame of a few bytes may claim 16383 × 16383 pixels; FFmpeg would take 400 MB for it.
_MAX_PIXELS = 1 << 24
_LOOK_WIDTH, _LOOK_HEIGHT = 160, 96
_LOOK_BLOCK = 8


class CompressedPicture(NamedTuple):
    """A picture as a file."""

    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PictureSize:
    """How large a still may be.

    Attributes:
        sides_px: longest sides to try, the wanted one first.
        max_bytes: of the file.
        qualities: of WebP, best first; the first that fits is taken, then the next side.
        is_text: keep edges rather than shades.
    """

    sides_px: tuple[int, ...]
    max_bytes: int
    qualities: tuple[int, ...]
    is_text: bool = False


# On a line of 120 kb/s, of which a voice takes 75, 8 kB are two seconds.
CAMERA_SIZE = PictureSize((320, 240, 160), 8_000, (70, 55, 40, 25))
SCREEN_SIZE = PictureSize((1280, 960, 640), 60_000, (80, 65, 50, 35, 20), is_text=True)


class Decoder:
    """Decodes what a tap read, from a key frame on."""

    def __init__(self) -> None:
        """Opens nothing before the first frame."""
        self._context: VideoCodecContext | None = None
        self._codec: Codec | None = None

    def decode(self, frames: Sequence[Frame], *, is_shown: bool = True) -> VideoFrame | None:
        """Decode frames that follow each other; returns the last picture.

        Frames before the last, and the last if it is not to be shown, are decoded only as far as
        later ones need them: of those that nothing refers to (upper temporal layers) only the
        headers are read. DEVIATION from the cheapest there is: no loop filter is left out of what
        others refer to, as they would drift away until the next key frame.

        Raises:
            av.error.FFmpegError: rubbish, or more pixels than allowed; go on with a key frame.
        """
        picture: VideoFrame | None = None
        for index, frame in enumerate(frames):
            if self._context is None or frame.codec is not self._codec:
                self._context = _open_decoder(frame.codec)
                self._codec = frame.codec
            is_wanted = is_shown and index + 1 == len(frames)
            self._context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            for decoded in self._context.decode(av.Packet(frame.data)):
                picture = decoded
        return picture

    def reset(self) -> None:
        """Forget everything; the next frame must be a key frame."""
        self._context = self._codec = None


def _open_decoder(codec: Codec) -> VideoCodecContext:
    context = av.CodecContext.create(_DECODERS[codec], "r")
    assert isinstance(context, VideoCodecContext), "all our decoders are of video"
    # One thread: others would only hold frames back, and take the cores of the media thread.
    context.thread_count = 1
    context.options = {"max_pixels": str(_MAX_PIXELS), "flags": "low_delay"}
    return context


def compress(picture: VideoFrame, size: PictureSize) -> CompressedPicture | None:
    """Make a file of at most `size.max_bytes`; None if even the smallest is larger."""
    for side_px in size.sides_px:
        scaled = _scale(picture, side_px)
        for quality in size.qualities:
            data = _encode(scaled, quality, is_text=size.is_text)
            if len(data) <= size.max_bytes:
                return CompressedPicture(scaled.width, scaled.height, data)
            if len(data) > 3 * size.max_bytes:
                break  # no quality that anybody can read is so much smaller
    return None


def _scale(picture: VideoFrame, side_px: int) -> VideoFrame:
    factor = min(1.0, side_px / max(picture.width, picture.height))
    # Chroma is shared by two pixels each way.
    width = max(2, round(picture.width * factor / 2) * 2)
    height = max(2, round(picture.height * factor / 2) * 2)
    return picture.reformat(width, height, format="yuv420p", interpolation="AREA", threads=1)


def _encode(picture: VideoFrame, quality: int, *, is_text: bool) -> bytes:
    context = av.CodecContext.create("libwebp", "w")
    assert isinstance(context, VideoCodecContext), "libwebp encodes pictures"
    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
    context.options = {
        "quality": str(quality),
        # 0 fast … 6 small: 6 takes five times as long for a few percent.
        "compression_level": "3",
        "preset": "text" if is_text else "picture",
    }
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])


def look_at(picture: VideoFrame) -> npt.NDArray[np.float32]:
    """Mean brightness (0..255) of 20 × 12 blocks, to see whether a picture has changed.

    Returns:
        Shape (96, 160): brightness of a small copy; compare two with `find_change`.
    """
    small = picture.reformat(
        _LOOK_WIDTH, _LOOK_HEIGHT, format="gray8", interpolation="AREA", threads=1
    )
    return small.to_ndarray().astype(np.float32)


def find_change(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> float:
    """How much the block that changed most has changed, in levels of 0..255."""
    rows, columns = _LOOK_HEIGHT // _LOOK_BLOCK, _LOOK_WIDTH // _LOOK_BLOCK
    difference = np.abs(after - before).reshape(rows, _LOOK_BLOCK, columns, _LOOK_BLOCK)
    return float(difference.mean(axis=(1, 3)).max())
