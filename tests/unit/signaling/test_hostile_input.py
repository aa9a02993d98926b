"""Whatever bytes a client sends: signaling counts, refuses or answers, and never raises."""

from __future__ import annotations

import base64
import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.protocol import models, rtc
from signaling_bench import Bench

from sfu.sdp import SdpError, parse_sdp
from signaling.errors import AuthError, JoinError
from signaling.join import parse_join_v0, parse_join_v1
from signaling.tokens import TokenKeys

KEYS = TokenKeys({"key": "a-secret-that-is-long-enough-for-all"})
FEW = settings(max_examples=150, deadline=None)
LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "v=0",
                "o=- 1 2 IN IP4 127.0.0.1",
                "s=-",
                "t=0 0",
                "a=group:BUNDLE 0 1",
                "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
                "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
                "a=mid:0",
                "a=mid:1",
                "a=ice-ufrag:abcd",
                "a=ice-pwd:abcdefghijklmnopqrstuvwx",
                "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
                "a=setup:actpass",
                "a=rtpmap:111 opus/48000/2",
                "a=rtpmap:96 VP8/90000",
                "a=rtpmap:97 rtx/90000",
                "a=fmtp:97 apt=96",
                "a=sendonly",
                "a=recvonly",
                "a=rid:q send",
                "a=rid:f send",
                "a=simulcast:send q;f",
                "a=msid:- cam",
                "a=ssrc:1 cname:x",
                "a=ssrc-group:FID 1 2",
                "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
                "a=rtcp-mux",
                "a=sctp-port:5000",
            ]
        ),
        st.text(max_size=40).map(lambda text: f"a={text}"),
        st.text(max_size=20),
    ),
    max_size=40,
)


@FEW
@given(LINES)
def test_any_lines_parse_or_are_refused_with_a_code(lines: list[str]) -> None:
    text = "\r\n".join(["v=0", *lines]) + "\r\n"
    try:
        parsed = parse_sdp(text)
    except SdpError as error:
        assert error.code.startswith("sdp_")
    else:
        assert parse_sdp(parsed.to_sdp()).to_sdp() == parsed.to_sdp()


@FEW
@given(LINES)
def test_any_offer_is_answered_or_ends_that_client(lines: list[str]) -> None:
    bench = Bench()
    client = bench.join("alice")
    sdp = "\r\n".join(["v=0", *lines]) + "\r\n"
    client.send(add_track=rtc.AddTrackRequest(cid="cam", type=models.TrackType.VIDEO))
    client.send(offer=rtc.SessionDescription(type="offer", sdp=sdp, id=1))
    assert bench.service.counters["internal_error"] == 0


@FEW
@given(st.binary(max_size=400))
def test_any_bytes_are_survived(data: bytes) -> None:
    bench = Bench()
    client = bench.join("alice")
    client.peer.handle_message(data)
    assert bench.service.counters["internal_error"] == 0


@FEW
@given(
    kind=st.sampled_from(
        [field.name for field in rtc.SignalRequest.DESCRIPTOR.fields if field.message_type]
    ),
    body=st.binary(max_size=60),
)
def test_any_body_of_every_message_is_survived(kind: str, body: bytes) -> None:
    field = rtc.SignalRequest.DESCRIPTOR.fields_by_name[kind]
    assert len(body) < 128
    head = bytes(_varint(field.number << 3 | 2)) + bytes([len(body)])
    bench = Bench()
    client = bench.join("alice")
    client.peer.handle_message(head + body)
    assert bench.service.counters["internal_error"] == 0


def _varint(number: int) -> list[int]:
    return [number] if number < 128 else [number & 127 | 128, *_varint(number >> 7)]


@FEW
@given(st.binary(max_size=300), st.booleans())
def test_any_join_request_is_read_or_refused(data: bytes, is_gzip: bool) -> None:
    wrapped = rtc.WrappedJoinRequest(
        compression=rtc.WrappedJoinRequest.GZIP if is_gzip else rtc.WrappedJoinRequest.NONE,
        join_request=gzip.compress(data) if is_gzip else data,
    ).SerializeToString()
    for text in (base64.urlsafe_b64encode(wrapped).decode(), data.decode("latin1")):
        try:
            parse_join_v1({"join_request": text})
        except JoinError as error:
            assert error.http_status == 400


@FEW
@given(
    st.dictionaries(
        st.sampled_from(["protocol", "attributes", "sdk", "capabilities", "reconnect_reason"]),
        st.text(max_size=60),
    )
)
def test_any_query_is_read_or_refused(query: dict[str, str]) -> None:
    try:
        parse_join_v0(query)
    except JoinError as error:
        assert error.http_status == 400


@FEW
@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "sub", "video", "attributes", "name", "roomConfig", "iss"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=10), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
def test_any_claims_are_read_or_refused(claims: dict[str, object]) -> None:
    token = KEYS.sign_claims("key", {"exp": 2**33, **claims, "iss": "key"})
    try:
        grants = KEYS.verify(token, now_s=1.0)
    except AuthError as error:
        assert error.http_status == 401
    else:
        assert isinstance(grants.expires_s, int)


def test_large_messages_use_up_the_rate_of_a_connection_sooner() -> None:
    """A join's worth of ordinary messages passes, megabytes in a row do not."""
    bench = Bench()
    client = bench.connected("alice")
    for _ in range(500):
        client.send(ping=1)
    client.send(offer=rtc.SessionDescription(type="offer", sdp="x" * 60_000, id=1))
    assert bench.service.counters["closed_flooding"] == 0
    flooder = bench.connected("mallory")
    for _ in range(30):
        flooder.send(trickle=rtc.TrickleRequest(candidateInit="x" * 1_000_000))
    assert bench.service.counters["closed_flooding"] == 1


def test_an_endless_list_of_permissions_is_cut_and_whoever_is_beyond_it_is_denied() -> None:
    bench = Bench()
    publisher = bench.connected("alice")
    names = [f"p{number}" for number in range(3000)]
    publisher.send(
        subscription_permission=rtc.SubscriptionPermission(
            track_permissions=[
                rtc.TrackPermission(participant_identity=name, all_tracks=True) for name in names
            ]
        )
    )
    first, last = bench.connected(names[0]), bench.connected(names[-1])
    publisher.publish("cam")
    assert first.named("subscription_permission_update") == []
    assert last.last("subscription_permission_update").allowed is False
    assert bench.service.counters["dropped_track_permission"] == 2000


@pytest.mark.parametrize("number", [float("inf"), float("nan"), True, "1", None, [1]])
def test_times_that_are_none(number: object) -> None:
    for name in ("exp", "nbf"):
        claims = {"iss": "key", "exp": 2**33, name: number}
        with pytest.raises(AuthError):
            KEYS.verify(KEYS.sign_claims("key", claims), now_s=1.0)
