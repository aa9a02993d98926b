"""Which frames have to be decoded for the next still: as few as possible, never across a gap."""

from __future__ import annotations

from collections.abc import Iterable

from sfu.tap import Frame

__all__ = ["PendingFrames"]

# Key frames that come this often by themselves make all frames between them superfluous: there is
# one in every interval between two stills of a camera (3 s).
_REGULAR_US = 2_500_000
_REGULAR_COUNT = 2


class PendingFrames:
    """Frames between what was decoded and the next still.

    A new key frame makes everything before it superfluous. After a gap nothing is of use before
    the next key frame. Where key frames come by themselves every second or two (store cameras,
    recordings played in a loop) only they are kept: one decoded picture per still.

    Attributes:
        is_sparing: only key frames are handed out, also where they have to be asked for.
        overflows: how often more than the bounds waited, and all of it was given up.
    """

    def __init__(self, *, max_frames: int = 600, max_bytes: int = 8_000_000) -> None:
        """Waits for a key frame."""
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: list[Frame] = []
        self._bytes = 0
        self._needs_key = True
        self._last_key_us: int | None = None
        self._num_regular = 0
        self.is_sparing = False
        self.overflows = 0

    @property
    def is_regular(self) -> bool:
        """Key frames come by themselves, so that the frames between them are left out."""
        return self._num_regular >= _REGULAR_COUNT

    def add(self, frames: Iterable[Frame]) -> None:
        """Take what the tap read."""
        for frame in frames:
            if frame.is_key:
                self._note_key(frame.arrived_us)
                self._frames, self._bytes = [frame], len(frame.data)
            elif self._needs_key:
                continue
            elif frame.lost_before:
                self._needs_key = True
            elif len(self._frames) >= self._max_frames or self._bytes > self._max_bytes:
                self.overflows += 1
                self.give_up()
            else:
                self._frames.append(frame)
                self._bytes += len(frame.data)

    def take(self) -> list[Frame]:
        """Hand out what has to be decoded now, empty for nothing."""
        frames, self._frames, self._bytes = self._frames, [], 0
        if (self.is_regular or self.is_sparing) and frames:
            # Only ever a key frame's successors are kept, so it is the first or missing.
            self._needs_key = True
            return frames[:1] if frames[0].is_key else []
        return frames

    def give_up(self) -> None:
        """What was read or handed out is of no use: go on with a key frame."""
        self._frames, self._bytes, self._needs_key = [], 0, True

    def wants_key(self, now_us: int) -> bool:
        """Whether nothing can go on unless the publisher is asked for a key frame."""
        if not self._needs_key:
            return False
        is_expected = self.is_regular and now_us - (self._last_key_us or 0) <= _REGULAR_US
        return not is_expected

    def _note_key(self, arrived_us: int) -> None:
        self._needs_key = False
        last_us, self._last_key_us = self._last_key_us, arrived_us
        is_soon = last_us is not None and arrived_us - last_us <= _REGULAR_US
        self._num_regular = self._num_regular + 1 if is_soon else 0
