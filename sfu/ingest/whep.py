"""WHEP (draft-ietf-wish-whep): a player sends one offer, and gets the tracks that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.downlink import Kind, Wish
from sfu.errors import SfuError
from sfu.ids import Codec
from sfu.ingest.resource import HttpSession
from sfu.sdp import SdpError, parse_sdp
from sfu.session import OfferedTrack, Refusal, Subscription

if TYPE_CHECKING:
    from sfu.source import Source


class NothingToPlayError(SfuError):
    """There is no track for what the player wants, now (`whep_nothing_to_play`)."""


@dataclass(frozen=True, slots=True)
class PlayableTrack:
    """A track that a player may get.

    Attributes:
        source: its media.
        owner: whose it is; sound and picture of one owner go together.
        stream_id: first token of its `a=msid`.
        track_id: second token.
        is_screen: a shared screen, wanted before cameras.
        codecs: what it comes in; empty = not known.
    """

    source: Source
    owner: str
    stream_id: str
    track_id: str
    is_screen: bool = False
    codecs: tuple[Codec, ...] = ()


def choose_tracks(
    tracks: Sequence[PlayableTrack], *, num_audio: int, num_video: int
) -> list[PlayableTrack]:
    """Picks what a player gets: shared screens first, then the sound that belongs to the pictures.

    Args:
        tracks: what there is, oldest first.
        num_audio: how many audio sections the player offers.
        num_video: how many video sections.
    """
    pictures = [track for track in tracks if not track.source.is_audio]
    chosen = sorted(pictures, key=lambda track: not track.is_screen)[:num_video]
    owners = {track.owner for track in chosen}
    sounds = [track for track in tracks if track.source.is_audio]
    sounds.sort(key=lambda track: track.owner not in owners)
    return chosen + sounds[:num_audio]


class WhepSession(HttpSession):
    """One player's session."""

    def handle_offer(
        self, sdp: str, tracks: Sequence[PlayableTrack]
    ) -> tuple[str, list[Subscription]]:
        """Answers the one offer; returns the answer and the subscriptions.

        Args:
            sdp: the player's offer.
            tracks: what it may get, oldest first.

        Raises:
            SdpError: the offer cannot be used, or takes none of the tracks' codecs
                (`whep_no_common_codec`).
            NothingToPlayError: no track fits what the player wants.
        """
        wanted = [media.kind for media in parse_sdp(sdp).live_media() if media.receives]
        chosen = choose_tracks(
            tracks, num_audio=wanted.count("audio"), num_video=wanted.count("video")
        )
        if not chosen:
            raise NothingToPlayError("whep_nothing_to_play", "nothing to play here now")
        subscriptions = [
            self.session.subscribe(
                track.source,
                stream_id=track.stream_id,
                track_id=track.track_id,
                codecs=track.codecs,
            )
            for track in chosen
        ]
        for track, subscription in zip(chosen, subscriptions, strict=True):
            if not track.source.is_audio:
                kind = Kind.SCREEN if track.is_screen else Kind.STAGE
                subscription.set_wish(Wish(kind=kind))
        answer = self.session.handle_offer(sdp, _refuse)
        placed = [subscription for subscription in subscriptions if subscription.mid is not None]
        if not placed:
            raise SdpError("whep_no_common_codec", "the player takes none of the codecs")
        return answer, placed


def _refuse(_: OfferedTrack) -> Refusal:
    """A player's own media is not wanted."""
    return Refusal("players do not send")
