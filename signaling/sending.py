"""What a publisher's first answer lets it send: how much sound, which layers, how fast at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models

if TYPE_CHECKING:
    from signaling.participant import Participant

__all__ = ["WEAK_START_BPS", "count_first_layers", "has_losses", "is_weak", "limit_sound_bps"]

SPEECH_BPS = 32_000
"""Of a microphone's Opus encoder; see DECISIONS.md. Clients ask for 48 kb/s and send it twice as
RED: 123 kb/s with all headers, and 90 like this."""
WEAK_LOSSES = 2
"""Lost segments of the signalling connection after which a line counts as weak. A publisher has
sent some 30 by the time it announces a camera; one is lost on many good lines, too."""
WEAK_START_BPS = 300_000
"""Where such a sender's estimate begins. SDKs let libwebrtc begin with 1000 kb/s, the whole of
which is in a weak line's queue before the first feedback is back."""
WORTH_BPS = 300_000
"""Layers for a weak line to begin with: as many as announce this together."""


def is_weak(participant: Participant) -> bool:
    """Whether the participant's line is known to lose packets."""
    return participant.outbox is not None and participant.outbox.num_losses >= WEAK_LOSSES


def has_losses(participant: Participant) -> bool:
    """Whether the participant's line has lost anything that we know of: then its sound begins with
    redundancy. Where nothing is ever lost that would only take room."""
    return participant.outbox is not None and participant.outbox.num_losses > 0


def limit_sound_bps(info: models.TrackInfo, *, is_stereo: bool) -> int:
    """What an announced sound's encoder may take; 0 = what its client likes.

    Only speech is bounded: music, a shared screen's sound and what nobody has named are not.
    """
    is_speech = info.source == models.TrackSource.MICROPHONE and not is_stereo
    return SPEECH_BPS if is_speech else 0


def count_first_layers(info: models.TrackInfo) -> int:
    """How many layers of an announced camera a weak line begins with, lowest first; 0 = all."""
    total_bps = 0
    for index, layer in enumerate(info.layers):
        total_bps += layer.bitrate
        if layer.bitrate == 0:
            break
        if total_bps >= WORTH_BPS:
            return index + 1 if index + 1 < len(info.layers) else 0
    return 0
