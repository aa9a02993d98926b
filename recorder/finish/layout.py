"""Where the pictures go in a composite."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Tile", "fit", "grid", "stage"]

_GAP = 8
_STRIP_WIDTH = 256


class Tile(NamedTuple):
    """A rectangle in pixels; all numbers even, as 4:2:0 pictures want."""

    x: int
    y: int
    width: int
    height: int


def _even(value: float) -> int:
    return int(value) // 2 * 2


def grid(count: int, width: int, height: int) -> list[Tile]:
    """Equal tiles in rows, the last row centred."""
    if count == 0:
        return []
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    tile_width = _even((width - _GAP * (columns - 1)) / columns)
    tile_height = _even((height - _GAP * (rows - 1)) / rows)
    tiles = []
    for row in range(rows):
        in_row = min(columns, count - row * columns)
        left = _even((width - in_row * tile_width - (in_row - 1) * _GAP) / 2)
        tiles += [
            Tile(left + column * (tile_width + _GAP), row * (tile_height + _GAP), tile_width,
                 tile_height)
            for column in range(in_row)
        ]  # fmt: skip
    return tiles


def stage(count: int, width: int, height: int) -> list[Tile]:
    """One large tile, and a strip of small ones at its right for as many as fit."""
    if count <= 1:
        return grid(count, width, height)
    tile_height = _even(_STRIP_WIDTH * 9 / 16)
    fitting = (height + _GAP) // (tile_height + _GAP)
    small = [
        Tile(width - _STRIP_WIDTH, row * (tile_height + _GAP), _STRIP_WIDTH, tile_height)
        for row in range(min(count - 1, fitting))
    ]
    return [Tile(0, 0, width - _STRIP_WIDTH - _GAP, height), *small]


def fit(width: int, height: int, tile: Tile) -> Tile:
    """The largest rectangle of this shape in the middle of a tile: nothing is cut off."""
    scale = min(tile.width / width, tile.height / height)
    inner_width = max(2, _even(width * scale))
    inner_height = max(2, _even(height * scale))
    return Tile(
        tile.x + _even((tile.width - inner_width) / 2),
        tile.y + _even((tile.height - inner_height) / 2),
        inner_width,
        inner_height,
    )
