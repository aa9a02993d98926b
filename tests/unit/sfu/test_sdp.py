from __future__ import annotations

import string

import pytest
from fake_transport import SDP_DIR, read_sdp
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.sdp import SdpError, SessionDescription, parse_sdp
from sfu.sdp.model import (
    DIRECTIONS,
    ExtMap,
    Fingerprint,
    Group,
    MediaDescription,
    Msid,
    PayloadFormat,
    Rid,
    Simulcast,
    SsrcGroup,
    TransportAttributes,
    reverse_direction,
)

FIXTURES = sorted(path.stem for path in SDP_DIR.glob("*.sdp"))
HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


def section(*lines: str) -> str:
    return HEAD + "\r\n".join(["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:0", *lines]) + "\r\n"


def code_of(text: str) -> str:
    with pytest.raises(SdpError) as caught:
        parse_sdp(text)
    return caught.value.code


@pytest.mark.parametrize("name", FIXTURES)
def test_real_descriptions_survive_a_round_trip(name: str) -> None:
    description = parse_sdp(read_sdp(name))
    assert parse_sdp(description.to_sdp()) == description


def test_reads_a_browsers_simulcast_section() -> None:
    offer = parse_sdp(read_sdp("js_dual_publish_offer"))
    assert offer.bundled_mids == ("0", "1", "2")
    data, audio, video = offer.media
    assert (data.kind, data.sctp_port, data.max_message_size_bytes) == ("application", 5000, 262144)
    assert audio.payloads[0] == PayloadFormat(
        111, "opus", 48_000, 2, "minptime=10;stereo=1;useinbandfec=1", ("transport-cc",)
    )
    assert audio.msids[0].track == "a145ffd8-9292-48c9-9ab3-47996eee0eb4"
    assert audio.ssrcs[175513039]["cname"] == "Bwugs4LqUjV3PVk3"
    assert [rid.id for rid in video.rids] == ["q", "h", "f"]
    assert video.simulcast == Simulcast(send=(("q",), ("h",), ("f",)))
    assert video.payloads[0].parameters == {"x-google-start-bitrate": "1000"}
    assert video.direction == "sendonly" and video.has_rtcp_mux and video.has_rtcp_rsize
    assert offer.transport_of(video).setup == "actpass"


def test_session_level_attributes_are_defaults() -> None:
    digest = "AA:BB"
    text = (
        HEAD
        + f"a=ice-ufrag:user\r\na=ice-pwd:{'p' * 22}\r\na=fingerprint:SHA-256 aa:bb\r\n"
        + "a=setup:active\r\na=recvonly\r\na=ice-lite\r\n"
        + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=setup:passive\r\n"
    )
    description = parse_sdp(text)
    transport = description.transport_of(description.media[0])
    assert transport.ice_ufrag == "user" and transport.setup == "passive"
    assert transport.fingerprints == (Fingerprint("sha-256", digest),)
    assert description.media[0].direction == "recvonly" and description.is_ice_lite


def test_wildcard_feedback_applies_to_every_format() -> None:
    text = section("a=rtpmap:96 VP8/90000", "a=rtcp-fb:* nack", "a=rtcp-fb:96 nack pli")
    assert parse_sdp(text).media[0].payloads[0].feedback == ("nack", "nack pli")


def test_formats_without_rtpmap_are_no_payloads() -> None:
    media = parse_sdp(section()).media[0]
    assert media.formats == ("96",) and media.payloads == ()


def test_bundle_only_port_zero_is_not_rejected() -> None:
    text = HEAD + "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"
    assert parse_sdp(text).media[0].is_rejected
    assert not parse_sdp(text + "a=bundle-only\r\n").media[0].is_rejected


def test_unknown_lines_and_attributes_are_skipped() -> None:
    text = section("b=AS:500", "i=hello", "a=sctp-init:AQAA", "a=x-new:1", "a=rtcp-xr:rcvr-rtt=all")
    assert parse_sdp(text).media[0].mid == "0"


