"""Speech-like sound, and telling its pauses from nothing at all."""

from __future__ import annotations

import numpy as np
from weaknet.sound import BLOCK, Voice, is_heard


def test_pauses_are_heard_and_silence_is_not() -> None:
    voice = Voice()
    blocks = [np.frombuffer(voice.block(), np.int16) for _ in range(300)]
    assert all(len(block) == BLOCK for block in blocks)
    assert all(is_heard(block) for block in blocks)
    loudness = [np.abs(block.astype(int)).max() for block in blocks]
    assert max(loudness[:260]) > 10 * max(loudness[262:])  # a phrase, then a pause
    assert not is_heard(np.zeros(BLOCK, np.int16))
    assert not is_heard(np.zeros(0, np.int16))
