"""A 5×7 dot font for price tags, signs and time codes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["render_text"]

_WIDTH, _HEIGHT = 5, 7
# Seven rows of five dots per glyph, each row as a number, most significant dot left.
_ROWS = {
    " ": (0, 0, 0, 0, 0, 0, 0),
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    "A": (14, 17, 17, 31, 17, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "D": (28, 18, 17, 17, 17, 18, 28),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "F": (31, 16, 16, 30, 16, 16, 16),
    "G": (14, 17, 16, 23, 17, 17, 15),
    "H": (17, 17, 17, 31, 17, 17, 17),
    "I": (14, 4, 4, 4, 4, 4, 14),
    "J": (7, 2, 2, 2, 2, 18, 12),
    "K": (17, 18, 20, 24, 20, 18, 17),
    "L": (16, 16, 16, 16, 16, 16, 31),
    "M": (17, 27, 21, 21, 17, 17, 17),
    "N": (17, 17, 25, 21, 19, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14),
    "P": (30, 17, 17, 30, 16, 16, 16),
    "Q": (14, 17, 17, 17, 21, 18, 13),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "S": (15, 16, 16, 14, 1, 1, 30),
    "T": (31, 4, 4, 4, 4, 4, 4),
    "U": (17, 17, 17, 17, 17, 17, 14),
    "V": (17, 17, 17, 17, 17, 10, 4),
    "W": (17, 17, 17, 21, 21, 21, 10),
    "X": (17, 17, 10, 4, 10, 17, 17),
    "Y": (17, 17, 17, 10, 4, 4, 4),
    "Z": (31, 1, 2, 4, 8, 16, 31),
    ".": (0, 0, 0, 0, 0, 12, 12),
    ":": (0, 12, 12, 0, 12, 12, 0),
    "-": (0, 0, 0, 31, 0, 0, 0),
    "/": (0, 1, 2, 4, 8, 16, 0),
    "%": (24, 25, 2, 4, 8, 19, 3),
    "#": (10, 10, 31, 10, 31, 10, 10),
    "+": (0, 4, 4, 31, 4, 4, 0),
    "&": (12, 18, 20, 8, 21, 18, 13),
    "¥": (17, 10, 31, 4, 31, 4, 4),
}


def _build_glyph(rows: tuple[int, ...]) -> npt.NDArray[np.float32]:
    dots = [[(row >> (_WIDTH - 1 - column)) & 1 for column in range(_WIDTH)] for row in rows]
    return np.array(dots, dtype=np.float32)


_GLYPHS = {character: _build_glyph(rows) for character, rows in _ROWS.items()}


def render_text(text: str, scale: int) -> npt.NDArray[np.float32]:
    """Return coverage 0..1 of a line of text; unknown characters are blank.

    Returns:
        shape (7 * scale, (6 * len(text) - 1) * scale).
    """
    gap = np.zeros((_HEIGHT, 1), dtype=np.float32)
    parts: list[npt.NDArray[np.float32]] = []
    for character in text.upper():
        parts += [_GLYPHS.get(character, _GLYPHS[" "]), gap]
    line = np.concatenate(parts[:-1], axis=1) if parts else gap
    return np.kron(line, np.ones((scale, scale), dtype=np.float32))
