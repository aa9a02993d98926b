"""Settings of the signaling package. Built once, by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signaling.turn import TurnAccess

__all__ = ["IceServer", "Limits", "SignalingConfig", "Timeouts"]


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server that clients are told of."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = field(default="", repr=False)


@dataclass(frozen=True)
class Limits:
    """Bounds on what one client or one API caller can make us hold."""

    message_bytes: int = 1 << 20
    join_request_bytes: int = 1 << 20  # inflated
    sdp_bytes: int = 512 * 1024
    token_bytes: int = 16 * 1024
    identity_bytes: int = 256
    name_bytes: int = 512
    room_name_bytes: int = 256
    metadata_bytes: int = 64 * 1024
    attributes_bytes: int = 64 * 1024
    data_payload_bytes: int = 64 * 1024
    tracks_per_participant: int = 16
    remembered_subscriptions: int = 1000
    # Token bucket of a connection: a join with 40 trickled candidates and a page of track settings
    # must pass, ten thousand messages in a second must not.
    messages_per_s: float = 200.0
    messages_burst: int = 1000
    own_changes_per_s: float = 5.0  # a client's changes of its name, metadata and attributes
    own_changes_burst: int = 20
    # Accepted by the connection but not yet written to its socket. Above `soft`, superseded news is
    # held back; above `hard`, the connection is closed.
    unsent_soft_bytes: int = 256 * 1024
    unsent_hard_bytes: int = 2 * 1024 * 1024
    replay_packets: int = 512  # reliable data kept per room for resumed subscribers
    replay_bytes: int = 1 << 20
    replay_age_s: float = 60.0
    rooms: int = 10_000


@dataclass(frozen=True)
class Timeouts:
    """How long signaling waits, in seconds."""

    # A client that has not answered an offer is told to reconnect. A line may be dead for 10 s, and
    # TCP may need as long again to notice that it is back; sent away then, it would lose its seat.
    answer_s: float = 30.0
    join_s: float = 60.0  # from join to a connected transport
    ice_failed_s: float = 5.0  # from a failed transport without a WebSocket to removal
    empty_s: int = 300  # nobody ever joined
    departure_s: int = 20  # the last one left
    update_batch_s: float = 0.2
    speakers_s: float = 0.4
    uplinks_s: float = 0.5
    quality_s: float = 5.0
    samples_s: float = 10.0  # of lines, for who keeps their history
    housekeeping_s: float = 1.0
    refresh_s: float = 300.0
    dynacast_off_s: float = 5.0
    negotiation_delay_s: float = 0.01


@dataclass(frozen=True)
class SignalingConfig:
    """Everything signaling can be told."""

    keys: Mapping[str, str]  # API key -> secret of at least 32 bytes
    ice_servers: tuple[IceServer, ...] = ()  # the same for everybody
    turn: TurnAccess | None = None  # credentials of their own for each
    is_single_pc_enabled: bool = True  # answer 404 on /rtc/v1 when off
    is_room_auto_created: bool = True
    is_remote_unmute_allowed: bool = False
    max_participants: int = 0  # of rooms that set none; 0 = no bound
    node_id: str = "ND_local"
    debug_info: str = ""
    ping_interval_s: int = 5
    ping_timeout_s: int = 15
    publish_codecs: tuple[str, ...] = (
        "video/VP8",
        "video/H264",
        "video/VP9",
        "video/AV1",
        "audio/opus",
    )
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
