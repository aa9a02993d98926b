"""Tiles stay inside, apart, and even."""

from __future__ import annotations

from itertools import combinations

import pytest

from recorder.finish.layout import Tile, fit, grid, stage


@pytest.mark.parametrize("count", range(1, 26))
@pytest.mark.parametrize("arrange", [grid, stage])
def test_tiles_are_inside_apart_and_even(arrange: object, count: int) -> None:
    tiles = arrange(count, 1280, 720)  # type: ignore[operator]
    for x, y, width, height in tiles:
        assert min(x, y) >= 0 and min(width, height) > 0
        assert x + width <= 1280 and y + height <= 720
        assert not any(value % 2 for value in (x, y, width, height))
    for one, other in combinations(tiles, 2):
        assert (
            one.x + one.width <= other.x
            or other.x + other.width <= one.x
            or one.y + one.height <= other.y
            or other.y + other.height <= one.y
        )


def test_a_grid_shows_everybody_and_a_stage_as_many_as_fit() -> None:
    assert [len(grid(count, 1280, 720)) for count in range(12)] == list(range(12))
    assert len(stage(30, 1280, 720)) == 5
    assert grid(1, 1280, 720) == stage(1, 1280, 720) == [Tile(0, 0, 1280, 720)]


def test_nothing_of_a_picture_is_cut_off() -> None:
    tile = Tile(100, 50, 400, 300)
    for width, height in [(1920, 1080), (720, 1280), (640, 480), (2, 2000), (2000, 2)]:
        inner = fit(width, height, tile)
        assert tile.x <= inner.x and inner.x + inner.width <= tile.x + tile.width
        assert tile.y <= inner.y and inner.y + inner.height <= tile.y + tile.height
        assert inner.width == tile.width or inner.height == tile.height
