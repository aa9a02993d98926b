"""Packets of recorded tracks as they are, on the timeline of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from recorder.finish.bitstream import OPUS_SILENCE, opus_duration_us
from recorder.finish.output import Packet, make_packet
from recorder.finish.track import Track

__all__ = ["TimedPacket", "copy_audio", "copy_video"]

# (decoding time in the file, in µs; packet)
TimedPacket = tuple[int, Packet]

_SILENCE_US = 20_000
# Less than this is jitter; more is a gap that players would close, moving the sound forward.
_GAP_US = 20_000
# A packet that comes a little early is moved by all but this much: times must go up.
_STEP_BACK_US = 2_000


def copy_video(stream: Any, tracks: Sequence[Track], zero_us: int) -> Iterator[TimedPacket]:
    """Pictures of tracks that follow each other; each ends where the next begins."""
    for track, until_us in _spans(tracks):
        for index in range(len(track)):
            pts_us, dts_us = int(track.pts_us[index]), int(track.dts_us[index])
            if pts_us >= until_us:
                continue
            packet = make_packet(
                stream,
                track.read(index),
                pts_us - zero_us,
                dts_us - zero_us,
                is_key=bool(track.is_key[index]),
            )
            yield dts_us - zero_us, packet
        track.close()


def copy_audio(
    stream: Any, tracks: Sequence[Track], zero_us: int, end_us: int
) -> Iterator[TimedPacket]:
    """Sound of tracks that follow each other, without gaps from ``zero_us`` on.

    Gaps (mute, discontinuous transmission, loss) are filled with packets of silence: players count
    samples and would let everything after a gap come too early.
    """
    next_us = zero_us
    for track, until_us in _spans(tracks):
        for index in range(len(track)):
            at_us = int(track.pts_us[index])
            data = track.read(index)
            duration_us = opus_duration_us(data)
            if duration_us == 0 or at_us >= min(until_us, end_us):
                continue
            while at_us - next_us >= _GAP_US:
                yield _packet(stream, OPUS_SILENCE, next_us - zero_us, _SILENCE_US)
                next_us += _SILENCE_US
            if at_us + duration_us / 2 < next_us:
                # Its time is taken already: an overlap of two tracks, or a duplicate.
                continue
            at_us = max(at_us, next_us - _STEP_BACK_US)
            yield _packet(stream, data, at_us - zero_us, duration_us)
            next_us = at_us + duration_us
        track.close()


def _spans(tracks: Sequence[Track]) -> Iterator[tuple[Track, int]]:
    for index, track in enumerate(tracks):
        is_last = index + 1 == len(tracks)
        yield track, 1 << 62 if is_last else tracks[index + 1].start_us


def _packet(stream: Any, data: bytes, at_us: int, duration_us: int) -> TimedPacket:
    packet = make_packet(stream, data, at_us, at_us, is_key=True, duration_us=duration_us)
    return at_us, packet
