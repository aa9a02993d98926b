"""Stills are put together from their chunks."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from weaknet.stills import StillReader

WEBP = b"RIFF\0\0\0\0WEBP" + bytes(range(200))


def chunks(
    data: bytes = WEBP, number: int = 1, sid: bytes = b"TR_a", version: int = 1
) -> list[bytes]:
    parts = [data[at : at + 80] for at in range(0, len(data), 80)]
    return [
        struct.pack("!BBHHIHHQB", version, 1, 320, 180, number, index, len(parts), 5, len(sid))
        + sid
        + part
        for index, part in enumerate(parts)
    ]


def test_the_last_chunk_completes_the_picture() -> None:
    reader = StillReader()
    *early, last = chunks()
    assert [reader.receive(each) for each in early] == [None] * len(early)
    still = reader.receive(last)
    assert still is not None
    assert (still.track_sid, still.width, still.height, still.data) == ("TR_a", 320, 180, WEBP)


def test_a_newer_picture_replaces_an_unfinished_one_of_its_track_alone() -> None:
    reader = StillReader()
    for each in (*chunks()[:2], *chunks(sid=b"TR_b")[:2]):
        assert reader.receive(each) is None
    assert [each for each in map(reader.receive, chunks(number=2)) if each]
    assert [each for each in map(reader.receive, chunks(sid=b"TR_b")[2:]) if each]


@given(st.binary(max_size=60))
def test_rubbish_is_no_picture(rubbish: bytes) -> None:
    assert StillReader().receive(rubbish) is None


def test_other_versions_and_files_are_no_pictures() -> None:
    reader = StillReader()
    assert not [each for each in map(reader.receive, chunks(version=2)) if each]
    assert not [each for each in map(reader.receive, chunks(bytes(200))) if each]