def test_bare_newlines_and_trailing_blank_lines_are_tolerated() -> None:
    assert parse_sdp(section().replace("\r\n", "\n") + "\n\r\n").media[0].mid == "0"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "sdp_bad_line"),
        ("\r\n", "sdp_bad_line"),
        ("v=1\r\n", "sdp_bad_line"),
        (HEAD + "nonsense\r\n", "sdp_bad_line"),
        ("v=0\r\no=- 1\r\n", "sdp_bad_line"),
        ("v=0\r\no=- x 2 IN IP4 1.2.3.4\r\n", "sdp_bad_number"),
        (HEAD + "m=video 9 UDP/TLS/RTP/SAVPF\r\n", "sdp_bad_line"),
        (HEAD + "m=video 70000 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n", "sdp_bad_number"),
        (HEAD + "m=video 9 UDP/TLS/RTP/SAVPF " + "9 " * 200 + "\r\n", "sdp_bad_line"),
        (HEAD + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "sdp_missing_mid"),
        (section("a=x:" + "y" * 9000), "sdp_line_too_long"),
        (section("a=x:\x00"), "sdp_bad_character"),
        (section("a=x:\ry"), "sdp_bad_character"),
        (section("a=mid:" + "m" * 17), "sdp_bad_attribute"),
        (section("a=mid:a b"), "sdp_bad_attribute"),
        (section("a=ice-ufrag:abc"), "sdp_bad_attribute"),
        (section("a=ice-ufrag:abc d"), "sdp_bad_attribute"),
        (section("a=ice-pwd:short"), "sdp_bad_attribute"),
        (section("a=fingerprint:sha-256 xx"), "sdp_bad_attribute"),
        (section(*["a=fingerprint:sha-256 AA"] * 9), "sdp_too_many_attributes"),
        (section("a=setup:maybe"), "sdp_bad_attribute"),
        (section("a=rtpmap:96 VP8"), "sdp_bad_attribute"),
        (section("a=rtpmap:200 VP8/90000"), "sdp_bad_number"),
        (section("a=rtpmap:٩ VP8/90000"), "sdp_bad_attribute"),
        (section("a=fmtp:96"), "sdp_bad_attribute"),
        (section("a=rtcp-fb:96"), "sdp_bad_attribute"),
        (section("a=rtcp-fb:x nack"), "sdp_bad_number"),
        (section("a=extmap:x urn:y"), "sdp_bad_attribute"),
        (section("a=extmap:1/sideways urn:y"), "sdp_bad_attribute"),
        (
            section(*[f"a=extmap:{n % 250 + 1} urn:{n}" for n in range(300)]),
            "sdp_too_many_attributes",
        ),
        (section("a=msid:"), "sdp_bad_attribute"),
        (section("a=rid:a/b send"), "sdp_bad_attribute"),
        (section("a=rid:q up"), "sdp_bad_attribute"),
        (section(*[f"a=rid:r{n} send" for n in range(17)]), "sdp_too_many_attributes"),
        (section("a=simulcast:send q h"), "sdp_bad_attribute"),
        (section("a=simulcast:send q;;h"), "sdp_bad_attribute"),
        (section("a=simulcast:"), "sdp_bad_attribute"),
        (section("a=ssrc:0 cname:x"), "sdp_bad_attribute"),
        (section("a=ssrc:4294967296 cname:x"), "sdp_bad_number"),
        (section(*[f"a=ssrc:{n} cname:x" for n in range(1, 300)]), "sdp_too_many_attributes"),
        (section("a=ssrc-group:FID 1 x"), "sdp_bad_number"),
        (section("a=sctp-port:99999"), "sdp_bad_number"),
        (section(*["a=candidate:1"] * 65), "sdp_too_many_attributes"),
        (section() + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n", "sdp_duplicate_mid"),
        (HEAD + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 161, "sdp_too_many_sections"),
        (HEAD + "a=x\r\n" * 160_000, "sdp_too_large"),
        (HEAD + "a=" + "é" * 400_000, "sdp_too_large"),
    ],
)
def test_malformed_text_has_a_stable_code(text: str, code: str) -> None:
    assert code_of(text) == code


def test_extension_ids_without_a_number_yet_are_not_used() -> None:
    assert parse_sdp(section("a=extmap:4096 urn:y")).media[0].extensions == ()


def test_directions_seen_from_the_other_end() -> None:
    pairs = {"sendonly": "recvonly", "recvonly": "sendonly"}
    assert all(reverse_direction(d) == pairs.get(d, d) for d in DIRECTIONS)


# Round trips and rubbish.

