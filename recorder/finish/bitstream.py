"""The few facts about VP8, H.264 and Opus that muxing needs."""

from __future__ import annotations

import re

__all__ = ["OPUS_SILENCE", "h264_parameter_sets", "opus_duration_us", "vp8_size"]

# RFC 6716 §3.1: configuration 31 (CELT, full band, 20 ms), mono, one frame of silence.
OPUS_SILENCE = b"\xf8\xff\xfe"

_START_CODE = re.compile(rb"\x00\x00\x01")
_NAL_SPS, _NAL_PPS = 7, 8


def vp8_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height from a key frame (RFC 6386 §9.1), None from any other."""
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        return None
    width, height = frame[6] | frame[7] << 8, frame[8] | frame[9] << 8
    return width & 0x3FFF, height & 0x3FFF


def h264_parameter_sets(access_unit: bytes) -> bytes | None:
    """SPS and PPS of an Annex B access unit with start codes, None unless both are there."""
    starts = [match.end() for match in _START_CODE.finditer(access_unit)]
    sets: dict[int, bytes] = {}
    ends = [*starts[1:], len(access_unit) + 3]
    for start, following in zip(starts, ends, strict=False):
        kind = access_unit[start] & 0x1F if start < len(access_unit) else 0
        if kind in (_NAL_SPS, _NAL_PPS):
            # A four-byte start code leaves its first zero at the end of the unit before it.
            unit = access_unit[start : following - 3].rstrip(b"\x00")
            sets.setdefault(kind, b"\x00\x00\x00\x01" + unit)
    return sets[_NAL_SPS] + sets[_NAL_PPS] if len(sets) == 2 else None


def opus_duration_us(packet: bytes) -> int:
    """Length of an Opus packet (RFC 6716 §3.1 and §3.2), 0 when it makes no sense."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame_us = (10_000, 20_000, 40_000, 60_000)[config & 3]
    elif config < 16:
        frame_us = (10_000, 20_000)[config & 1]
    else:
        frame_us = (2_500, 5_000, 10_000, 20_000)[config & 3]
    if code == 3:
        count = packet[1] & 0x3F if len(packet) > 1 else 0
    else:
        count = 1 if code == 0 else 2
    duration_us = frame_us * count
    return duration_us if duration_us <= 120_000 else 0
