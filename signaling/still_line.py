"""The stills of one participant: whose turn it is, how much may leave, and whether any arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.stills import Still, Watch
    from signaling.participant import Participant
    from signaling.track import PublishedTrack

__all__ = ["CHUNK_BYTES", "PUMP_S", "Line", "Way"]

# With header and envelope one SCTP DATA chunk (aiortc fragments at 1200 bytes).
CHUNK_BYTES = 1000
PUMP_S = 0.05
# A camera's stills come every 3 s, every 5 s where decoding is spared: two of them are missing. The
# largest of a screen takes 16 s at the least rate there is.
_STUCK_S = 12.0
_STUCK_SCREEN_S = 20.0


class Way:
    """One track's stills on their way to one participant: one under way, the newest waits."""

    def __init__(self, track: PublishedTrack, *, is_screen: bool) -> None:
        """Watches nothing yet."""
        self.track = track
        self.is_screen = is_screen
        self.watch: Watch | None = None
        self.waiting: Still | None = None
        self.chunks: deque[bytes] = deque()


class Line:
    """All ways to one participant, within one allowance.

    Cameras take turns picture by picture: all of them at once would all be old when they are
    whole. The large picture of a screen goes between them, chunk by chunk.

    Attributes:
        on_turn: called when stills begin to arrive, or no longer do.
        is_through: whole stills arrive there, as far as there are any to send.
    """

    def __init__(self, participant: Participant, now_s: float, on_turn: Callable[[], None]) -> None:
        """No ways, and nothing has arrived."""
        self.participant = participant
        self.on_turn = on_turn
        self.is_through = False
        self.ways: dict[str, Way] = {}
        self.cameras: deque[Way] = deque()
        self.screens: deque[Way] = deque()
        self.is_screens_turn = True
        self._allowed_bytes = 0.0
        self._allowed_s = now_s
        self._sent_bytes = 0
        # Where a picture ends that the peer may not have yet; None = no picture is on its way.
        self._landing_bytes: int | None = None
        self._waits_since_s: float | None = None

    @property
    def has_work(self) -> bool:
        """Whether anything waits or is under way."""
        return bool(self.cameras or self.screens) or self._landing_bytes is not None

    def queues(self) -> tuple[deque[Way], deque[Way]]:
        """Whose turn it is, and the others."""
        both = (self.screens, self.cameras)
        return both if self.is_screens_turn else both[::-1]

    def earn(self, now_s: float, rate_bps: float) -> None:
        """Add what the time since the last call allows, up to a chunk and one pump's worth."""
        earned_bytes = (now_s - self._allowed_s) * rate_bps / 8
        most_bytes = 1.2 * CHUNK_BYTES + PUMP_S * rate_bps / 8
        self._allowed_bytes = min(most_bytes, self._allowed_bytes + earned_bytes)
        self._allowed_s = now_s

    def spend(self, size_bytes: int) -> bool:
        """Whether so much may be sent now; it counts as sent then."""
        if size_bytes > self._allowed_bytes:
            return False
        self._allowed_bytes -= size_bytes
        return True

    def wait(self, now_s: float) -> None:
        """There is a still to be sent."""
        if self._waits_since_s is None:
            self._waits_since_s = now_s

    def drop(self) -> None:
        """What waited is not wanted any more: that says nothing about the line."""
        self._waits_since_s = None

    def count(self, size_bytes: int, *, is_last: bool) -> None:
        """A chunk has left, with all that is around it; the last one makes a picture whole."""
        self._sent_bytes += size_bytes
        if is_last and self._landing_bytes is None:
            self._landing_bytes = self._sent_bytes

    def judge(self, now_s: float, unacked_bytes: int) -> None:
        """See whether a picture has arrived by now, or too long none has."""
        was_through = self.is_through
        stuck_s = _STUCK_SCREEN_S if self.screens else _STUCK_S
        arrived_bytes = self._sent_bytes - unacked_bytes
        if self._landing_bytes is not None and arrived_bytes >= self._landing_bytes:
            self.is_through = True
            self._landing_bytes = None
            self._waits_since_s = now_s if self.has_work else None
        if self._waits_since_s is not None and now_s - self._waits_since_s >= stuck_s:
            self.is_through = False
        if self.is_through != was_through:
            self.on_turn()
