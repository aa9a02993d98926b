from __future__ import annotations

import base64
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models, rtc

from signaling.errors import JoinError
from signaling.join import parse_join_v0, parse_join_v1

Wrapped = rtc.WrappedJoinRequest


def encode(
    request: rtc.JoinRequest | bytes, compression: Wrapped.Compression = Wrapped.NONE
) -> dict[str, str]:
    data = request if isinstance(request, bytes) else request.SerializeToString()
    if compression == Wrapped.GZIP and not isinstance(request, bytes):
        data = gzip.compress(data)
    wrapped = Wrapped(compression=compression, join_request=data)
    return {"join_request": base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()}


REQUEST = rtc.JoinRequest(
    client_info=models.ClientInfo(protocol=18, sdk=models.ClientInfo.PYTHON),
    connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
    publisher_offer=rtc.SessionDescription(type="offer", sdp="v=0", id=1),
    add_track_requests=[rtc.AddTrackRequest(cid="c")],
    participant_attributes={"a": "1"},
)


def test_v0_reads_the_query() -> None:
    params = parse_join_v0(
        {
            "auto_subscribe": "0",
            "adaptive_stream": "true",
            "protocol": "17",
            "client_protocol": "2",
            "sdk": "js",
            "version": "2.23.0",
            "capabilities": "CAP_PACKET_TRAILER,CAP_UNHEARD_OF",
            "attributes": base64.urlsafe_b64encode(b'{"k":"v"}').decode().rstrip("="),
            "something": "else",
        }
    )
    assert not params.is_single_pc and not params.auto_subscribe and params.adaptive_stream
    assert params.client.sdk == models.ClientInfo.JS and params.client.client_protocol == 2
    assert list(params.client.capabilities) == [models.ClientInfo.CAP_PACKET_TRAILER]
    assert params.attributes == {"k": "v"} and not params.is_reconnect


def test_v0_reads_a_reconnect() -> None:
    params = parse_join_v0(
        {"protocol": "16", "reconnect": "1", "sid": "PA_x", "reconnect_reason": "2"}
    )
    assert params.is_reconnect and params.participant_sid == "PA_x"
    assert params.reconnect_reason == 2 and params.auto_subscribe


@pytest.mark.parametrize(
    "query",
    [
        {"protocol": "many"},
        {"protocol": "-1"},
        {"protocol": "9" * 30},
        {"protocol": "16", "reconnect_reason": "x"},
        {"protocol": "16", "attributes": "!"},
        {"protocol": "16", "attributes": base64.urlsafe_b64encode(b"[1]").decode()},
        {"protocol": "16", "attributes": base64.urlsafe_b64encode(b'{"a":1}').decode()},
    ],
)
def test_v0_refuses_malformed_parameters(query: dict[str, str]) -> None:
    with pytest.raises(JoinError) as caught:
        parse_join_v0(query)
    assert caught.value.code == "bad_parameter" and caught.value.http_status == 400


def test_old_protocols_are_refused() -> None:
    with pytest.raises(JoinError) as caught:
        parse_join_v0({"protocol": "8"})
    assert caught.value.code == "protocol_too_old"


@pytest.mark.parametrize("compression", [Wrapped.NONE, Wrapped.GZIP])
def test_v1_reads_the_join_request(compression: Wrapped.Compression) -> None:
    params = parse_join_v1(encode(REQUEST, compression))
    assert params.is_single_pc and params.auto_subscribe
    assert params.client.protocol == 18 and params.attributes == {"a": "1"}
    assert params.publisher_offer is not None and params.publisher_offer.id == 1
    assert [request.cid for request in params.add_tracks] == ["c"]
    assert params.sync_state is None


def test_v1_without_padding_is_read() -> None:
    query = encode(REQUEST)
    assert parse_join_v1({"join_request": query["join_request"].rstrip("=")}).is_single_pc


def test_v1_bounds_what_it_inflates() -> None:
    bomb = gzip.compress(b"\0" * 3_000_000)
    assert len(bomb) < 4000
    with pytest.raises(JoinError, match="too large"):
        parse_join_v1(encode(bomb, Wrapped.GZIP))
    with pytest.raises(JoinError, match="too large"):
        parse_join_v1(encode(b"\0" * 200), inflated_bytes=100)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"join_request": "%%%"},
        {"join_request": "AAAA"},
        encode(b"\xff\xff\xff"),
        encode(b"not gzip", Wrapped.GZIP),
        encode(gzip.compress(REQUEST.SerializeToString())[:-9], Wrapped.GZIP),
        encode(zlib.compress(REQUEST.SerializeToString()), Wrapped.GZIP),
    ],
)
def test_v1_refuses_malformed_requests(query: dict[str, str]) -> None:
    with pytest.raises(JoinError) as caught:
        parse_join_v1(query)
    assert caught.value.code == "bad_join_request"


@given(st.binary(max_size=300), st.sampled_from([Wrapped.NONE, Wrapped.GZIP]))
def test_v1_survives_any_bytes(data: bytes, compression: Wrapped.Compression) -> None:
    try:
        parse_join_v1(encode(data, compression))
    except JoinError:
        pass


@given(st.text(max_size=100))
def test_v1_survives_any_text(text: str) -> None:
    with pytest.raises(JoinError):
        parse_join_v1({"join_request": text})
