"""Which codecs the server forwards, and which payload formats of an SDP section carry them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sfu.ids import Codec, Payload
from sfu.sdp.model import PayloadFormat

Kind = Literal["audio", "video"]


_ENCODING_NAMES = {
    Codec.OPUS: "opus",
    Codec.RED: "red",
    Codec.VP8: "VP8",
    Codec.H264: "H264",
    Codec.VP9: "VP9",
    Codec.AV1: "AV1",
}
# Baseline, main and high; the 4:2:2 and 4:4:4 ones are decoded almost nowhere.
_H264_PROFILES = ("42", "4d", "64")
_BY_NAME = {name.lower(): codec for codec, name in _ENCODING_NAMES.items()}


def kind_of(codec: Codec) -> Kind:
    """Whether a codec carries audio or video."""
    return "audio" if codec.is_audio else "video"


def mime_of(codec: Codec) -> str:
    """The media type as clients spell it, e.g. `video/VP8`."""
    return f"{kind_of(codec)}/{_ENCODING_NAMES[codec]}"


def encoding_name(codec: Codec) -> str:
    """The rtpmap encoding name, e.g. `VP8`."""
    return _ENCODING_NAMES[codec]


def parse_codec(name: str) -> Codec | None:
    """Reads a codec from `vp8`, `VP8` or `video/VP8`; None if it is not one we forward."""
    return _BY_NAME.get(name.rpartition("/")[2].lower())


@dataclass(frozen=True, slots=True)
class CodecPolicy:
    """What a session may negotiate.

    RED (RFC 2198) is agreed on with both sides: publishers send each frame twice, which heals what
    their uplink loses for everybody (a client whose answer lacks RED sends plain Opus), and
    subscribers are sent it only where and when their own link loses packets.
    """

    audio: tuple[Codec, ...] = (Codec.OPUS,)
    video: tuple[Codec, ...] = (Codec.VP8, Codec.H264, Codec.VP9, Codec.AV1)
    allows_red_from_publishers: bool = True
    allows_red_to_subscribers: bool = True

    def allows(self, codec: Codec, *, from_publisher: bool) -> bool:
        """Whether a section in this direction may carry the codec."""
        if codec is Codec.RED:
            return (
                self.allows_red_from_publishers
                if from_publisher
                else self.allows_red_to_subscribers
            )
        return codec in (self.audio if codec.is_audio else self.video)


@dataclass(frozen=True, slots=True)
class AcceptedFormat:
    """One payload format of a section that we take, with its RTX partner."""

    codec: Codec
    format: PayloadFormat
    rtx: PayloadFormat | None

    @property
    def payload(self) -> Payload:
        """The engine's view."""
        return Payload(self.format.pt, self.codec, self.rtx.pt if self.rtx else 0)


def codec_of(payload: PayloadFormat, kind: Kind) -> Codec | None:
    """Names the codec of a payload format, or None where we cannot forward that form of it."""
    codec = _BY_NAME.get(payload.encoding.lower())
    if codec is None or kind_of(codec) != kind or payload.clock_hz != codec.clock_hz:
        return None
    parameters = payload.parameters
    match codec:
        case Codec.H264:
            # RFC 6184 §6.3: only mode 1 lets a frame be larger than one packet.
            profile = parameters.get("profile-level-id", "42e01f").lower()
            usable = parameters.get("packetization-mode") == "1" and profile[:2] in _H264_PROFILES
        case Codec.VP9:
            usable = parameters.get("profile-id", "0") == "0"
        case Codec.AV1:
            usable = parameters.get("profile", "0") == "0"
        case _:
            usable = True
    return codec if usable else None


def accept_formats(
    payloads: Iterable[PayloadFormat],
    kind: Kind,
    policy: CodecPolicy,
    *,
    from_publisher: bool,
    preferred: Sequence[Codec] = (),
) -> list[AcceptedFormat]:
    """Picks what we take from an offered section: the preferred codecs first, then as offered.

    Within H.264 constrained baseline comes first: every browser and phone decodes it.
    """
    offered = list(payloads)
    rtx_of = _rtx_by_primary(offered)
    accepted = [
        AcceptedFormat(codec, payload, rtx_of.get(payload.pt))
        for payload in offered
        if (codec := codec_of(payload, kind)) is not None
        and policy.allows(codec, from_publisher=from_publisher)
    ]
    if not any(entry.codec is not Codec.RED for entry in accepted):
        return []  # RED carries Opus; alone it is nothing

    def rank(entry: AcceptedFormat) -> tuple[int, int]:
        by_preference = preferred.index(entry.codec) if entry.codec in preferred else len(preferred)
        profile = entry.format.parameters.get("profile-level-id", "").lower()
        is_odd_profile = entry.codec is Codec.H264 and not profile.startswith("42e0")
        return (by_preference, int(is_odd_profile))

    # `sorted` is stable, but the profile may only reorder H.264 among itself.
    ranked = sorted(accepted, key=lambda entry: rank(entry)[0])
    h264 = iter(sorted((e for e in ranked if e.codec is Codec.H264), key=lambda e: rank(e)[1]))
    return [next(h264) if entry.codec is Codec.H264 else entry for entry in ranked]


def _rtx_by_primary(payloads: Sequence[PayloadFormat]) -> dict[int, PayloadFormat]:
    """Maps each primary payload type to its RTX format (RFC 4588 §8.1, `apt`)."""
    pairs: dict[int, PayloadFormat] = {}
    for payload in payloads:
        if payload.encoding.lower() == "rtx":
            apt = payload.parameters.get("apt", "")
            if apt.isdecimal() and len(apt) <= 3:
                pairs.setdefault(int(apt), payload)
    return pairs
