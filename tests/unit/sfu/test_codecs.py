from __future__ import annotations

import pytest

from sfu.codecs import (
    CodecPolicy,
    accept_formats,
    codec_of,
    encoding_name,
    kind_of,
    mime_of,
    parse_codec,
)
from sfu.ids import Codec, Payload
from sfu.sdp.model import PayloadFormat

H264 = "level-asymmetry-allowed=1;packetization-mode={};profile-level-id={}"


def h264(pt: int, profile: str = "42e01f", mode: int = 1) -> PayloadFormat:
    return PayloadFormat(pt, "H264", 90_000, fmtp=H264.format(mode, profile))


VP8 = PayloadFormat(96, "VP8", 90_000)
VP8_RTX = PayloadFormat(97, "rtx", 90_000, fmtp="apt=96")
OPUS = PayloadFormat(111, "opus", 48_000, 2)
RED = PayloadFormat(63, "red", 48_000, 2, fmtp="111/111")


@pytest.mark.parametrize("codec", list(Codec))
def test_names_are_read_back(codec: Codec) -> None:
    assert parse_codec(mime_of(codec)) is codec
    assert parse_codec(encoding_name(codec).lower()) is codec
    assert mime_of(codec).startswith(kind_of(codec))


def test_unknown_names_are_none() -> None:
    assert parse_codec("video/H265") is None and parse_codec("") is None


@pytest.mark.parametrize(
    ("payload", "codec"),
    [
        (VP8, Codec.VP8),
        (PayloadFormat(98, "VP9", 90_000), Codec.VP9),
        (PayloadFormat(98, "vp9", 90_000, fmtp="profile-id=0"), Codec.VP9),
        (PayloadFormat(98, "VP9", 90_000, fmtp="profile-id=2"), None),
        (PayloadFormat(45, "AV1", 90_000, fmtp="level-idx=5;profile=0;tier=0"), Codec.AV1),
        (PayloadFormat(45, "AV1", 90_000, fmtp="profile=1"), None),
        (h264(102), Codec.H264),
        (h264(102, "640c1f"), Codec.H264),
        (h264(102, "f4001f"), None),
        (h264(102, mode=0), None),
        (PayloadFormat(102, "H264", 90_000), None),
        (PayloadFormat(96, "VP8", 48_000), None),
        (PayloadFormat(119, "red", 90_000), None),
        (PayloadFormat(49, "H265", 90_000), None),
    ],
)
def test_video_formats(payload: PayloadFormat, codec: Codec | None) -> None:
    assert codec_of(payload, "video") is codec


def test_a_video_codec_is_none_in_an_audio_section() -> None:
    assert codec_of(VP8, "audio") is None and codec_of(OPUS, "audio") is Codec.OPUS


def test_preferred_codecs_come_first_with_their_rtx() -> None:
    offered = [VP8, VP8_RTX, h264(104, "4d001f"), h264(108), PayloadFormat(98, "VP9", 90_000)]
    accepted = accept_formats(
        offered,
        "video",
        CodecPolicy(),
        from_publisher=True,
        preferred=[Codec.VP9, Codec.H264],
    )
    assert [entry.format.pt for entry in accepted] == [98, 108, 104, 96]
    assert accepted[-1].payload == Payload(96, Codec.VP8, 97)


def test_constrained_baseline_leads_h264_without_passing_other_codecs() -> None:
    accepted = accept_formats(
        [h264(102, "64001f"), VP8, h264(108)], "video", CodecPolicy(), from_publisher=False
    )
    assert [entry.format.pt for entry in accepted] == [108, 96, 102]


@pytest.mark.parametrize("from_publisher", [True, False])
def test_red_only_where_the_policy_allows_it(from_publisher: bool) -> None:
    def codecs(policy: CodecPolicy) -> list[Codec]:
        found = accept_formats([OPUS, RED], "audio", policy, from_publisher=from_publisher)
        return [entry.codec for entry in found]

    assert codecs(CodecPolicy()) == [Codec.OPUS, Codec.RED]
    refusing = CodecPolicy(
        allows_red_from_publishers=not from_publisher, allows_red_to_subscribers=from_publisher
    )
    assert codecs(refusing) == [Codec.OPUS]


def test_red_alone_is_nothing() -> None:
    policy = CodecPolicy(allows_red_from_publishers=True)
    assert accept_formats([RED], "audio", policy, from_publisher=True) == []


def test_a_policy_can_leave_codecs_out() -> None:
    policy = CodecPolicy(video=(Codec.H264,))
    accepted = accept_formats([VP8, h264(108)], "video", policy, from_publisher=True)
    assert [entry.codec for entry in accepted] == [Codec.H264]
