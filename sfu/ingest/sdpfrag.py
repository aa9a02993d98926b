"""Trickle ICE fragments (RFC 8840 §9), as WHIP and WHEP carry them in PATCH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfu.sdp import SdpError
from sfu.sdp.attributes import MAX_CANDIDATES, TransportParser

MEDIA_TYPE = "application/trickle-ice-sdpfrag"
MAX_FRAGMENT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class IceFragment:
    """What a fragment says.

    Attributes:
        ufrag: credentials that its candidates belong to; empty if absent.
        pwd: as above.
        num_candidates: an ICE-lite server needs none of them: it sends to where checks come from.
    """

    ufrag: str
    pwd: str
    num_candidates: int = 0


def parse_fragment(text: str) -> IceFragment:
    """Reads a fragment.

    Raises:
        SdpError: `sdp_too_large`, `sdp_bad_line`, `sdp_bad_attribute`, `sdp_too_many_attributes`.
    """
    if len(text) > MAX_FRAGMENT_BYTES:
        raise SdpError("sdp_too_large", f"more than {MAX_FRAGMENT_BYTES} characters")
    found: list[TransportParser] = [TransportParser()]
    num_candidates = 0
    for line in filter(None, (line.rstrip("\r") for line in text.split("\n"))):
        if len(line) < 2 or line[1] != "=":
            raise SdpError("sdp_bad_line", "a line without a type")
        if line.startswith("m="):
            found.append(TransportParser())
        if not line.startswith("a="):
            continue
        name, _, value = line[2:].partition(":")
        num_candidates += name == "candidate"
        found[-1].handle(name, value.strip(" "))
    if num_candidates > MAX_CANDIDATES:
        raise SdpError("sdp_too_many_attributes", "too many candidates")
    # The bundle has one transport, so the first credentials are those of all sections.
    named = [p.transport for p in found if p.transport.ice_ufrag and p.transport.ice_pwd]
    if not named:
        return IceFragment("", "", num_candidates)
    return IceFragment(named[0].ice_ufrag, named[0].ice_pwd, num_candidates)


def format_fragment(ufrag: str, pwd: str, *, mid: str, candidates: Sequence[str]) -> str:
    """Writes our credentials and candidates, for the answer to an ICE restart.

    Args:
        ufrag: ours.
        pwd: ours.
        mid: the section that carries the bundle's candidates.
        candidates: values with their `candidate:` prefix.
    """
    lines = [
        "a=ice-lite",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{pwd}",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        f"a=mid:{mid}",
        *(f"a={candidate}" for candidate in candidates),
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"
