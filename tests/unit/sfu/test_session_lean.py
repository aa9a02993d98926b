"""Lean descriptions: short, and still complete for what flows."""

from __future__ import annotations

from sfu.ids import Codec
from sfu.sdp.model import ExtMap, Fingerprint, MediaDescription, PayloadFormat, TransportAttributes
from sfu.session.lean import make_lean, share_transport

FEEDBACK = ("transport-cc", "nack", "nack pli")
VIDEO = (
    PayloadFormat(96, "VP8", 90_000, feedback=FEEDBACK),
    PayloadFormat(109, "H264", 90_000, fmtp="packetization-mode=1;profile-level-id=42e01f"),
    PayloadFormat(103, "H264", 90_000, fmtp="packetization-mode=1;profile-level-id=42001f"),
    PayloadFormat(97, "rtx", 90_000, fmtp="apt=96"),
    PayloadFormat(114, "rtx", 90_000, fmtp="apt=109"),
)
AUDIO = (
    PayloadFormat(63, "red", 48_000, 2, "111/111"),
    PayloadFormat(111, "opus", 48_000, 2),
)
TWCC = ExtMap(3, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01")
SEND_TIME = ExtMap(2, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time")


def section(direction: str, *, kind: str = "video") -> MediaDescription:
    payloads = VIDEO if kind == "video" else AUDIO
    return MediaDescription(
        kind=kind,
        port=9,
        protocol="UDP/TLS/RTP/SAVPF",
        formats=tuple(str(payload.pt) for payload in payloads),
        mid="1",
        direction=direction,
        payloads=payloads,
        extensions=(TWCC,),
    )


def test_a_placeholder_keeps_one_codec_and_its_extensions() -> None:
    lean = make_lean(section("inactive"), ())
    assert lean.formats == ("96",) and lean.payloads[0].feedback == ()
    assert lean.extensions == (TWCC,) and not lean.has_rtcp_rsize
    # What a codec is must still be told: H.264 by its parameters, sound by its name.
    media = section("inactive")
    media.payloads = VIDEO[1:2]
    assert make_lean(media, ()).payloads[0].fmtp == VIDEO[1].fmtp
    assert make_lean(section("inactive", kind="audio"), ()).payloads[0].fmtp == ""


def test_only_the_first_section_of_a_kind_keeps_the_send_time() -> None:
    media = section("inactive")
    media.extensions = (TWCC, SEND_TIME)
    assert make_lean(media, ()).extensions == (TWCC,)
    assert make_lean(media, (), is_first=True).extensions == (TWCC, SEND_TIME)


def test_a_section_in_use_keeps_what_flows_and_its_repair() -> None:
    lean = make_lean(section("sendonly"), (Codec.H264,))
    assert lean.formats == ("109", "114")
    lean = make_lean(section("sendonly"), (Codec.VP8,))
    assert lean.formats == ("96", "97") and lean.payloads[0].feedback == FEEDBACK


def test_feedback_that_another_kind_makes_needless_is_left_out() -> None:
    media = section("sendonly")
    every = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
    media.payloads = (PayloadFormat(96, "VP8", 90_000, feedback=every),)
    assert make_lean(media, (Codec.VP8,)).payloads[0].feedback == FEEDBACK
    # Where there is nothing instead it stays.
    media.payloads = (PayloadFormat(96, "VP8", 90_000, feedback=("goog-remb", "ccm fir")),)
    assert make_lean(media, (Codec.VP8,)).payloads[0].feedback == ("goog-remb", "ccm fir")


def test_a_stream_is_named_once() -> None:
    media = section("sendonly")
    media.ssrcs = {7: {"cname": "c", "msid": "s t"}}
    assert make_lean(media, (Codec.VP8,)).ssrcs == {7: {"cname": "c"}}
    sound = section("sendonly", kind="audio")
    sound.ssrcs = {8: {"cname": "c", "msid": "s t"}}
    assert make_lean(sound, (Codec.OPUS,)).ssrcs == {8: {"cname": "c"}}


def test_what_is_not_known_or_not_ours_to_choose_stays_whole() -> None:
    for media, codecs in (
        (section("sendonly"), ()),
        (section("sendonly"), (Codec.AV1,)),
        (section("recvonly"), (Codec.VP8,)),
        (section("sendonly", kind="audio"), (Codec.OPUS,)),
    ):
        assert make_lean(media, codecs) == media


def test_transport_attributes_are_said_once_but_for_the_role() -> None:
    live, rejected = section("sendonly"), section("inactive")
    rejected.port = 0
    whole = TransportAttributes("u", "p", (), (Fingerprint("sha-256", "AA"),), "active")
    shared = share_transport([live, rejected], whole)
    assert shared == TransportAttributes("u", "p", (), (Fingerprint("sha-256", "AA"),), "")
    assert live.transport == TransportAttributes(setup="active")
    assert live.transport.or_default(shared) == whole
    assert rejected.transport == TransportAttributes()
