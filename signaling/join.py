"""Connection requests: query parameters of `/rtc` and the `join_request` of `/rtc/v1`."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from signaling.errors import JoinError

__all__ = ["JoinParams", "parse_join_v0", "parse_join_v1"]

# Older clients lack disconnect updates on resume.
MIN_PROTOCOL = 9

_SDKS = {
    "js": models.ClientInfo.JS,
    "reactnative": models.ClientInfo.REACT_NATIVE,
    "python": models.ClientInfo.PYTHON,
    "rust": models.ClientInfo.RUST,
    "go": models.ClientInfo.GO,
    "ios": models.ClientInfo.SWIFT,
    "swift": models.ClientInfo.SWIFT,
    "android": models.ClientInfo.ANDROID,
    "flutter": models.ClientInfo.FLUTTER,
    "node": models.ClientInfo.NODE,
    "cpp": models.ClientInfo.CPP,
    "unity": models.ClientInfo.UNITY,
    "unityweb": models.ClientInfo.UNITY_WEB,
    "esp32": models.ClientInfo.ESP32,
}


@dataclass(frozen=True)
class JoinParams:
    """What a client asks for when it opens its connection."""

    is_single_pc: bool
    client: models.ClientInfo = field(default_factory=models.ClientInfo)
    auto_subscribe: bool = True
    adaptive_stream: bool = False
    is_reconnect: bool = False
    participant_sid: str = ""
    reconnect_reason: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    metadata: str = ""
    add_tracks: tuple[rtc.AddTrackRequest, ...] = ()
    publisher_offer: rtc.SessionDescription | None = None
    sync_state: rtc.SyncState | None = None


def _parse_flag(query: Mapping[str, str], name: str, default: bool) -> bool:
    value = query.get(name, "")
    return value.lower() in ("1", "true") if value else default


def _parse_int(query: Mapping[str, str], name: str) -> int:
    value = query.get(name, "0") or "0"
    try:
        number = int(value)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 31:
        raise JoinError("bad_parameter", f"{name} is not a number")
    return number


def _parse_attributes(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        found = json.loads(_decode_base64url(text))
    except (ValueError, RecursionError) as error:
        raise JoinError("bad_parameter", "attributes is not base64url of a JSON map") from error
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise JoinError("bad_parameter", "attributes must map strings to strings")
    return found


def _decode_base64url(text: str) -> bytes:
    # Some clients leave the padding off.
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)


def parse_join_v0(query: Mapping[str, str]) -> JoinParams:
    """Read the query of `/rtc`. Unknown parameters are ignored.

    Raises:
        JoinError: a parameter is malformed, or the protocol too old.
    """
    client = models.ClientInfo(
        sdk=_SDKS.get(query.get("sdk", ""), models.ClientInfo.UNKNOWN),
        protocol=_parse_int(query, "protocol"),
        client_protocol=_parse_int(query, "client_protocol"),
    )
    for name in ("version", "os", "os_version", "device_model", "browser", "browser_version"):
        setattr(client, name, query.get(name, "")[:64])
    client.network = query.get("network", "")[:64]
    for name in query.get("capabilities", "").split(","):
        if name in models.ClientInfo.Capability.keys():
            client.capabilities.append(getattr(models.ClientInfo, name))
    return _checked(
        JoinParams(
            is_single_pc=False,
            client=client,
            auto_subscribe=_parse_flag(query, "auto_subscribe", True),
            adaptive_stream=_parse_flag(query, "adaptive_stream", False),
            is_reconnect=_parse_flag(query, "reconnect", False),
            participant_sid=query.get("sid", "")[:64],
            reconnect_reason=_parse_int(query, "reconnect_reason"),
            attributes=_parse_attributes(query.get("attributes", "")),
        )
    )


def parse_join_v1(query: Mapping[str, str], *, inflated_bytes: int = 1 << 20) -> JoinParams:
    """Read the `join_request` of `/rtc/v1`: base64url of a WrappedJoinRequest, maybe gzipped.

    Args:
        inflated_bytes: bound of the inner message after inflating.

    Raises:
        JoinError: it is missing, malformed, or inflates beyond the bound.
    """
    text = query.get("join_request", "")
    if not text:
        raise JoinError("bad_join_request", "join_request is required")
    try:
        wrapped = rtc.WrappedJoinRequest.FromString(_decode_base64url(text))
        data = wrapped.join_request
        if wrapped.compression == rtc.WrappedJoinRequest.GZIP:
            data = _inflate(data, inflated_bytes)
        elif len(data) > inflated_bytes:
            raise JoinError("bad_join_request", "join_request is too large")
        request = rtc.JoinRequest.FromString(data)
    except (DecodeError, binascii.Error, ValueError, zlib.error) as error:
        raise JoinError("bad_join_request", "join_request is malformed") from error
    settings = request.connection_settings
    has_settings = request.HasField("connection_settings")
    return _checked(
        JoinParams(
            is_single_pc=True,
            client=request.client_info,
            auto_subscribe=settings.auto_subscribe if has_settings else True,
            adaptive_stream=settings.adaptive_stream,
            is_reconnect=request.reconnect,
            participant_sid=request.participant_sid[:64],
            reconnect_reason=request.reconnect_reason,
            attributes=dict(request.participant_attributes),
            metadata=request.metadata,
            add_tracks=tuple(request.add_track_requests),
            publisher_offer=(
                request.publisher_offer if request.HasField("publisher_offer") else None
            ),
            sync_state=request.sync_state if request.HasField("sync_state") else None,
        )
    )


def _inflate(data: bytes, bound: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)  # gzip header and trailer
    inflated = inflater.decompress(data, bound)
    if inflater.unconsumed_tail:
        raise JoinError("bad_join_request", "join_request is too large")
    if not inflater.eof:
        raise JoinError("bad_join_request", "join_request is truncated")
    return inflated


def _checked(params: JoinParams) -> JoinParams:
    if params.client.protocol < MIN_PROTOCOL:
        raise JoinError("protocol_too_old", f"protocol {MIN_PROTOCOL} or newer is required")
    return params
