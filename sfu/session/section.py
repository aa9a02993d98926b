"""One m-section of a session: what was agreed in it, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sfu.codecs import AcceptedFormat
from sfu.ids import Codec, Payload
from sfu.sdp.model import (
    ExtMap,
    MediaDescription,
    Msid,
    PayloadFormat,
    Rid,
    Simulcast,
    SsrcGroup,
)
from sfu.session.encodings import offered_rids
from sfu.session.tracks import OfferedTrack, Subscription, TrackClaim

if TYPE_CHECKING:
    from sfu.source import Source

_RTP_PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF"})
_DATA_PROTOCOLS = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"})
_FEEDBACK = frozenset({"nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"})
_TWCC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
SCTP_PORT = 5000
# Opus parameters that are not echoed.
_DECIDED = ("stereo", "usedtx", "useinbandfec", "maxaveragebitrate")
_START = "x-google-start-bitrate"


@dataclass(slots=True)
class Section:
    """A section as the session remembers it between negotiations.

    Attributes:
        offered: what the peer offers to send in it, None where it does not.
        claim: the caller's claim on that; None while held, refused or not offered.
        is_refused: the caller will never take it.
        source: the published source.
        subscription: what we send in it.
        is_draining: a subscription was taken out and the peer has not been told yet. Such a section
            must be seen inactive once before it is used again, or no new track appears at the peer.
        is_dead: rejected; it stays with port 0.
        past_track_ids: every track that an offerer has sent in it.
        layers: how many of its layers the peer may send, lowest first; 0 = all.
        told_layers: what our last answer said of that.
        told_paused: the layers that it paused.
        is_sound_told: our last answer bounded its sound.
        wants_red: its sound is to come with redundancy, where that may be.
        told_red: our last answer said so.
    """

    mid: str
    kind: str
    remote: MediaDescription | None = None
    formats: list[AcceptedFormat] = field(default_factory=list)
    extensions: tuple[ExtMap, ...] = ()
    offered: OfferedTrack | None = None
    claim: TrackClaim | None = None
    is_refused: bool = False
    source: Source | None = None
    subscription: Subscription | None = None
    is_draining: bool = False
    is_dead: bool = False
    past_track_ids: set[str] = field(default_factory=set)
    layers: int = 0
    told_layers: int = 0
    told_paused: frozenset[str] = frozenset()
    is_sound_told: bool = False
    wants_red: bool = True
    told_red: bool = True

    @property
    def is_held(self) -> bool:
        """Whether the peer sends here what nobody has claimed yet."""
        return self.offered is not None and self.source is None and not self.is_refused

    @property
    def is_free(self) -> bool:
        """Whether a subscription could be placed here at the next answer."""
        return (
            not self.is_dead
            and self.remote is not None
            and self.remote.receives
            and self.source is None
            and not self.is_held
            and self.subscription is None
            and not self.is_draining
        )

    @property
    def has_layer_news(self) -> bool:
        """Whether the peer has not been told yet which layers it may send."""
        return self.source is not None and self.layers != self.told_layers

    @property
    def has_red_news(self) -> bool:
        """Whether the peer has not been told yet to send redundancy."""
        return self.source is not None and self.wants_red and not self.told_red

    def supports(self, codecs: tuple[Codec, ...]) -> bool:
        """Whether any of the codecs was offered here; no codecs = any will do."""
        return not codecs or any(entry.codec in codecs for entry in self.formats)

    def sink_payloads(self) -> list[Payload]:
        """One payload type per codec, the first in order of preference."""
        chosen: dict[Codec, Payload] = {}
        allows_red = self.subscription is None or self.subscription.allows_red
        for entry in self.formats:
            if entry.codec is Codec.RED and not allows_red:
                continue
            chosen.setdefault(entry.codec, entry.payload)
        return list(chosen.values())


def is_rtp(media: MediaDescription) -> bool:
    """Whether the section is one for audio or video that we could take."""
    return (
        media.kind in ("audio", "video")
        and media.protocol in _RTP_PROTOCOLS
        and media.has_rtcp_mux
        and not media.is_rejected
    )


def is_data(media: MediaDescription) -> bool:
    """Whether the section is for data channels."""
    return (
        media.kind == "application"
        and media.protocol in _DATA_PROTOCOLS
        and not media.is_rejected
        and "webrtc-datachannel" in media.formats
    )


def describe_rejected(media: MediaDescription) -> MediaDescription:
    """The answer to a section we do not take."""
    return MediaDescription(
        kind=media.kind,
        port=0,
        protocol=media.protocol,
        formats=media.formats,
        mid=media.mid,
        direction="inactive",
    )


def describe_data(mid: str, protocol: str, max_message_bytes: int) -> MediaDescription:
    """Our data section."""
    return MediaDescription(
        kind="application",
        port=9,
        protocol=protocol,
        formats=("webrtc-datachannel",),
        mid=mid,
        sctp_port=SCTP_PORT,
        max_message_size_bytes=max_message_bytes,
    )


def describe_rtp(section: Section, protocol: str, direction: str) -> MediaDescription:
    """An audio or video section with its formats, extensions and, when sending, its stream."""
    payloads = _answer_payloads(section)
    media = MediaDescription(
        kind=section.kind,
        port=9,
        protocol=protocol,
        formats=tuple(str(payload.pt) for payload in payloads),
        mid=section.mid,
        direction=direction,
        has_rtcp_mux=True,
        has_rtcp_rsize=True,
        payloads=tuple(payloads),
        extensions=section.extensions,
    )
    if media.sends and section.subscription is not None:
        _add_stream(media, section.subscription)
    elif media.receives and section.offered is not None and section.remote is not None:
        _add_layers(media, section, section.remote, section.offered)
        if section.claim is not None and section.claim.sound_bps:
            media.bandwidth_bps = section.claim.sound_bps
    return media


def note_answered(section: Section) -> None:
    """Our answer is on its way: what it said will not be said again as news."""
    section.told_paused = _paused(section)
    section.told_layers = section.layers
    section.told_red = section.wants_red
    section.is_sound_told = section.claim is not None and section.claim.sound_bps > 0


def _answer_payloads(section: Section) -> list[PayloadFormat]:
    has_twcc = any(extension.uri == _TWCC_URI for extension in section.extensions)
    primaries, repairs = [], []
    for entry in section.formats:
        feedback = tuple(
            name
            for name in entry.format.feedback
            if name in _FEEDBACK
            and (has_twcc or name != "transport-cc")
            and (not name.startswith("nack") or _can_repair(entry))
        )
        fmtp = _answer_fmtp(section, entry)
        primaries.append(replace(entry.format, fmtp=fmtp, feedback=feedback))
        if entry.rtx is not None:
            repairs.append(replace(entry.rtx, feedback=()))
    # After the codecs, so that "the first answered codec" is never a repair stream.
    return primaries + repairs


def _can_repair(entry: AcceptedFormat) -> bool:
    """Whether a NACK would be answered.

    A packet that left once cannot leave again under its own number: SRTP would repeat a nonce. For
    audio the engine neither answers nor sends requests without an RTX stream.
    """
    return not entry.codec.is_audio or entry.rtx is not None


def _answer_fmtp(section: Section, entry: AcceptedFormat) -> str:
    """Echoes an fmtp, but for what an Opus sender should do, which its claim decides.

    `stereo` and `usedtx` say what their writer would like to get (RFC 7587 §6.1), so the peer's own
    values are never echoed. In-band FEC is always of use: every decoder that hears it can use it.
    """
    start_bps = section.claim.start_bps if section.claim is not None else 0
    if not entry.codec.is_audio and start_bps:
        kept = [part for part in entry.format.fmtp.split(";") if part and _START not in part]
        return ";".join([*kept, f"{_START}={start_bps // 1000}"])
    if entry.codec is not Codec.OPUS:
        return entry.format.fmtp
    kept = [
        part.strip()
        for part in entry.format.fmtp.split(";")
        if part.strip() and part.strip().partition("=")[0].lower() not in _DECIDED
    ]
    kept.append("useinbandfec=1")
    if section.claim is not None and section.claim.uses_dtx:
        kept.append("usedtx=1")
    if section.claim is not None and section.claim.is_stereo:
        kept.append("stereo=1")
    if section.claim is not None and section.claim.sound_bps and section.is_sound_told:
        # Not in the first answer: libwebrtc takes `b=` after it has set its codec up, and reckons
        # with it only when the codec changes (`webrtc_voice_engine.cc`, UpdateSendCodecSpec).
        kept.append(f"maxaveragebitrate={section.claim.sound_bps}")
    return ";".join(kept)


def _add_stream(media: MediaDescription, subscription: Subscription) -> None:
    stream, track = subscription.stream_id, subscription.track_id
    media.msids = (Msid(stream, track),)
    ssrcs = [subscription.ssrc]
    if subscription.rtx_ssrc:
        ssrcs.append(subscription.rtx_ssrc)
        media.ssrc_groups = (SsrcGroup("FID", tuple(ssrcs)),)
    # libwebrtc finds the stream by these lines; msid within them serves older stacks.
    media.ssrcs = {ssrc: {"cname": stream, "msid": f"{stream} {track}"} for ssrc in ssrcs}


def _add_layers(
    media: MediaDescription, section: Section, remote: MediaDescription, offered: OfferedTrack
) -> None:
    """Accepts the offered layers in the offer's order (RFC 8853 §5.3.2), some of them paused."""
    accepted = [rid for rid in offered_rids(remote) if rid in offered.rids]
    media.rids = tuple(Rid(rid, "recv") for rid in accepted)
    if accepted and remote.simulcast is not None and remote.simulcast.send:
        paused = _paused(section)
        marked = [f"~{rid}" if rid in paused else rid for rid in accepted]
        media.simulcast = Simulcast(recv=tuple((rid,) for rid in marked))


def _paused(section: Section) -> frozenset[str]:
    """The layers that we stop, and those that the peer has stopped itself.

    libwebrtc takes a layer that an answer does not pause for one that is to be sent
    (`sdp_offer_answer.cc`, UpdateSimulcastLayerStatusInSender), and offers those paused that we
    have paused.
    """
    if section.offered is None or section.remote is None or section.remote.simulcast is None:
        return frozenset()
    streams = section.remote.simulcast.send
    own = {stream[0][1:] for stream in streams if stream[0].startswith("~")} - section.told_paused
    stopped = section.offered.rids[section.layers :] if section.layers else ()
    return frozenset(stopped) | own
