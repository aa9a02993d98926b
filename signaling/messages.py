"""Messages to clients that are built from more than one thing."""

from __future__ import annotations

from collections.abc import Iterable

from livekit.protocol import models, rtc

from signaling.config import IceServer, SignalingConfig

__all__ = [
    "SERVER_VERSION",
    "build_ice_servers",
    "build_join",
    "build_leave",
    "build_server_info",
]

# Clients read this as semver and switch features by it: RPC needs 1.8.0, and above 1.13.6 browsers
# would send VP9 and AV1 simulcast by rid. Our own version is in `debug_info`.
SERVER_VERSION = "1.9.0"
# The newest protocol whose server-side rules are all followed (17 would announce packet trailers).
PROTOCOL = 16

Leave = rtc.LeaveRequest


def build_server_info(config: SignalingConfig) -> models.ServerInfo:
    """What clients are told about this server."""
    return models.ServerInfo(
        edition=models.ServerInfo.Standard,
        version=SERVER_VERSION,
        protocol=PROTOCOL,
        node_id=config.node_id,
        debug_info=config.debug_info,
    )


def build_ice_servers(servers: Iterable[IceServer]) -> list[rtc.ICEServer]:
    """STUN and TURN servers for a client."""
    return [
        rtc.ICEServer(urls=s.urls, username=s.username, credential=s.credential) for s in servers
    ]


def build_join(
    config: SignalingConfig,
    *,
    room: models.Room,
    participant: models.ParticipantInfo,
    others: Iterable[models.ParticipantInfo],
    ice_servers: Iterable[IceServer],
    is_single_pc: bool,
) -> rtc.SignalResponse:
    """The first message of a connection."""
    return rtc.SignalResponse(
        join=rtc.JoinResponse(
            room=room,
            participant=participant,
            other_participants=others,
            server_version=SERVER_VERSION,
            server_info=build_server_info(config),
            ice_servers=build_ice_servers(ice_servers),
            subscriber_primary=not is_single_pc,
            # libwebrtc-based clients abort on an interval of 0
            ping_interval=max(1, config.ping_interval_s),
            ping_timeout=max(2, config.ping_timeout_s),
            enabled_publish_codecs=[models.Codec(mime=mime) for mime in config.publish_codecs],
            fast_publish=participant.permission.can_publish,
        )
    )


def build_leave(
    reason: models.DisconnectReason, action: rtc.LeaveRequest.Action
) -> rtc.SignalResponse:
    """Tells a client to go, and what to do next. `can_reconnect` serves protocols below 13."""
    return rtc.SignalResponse(
        leave=Leave(reason=reason, action=action, can_reconnect=action != Leave.DISCONNECT)
    )