WORD = string.ascii_letters + string.digits
words = st.text(WORD, min_size=1, max_size=12)
texts = st.text(WORD + ";=/.-_", min_size=1, max_size=30)
ssrcs = st.integers(1, 2**32 - 1)
rids = st.lists(words, unique=True, max_size=4)
transports = st.builds(
    TransportAttributes,
    ice_ufrag=st.just("") | st.text(WORD + "+/", min_size=4, max_size=32),
    ice_pwd=st.just("") | st.text(WORD + "+/", min_size=22, max_size=32),
    ice_options=st.lists(words, max_size=3).map(tuple),
    fingerprints=st.lists(
        st.builds(Fingerprint, st.sampled_from(["sha-1", "sha-256"]), st.just("AB:CD")), max_size=2
    ).map(tuple),
    setup=st.sampled_from(["", "active", "passive", "actpass", "holdconn"]),
)
payloads = st.lists(
    st.builds(
        PayloadFormat,
        st.integers(0, 127),
        words,
        st.integers(0, 999_999),
        st.none() | st.integers(1, 9),
        st.just("") | texts,
        st.lists(st.sampled_from(["nack", "nack pli", "ccm fir", "transport-cc"]), unique=True).map(
            tuple
        ),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda payload: payload.pt,
)


@st.composite
def sections(draw: st.DrawFn, mid: str) -> MediaDescription:
    formats = draw(payloads)
    names = draw(rids)
    streams = tuple((name,) for name in names)
    return MediaDescription(
        kind=draw(st.sampled_from(["audio", "video"])),
        port=draw(st.sampled_from([0, 9, 5000])),
        protocol="UDP/TLS/RTP/SAVPF",
        formats=tuple(str(payload.pt) for payload in formats),
        mid=mid,
        direction=draw(st.sampled_from(DIRECTIONS)),
        transport=draw(transports),
        candidates=tuple(f"candidate:{c}" for c in draw(st.lists(texts, max_size=2))),
        has_end_of_candidates=draw(st.booleans()),
        has_rtcp_mux=draw(st.booleans()),
        has_rtcp_rsize=draw(st.booleans()),
        is_bundle_only=draw(st.booleans()),
        payloads=tuple(formats),
        extensions=tuple(
            draw(
                st.lists(
                    st.builds(
                        ExtMap,
                        st.integers(1, 255),
                        texts,
                        st.sampled_from(["", "sendonly", "recvonly"]),
                        st.just("") | words,
                    ),
                    max_size=3,
                )
            )
        ),
        msids=tuple(dict.fromkeys(draw(st.lists(st.builds(Msid, words, st.just("") | words))))),
        rids=tuple(Rid(name, "send", draw(st.just("") | texts)) for name in names),
        simulcast=Simulcast(send=streams) if names else None,
        ssrcs=draw(
            st.dictionaries(
                ssrcs, st.dictionaries(words, texts, min_size=1, max_size=2), max_size=3
            )
        ),
        ssrc_groups=tuple(
            draw(
                st.lists(
                    st.builds(SsrcGroup, st.just("FID"), st.lists(ssrcs, max_size=3).map(tuple)),
                    max_size=2,
                )
            )
        ),
        sctp_port=draw(st.none() | st.integers(0, 65535)),
        max_message_size_bytes=draw(st.none() | st.integers(0, 2**40)),
    )


@st.composite
def descriptions(draw: st.DrawFn) -> SessionDescription:
    mids = draw(st.lists(words, unique=True, max_size=3))
    return SessionDescription(
        origin=("-", draw(st.integers(0, 2**63)), draw(st.integers(0, 99))),
        media=[draw(sections(mid)) for mid in mids],
        groups=(Group("BUNDLE", tuple(mids)),),
        transport=draw(transports),
        is_ice_lite=draw(st.booleans()),
        allows_mixed_extmap=draw(st.booleans()),
        msid_semantic=draw(st.just("") | words),
    )


@given(descriptions())
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back(description: SessionDescription) -> None:
    assert parse_sdp(description.to_sdp()) == description


@given(st.text(max_size=400))
@settings(deadline=None)
def test_garbage_is_refused_and_never_crashes(text: str) -> None:
    try:
        parse_sdp(text)
    except SdpError as error:
        assert error.code.startswith("sdp_")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_real_offers_never_crash(data: st.DataObject) -> None:
    text = read_sdp(data.draw(st.sampled_from(FIXTURES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 40))
        text = text[:at] + data.draw(st.text(max_size=8)) + text[at + length :]
    try:
        description = parse_sdp(text)
    except SdpError:
        return
    assert parse_sdp(description.to_sdp()) == description
