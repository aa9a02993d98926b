"""The demonstration camera's RTP payloads."""

from __future__ import annotations

from web.demo.camera import packetize

START = b"\x00\x00\x00\x01"


def test_small_units_go_whole() -> None:
    assert list(packetize(START + b"\x67abc" + START + b"\x68de")) == [b"\x67abc", b"\x68de"]


def test_large_units_are_fragmented_and_come_together_again() -> None:
    nal = b"\x65" + bytes(range(1, 256)) * 16
    payloads = list(packetize(START + nal))
    assert len(payloads) == 3 and max(map(len, payloads)) <= 1400
    assert {payload[0] for payload in payloads} == {0x7C}
    assert [payload[1] for payload in payloads] == [0x85, 0x05, 0x45]
    assert b"\x65" + b"".join(payload[2:] for payload in payloads) == nal
