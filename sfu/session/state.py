"""What both halves of a session share: sections, identity, and the way into the transport."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from sfu.codecs import CodecPolicy
from sfu.sdp import SdpError, SessionDescription
from sfu.sdp.model import Fingerprint, Group, MediaDescription, TransportAttributes
from sfu.session.bundle import BundleMap
from sfu.session.lean import share_transport
from sfu.session.section import Section
from sfu.session.tracks import Subscription

if TYPE_CHECKING:
    from sfu.ice import IceCandidate, IceParameters
    from sfu.source import Source
    from sfu.transport import Transport

MAX_MESSAGE_BYTES = 65_535
# DTLS inside ICE checks: the draft's name, libwebrtc's since M155, and the one before. The engine
# answers each check as it asks: a Chromium that does it was seen to ask without our option as well.
CARRIAGE_OPTIONS = frozenset({"sped", "googspedv1", "goog-sped-v1"})


class SessionState:
    """Sections in SDP order and the subscriptions that wait for one.

    Attributes:
        is_lean: descriptions say only what counts.
        on_published: called with mid and source when a claimed track's source exists.
        on_unpublished: called with the mid after its source was closed.
        on_subscribed: called when a subscription has its sink.
        on_unsupported: called when the peer cannot take a subscription's codecs.
    """

    def __init__(
        self,
        transport: Transport,
        candidates: Sequence[IceCandidate],
        policy: CodecPolicy,
        rng: random.Random,
        *,
        is_lean: bool = False,
    ) -> None:
        """Starts without sections."""
        self.transport = transport
        self.candidates = tuple(candidate.to_sdp() for candidate in candidates)
        self.policy = policy
        self.is_lean = is_lean
        self.sections: list[Section] = []
        self.subscriptions: list[Subscription] = []
        self.on_published: Callable[[str, Source], None] | None = None
        self.on_unpublished: Callable[[str], None] | None = None
        self.on_subscribed: Callable[[Subscription], None] | None = None
        self.on_unsupported: Callable[[Subscription], None] | None = None
        self._rng = rng
        self._session_id = rng.getrandbits(62)
        self._version = 0
        self._ssrcs: set[int] = set()
        self._remote_ice: tuple[str, str] | None = None
        self._fingerprints: tuple[Fingerprint, ...] = ()
        self._ice_options: tuple[str, ...] = ()
        self._dtls_role: Literal["client", "server"] | None = None

    @property
    def dtls_role(self) -> Literal["client", "server"] | None:
        """Ours, once agreed; it never changes, as the DTLS association outlives ICE restarts."""
        return self._dtls_role

    def section_by_mid(self, mid: str) -> Section | None:
        """Finds a section."""
        return next((section for section in self.sections if section.mid == mid), None)

    def waiting(self) -> list[Subscription]:
        """Subscriptions that need a section, oldest first."""
        return [s for s in self.subscriptions if s.mid is None and not s.is_unsupported]

    def is_restart(self, remote: TransportAttributes) -> bool:
        """Whether the peer has changed its ICE credentials (RFC 8839 §4.4.1.1)."""
        known = self._remote_ice
        return known is not None and known != (remote.ice_ufrag, remote.ice_pwd)

    def check_remote(self, remote: TransportAttributes, *, is_offer: bool) -> None:
        """Refuses transport attributes that we cannot use, before anything changes."""
        if not (remote.ice_ufrag and remote.ice_pwd):
            raise SdpError("sdp_missing_ice", "no ICE credentials")
        if not remote.fingerprints:
            raise SdpError("sdp_missing_fingerprint", "no DTLS fingerprint")
        if self._fingerprints and set(remote.fingerprints) != set(self._fingerprints):
            raise SdpError("sdp_fingerprint_changed", "another certificate than before")
        setups = ("", "actpass", "active", "passive") if is_offer else ("active", "passive")
        if remote.setup not in setups:
            raise SdpError("sdp_bad_setup", "an a=setup that does not belong here")
        if not is_offer and self._dtls_role not in (None, _role_facing(remote.setup)):
            raise SdpError("sdp_bad_setup", "an a=setup that changes the DTLS roles")

    def set_remote(self, remote: TransportAttributes) -> None:
        """Gives the peer's ICE and DTLS parameters to the transport."""
        self._remote_ice = (remote.ice_ufrag, remote.ice_pwd)
        self._fingerprints = remote.fingerprints
        self._ice_options = tuple(o for o in remote.ice_options if o in CARRIAGE_OPTIONS)
        if self._dtls_role is None:
            self._dtls_role = _role_facing(remote.setup, is_carrying=bool(self._ice_options))
        self.transport.set_remote(
            ufrag=remote.ice_ufrag,
            pwd=remote.ice_pwd,
            fingerprints=[str(fingerprint) for fingerprint in remote.fingerprints],
            dtls_role=self._dtls_role,
        )

    @property
    def remote_ufrag(self) -> str:
        """The peer's, empty before its first description."""
        return self._remote_ice[0] if self._remote_ice else ""

    def restart_ice(self, remote_ufrag: str, remote_pwd: str) -> IceParameters:
        """Takes a restart by the peer that came without a description; returns our credentials."""
        ice = self.transport.restart_ice()
        self.set_remote(
            TransportAttributes(remote_ufrag, remote_pwd, self._ice_options, self._fingerprints)
        )
        return ice

    def set_media(self, bundle: BundleMap) -> None:
        """Gives payload types and extensions to the transport."""
        self.transport.set_media(bundle.extensions, bundle.payloads)

    def start_data(self, remote: MediaDescription) -> None:
        """Agrees on the SCTP association; idempotent."""
        self.transport.data.start(
            remote_port=remote.sctp_port or 5000,
            # RFC 8841 §6.1: 64 KB unless said otherwise; 0 = any size.
            max_message_bytes=MAX_MESSAGE_BYTES
            if remote.max_message_size_bytes == 0
            else min(remote.max_message_size_bytes or 65_536, MAX_MESSAGE_BYTES),
        )

    def describe(self, media: Sequence[MediaDescription], setup: str) -> SessionDescription:
        """Puts a description together; transport attributes go into every live section, or in a
        lean session above them all."""
        self._version += 1
        algorithm, _, digest = self.transport.fingerprint.partition(" ")
        attributes = TransportAttributes(
            ice_ufrag=self.transport.ice.ufrag,
            ice_pwd=self.transport.ice.pwd,
            ice_options=self._ice_options,
            fingerprints=(Fingerprint(algorithm, digest),),
            setup=setup,
        )
        shared = TransportAttributes()
        live = [section for section in media if not section.is_rejected]
        for section in live:
            section.transport = attributes
        if self.is_lean:
            shared = share_transport(live, attributes)
        if live:
            # RFC 9143 §7.1.3: within a bundle only the tagged section carries candidates.
            live[0].candidates = self.candidates
            live[0].has_end_of_candidates = True
        return SessionDescription(
            origin=("-", self._session_id, self._version),
            media=list(media),
            transport=shared,
            groups=(Group("BUNDLE", tuple(section.mid for section in live)),),
            is_ice_lite=True,
            allows_mixed_extmap=True,
            # Of before unified plan: every byte of a lean answer counts.
            msid_semantic="" if self.is_lean else "WMS *",
        )

    def note_remote_ssrcs(self, media: MediaDescription) -> None:
        """Keeps our SSRCs apart from those that the peer declares."""
        self._ssrcs.update(media.ssrcs)

    def assign_ssrcs(self, subscription: Subscription, *, has_rtx: bool) -> None:
        """Gives a subscription fresh SSRCs.

        They are never reused within a session: the peer keeps an SRTP roll-over counter and a
        jitter buffer for each, which a second stream under the same number would upset.
        """
        subscription.ssrc = self._fresh_ssrc()
        subscription.rtx_ssrc = self._fresh_ssrc() if has_rtx else 0

    def start_sink(self, section: Section) -> None:
        """Begins to send a placed subscription, once."""
        subscription = section.subscription
        if subscription is None or subscription.sink is not None or subscription.source.is_closed:
            return
        subscription.sink = self.transport.add_sink(
            subscription.source,
            ssrc=subscription.ssrc,
            rtx_ssrc=subscription.rtx_ssrc,
            mid=section.mid,
            payloads=section.sink_payloads(),
            layers=subscription.layers,
            wish=subscription.wish,
        )
        if subscription.wish is not None:
            subscription.sink.on_granted = subscription.handle_granted
            subscription.handle_granted(subscription.sink.layers)
        if self.on_subscribed is not None:
            self.on_subscribed(subscription)

    def vacate(self, section: Section) -> None:
        """Takes the subscription out of a section; it waits for another one unless it is closed."""
        subscription, section.subscription = section.subscription, None
        if subscription is None:
            return
        if subscription.sink is not None:
            subscription.sink.close()
            subscription.sink = None
        subscription.mid = None

    def refuse_subscription(self, subscription: Subscription) -> None:
        """The peer has none of its codecs."""
        subscription.is_unsupported = True
        if self.on_unsupported is not None:
            self.on_unsupported(subscription)

    def unpublish(self, section: Section) -> None:
        """Ends what the peer published in a section."""
        source, section.source = section.source, None
        section.claim = None
        section.layers, section.told_layers, section.is_sound_told = 0, 0, False
        section.told_paused = frozenset()
        section.wants_red = section.told_red = True
        if source is not None:
            source.close()
            if self.on_unpublished is not None:
                self.on_unpublished(section.mid)

    def _fresh_ssrc(self) -> int:
        while (ssrc := self._rng.getrandbits(32)) == 0 or ssrc in self._ssrcs:
            pass
        self._ssrcs.add(ssrc)
        return ssrc


def _role_facing(setup: str, *, is_carrying: bool = False) -> Literal["client", "server"]:
    """Our DTLS role opposite a peer's `a=setup`; absent means active (RFC 8842 §5.3 default).

    DEVIATION: RFC 5763 §5 recommends that who answers is active. A peer whose first check brings
    its ClientHello along saves a round trip as the client; as the server it would wait for ours.
    """
    if setup == "actpass" and is_carrying:
        return "server"
    return "server" if setup in ("active", "") else "client"
