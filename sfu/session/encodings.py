"""Reads from an offered section which encodings (simulcast layers) it will send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sfu.ids import EncodingSpec
from sfu.sdp.model import MediaDescription, SsrcGroup

_Layer = TypeVar("_Layer")

MAX_ENCODINGS = 3
# Names with a known order, lowest first. LiveKit's clients use q, h, f in either order.
_KNOWN_ORDERS = (
    ("q", "h", "f"),
    ("l", "m", "h"),
    ("low", "mid", "high"),
    ("low", "medium", "high"),
    ("r0", "r1", "r2"),
)


def read_encodings(media: MediaDescription, *, has_rid: bool) -> tuple[EncodingSpec, ...]:
    """Lists a section's encodings, lowest layer first, at most three.

    Args:
        media: the offered section.
        has_rid: whether the rtp-stream-id extension is negotiated for it; without it rids can only
            be told apart where the section also declares an SSRC for each.
    """
    rtx_of = {g.ssrcs[0]: g.ssrcs[1] for g in _groups(media, "FID") if len(g.ssrcs) == 2}
    primaries = _primary_ssrcs(media, set(rtx_of.values()))
    rids = offered_rids(media)
    if rids and (has_rid or len(primaries) == len(rids)):
        # Stacks that declare both (pion, Firefox) list the SSRCs in the order of their rids.
        ssrcs: Sequence[int] = primaries if len(primaries) == len(rids) else [0] * len(rids)
        pairs = dict(zip(rids, ssrcs, strict=True))
        return tuple(
            EncodingSpec(rid, pairs[rid], rtx_of.get(pairs[rid], 0))
            for rid in limit_layers(order_rids(rids))
        )
    sim = next((g.ssrcs for g in _groups(media, "SIM") if len(g.ssrcs) > 1), ())
    chosen = limit_layers(sim) if sim else tuple(primaries[:1]) or (0,)
    return tuple(EncodingSpec("", ssrc, rtx_of.get(ssrc, 0)) for ssrc in chosen)


def offered_rids(media: MediaDescription) -> tuple[str, ...]:
    """The rids a section offers to send, in its own order, each once."""
    declared = [rid.id for rid in media.rids if rid.direction == "send"]
    if media.simulcast is not None and media.simulcast.send:
        # Of alternatives the first is preferred (RFC 8853 §5.1); `~` only says it starts paused.
        listed = [stream[0].removeprefix("~") for stream in media.simulcast.send]
        declared = [rid for rid in listed if rid in declared]
    return tuple(dict.fromkeys(declared))


def order_rids(rids: Sequence[str]) -> tuple[str, ...]:
    """Sorts rids from the lowest layer to the highest, by name where the names are known.

    Otherwise the offer's order counts: most preferred first (RFC 8853 §5.2).
    """
    for order in _KNOWN_ORDERS:
        if all(rid in order for rid in rids):
            return tuple(sorted(rids, key=order.index))
    return tuple(reversed(rids))


def limit_layers(layers: Sequence[_Layer]) -> tuple[_Layer, ...]:
    """Keeps the lowest layer, for weak networks, and the highest two."""
    if len(layers) <= MAX_ENCODINGS:
        return tuple(layers)
    return (layers[0], *layers[1 - MAX_ENCODINGS :])


def _groups(media: MediaDescription, semantics: str) -> list[SsrcGroup]:
    return [group for group in media.ssrc_groups if group.semantics == semantics]


def _primary_ssrcs(media: MediaDescription, rtx_ssrcs: set[int]) -> list[int]:
    grouped = [group.ssrcs[0] for group in _groups(media, "FID") if len(group.ssrcs) == 2]
    listed = grouped + [ssrc for ssrc in media.ssrcs if ssrc not in rtx_ssrcs]
    return list(dict.fromkeys(listed))
