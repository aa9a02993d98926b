"""The offering half: one section for each subscription, offered when something has changed."""

from __future__ import annotations

from sfu.codecs import AcceptedFormat, Kind, accept_formats
from sfu.ids import EXTENSION_URIS, Codec
from sfu.sdp import SdpError, SessionDescription, parse_sdp
from sfu.sdp.model import ExtMap, MediaDescription, PayloadFormat
from sfu.sdp.parse import MAX_SECTIONS
from sfu.session.bundle import BundleMap
from sfu.session.errors import SessionError
from sfu.session.section import (
    Section,
    describe_data,
    describe_rejected,
    describe_rtp,
    is_data,
    is_rtp,
)
from sfu.session.state import MAX_MESSAGE_BYTES, SessionState
from sfu.session.tracks import Subscription

_RTP = "UDP/TLS/RTP/SAVPF"
_DATA = "UDP/DTLS/SCTP"
_VIDEO_FEEDBACK = ("transport-cc", "ccm fir", "nack", "nack pli")
# No NACK for audio: without an RTX stream nothing can be sent again.
_AUDIO_FEEDBACK = ("transport-cc",)
_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
# Payload types never change within a session; these are the ones that browsers use themselves.
_FORMATS: dict[Codec, tuple[PayloadFormat, ...]] = {
    Codec.OPUS: (
        PayloadFormat(111, "opus", 48_000, 2, "minptime=10;useinbandfec=1", _AUDIO_FEEDBACK),
    ),
    Codec.RED: (PayloadFormat(63, "red", 48_000, 2, "111/111", _AUDIO_FEEDBACK),),
    Codec.VP8: (
        PayloadFormat(96, "VP8", 90_000, feedback=_VIDEO_FEEDBACK),
        PayloadFormat(97, "rtx", 90_000, fmtp="apt=96"),
    ),
    Codec.VP9: (
        PayloadFormat(98, "VP9", 90_000, fmtp="profile-id=0", feedback=_VIDEO_FEEDBACK),
        PayloadFormat(99, "rtx", 90_000, fmtp="apt=98"),
    ),
    Codec.H264: (
        PayloadFormat(108, "H264", 90_000, fmtp=_H264, feedback=_VIDEO_FEEDBACK),
        PayloadFormat(109, "rtx", 90_000, fmtp="apt=108"),
    ),
    Codec.AV1: (
        PayloadFormat(45, "AV1", 90_000, feedback=_VIDEO_FEEDBACK),
        PayloadFormat(46, "rtx", 90_000, fmtp="apt=45"),
    ),
}
_AUDIO_EXTENSIONS = {"audio_level": 1, "abs_send_time": 2, "twcc": 3, "mid": 4}
_VIDEO_EXTENSIONS = {
    "abs_send_time": 2,
    "twcc": 3,
    "mid": 4,
    "abs_capture_time": 5,
    "dependency": 12,
}


