"""One peer connection's offer/answer session."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from sfu.codecs import CodecPolicy
from sfu.ids import Codec
from sfu.session.answerer import Answerer
from sfu.session.errors import SessionError
from sfu.session.offerer import Offerer
from sfu.session.state import SessionState
from sfu.session.tracks import ClaimTrack, Subscription

if TYPE_CHECKING:
    from sfu.ice import IceCandidate, IceParameters
    from sfu.source import Source
    from sfu.transport import Transport


class Session:
    """Negotiates one transport, and maps tracks and subscriptions to its m-sections.

    The role is fixed: an `answerer` takes the peer's offers (publishing, and in single-connection
    mode subscriptions too); an `offerer` makes them (a connection that only delivers). Not
    thread-safe; nothing here waits.
    """

    def __init__(
        self,
        transport: Transport,
        candidates: Sequence[IceCandidate],
        *,
        role: Literal["answerer", "offerer"] = "answerer",
        policy: CodecPolicy | None = None,
        has_data: bool = True,
        rng: random.Random | None = None,
        is_lean: bool = False,
    ) -> None:
        """Makes a session without sections.

        Args:
            transport: what it negotiates; the caller still closes it.
            candidates: put into every description, so nothing needs to be trickled.
            role: who makes the offers.
            policy: codecs to agree on; the default takes all.
            has_data: whether an offerer has a data section (always mid 0).
            rng: source of SSRCs and the session id.
            is_lean: descriptions say only what counts, see `sfu.session.lean`. For peers that
                negotiate again when a track changes its codec.
        """
        rng = rng or random.SystemRandom()
        policy = policy or CodecPolicy()
        self._state = SessionState(transport, candidates, policy, rng, is_lean=is_lean)
        self._answerer = Answerer(self._state) if role == "answerer" else None
        self._offerer = Offerer(self._state, has_data=has_data) if role == "offerer" else None

    @property
    def transport(self) -> Transport:
        """The transport that it negotiates."""
        return self._state.transport

    @property
    def published(self) -> dict[str, Source]:
        """Sources of the tracks that the peer publishes, by mid."""
        return {s.mid: s.source for s in self._state.sections if s.source is not None}

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """All open subscriptions, oldest first."""
        return tuple(self._state.subscriptions)

    @property
    def mid_to_track_id(self) -> dict[str, str]:
        """The track id of every placed subscription, by mid."""
        return {s.mid: s.track_id for s in self._state.subscriptions if s.mid is not None}

    @property
    def has_pending(self) -> bool:
        """Whether something waits for a negotiation: a new subscription, a removed one, or news for
        the peer of what it may send."""
        sections = self._state.sections
        return bool(self._state.waiting()) or any(
            section.is_draining or section.has_layer_news or section.has_red_news
            for section in sections
        )

    @property
    def is_negotiating(self) -> bool:
        """Whether our offer waits for its answer; do not make another until then."""
        return self._offerer is not None and self._offerer.is_pending

    @property
    def remote_ufrag(self) -> str:
        """The peer's current ICE user name, empty before its first description."""
        return self._state.remote_ufrag

    @property
    def first_mid(self) -> str:
        """The section that carries the bundle's candidates; empty before the first description."""
        return next((s.mid for s in self._state.sections if not s.is_dead), "")

    def set_callbacks(
        self,
        *,
        on_published: Callable[[str, Source], None] | None = None,
        on_unpublished: Callable[[str], None] | None = None,
        on_subscribed: Callable[[Subscription], None] | None = None,
        on_unsupported: Callable[[Subscription], None] | None = None,
    ) -> None:
        """Sets who hears of changes; they are called from within the negotiating call.

        Args:
            on_published: mid and source of a claimed track; its media may come later.
            on_unpublished: mid, after the peer ended the track and its source was closed.
            on_subscribed: a subscription got its section and sink.
            on_unsupported: the peer cannot take a subscription's codecs; it will never be placed.
        """
        self._state.on_published = on_published
        self._state.on_unpublished = on_unpublished
        self._state.on_subscribed = on_subscribed
        self._state.on_unsupported = on_unsupported

    def handle_offer(self, sdp: str, claim: ClaimTrack) -> str:
        """Takes the peer's offer and returns the answer.

        Args:
            sdp: the offer.
            claim: asked once for every track that the peer newly offers to send (again at each
                offer while it is held). None holds it: the section is accepted and its media
                dropped until `claim_held`. A `Refusal` answers it inactive.

        Raises:
            SdpError: the offer cannot be used; the session is as before.
            SessionError: this session makes the offers itself.
        """
        if self._answerer is None:
            raise SessionError("session_role", "this session makes the offers")
        return self._answerer.handle_offer(sdp, claim)

    def claim_held(self, claim: ClaimTrack) -> list[str]:
        """Asks again for held tracks, without a negotiation; returns the mids published now."""
        return self._answerer.claim_held(claim) if self._answerer is not None else []

    def create_offer(self, *, ice_restart: bool = False) -> str:
        """Makes an offer that places every waiting subscription and retires removed ones.

        With `ice_restart` it replaces an offer that waits for its answer: restarts are made where
        the signalling connection broke, and that answer may never come.

        Raises:
            SessionError: the previous offer waits for its answer, or the peer makes the offers.
        """
        if self._offerer is None:
            raise SessionError("session_role", "the peer makes the offers")
        return self._offerer.create_offer(ice_restart=ice_restart)

    def handle_answer(self, sdp: str) -> None:
        """Takes the answer to our offer; placed subscriptions start to flow.

        Raises:
            SdpError: the answer cannot be used; the offer still waits.
            SessionError: the peer makes the offers.
        """
        if self._offerer is None:
            raise SessionError("session_role", "the peer makes the offers")
        self._offerer.handle_answer(sdp)

    def withdraw_offer(self) -> None:
        """Forgets an offer that cannot be answered any more, so that a new one can be made."""
        if self._offerer is not None:
            self._offerer.withdraw()

    def restart_ice(self, remote_ufrag: str, remote_pwd: str) -> IceParameters:
        """Restarts ICE where the peer sent only its new credentials (WHIP's PATCH).

        Returns:
            Our new credentials.

        Raises:
            SessionError: nothing was negotiated yet.
        """
        if self._state.dtls_role is None:
            raise SessionError("session_not_negotiated", "no description was exchanged yet")
        return self._state.restart_ice(remote_ufrag, remote_pwd)

    def subscribe(
        self,
        source: Source,
        *,
        stream_id: str,
        track_id: str,
        codecs: Sequence[Codec] = (),
        allows_red: bool = True,
    ) -> Subscription:
        """Adds a source for the peer; it flows after the next negotiation.

        Args:
            source: what to send.
            stream_id: first token of its `a=msid`; also its cname.
            track_id: second token.
            codecs: what the source comes in. They are listed first; where the peer has none of
                them, `on_unsupported` is called. Empty = anything.
            allows_red: see `Subscription`.
        """
        subscription = Subscription(source, stream_id=stream_id, track_id=track_id, codecs=codecs)
        subscription.allows_red = allows_red
        self._state.subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription at once; idempotent. Its section is free after a negotiation."""
        if subscription.is_closed:
            return
        subscription.is_closed = True
        self._state.subscriptions.remove(subscription)
        for section in self._state.sections:
            if section.subscription is subscription:
                self._state.vacate(section)
                section.is_draining = not section.is_dead

    def limit_layers(self, mid: str, count: int) -> None:
        """Says how many layers of a published track the peer may send; 0 = all.

        It hears of it in our next answer, as paused layers (RFC 8853 §5.2), and goes on with the
        others meanwhile. Only for an answerer; nothing happens where nothing is published.
        """
        section = self._state.section_by_mid(mid)
        if self._answerer is not None and section is not None and section.source is not None:
            section.layers = count

    def add_red(self, mid: str) -> None:
        """Has a published sound come with redundancy from our next answer on, where its claim and
        the peer allow that. Only for an answerer."""
        section = self._state.section_by_mid(mid)
        claim = section.claim if section is not None and self._answerer is not None else None
        if section is not None and claim is not None and claim.allows_red and not claim.is_stereo:
            section.wants_red = True

    def told_layers(self, mid: str) -> int:
        """How many layers of a published track our last answer let the peer send; 0 = all."""
        section = self._state.section_by_mid(mid)
        return section.told_layers if section is not None else 0

    def needs_sections(self) -> tuple[int, int]:
        """How many more audio and video sections the peer must add, beyond those it has.

        A section that was just freed counts as there: it can be used from the offer after next.
        (0, 0) with `has_pending` means that a new offer of the peer is enough.
        """
        counts = []
        for kind in ("audio", "video"):
            waiting = sum(s.kind == kind for s in self._state.waiting())
            usable = sum(
                s.kind == kind and (s.is_free or s.is_draining) for s in self._state.sections
            )
            counts.append(max(0, waiting - usable))
        return counts[0], counts[1]

    def close(self) -> None:
        """Ends all subscriptions and published sources; the transport stays the caller's."""
        for subscription in list(self._state.subscriptions):
            self.unsubscribe(subscription)
        for section in self._state.sections:
            self._state.unpublish(section)
