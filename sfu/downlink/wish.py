"""What a subscriber's player shows of a track: what it should get where its line carries it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bandwidth import allocator
from sfu.ids import Layers

__all__ = ["Kind", "Wish"]


class Kind(IntEnum):
    """How important a track is to who watches it; lower goes first."""

    STAGE = allocator.STAGE
    SCREEN = allocator.SCREEN
    THUMBNAIL = allocator.THUMBNAIL


@dataclass(frozen=True, slots=True)
class Wish:
    """One subscription's wish; the default is all of it.

    Attributes:
        spatial: highest layer of use, index into the source's encodings.
        temporal: highest temporal layer of use; 7 = all.
        is_paused: the player shows nothing.
        kind: who goes first where not all fits.
        area_px: what is shown; the larger of a kind goes first.
        min_spatial: below this layer stills are better.
    """

    spatial: int = 2
    temporal: int = 7
    is_paused: bool = False
    kind: Kind = Kind.STAGE
    area_px: float = 0.0
    min_spatial: int = 0

    @property
    def layers(self) -> Layers:
        """The orders that grant all of it."""
        return Layers(self.spatial, self.temporal, self.is_paused)
