"""Speech-like sound: syllables of a drawn voice, at a low level and with pauses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SAMPLE_RATE_HZ", "Voice", "loudness_at", "speak"]

SAMPLE_RATE_HZ = 48_000
_LEVEL = 0.05  # peak, about -26 dBFS: audible, never startling
_HIGHEST_HZ = 3400.0
_BREATH_S = 0.35
# First and second formants of a, e, i, o, u in Hz.
_VOWELS = ((730, 1090), (530, 1840), (290, 2250), (570, 840), (320, 800))

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Voice:
    """How somebody sounds, and when they speak.

    Attributes:
        pitch_hz: of the voice.
        from_s: when the turn begins.
        to_s: when it ends.
        seed: chooses the syllables.
    """

    pitch_hz: float
    from_s: float
    to_s: float
    seed: int


def speak(voice: Voice, duration_s: float) -> tuple[Samples, Samples]:
    """Return samples in -1..1 and their envelope in 0..1, silent outside the voice's turn."""
    count = round(duration_s * SAMPLE_RATE_HZ)
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    envelope, first_hz, second_hz, bend = _plan_syllables(voice, time_s)
    pitch_hz = voice.pitch_hz * bend * (1 + 0.012 * np.sin(2 * np.pi * 5.1 * time_s))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    sound = np.zeros(count)
    active = envelope > 1e-3  # most of the work is silence
    for harmonic in range(1, int(_HIGHEST_HZ / voice.pitch_hz)):
        hz = pitch_hz[active] * harmonic
        color = np.exp(-(((hz - first_hz[active]) / 160) ** 2)) + 0.5 * np.exp(
            -(((hz - second_hz[active]) / 240) ** 2)
        )
        sound[active] += (0.12 + color) / harmonic**0.6 * np.sin(harmonic * phase[active])
    sound *= envelope
    return sound * (_LEVEL / max(float(np.abs(sound).max()), 1e-9)), envelope


def loudness_at(envelope: Samples, frames: int, duration_s: float) -> Samples:
    """Return the envelope at ``frames`` evenly spaced moments."""
    places = (np.arange(frames) + 0.5) / frames * duration_s * SAMPLE_RATE_HZ
    chosen: Samples = envelope[np.minimum(places.astype(int), len(envelope) - 1)]
    return chosen


def _plan_syllables(voice: Voice, time_s: Samples) -> tuple[Samples, Samples, Samples, Samples]:
    """Lay syllables into words into the voice's turn."""
    random = np.random.default_rng(voice.seed)
    envelope = np.zeros_like(time_s)
    first_hz, second_hz = np.full_like(time_s, 500.0), np.full_like(time_s, 1500.0)
    bend = np.ones_like(time_s)
    at_s, in_word = voice.from_s, 0
    while at_s < voice.to_s:
        length_s = float(random.uniform(0.12, 0.24))
        here = (time_s >= at_s) & (time_s < min(at_s + length_s, voice.to_s))
        place = (time_s[here] - at_s) / length_s
        envelope[here] = np.sin(np.pi * place) ** 0.7 * random.uniform(0.6, 1.0)
        first_hz[here], second_hz[here] = _VOWELS[int(random.integers(len(_VOWELS)))]
        bend[here] = 1.1 - 0.2 * (at_s - voice.from_s) / (voice.to_s - voice.from_s) + 0.06 * place
        at_s += length_s + 0.02
        in_word += 1
        if in_word >= random.integers(2, 7):
            at_s += _BREATH_S if random.random() < 0.3 else 0.08
            in_word = 0
    return envelope, first_hz, second_hz, bend
