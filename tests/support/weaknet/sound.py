"""Speech-like sound: a voice's harmonics in syllables, with pauses, over a quiet room.

The room is never silent, so that a receiver can tell a pause from missing packets; see `is_heard`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000
BLOCK = RATE_HZ // 100
_VOICE, _ROOM = 6_000.0, 120.0
_PHRASE_S, _PAUSE_S = 2.6, 0.4
_HEARD = 12  # well below the room, well above what concealment fades to


class Voice:
    """Blocks of 10 ms, one after the other."""

    def __init__(self, seed: int = 1) -> None:
        """Start at the first syllable."""
        self._rng = np.random.default_rng(seed)
        self._start = 0

    def block(self) -> bytes:
        """The next 10 ms, 16 bit mono."""
        at_s = (np.arange(BLOCK) + self._start) / RATE_HZ
        self._start += BLOCK
        # The pitch moves by a few Hz; its phase is the integral.
        phase = 2 * np.pi * (130 * at_s + 2 * np.sin(2 * np.pi * 1.3 * at_s))
        voice = sum(np.sin(k * phase) / k for k in (1, 2, 3, 5, 8, 13))
        syllable = 0.15 + 0.85 * np.sin(np.pi * 4 * at_s) ** 2
        is_phrase = at_s % (_PHRASE_S + _PAUSE_S) < _PHRASE_S
        samples = _VOICE * voice * syllable * is_phrase + self._rng.normal(0, _ROOM, BLOCK)
        return samples.clip(-32_768, 32_767).astype(np.int16).tobytes()


def is_heard(samples: NDArray[np.int16]) -> bool:
    """Whether a block has sound at all, the room's included."""
    return bool(np.abs(samples.astype(np.int32)).max(initial=0) > _HEARD)
