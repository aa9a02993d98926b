"""A number in a picture survives small layers and strong compression."""

from __future__ import annotations

import numpy as np
import pytest
from weaknet.picture import BITS, HEIGHT, WIDTH, Scene, draw, read


def luma_of(frame: bytes) -> np.ndarray:
    return np.frombuffer(frame, np.uint8)[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)


def shrink(luma: np.ndarray, by: int) -> np.ndarray:
    height, width = luma.shape[0] // by, luma.shape[1] // by
    return luma.reshape(height, by, width, by).mean((1, 3)).astype(np.uint8)


@pytest.mark.parametrize("number", [0, 1, 2, 255, 256, 12_345, 65_535])
@pytest.mark.parametrize("by", [1, 2, 4])
def test_a_number_is_read_in_every_layer(number: int, by: int) -> None:
    assert read(shrink(luma_of(Scene().frame(number)), by)) == number


def test_numbers_wrap() -> None:
    assert read(luma_of(Scene().frame((1 << BITS) + 5))) == 5


def test_one_number_to_the_next_changes_two_blocks() -> None:
    before, after = (np.full((HEIGHT, WIDTH), 128, np.uint8) for _ in range(2))
    draw(before, 1023)
    draw(after, 1024)
    assert (before != after).sum() == 2 * 40 * 40


def test_strong_noise_and_coarse_blocks_do_not_hide_it() -> None:
    luma = shrink(luma_of(Scene().frame(777)), 4).astype(float)
    luma += np.random.default_rng(1).normal(0, 20, luma.shape)
    coarse = luma[: luma.shape[0] // 2 * 2].reshape(-1, 2, luma.shape[1] // 2, 2).mean((1, 3))
    spread = coarse.repeat(2, 0).repeat(2, 1).clip(0, 255).astype(np.uint8)
    assert read(spread) == 777


def test_what_cannot_be_read_for_sure_is_not_guessed() -> None:
    assert read(np.full((HEIGHT, WIDTH), 128, np.uint8)) is None
    assert read(np.zeros((4, 4), np.uint8)) is None
    half_way = np.full((HEIGHT, WIDTH), 128, np.uint8)
    draw(half_way, 5)
    other = np.full((HEIGHT, WIDTH), 128, np.uint8)
    draw(other, 6)
    assert read(((half_way.astype(int) + other) // 2).astype(np.uint8)) is None


def test_the_scene_moves() -> None:
    scene = Scene()
    first, second = luma_of(scene.frame(1)).astype(int), luma_of(scene.frame(2)).astype(int)
    assert len(scene.frame(3)) == WIDTH * HEIGHT * 3 // 2
    assert np.abs(first - second)[80:].mean() > 2
