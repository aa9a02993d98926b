"""A session over a recording transport, as tests of negotiation drive it."""

from __future__ import annotations

import random
from collections.abc import Callable

from fake_transport import CANDIDATES, FakeSource, FakeTransport, read_sdp

from sfu.ids import Codec
from sfu.sdp import SessionDescription, parse_sdp
from sfu.session import OfferedTrack, Session, Subscription, TrackClaim

__all__ = ["Peer", "claim_all", "connected", "hold"]


def claim_all(_: OfferedTrack) -> TrackClaim:
    """Takes every track."""
    return TrackClaim()


def hold(_: OfferedTrack) -> None:
    """Decides later."""
    return None


class Peer:
    """A session over a recording transport."""

    def __init__(self, **arguments: object) -> None:
        """Takes what a session takes."""
        self.transport = FakeTransport()
        self.session = Session(
            self.transport,  # type: ignore[arg-type]
            CANDIDATES,
            rng=random.Random(1),
            **arguments,  # type: ignore[arg-type]
        )
        self.log: list[tuple[str, str]] = []
        self.session.set_callbacks(
            on_published=lambda mid, source: self.log.append(("published", mid)),
            on_unpublished=lambda mid: self.log.append(("unpublished", mid)),
            on_subscribed=lambda s: self.log.append(("subscribed", s.mid or "")),
            on_unsupported=lambda s: self.log.append(("unsupported", s.track_id)),
        )

    def offer(
        self, name_or_text: str, claim: Callable[[OfferedTrack], object] = claim_all
    ) -> SessionDescription:
        """Handle an offer, of a fixture or as it is; returns the answer."""
        text = name_or_text if "\n" in name_or_text else read_sdp(name_or_text)
        return parse_sdp(self.session.handle_offer(text, claim))  # type: ignore[arg-type]

    def subscribe(
        self, *, is_audio: bool = False, track: str = "TR_1", codecs: tuple[Codec, ...] = ()
    ) -> Subscription:
        """Subscribe to a new source."""
        return self.session.subscribe(
            FakeSource(is_audio),  # type: ignore[arg-type]
            stream_id=f"PA_1|{track}",
            track_id=track,
            codecs=codecs,
        )


def connected(client: str = "go") -> Peer:
    """An offerer whose first offer a client has answered."""
    peer = Peer(role="offerer")
    peer.session.create_offer()
    peer.session.handle_answer(read_sdp(f"{client}_dual_data_answer"))
    return peer
