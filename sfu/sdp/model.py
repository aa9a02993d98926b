"""A typed session description (RFC 8866 with the WebRTC attributes of RFC 8829)."""

from __future__ import annotations

from dataclasses import dataclass, field

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly"}


def reverse_direction(direction: str) -> str:
    """The same direction seen from the other end."""
    return _REVERSED.get(direction, direction)


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """One RTP payload type: rtpmap, fmtp and rtcp-fb together."""

    pt: int
    encoding: str
    clock_hz: int
    channels: int | None = None
    fmtp: str = ""
    feedback: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, str]:
        """The fmtp parameters by lower-case name; the first of a repeated one counts."""
        found: dict[str, str] = {}
        for part in self.fmtp.split(";"):
            name, _, value = part.strip().partition("=")
            if name:
                found.setdefault(name.strip().lower(), value.strip())
        return found


@dataclass(frozen=True, slots=True)
class ExtMap:
    """One RTP header extension (RFC 8285 §5)."""

    id: int
    uri: str
    direction: str = ""
    attributes: str = ""


@dataclass(frozen=True, slots=True)
class Rid:
    """One `a=rid` (RFC 8851)."""

    id: str
    direction: str
    restrictions: str = ""


@dataclass(frozen=True, slots=True)
class Simulcast:
    """`a=simulcast` (RFC 8853): streams in order, each with alternative rids; `~` = paused."""

    send: tuple[tuple[str, ...], ...] = ()
    recv: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Msid:
    """`a=msid` (RFC 8830); `track` is empty where only a stream was given."""

    stream: str
    track: str = ""


@dataclass(frozen=True, slots=True)
class SsrcGroup:
    """`a=ssrc-group` (RFC 5576 §4.2)."""

    semantics: str
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`a=group` (RFC 5888)."""

    semantics: str
    mids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`a=fingerprint` (RFC 8122)."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        """As it stands in SDP."""
        return f"{self.algorithm} {self.value}"


@dataclass(slots=True)
class TransportAttributes:
    """ICE and DTLS attributes; at session level they are defaults for every section."""

    ice_ufrag: str = ""
    ice_pwd: str = ""
    ice_options: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str = ""

    def or_default(self, default: TransportAttributes) -> TransportAttributes:
        """Fills what a section leaves out from the session level."""
        return TransportAttributes(
            ice_ufrag=self.ice_ufrag or default.ice_ufrag,
            ice_pwd=self.ice_pwd or default.ice_pwd,
            ice_options=self.ice_options or default.ice_options,
            fingerprints=self.fingerprints or default.fingerprints,
            setup=self.setup or default.setup,
        )


@dataclass(slots=True)
class MediaDescription:
    """One m-section.

    `formats` is the m-line's list as it stands; `payloads` holds those of them that have an rtpmap,
    in m-line order. `bandwidth_bps` is written as `b=TIAS` (RFC 3890), and not read. `direction` is
    what the section says (or inherits); absent means sendrecv.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    mid: str = ""
    direction: str = "sendrecv"
    transport: TransportAttributes = field(default_factory=TransportAttributes)
    candidates: tuple[str, ...] = ()
    has_end_of_candidates: bool = False
    has_rtcp_mux: bool = False
    has_rtcp_rsize: bool = False
    is_bundle_only: bool = False
    payloads: tuple[PayloadFormat, ...] = ()
    extensions: tuple[ExtMap, ...] = ()
    msids: tuple[Msid, ...] = ()
    rids: tuple[Rid, ...] = ()
    simulcast: Simulcast | None = None
    ssrcs: dict[int, dict[str, str]] = field(default_factory=dict)
    ssrc_groups: tuple[SsrcGroup, ...] = ()
    sctp_port: int | None = None
    max_message_size_bytes: int | None = None
    bandwidth_bps: int | None = None

    @property
    def is_rejected(self) -> bool:
        """Port 0 without bundle-only: the section is not in use (RFC 8843 §6)."""
        return self.port == 0 and not self.is_bundle_only

    @property
    def sends(self) -> bool:
        """Whether its writer will send media in it."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether its writer will take media in it."""
        return self.direction in ("sendrecv", "recvonly")
