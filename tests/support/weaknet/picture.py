"""Test pictures that carry a number which survives the lowest layer and strong compression.

The number stands in Gray code in a strip of 16 × 2 blocks along the top, each bit above its
inverse: a bit is the sign of a difference, and too small a difference makes the frame unreadable
rather than misread. One number to the next changes two blocks only. Below the strip a texture
moves, so that an encoder uses the rate it is given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 360
BITS = 16
_STRIP = 80 / HEIGHT  # of the height, both rows
_DARK, _LIGHT = 40, 216
_MIN_CONTRAST = 50
_MARGIN = 0.25  # of a block, left out on each side: edges blur


def _bits(number: int) -> NDArray[np.bool_]:
    gray = number ^ (number >> 1)
    return np.array([gray >> bit & 1 for bit in range(BITS)], bool)


def draw(luma: NDArray[np.uint8], number: int) -> None:
    """Put a number (modulo 2**BITS) into a picture's luma plane, in place."""
    height, width = luma.shape
    bits = _bits(number % (1 << BITS))
    strip_px, block_px = round(height * _STRIP), width // BITS
    for row, shown in enumerate((bits, ~bits)):
        blocks = np.where(shown, _LIGHT, _DARK).astype(np.uint8).repeat(block_px)
        luma[row * strip_px // 2 : (row + 1) * strip_px // 2, : blocks.size] = blocks


def read(luma: NDArray[np.uint8]) -> int | None:
    """The number in a picture of any size; None where it cannot be read for sure."""
    height, width = luma.shape
    row_px, block_px = height * _STRIP / 2, width / BITS
    if row_px * (1 - 2 * _MARGIN) < 2 or block_px * (1 - 2 * _MARGIN) < 2:
        return None
    means = np.empty((2, BITS))
    for row in range(2):
        top, bottom = (round((row + part) * row_px) for part in (_MARGIN, 1 - _MARGIN))
        for bit in range(BITS):
            left, right = (round((bit + part) * block_px) for part in (_MARGIN, 1 - _MARGIN))
            means[row, bit] = luma[top:bottom, left:right].mean()
    contrast = means[0] - means[1]
    if np.abs(contrast).min() < _MIN_CONTRAST:
        return None
    number = sum(int(contrast[bit] > 0) << bit for bit in range(BITS))
    for shift in (1, 2, 4, 8):
        number ^= number >> shift
    return number


class Scene:
    """An endless moving picture in I420."""

    def __init__(self, seed: int = 1) -> None:
        """The texture is noise on three scales, brighter and darker than middle grey."""
        rng = np.random.default_rng(seed)
        texture = np.full((HEIGHT, 2 * WIDTH), 128.0)
        for scale, amplitude in ((40, 45), (8, 18), (2, 6)):
            coarse = rng.normal(0, amplitude, (HEIGHT // scale, 2 * WIDTH // scale))
            texture += coarse.repeat(scale, 0).repeat(scale, 1)
        self._texture = texture.clip(16, 235).astype(np.uint8)
        self._grain = rng.integers(0, 4, (8, HEIGHT, WIDTH), np.uint8)
        self._picture = np.full(WIDTH * HEIGHT * 3 // 2, 128, np.uint8)
        self._luma = self._picture[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)

    def frame(self, number: int) -> bytes:
        """The picture of a number: the texture has moved on by two pixels a frame."""
        left = 2 * number % WIDTH
        np.add(
            self._texture[:, left : left + WIDTH],
            self._grain[number % len(self._grain)],
            out=self._luma,
        )
        draw(self._luma, number)
        return self._picture.tobytes()
