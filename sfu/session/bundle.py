"""What one BUNDLE shares: payload types and header extension ids mean the same in every section.

RFC 9143 §9.1 forbids a payload type to mean two things within a bundle, and RFC 8285 §5 the same
for extension ids. An offer that does so anyway keeps the first meaning; the later section loses
that format or extension only.
"""

from __future__ import annotations

from collections.abc import Iterable

from sfu.codecs import AcceptedFormat
from sfu.ids import EXTENSION_URIS, Payload
from sfu.sdp.model import ExtMap, MediaDescription

_NAME_OF_URI = {uri: name for name, uri in EXTENSION_URIS.items()}
_AUDIO = frozenset({"mid", "audio_level", "twcc", "abs_send_time", "abs_capture_time"})
# Without video-orientation a phone turns its picture itself, so that recordings, stills and players
# that know no rotation are upright too (sfu/DECISIONS.md 8).
_VIDEO = frozenset(EXTENSION_URIS) - {"audio_level", "video_orientation"}
# One-byte headers carry ids up to 14 (RFC 8285 §4.2), which is what the engine writes.
_MAX_ID = 14


class BundleMap:
    """Collects the payload types and extensions of all accepted sections."""

    def __init__(self) -> None:
        """Starts empty; made anew for every description."""
        self._codec_of_pt: dict[int, str] = {}
        self._payloads: dict[int, Payload] = {}
        self._name_of_id: dict[int, str] = {}
        self._id_of_name: dict[str, int] = {}

    @property
    def extensions(self) -> dict[str, int]:
        """Ids by the engine's names."""
        return dict(self._id_of_name)

    @property
    def payloads(self) -> list[Payload]:
        """Every accepted payload type."""
        return list(self._payloads.values())

    def take_formats(self, formats: Iterable[AcceptedFormat]) -> list[AcceptedFormat]:
        """Keeps the formats whose payload types agree with earlier sections."""
        taken = []
        for accepted in formats:
            if not self._claim_pt(accepted.format.pt, accepted.codec.name):
                continue
            rtx = accepted.rtx
            if rtx is not None and not self._claim_pt(rtx.pt, f"rtx {accepted.format.pt}"):
                rtx = None
            entry = AcceptedFormat(accepted.codec, accepted.format, rtx)
            known = self._payloads.get(accepted.format.pt)
            if known is None or not known.rtx_pt:
                self._payloads[accepted.format.pt] = entry.payload
            taken.append(entry)
        return taken

    def take_extensions(self, media: MediaDescription) -> tuple[ExtMap, ...]:
        """Picks the header extensions of a section that we use, with the ids it gives them.

        Rids are agreed on sections that only receive as well: Chromium offers in later sections
        only what was agreed in earlier ones, and then refuses its own simulcast offer.
        """
        wanted = _AUDIO if media.kind == "audio" else _VIDEO
        taken: dict[str, ExtMap] = {}
        for extension in media.extensions:
            name = _NAME_OF_URI.get(extension.uri)
            if name is None or name not in wanted or name in taken or extension.id > _MAX_ID:
                continue
            if self._name_of_id.setdefault(extension.id, name) != name:
                continue
            if self._id_of_name.setdefault(name, extension.id) != extension.id:
                continue
            taken[name] = ExtMap(extension.id, extension.uri)
        return tuple(taken.values())

    def _claim_pt(self, pt: int, meaning: str) -> bool:
        return self._codec_of_pt.setdefault(pt, meaning) == meaning
