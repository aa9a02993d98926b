"""A whole offer or answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sfu.sdp.format import format_media, format_transport
from sfu.sdp.model import Group, MediaDescription, TransportAttributes


@dataclass(slots=True)
class SessionDescription:
    """A parsed or built session description.

    Attributes:
        origin: user name, session id and version of the o-line.
        media: the m-sections in order; their order never changes within a session.
        transport: session-level ICE and DTLS attributes, defaults for every section.
        msid_semantic: the value of `a=msid-semantic`, empty if absent.
    """

    origin: tuple[str, int, int] = ("-", 0, 0)
    media: list[MediaDescription] = field(default_factory=list)
    groups: tuple[Group, ...] = ()
    transport: TransportAttributes = field(default_factory=TransportAttributes)
    is_ice_lite: bool = False
    allows_mixed_extmap: bool = False
    msid_semantic: str = ""

    @property
    def bundled_mids(self) -> tuple[str, ...]:
        """Mids of the first BUNDLE group."""
        return next((g.mids for g in self.groups if g.semantics == "BUNDLE"), ())

    def transport_of(self, media: MediaDescription) -> TransportAttributes:
        """A section's ICE and DTLS attributes with the session-level defaults filled in."""
        return media.transport.or_default(self.transport)

    def live_media(self) -> Iterator[MediaDescription]:
        """The sections that are not rejected."""
        return (media for media in self.media if not media.is_rejected)

    def to_sdp(self) -> str:
        """Writes it down, lines ended by CRLF."""
        username, session_id, version = self.origin
        lines = ["v=0", f"o={username} {session_id} {version} IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines += [f"a=group:{' '.join((g.semantics, *g.mids))}" for g in self.groups]
        if self.is_ice_lite:
            lines.append("a=ice-lite")
        if self.allows_mixed_extmap:
            lines.append("a=extmap-allow-mixed")
        if self.msid_semantic:
            lines.append(f"a=msid-semantic:{self.msid_semantic}")
        lines += format_transport(self.transport)
        for media in self.media:
            lines += format_media(media)
        return "\r\n".join(lines) + "\r\n"
