"""Sound of several tracks decoded, added up and encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from recorder.finish.copy import TimedPacket
from recorder.finish.track import Track

__all__ = ["Mixer"]

_RATE_HZ = 48_000
# Mixed at once; also the window in which loudness is measured.
_CHUNK = _RATE_HZ // 2
# Packets whose time differs by less from the end of the one before are its continuation.
_SLACK = _RATE_HZ * 40 // 1000
_PEAK = 0.97
# RFC 7845 §5.1: version 1, 2 channels, no pre-skip, 48 kHz, no gain, mapping 0. A decoder told so
# turns mono packets into stereo by itself.
_OPUS_HEAD = b"OpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00"

_Samples = npt.NDArray[np.float32]


class _TrackAudio:
    """Decodes one track a bit ahead of what is asked for."""

    def __init__(self, track: Track, zero_us: int) -> None:
        self.track = track
        self._zero_us = zero_us
        self._index = 0
        self._expected = -1
        self._waiting: list[tuple[int, _Samples]] = []
        self._decoder: Any = av.CodecContext.create("opus", "r")
        self._decoder.extradata = _OPUS_HEAD
        self._decoder.sample_rate = _RATE_HZ

    def read(self, start: int) -> _Samples | None:
        """The chunk that begins at sample ``start``; None when all of it is silent."""
        end = start + _CHUNK
        self._decode_until(end)
        if not self._waiting:
            return None
        chunk = np.zeros((2, _CHUNK), np.float32)
        for at, samples in self._waiting:
            low, high = max(at, start), min(at + samples.shape[1], end)
            if low < high:
                chunk[:, low - start : high - start] += samples[:, low - at : high - at]
        self._waiting = [(at, s) for at, s in self._waiting if at + s.shape[1] > end]
        return chunk

    def _decode_until(self, end: int) -> None:
        while self._index < len(self.track):
            pts_us = int(self.track.pts_us[self._index]) - self._zero_us
            at = pts_us * _RATE_HZ // 1_000_000
            if at >= end:
                return
            samples = self._decode(self.track.read(self._index))
            self._index += 1
            if self._index == len(self.track):
                self.track.close()
            if samples is None:
                continue
            if abs(at - self._expected) < _SLACK:
                at = self._expected
            self._expected = at + samples.shape[1]
            self._waiting.append((at, samples))

    def _decode(self, data: bytes) -> _Samples | None:
        try:
            frames = self._decoder.decode(av.Packet(data))
        except av.error.FFmpegError:
            return None
        parts = [frame.to_ndarray() for frame in frames]
        parts = [part for part in parts if part.shape[0] == 2]
        return np.concatenate(parts, axis=1) if parts else None


class Mixer:
    """Adds up tracks in chunks of half a second.

    Attributes:
        loudest: identity with the loudest sound in the chunk mixed last, empty for silence.
    """

    def __init__(self, tracks: Sequence[Track], zero_us: int, end_us: int) -> None:
        """Reads nothing yet."""
        self._tracks = [_TrackAudio(track, zero_us) for track in tracks]
        self._num_samples = (end_us - zero_us) * _RATE_HZ // 1_000_000
        self._gain = 1.0
        self.loudest = ""

    def packets(self, stream: Any) -> Iterator[TimedPacket]:
        """The mix, encoded by ``stream``."""
        samples_per_frame = 960 if stream.codec_context.name == "libopus" else 1024
        fifo = av.AudioFifo()
        for start in range(0, self._num_samples, _CHUNK):
            mixed = self._mix(start)[:, : self._num_samples - start]
            fifo.write(self._frame(np.ascontiguousarray(mixed), start))
            for frame in fifo.read_many(samples_per_frame):
                yield from _timed(stream.encode(frame))
        if (rest := fifo.read(0)) is not None:
            yield from _timed(stream.encode(rest))
        yield from _timed(stream.encode(None))

    def _mix(self, start: int) -> _Samples:
        total = np.zeros((2, _CHUNK), np.float32)
        loudness: dict[str, float] = {}
        for track in self._tracks:
            chunk = track.read(start)
            if chunk is not None:
                total += chunk
                identity = track.track.entry.identity
                power = float(np.mean(np.square(chunk)))
                loudness[identity] = loudness.get(identity, 0.0) + power
        self.loudest = max(loudness, key=lambda name: loudness[name], default="")
        if loudness.get(self.loudest, 0.0) < 1e-5:  # below -50 dBFS nobody speaks
            self.loudest = ""
        peak = float(np.max(np.abs(total)))
        wanted = min(1.0, _PEAK / peak) if peak > 0 else 1.0
        # Down at once, up slowly: no clipping, no pumping.
        wanted = min(wanted, self._gain + 0.1)
        start_gain, self._gain = min(self._gain, wanted), wanted
        return total * np.linspace(start_gain, wanted, _CHUNK, dtype=np.float32)

    @staticmethod
    def _frame(samples: _Samples, start: int) -> Any:
        frame: Any = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = _RATE_HZ
        frame.pts = start
        frame.time_base = Fraction(1, _RATE_HZ)
        return frame


def _timed(packets: list[Any]) -> Iterator[TimedPacket]:
    for packet in packets:
        yield int(packet.dts * packet.time_base * 1_000_000), packet
