"""WHIP (RFC 9725): an encoder sends one offer, and its tracks become sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.ids import Codec
from sfu.ingest.resource import HttpSession
from sfu.sdp import SdpError
from sfu.session import Claim, OfferedTrack, Refusal, TrackClaim

if TYPE_CHECKING:
    from sfu.source import Source

MAX_TRACKS = 4


@dataclass(frozen=True, slots=True)
class IngestTrack:
    """A track that an encoder publishes.

    Attributes:
        offered: what its offer said.
        source: its media; closed with the session.
        codec: what the encoder should send: the first that was answered.
    """

    offered: OfferedTrack
    source: Source
    codec: Codec


class WhipSession(HttpSession):
    """One encoder's session."""

    def handle_offer(self, sdp: str) -> tuple[str, list[IngestTrack]]:
        """Answers the one offer; returns the answer and the tracks, in the offer's order.

        Raises:
            SdpError: the offer cannot be used, or sends nothing that we take (`whip_no_track`).
        """
        offered: list[OfferedTrack] = []

        def claim(track: OfferedTrack) -> Claim:
            if len(offered) >= MAX_TRACKS:
                return Refusal("too many tracks")
            offered.append(track)
            # An encoder's sound may be music or a shop floor: never cut, and stereo if it has it.
            return TrackClaim(uses_dtx=False, is_stereo=True)

        answer = self.session.handle_offer(sdp, claim)
        if not offered:
            raise SdpError("whip_no_track", "no audio or video that could be taken")
        published = self.session.published
        tracks = [IngestTrack(t, published[t.mid], t.codecs[0]) for t in offered]
        return answer, tracks
