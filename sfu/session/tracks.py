"""What a session says about tracks, and what it is told about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.codecs import Kind
from sfu.ids import Codec, EncodingSpec, Layers

if TYPE_CHECKING:
    from sfu.downlink import Wish
    from sfu.source import Sink, Source


@dataclass(frozen=True, slots=True)
class OfferedTrack:
    """A section in which the peer offers to send.

    Attributes:
        mid: the section.
        kind: audio or video.
        msid_stream: first token of its `a=msid`, empty without one.
        msid_track: second token: the client's own track id (LiveKit's `cid`).
        direction: as offered, `sendonly` or `sendrecv`.
        codecs: those we could take, as offered.
        encodings: its simulcast layers, lowest first; a single one without rid otherwise.
    """

    mid: str
    kind: Kind
    msid_stream: str
    msid_track: str
    direction: str
    codecs: tuple[Codec, ...]
    encodings: tuple[EncodingSpec, ...]

    @property
    def rids(self) -> tuple[str, ...]:
        """Rids lowest layer first; empty without simulcast."""
        return tuple(encoding.rid for encoding in self.encodings if encoding.rid)

    @property
    def ssrcs(self) -> tuple[int, ...]:
        """The declared media SSRCs (without RTX), lowest layer first."""
        return tuple(encoding.ssrc for encoding in self.encodings if encoding.ssrc)


@dataclass(frozen=True, slots=True)
class TrackClaim:
    """The caller takes an offered track.

    Attributes:
        codecs: wanted codecs, most wanted first; the answer lists them first. Empty = as offered.
        uses_dtx: let an Opus sender stop in silence.
        is_stereo: ask an Opus sender for two channels.
        allows_red: RED may be answered where the policy allows it and the sound is not stereo.
        starts_red: it is, from the first answer on; else once `Session.add_red` was called.
        sound_bps: what an Opus sender's encoder may take at most; 0 = what it likes.
        layers: how many simulcast layers, the lowest, it may send to begin with; 0 = all.
        start_bps: at which rate a libwebrtc sender begins, for the whole line; 0 = as it likes.
    """

    codecs: tuple[Codec, ...] = ()
    uses_dtx: bool = True
    is_stereo: bool = False
    allows_red: bool = True
    starts_red: bool = True
    sound_bps: int = 0
    layers: int = 0
    start_bps: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The caller will never take an offered track: it is answered inactive."""

    reason: str = ""


Claim = TrackClaim | Refusal | None
"""None: not known yet. The section is held: accepted, its media dropped, until it is claimed."""

ClaimTrack = Callable[[OfferedTrack], Claim]


class Subscription:
    """One source on its way to one peer.

    It waits until a negotiation gives it a section; from then on `mid` and `sink` are set. Layer
    orders and wishes given earlier are kept and used then.

    Attributes:
        mid: its section, None while it waits.
        sink: what sends it; None while it waits, and while our offer has no answer yet.
        ssrc: of its media in the current section.
        rtx_ssrc: of its retransmissions; 0 = none.
        is_closed: `Session.unsubscribe` was called.
        is_unsupported: the peer takes none of its codecs; it will not be placed.
        allows_red: it may leave as RED. Not so where the payload is not Opus for us: end-to-end
            encryption covers it whole.
        wish: what the player shows, where the line decides about the layers; else None.
        on_granted: called with the layers granted to a wish, as often as they change.
    """

    def __init__(
        self, source: Source, *, stream_id: str, track_id: str, codecs: Sequence[Codec]
    ) -> None:
        """Starts unplaced; made by `Session.subscribe`."""
        self.source = source
        self.kind: Kind = "audio" if source.is_audio else "video"
        self.stream_id = stream_id
        self.track_id = track_id
        self.codecs = tuple(codecs)
        self.mid: str | None = None
        self.sink: Sink | None = None
        self.ssrc = 0
        self.rtx_ssrc = 0
        self.is_closed = False
        self.is_unsupported = False
        self.allows_red = True
        self.wish: Wish | None = None
        self.on_granted: Callable[[Layers], None] | None = None
        self._layers = Layers()

    @property
    def layers(self) -> Layers:
        """The last orders, or what was granted of the wish."""
        return self._layers

    def set_layers(self, spatial: int, temporal: int, paused: bool) -> None:
        """Orders layers, now or as soon as the subscription is placed."""
        self._layers = Layers(spatial, temporal, paused)
        if self.sink is not None:
            self.sink.set_layers(spatial, temporal, paused)

    def set_wish(self, wish: Wish) -> None:
        """Says what the player shows; from now on the line decides what of it is sent."""
        self.wish = wish
        if self.sink is None:
            self.handle_granted(wish.layers)
        else:
            self.sink.set_wish(wish)

    def handle_granted(self, layers: Layers) -> None:
        """Takes what is sent of the wish."""
        self._layers = layers
        if self.on_granted is not None:
            self.on_granted(layers)
