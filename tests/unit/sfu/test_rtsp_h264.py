"""Cameras' H.264 to Annex B access units."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.ingest.rtsp_h264 import AccessUnits, split_annex_b, split_lengths

SPS = b"\x67\x42\xc0\x1e\xaa"
PPS = b"\x68\xce\x3c\x80\xbb"
IDR = b"\x65\x88\x84\x21"
DELTA = b"\x41\x9a\x11\x22"
AUD = b"\x09\xf0"
FILLER = b"\x0c\xff\xff"
START = b"\x00\x00\x00\x01"


def annex_b(*nals: bytes) -> bytes:
    return b"".join(START + nal for nal in nals)


def lengths(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


def avcc() -> bytes:
    head = b"\x01\x42\xc0\x1e\xff\xe1" + len(SPS).to_bytes(2, "big") + SPS
    return head + b"\x01" + len(PPS).to_bytes(2, "big") + PPS


def test_parameter_sets_of_the_description_lead_an_idr_without_its_own() -> None:
    units = AccessUnits(annex_b(SPS, PPS))
    assert units.convert(annex_b(IDR)) == (annex_b(SPS, PPS, IDR), True)
    assert units.convert(annex_b(DELTA)) == (annex_b(DELTA), False)


def test_parameter_sets_in_the_stream_are_not_doubled() -> None:
    units = AccessUnits(annex_b(SPS, PPS))
    assert units.convert(annex_b(SPS, PPS, IDR)) == (annex_b(SPS, PPS, IDR), True)


def test_parameter_sets_seen_apart_are_remembered() -> None:
    units = AccessUnits(None)
    assert units.convert(annex_b(SPS, PPS)) is None
    assert units.convert(annex_b(IDR)) == (annex_b(SPS, PPS, IDR), True)


def test_changed_parameter_sets_replace_the_old() -> None:
    newer = SPS[:4] + b"\xcc"
    units = AccessUnits(annex_b(SPS, PPS))
    units.convert(annex_b(newer))
    assert units.convert(annex_b(IDR)) == (annex_b(newer, PPS, IDR), True)


def test_avcc_becomes_annex_b() -> None:
    units = AccessUnits(avcc())
    assert units.convert(lengths(IDR, IDR)) == (annex_b(SPS, PPS, IDR, IDR), True)
    assert units.convert(lengths(DELTA)) == (annex_b(DELTA), False)


def test_avcc_record_with_annex_b_packets() -> None:
    units = AccessUnits(avcc())
    assert units.convert(annex_b(IDR)) == (annex_b(SPS, PPS, IDR), True)


def test_nothing_before_the_first_idr_nor_after_a_restart() -> None:
    units = AccessUnits(annex_b(SPS, PPS))
    assert units.convert(annex_b(DELTA)) is None
    units.convert(annex_b(IDR))
    assert units.convert(annex_b(DELTA)) is not None
    units.restart()
    assert units.convert(annex_b(DELTA)) is None


def test_delimiters_and_filler_are_left_out() -> None:
    units = AccessUnits(annex_b(SPS, PPS))
    assert units.convert(annex_b(AUD, SPS, PPS, IDR, FILLER)) == (annex_b(SPS, PPS, IDR), True)
    assert units.convert(annex_b(AUD)) is None


def test_short_start_codes_and_padding() -> None:
    data = b"\x00\x00\x01" + SPS + b"\x00\x00\x00\x01" + IDR + b"\x00\x00"
    assert split_annex_b(data) == [SPS, IDR]
    assert split_annex_b(b"no start code") == []
    assert split_lengths(b"\x00\x00\x00\x09abc", 4) is None


def test_truncated_avcc_is_survived() -> None:
    for end in range(len(avcc()) + 1):
        AccessUnits(avcc()[:end])


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_arbitrary_bytes_are_survived(packet: bytes, extradata: bytes) -> None:
    units = AccessUnits(extradata)
    units.convert(packet)
    units.convert(annex_b(IDR) + packet)


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda b: b"\0" not in b), max_size=8))
def test_split_is_the_inverse_of_join(nals: list[bytes]) -> None:
    assert split_annex_b(annex_b(*nals)) == nals
    assert split_lengths(lengths(*nals), 4) == nals
