"""A camera's H.264 made fit for forwarding: Annex B, parameter sets with every IDR."""

from __future__ import annotations

import re

__all__ = ["AccessUnits", "split_annex_b"]

_START_CODE = b"\x00\x00\x00\x01"
_START_CODE_PATTERN = re.compile(rb"\x00\x00\x01")
_NAL_IDR = 5
_NAL_SPS = 7
_NAL_PPS = 8
_NAL_DELIMITER = 9  # access unit delimiter: carries nothing a decoder needs
_NAL_FILLER = 12  # padding to a constant bit rate: pure waste downstream


class AccessUnits:
    """Turns packets of one stream into access units to forward.

    Input in either framing: Annex B, or the length prefixes of an avcC record (``extradata``).
    Frames before the first IDR are withheld, as nobody could decode them.
    """

    def __init__(self, extradata: bytes | None) -> None:
        """Takes the parameter sets that the stream description held, if any."""
        self._length_bytes = 0  # 0 = Annex B
        self._sps: dict[bytes, bytes] = {}
        self._pps: dict[bytes, bytes] = {}
        self._has_idr = False
        if extradata:
            if extradata[0] == 1 and len(extradata) >= 7:
                nals = self._parse_avcc(extradata)
            else:
                nals = split_annex_b(extradata)
            self._remember(nals)

    def convert(self, packet: bytes) -> tuple[bytes, bool] | None:
        """Return (access unit, is it an IDR), or None for what is not to be forwarded."""
        nals = split_lengths(packet, self._length_bytes) if self._length_bytes else None
        if nals is None:
            nals = split_annex_b(packet)
        self._remember(nals)
        nals = [nal for nal in nals if nal[0] & 31 not in (_NAL_DELIMITER, _NAL_FILLER)]
        kinds = {nal[0] & 31 for nal in nals}
        is_idr = _NAL_IDR in kinds
        self._has_idr = self._has_idr or is_idr
        if not self._has_idr or not kinds & {1, 2, 3, 4, _NAL_IDR}:
            return None
        if is_idr:
            missing = [] if _NAL_SPS in kinds else list(self._sps.values())
            missing += [] if _NAL_PPS in kinds else list(self._pps.values())
            nals = missing + nals
        return b"".join(_START_CODE + nal for nal in nals), is_idr

    def restart(self) -> None:
        """Withhold frames until the next IDR, after frames were lost."""
        self._has_idr = False

    def _remember(self, nals: list[bytes]) -> None:
        # Keyed by their leading bytes, which hold the profile and the set's id: a changed set
        # replaces the old one, and a stream with many sets stays bounded.
        for nal in nals:
            kind = nal[0] & 31
            if kind == _NAL_SPS:
                self._sps = {nal[:4]: nal} if len(self._sps) > 4 else {**self._sps, nal[:4]: nal}
            elif kind == _NAL_PPS:
                self._pps = {nal[:2]: nal} if len(self._pps) > 8 else {**self._pps, nal[:2]: nal}

    def _parse_avcc(self, record: bytes) -> list[bytes]:
        # ISO/IEC 14496-15 §5.3.3.1: … lengthSizeMinusOne, SPS list, PPS list.
        self._length_bytes = (record[4] & 3) + 1
        nals: list[bytes] = []
        position = 5
        for mask in (0x1F, 0xFF):
            if position >= len(record):
                break
            count = record[position] & mask
            position += 1
            for _ in range(count):
                size = int.from_bytes(record[position : position + 2], "big")
                nals.append(record[position + 2 : position + 2 + size])
                position += 2 + size
        return [nal for nal in nals if nal]


def split_annex_b(data: bytes) -> list[bytes]:
    """Return the NAL units between start codes; none when there is no start code."""
    starts = [match.end() for match in _START_CODE_PATTERN.finditer(data)]
    if not starts:
        return []
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    # Zero bytes before a start code are its long form or trailing padding (annex B.1.1).
    nals = [data[start:end].rstrip(b"\x00") for start, end in zip(starts, ends, strict=True)]
    return [nal for nal in nals if nal]


def split_lengths(data: bytes, length_bytes: int) -> list[bytes] | None:
    """Return the NAL units behind length prefixes; None when the lengths do not fit the data."""
    nals = []
    position = 0
    while position + length_bytes <= len(data):
        size = int.from_bytes(data[position : position + length_bytes], "big")
        position += length_bytes
        if size == 0 or position + size > len(data):
            return None
        nals.append(data[position : position + size])
        position += size
    return nals if position == len(data) else None