class Offerer:
    """Makes offers and takes their answers, one at a time."""

    def __init__(self, state: SessionState, *, has_data: bool) -> None:
        """Works on the session's shared state; the data section, if any, comes first."""
        self._state = state
        self._pending: list[MediaDescription] | None = None
        if has_data:
            state.sections.append(Section("0", "application"))

    @property
    def is_pending(self) -> bool:
        """Whether an offer waits for its answer."""
        return self._pending is not None

    def create_offer(self, *, ice_restart: bool) -> str:
        """Offers what the session should look like now; see `Session.create_offer`."""
        if self._pending is not None and not ice_restart:
            raise SessionError("session_offer_pending", "the last offer has no answer yet")
        state = self._state
        if ice_restart:
            state.transport.restart_ice()
        for subscription in state.waiting():
            self._place(subscription)
        if not state.sections:
            raise SessionError("session_nothing_to_offer", "no section to offer")
        self._pending = [self._describe(section) for section in state.sections]
        return state.describe(self._pending, "actpass").to_sdp()

    def handle_answer(self, sdp: str) -> None:
        """Takes the answer; see `Session.handle_answer`."""
        offered = self._pending
        if offered is None:
            raise SdpError("sdp_unexpected_answer", "an answer without an offer")
        state = self._state
        answer = parse_sdp(sdp)
        _check_sections(offered, answer)
        live = next(answer.live_media(), None)
        if live is None:
            raise SdpError("sdp_no_section", "no section in use")
        remote = answer.transport_of(live)
        state.check_remote(remote, is_offer=False)

        self._pending = None
        state.set_remote(remote)
        bundle = BundleMap()
        started = []
        for section, ours, theirs in zip(state.sections, offered, answer.media, strict=False):
            if self._take_section(section, ours, theirs, bundle):
                started.append(section)
        state.set_media(bundle)
        for section in started:
            state.start_sink(section)

    def withdraw(self) -> None:
        """Forgets an offer that will not be answered (its signalling connection is gone)."""
        self._pending = None

    def _place(self, subscription: Subscription) -> None:
        state = self._state
        kind = subscription.kind
        formats = self._formats(kind, subscription.codecs)
        if subscription.codecs and not any(f.codec in subscription.codecs for f in formats):
            state.refuse_subscription(subscription)
            return
        section = self._find_section(kind, subscription.track_id)
        if section is None:
            return  # it waits until one is free
        section.past_track_ids.add(subscription.track_id)
        section.subscription = subscription
        subscription.mid = section.mid
        state.assign_ssrcs(subscription, has_rtx=kind == "video")

    def _find_section(self, kind: Kind, track_id: str) -> Section | None:
        """A free section, or a new one.

        Native clients (Rust SDK of 2026) announce a stream once per section: a track that comes
        back must come in a section that has not carried it before.
        """
        state = self._state
        free = [s for s in state.sections if s.kind == kind and _is_reusable(s)]
        fresh = next((s for s in free if track_id not in s.past_track_ids), None)
        if fresh is not None:
            return fresh
        if len(state.sections) >= MAX_SECTIONS:
            return free[0] if free else None
        section = Section(str(len(state.sections)), kind)
        state.sections.append(section)
        return section

    def _describe(self, section: Section) -> MediaDescription:
        if section.kind == "application":
            return describe_data(section.mid, _DATA, MAX_MESSAGE_BYTES)
        if section.is_dead:
            return describe_rejected(MediaDescription(section.kind, 0, _RTP, ("0",), section.mid))
        subscription = section.subscription
        kind: Kind = "audio" if section.kind == "audio" else "video"
        section.formats = self._formats(kind, subscription.codecs if subscription else ())
        ids = _AUDIO_EXTENSIONS if kind == "audio" else _VIDEO_EXTENSIONS
        section.extensions = tuple(ExtMap(id_, EXTENSION_URIS[name]) for name, id_ in ids.items())
        return describe_rtp(section, _RTP, "sendonly" if subscription else "inactive")

    def _formats(self, kind: Kind, preferred: tuple[Codec, ...]) -> list[AcceptedFormat]:
        payloads = [payload for formats in _FORMATS.values() for payload in formats]
        return accept_formats(
            payloads, kind, self._state.policy, from_publisher=False, preferred=preferred
        )

    def _take_section(
        self,
        section: Section,
        ours: MediaDescription,
        theirs: MediaDescription,
        bundle: BundleMap,
    ) -> bool:
        """Takes one answered section; True if its subscription can start."""
        state = self._state
        section.remote = theirs
        state.note_remote_ssrcs(theirs)
        if section.kind == "application":
            if is_data(theirs):
                state.start_data(theirs)
            return False
        if ours.direction == "inactive":
            section.is_draining = False
        kind: Kind = "audio" if section.kind == "audio" else "video"
        formats = accept_formats(theirs.payloads, kind, state.policy, from_publisher=False)
        ours_by_pt = {entry.format.pt: entry.codec for entry in section.formats}
        agreed = [entry for entry in formats if ours_by_pt.get(entry.format.pt) is entry.codec]
        section.formats = bundle.take_formats(agreed)
        section.extensions = bundle.take_extensions(theirs)
        section.is_dead = section.is_dead or not is_rtp(theirs)
        subscription = section.subscription
        if subscription is None:
            return False
        if section.is_dead or not theirs.receives or not section.supports(subscription.codecs):
            state.vacate(section)
            section.is_draining = not section.is_dead
            state.refuse_subscription(subscription)
            return False
        return True


def _check_sections(offered: list[MediaDescription], answer: SessionDescription) -> None:
    ours = [(media.kind, media.mid) for media in offered]
    if [(media.kind, media.mid) for media in answer.media] != ours:
        raise SdpError("sdp_section_changed", "an answer whose sections are not the offer's")


def _is_reusable(section: Section) -> bool:
    return section.subscription is None and not section.is_draining and not section.is_dead
