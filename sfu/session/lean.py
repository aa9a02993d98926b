"""Descriptions that say only what counts, so that a first answer fits three packets, not seven.

On a line that loses three packets of ten every packet of the answer is one more to wait for. A
section in use keeps the codec that flows in it; a placeholder keeps one codec, as a section must
have one; what holds for all sections is said once. Leaving out is what RFC 3264 §6.1 lets an
answerer do. The next offer lists everything again, so a section may carry something else later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from sfu.codecs import Kind, codec_of
from sfu.ids import EXTENSION_URIS, Codec
from sfu.sdp.model import MediaDescription, PayloadFormat, TransportAttributes

__all__ = ["make_lean", "share_transport"]


def make_lean(
    media: MediaDescription, codecs: Sequence[Codec], *, is_first: bool = False
) -> MediaDescription:
    """Leave out of an answered section what will not be used.

    Args:
        media: the whole answer.
        codecs: what the track that we send in it comes in; empty = not known.
        is_first: of its kind in the session. A new section takes its extensions from it, and
            libwebrtc never again offers one that an answer has left out: it keeps all.
    """
    if media.kind not in ("audio", "video") or media.is_rejected or not media.payloads:
        return media
    if media.direction in ("inactive", "sendonly") and not is_first:
        # The engine reads it of publishers alone. REMB feeds on it, and is not sent where
        # transport-wide feedback is agreed.
        if any(one.uri == EXTENSION_URIS["twcc"] for one in media.extensions):
            unused = EXTENSION_URIS["abs_send_time"]
            kept_extensions = tuple(one for one in media.extensions if one.uri != unused)
            media = replace(media, extensions=kept_extensions)
    if media.direction == "inactive":
        first = media.payloads[0]
        # Sound is known by its name; a video codec's parameters tell which of its kind it is.
        fmtp = "" if media.kind == "audio" else first.fmtp
        kept: list[PayloadFormat] = [replace(first, feedback=(), fmtp=fmtp)]
        media = replace(media, has_rtcp_rsize=False)
    elif media.direction == "sendonly" and media.kind == "video" and codecs:
        kept = _flowing(media, codecs)
    else:
        return _without_copies(media)
    media = _without_copies(media)
    return replace(media, payloads=tuple(kept), formats=tuple(str(one.pt) for one in kept))


def _without_copies(media: MediaDescription) -> MediaDescription:
    """The stream is named once, by ``a=msid``: the copies for stacks of before unified plan go."""
    names = {
        ssrc: {name: value for name, value in attributes.items() if name != "msid"}
        for ssrc, attributes in media.ssrcs.items()
    }
    return replace(media, ssrcs=names)


def share_transport(
    media: Sequence[MediaDescription], attributes: TransportAttributes
) -> TransportAttributes:
    """Say ICE and DTLS attributes once for all live sections; returns them for the session level.

    Only ``a=setup`` stays in the sections: some stacks look for it there alone.
    """
    for section in media:
        if not section.is_rejected:
            section.transport = TransportAttributes(setup=attributes.setup)
    return replace(attributes, setup="")


def _flowing(media: MediaDescription, codecs: Sequence[Codec]) -> list[PayloadFormat]:
    """The first payload type of each codec, which is the one we send, and its repair stream."""
    kind = cast(Kind, media.kind)
    first: dict[Codec, PayloadFormat] = {}
    for payload in media.payloads:
        codec = codec_of(payload, kind)
        if codec is not None and codec in codecs:
            first.setdefault(codec, payload)
    primary_pts = {str(payload.pt) for payload in first.values()}
    repairs = [one for one in media.payloads if one.parameters.get("apt") in primary_pts]
    primaries = [replace(one, feedback=_needed(one.feedback)) for one in first.values()]
    return [*primaries, *repairs] if first else list(media.payloads)


def _needed(feedback: Sequence[str]) -> tuple[str, ...]:
    """Who reports every packet needs no REMB, who sends PLI no FIR."""
    spare = {"goog-remb"} if "transport-cc" in feedback else set()
    spare |= {"ccm fir"} if "nack pli" in feedback else set()
    return tuple(name for name in feedback if name not in spare)
