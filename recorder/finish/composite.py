"""All pictures in one: decoded, laid out, encoded again. Repeatable, and never in a hurry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from recorder.finish.copy import TimedPacket
from recorder.finish.layout import Tile, fit, grid, stage
from recorder.finish.track import Track
from sfu.ids import Codec

__all__ = ["FRAMES_PER_S", "HEIGHT", "WIDTH", "Compositor"]

WIDTH, HEIGHT = 1280, 720
FRAMES_PER_S = 25
_FRAME_US = 1_000_000 // FRAMES_PER_S
# More cameras than this and the one who speaks gets the stage.
_MAX_GRID = 4
# A camera that is silent for so long has frozen: better gone than misleading. Screens stand still.
_STALE_US = 5_000_000
# The stage changes no more often, else a lively talk would flicker.
_HOLD_US = 3_000_000
# A still picture is repeated so often, for seeking.
_REPEAT_US = 1_000_000
_BACKGROUND = (24, 128, 128)  # dark grey, YUV

_Canvas = npt.NDArray[np.uint8]


class _Picture:
    """Decodes one track up to the time asked for."""

    def __init__(self, track: Track, zero_us: int) -> None:
        self.track = track
        self._zero_us = zero_us
        self._index = 0
        self._shown_us = 0
        self._frame: Any = None
        self.version = 0
        self.is_screen = track.entry.source == "screen_share"
        name = "vp8" if track.codec is Codec.VP8 else "h264"
        self._decoder: Any = av.CodecContext.create(name, "r")
        self._decoder.thread_count = 1
        # Kept: setting one up costs more than scaling a frame.
        self._scaler: Any = VideoReformatter()
        self._waiting: list[tuple[int, Any]] = []

    def advance(self, at_us: int) -> bool:
        """Show what belongs to ``at_us`` of the file; False = nothing to see now."""
        at_us += self._zero_us
        while self._index < len(self.track) and self.track.dts_us[self._index] <= at_us:
            self._decode(self._index)
            self._index += 1
        while self._waiting and self._waiting[0][0] <= at_us:
            self._shown_us, self._frame = self._waiting.pop(0)
            self.version += 1
        is_over = self._index == len(self.track) and at_us > self.track.end_us
        if is_over and self._index:
            self.track.close()
        is_stale = not self.is_screen and at_us - self._shown_us > _STALE_US
        is_hidden = is_over or is_stale or self.track.is_muted_at(at_us)
        return self._frame is not None and not is_hidden

    def _decode(self, index: int) -> None:
        packet: Any = av.Packet(self.track.read(index))
        packet.time_base = Fraction(1, 1_000_000)
        packet.pts, packet.dts = int(self.track.pts_us[index]), int(self.track.dts_us[index])
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            # Damaged by loss: the next key frame repairs it.
            return
        self._waiting += [(frame.pts, frame) for frame in frames]

    def draw(self, canvas: _Canvas, tile: Tile) -> None:
        """Scale the picture into the middle of a tile."""
        inner = fit(self._frame.width, self._frame.height, tile)
        scaled = self._scaler.reformat(
            self._frame,
            inner.width,
            inner.height,
            "yuv420p",
            interpolation=Interpolation.FAST_BILINEAR,
        ).to_ndarray()
        _paste(canvas, scaled, inner)


def _planes(image: _Canvas, width: int, height: int) -> tuple[_Canvas, _Canvas, _Canvas]:
    """Views of the Y, U and V planes of a 4:2:0 picture in one array."""
    flat = image.reshape(-1)
    size, quarter = width * height, width * height // 4
    return (
        flat[:size].reshape(height, width),
        flat[size : size + quarter].reshape(height // 2, width // 2),
        flat[size + quarter :].reshape(height // 2, width // 2),
    )


def _paste(canvas: _Canvas, image: _Canvas, at: Tile) -> None:
    targets = _planes(canvas, WIDTH, HEIGHT)
    sources = _planes(np.ascontiguousarray(image), at.width, at.height)
    for scale, target, source in zip((1, 2, 2), targets, sources, strict=True):
        x, y, width, height = (value // scale for value in at)
        target[y : y + height, x : x + width] = source


def _clear(canvas: _Canvas) -> None:
    for plane, value in zip(_planes(canvas, WIDTH, HEIGHT), _BACKGROUND, strict=True):
        plane[:] = value


class Compositor:
    """Draws the tracks of a session into one picture after the other."""

    def __init__(
        self,
        tracks: Sequence[Track],
        zero_us: int,
        end_us: int,
        speaker: Callable[[], str],
    ) -> None:
        """``speaker`` tells the identity that is heard now, empty = nobody."""
        self._pictures = [_Picture(track, zero_us) for track in tracks]
        self._end_us = end_us - zero_us
        self._speaker = speaker
        self._stage: _Picture | None = None
        self._staged_us = -_HOLD_US
        self._canvas: _Canvas = np.zeros((HEIGHT * 3 // 2, WIDTH), np.uint8)
        self._drawn: dict[_Picture, tuple[Tile, int]] = {}
        _clear(self._canvas)

    def packets(self, stream: Any) -> Iterator[TimedPacket]:
        """The composite, encoded by ``stream``."""
        emitted_us = -_REPEAT_US
        for at_us in range(0, self._end_us, _FRAME_US):
            has_changed = self._draw(at_us)
            if has_changed or at_us - emitted_us >= _REPEAT_US:
                emitted_us = at_us
                frame: Any = av.VideoFrame.from_ndarray(self._canvas, format="yuv420p")
                frame.time_base = Fraction(1, 1000)
                frame.pts = at_us // 1000
                yield from _timed(stream.encode(frame))
        yield from _timed(stream.encode(None))

    def _draw(self, at_us: int) -> bool:
        visible = [picture for picture in self._pictures if picture.advance(at_us)]
        placed = self._place(visible, at_us)
        places = {picture: tile for picture, tile in placed}
        has_changed = {p: tile for p, (tile, _) in self._drawn.items()} != places
        if has_changed:
            _clear(self._canvas)
            self._drawn.clear()
        for picture, tile in placed:
            if self._drawn.get(picture) != (tile, picture.version):
                picture.draw(self._canvas, tile)
                self._drawn[picture] = (tile, picture.version)
                has_changed = True
        return has_changed

    def _place(self, visible: list[_Picture], at_us: int) -> list[tuple[_Picture, Tile]]:
        screens = [picture for picture in visible if picture.is_screen]
        if not screens and len(visible) <= _MAX_GRID:
            return list(zip(visible, grid(len(visible), WIDTH, HEIGHT), strict=True))
        self._choose_stage(screens[-1:] or visible, at_us)
        rest = [picture for picture in visible if picture is not self._stage]
        ordered = [picture for picture in visible if picture is self._stage] + rest
        # Who does not fit the strip is heard, not seen.
        return list(zip(ordered, stage(len(ordered), WIDTH, HEIGHT), strict=False))

    def _choose_stage(self, candidates: list[_Picture], at_us: int) -> None:
        if self._stage in candidates and at_us - self._staged_us < _HOLD_US:
            return
        speaker = self._speaker()
        speaking = [p for p in candidates if p.track.entry.identity == speaker]
        if speaking:
            chosen = speaking[0]
        elif self._stage in candidates:
            return
        else:
            chosen = candidates[0]
        if chosen is not self._stage:
            self._stage, self._staged_us = chosen, at_us


def _timed(packets: list[Any]) -> Iterator[TimedPacket]:
    for packet in packets:
        yield int(packet.dts * packet.time_base * 1_000_000), packet
