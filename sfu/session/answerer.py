"""The answering half: the peer offers, we answer, and place waiting subscriptions on the way."""

from __future__ import annotations

from typing import cast

from sfu.codecs import Kind, accept_formats
from sfu.ids import EXTENSION_URIS, Codec
from sfu.sdp import SdpError, SessionDescription, parse_sdp
from sfu.sdp.model import MediaDescription, TransportAttributes
from sfu.session.bundle import BundleMap
from sfu.session.encodings import read_encodings
from sfu.session.lean import make_lean
from sfu.session.section import (
    Section,
    describe_data,
    describe_rejected,
    describe_rtp,
    is_data,
    is_rtp,
    note_answered,
)
from sfu.session.state import MAX_MESSAGE_BYTES, SessionState
from sfu.session.tracks import ClaimTrack, OfferedTrack, Refusal


class Answerer:
    """Turns offers into answers. An offer that is refused leaves everything as it was."""

    def __init__(self, state: SessionState) -> None:
        """Works on the session's shared state."""
        self._state = state
        self._bundle = BundleMap()

    def handle_offer(self, sdp: str, claim: ClaimTrack) -> str:
        """Answers an offer; see `Session.handle_offer`."""
        state = self._state
        offer = parse_sdp(sdp)
        self._check_sections(offer)
        remote = _common_transport(offer)
        state.check_remote(remote, is_offer=True)

        if state.is_restart(remote):
            state.transport.restart_ice()
        state.set_remote(remote)
        self._bundle = BundleMap()
        usable = _usable_mids(offer)
        for index, media in enumerate(offer.media):
            self._take_section(index, media, is_usable=media.mid in usable)
        state.set_media(self._bundle)
        for section in state.sections:
            self._claim(section, claim)
        self._place_subscriptions()
        for section in state.sections:
            self._order_formats(section)
        answers = [self._describe(section) for section in state.sections]
        for section in state.sections:
            note_answered(section)
            state.start_sink(section)
        role = "active" if state.dtls_role == "client" else "passive"
        return state.describe(answers, role).to_sdp()

    def claim_held(self, claim: ClaimTrack) -> list[str]:
        """Asks again for every held section; returns the mids now published."""
        held = [section for section in self._state.sections if section.is_held]
        for section in held:
            self._claim(section, claim)
        return [section.mid for section in held if section.source is not None]

    def _check_sections(self, offer: SessionDescription) -> None:
        """Sections may be added, never dropped, moved or changed (RFC 3264 §8)."""
        known = self._state.sections
        if len(offer.media) < len(known):
            raise SdpError("sdp_section_missing", "fewer sections than before")
        for section, media in zip(known, offer.media, strict=False):
            # A rejected section may be put to another use under a new mid (RFC 8829 §5.2.2).
            if section.is_dead:
                continue
            if section.mid != media.mid or section.kind != media.kind:
                raise SdpError("sdp_section_changed", "sections in another order than before")

    def _take_section(self, index: int, media: MediaDescription, *, is_usable: bool) -> None:
        state = self._state
        if index == len(state.sections):
            state.sections.append(Section(media.mid, media.kind))
        elif state.sections[index].mid != media.mid or state.sections[index].kind != media.kind:
            state.sections[index] = Section(media.mid, media.kind)
        section = state.sections[index]
        section.remote = media
        section.is_dead = not is_usable
        state.note_remote_ssrcs(media)
        if is_usable and is_data(media):
            state.start_data(media)
        elif is_usable and is_rtp(media):
            self._take_rtp(section, media)
        else:
            section.is_dead = True
        if section.is_dead or not media.receives:
            state.vacate(section)
        if section.is_dead or section.offered is None:
            section.offered = None
            state.unpublish(section)

    def _take_rtp(self, section: Section, media: MediaDescription) -> None:
        is_publisher = media.sends
        kind = cast(Kind, media.kind)
        formats = accept_formats(
            media.payloads, kind, self._state.policy, from_publisher=is_publisher
        )
        section.formats = self._bundle.take_formats(formats)
        section.extensions = self._bundle.take_extensions(media)
        if not any(entry.codec is not Codec.RED for entry in section.formats):
            section.is_dead = True
            return
        offered = self._read_track(section, media) if is_publisher else None
        self._compare_track(section, offered)

    def _read_track(self, section: Section, media: MediaDescription) -> OfferedTrack:
        has_rid = any(ext.uri == EXTENSION_URIS["rid"] for ext in section.extensions)
        msid = media.msids[0] if media.msids else None
        return OfferedTrack(
            mid=media.mid,
            kind=cast(Kind, media.kind),
            msid_stream=msid.stream if msid else "",
            msid_track=msid.track if msid else "",
            direction=media.direction,
            codecs=tuple(dict.fromkeys(entry.codec for entry in section.formats)),
            encodings=read_encodings(media, has_rid=has_rid),
        )

    def _compare_track(self, section: Section, offered: OfferedTrack | None) -> None:
        """Ends the published track where the section now carries another one, or none."""
        before, section.offered = section.offered, offered
        is_same = (
            before is not None
            and offered is not None
            and before.msid_track == offered.msid_track
            and before.rids == offered.rids
        )
        if not is_same:
            section.is_refused = False
            self._state.unpublish(section)

    def _place_subscriptions(self) -> None:
        state = self._state
        for subscription in state.waiting():
            free = [s for s in state.sections if s.is_free and s.kind == subscription.kind]
            suited = next((s for s in free if s.supports(subscription.codecs)), None)
            if suited is not None:
                suited.subscription = subscription
                subscription.mid = suited.mid
                has_rtx = any(entry.rtx is not None for entry in suited.formats)
                state.assign_ssrcs(subscription, has_rtx=has_rtx)
            elif free:
                state.refuse_subscription(subscription)

    def _order_formats(self, section: Section) -> None:
        """Puts first what the section's track comes in; RED stays behind Opus when we send."""
        subscription = section.subscription
        if subscription is not None and subscription.codecs:
            section.formats.sort(key=lambda entry: _rank(subscription.codecs, entry.codec))

    def _claim(self, section: Section, claim: ClaimTrack) -> None:
        if section.offered is None:
            return
        if section.is_held:
            verdict = claim(section.offered)
            if isinstance(verdict, Refusal):
                section.is_refused = True
            elif verdict is not None:
                section.claim = verdict
                section.layers = verdict.layers
                section.wants_red = verdict.starts_red
                self._publish(section, section.offered)
        if section.claim is None:
            return
        wanted = section.claim
        # Music in two channels would take 250 kb/s.
        if not (wanted.allows_red and section.wants_red) or wanted.is_stereo:
            section.formats = [e for e in section.formats if e.codec is not Codec.RED]
        # An explicit wish first; else RED before Opus, as senders use the first answered codec.
        order = wanted.codecs or ((Codec.RED,) if section.kind == "audio" else ())
        section.formats.sort(key=lambda entry: _rank(order, entry.codec))

    def _publish(self, section: Section, offered: OfferedTrack) -> None:
        section.source = self._state.transport.add_source(
            mid=section.mid, is_audio=offered.kind == "audio", encodings=offered.encodings
        )
        if self._state.on_published is not None:
            self._state.on_published(section.mid, section.source)

    def _describe(self, section: Section) -> MediaDescription:
        remote = section.remote
        assert remote is not None, "every section of an offer was taken"
        if section.is_dead:
            return describe_rejected(remote)
        if section.kind == "application":
            return describe_data(section.mid, remote.protocol, MAX_MESSAGE_BYTES)
        section.is_draining = False
        media = describe_rtp(section, remote.protocol, _direction(section))
        if self._state.is_lean:
            codecs = section.subscription.codecs if section.subscription is not None else ()
            media = make_lean(media, codecs, is_first=self._is_first(section))
        return media

    def _is_first(self, section: Section) -> bool:
        return next(one for one in self._state.sections if one.kind == section.kind) is section


def _direction(section: Section) -> str:
    if section.subscription is not None:
        return "sendonly"
    # A held section is accepted: a claim that comes later then needs no further negotiation.
    if section.offered is not None and not section.is_refused:
        return "recvonly"
    return "inactive"


def _rank(order: tuple[Codec, ...], codec: Codec) -> int:
    return order.index(codec) if codec in order else len(order)


def _usable_mids(offer: SessionDescription) -> set[str]:
    """Sections that share the one transport: the bundled ones, or a lone first section."""
    live = [media.mid for media in offer.live_media()]
    return set(offer.bundled_mids) & set(live) if offer.bundled_mids else set(live[:1])


def _common_transport(offer: SessionDescription) -> TransportAttributes:
    usable = _usable_mids(offer)
    for media in offer.media:
        if media.mid in usable:
            return offer.transport_of(media)
    raise SdpError("sdp_no_section", "no section in use")
