"""Drawn scenes: right sizes, moving, and ending where they began."""

from __future__ import annotations

import numpy as np
import pytest

from web.demo.aisle import aisle_view
from web.demo.drawing import Canvas
from web.demo.font import render_text
from web.demo.people import DEALER, HOST, talking
from web.demo.shelf import shelf_walk
from web.demo.voice import SAMPLE_RATE_HZ, Voice, loudness_at, speak


def test_text_has_the_size_it_says() -> None:
    assert render_text("AB1", 2).shape == (14, 34)
    assert render_text("é", 1).sum() == 0
    assert render_text("¥8.50", 1).sum() > 20


def test_shapes_are_clipped_at_the_edges() -> None:
    canvas = Canvas.filled(20, 10, (0, 0, 0), (0, 0, 0))
    canvas.rect(-5, -5, 50, 50, (255, 255, 255), radius=3, shine=0.5)
    canvas.ellipse(-10, -10, 5, 5, (1, 2, 3))
    assert canvas.text(15, -3, "W", (9, 9, 9), scale=3) == 15
    assert canvas.text(-99, 99, "OUT", (9, 9, 9)) == 17
    assert canvas.to_picture().shape == (10, 20, 3)


def test_walk_pans_in_a_circle() -> None:
    pictures = list(shelf_walk(200, 20))
    assert len(pictures) == 200 and pictures[0].shape == (360, 640, 3)
    moved = np.abs(pictures[0].astype(int) - pictures[50]).mean()
    around = np.abs(pictures[0].astype(int) - pictures[-1])[60:].mean()
    assert moved > 1.5 * around > 0


@pytest.mark.parametrize("person", [HOST, DEALER])
def test_people_open_their_mouths(person: object) -> None:
    closed, opened = talking(person, np.array([0.0, 1.0]))  # type: ignore[arg-type]
    assert closed.shape == (270, 480, 3)
    assert np.abs(closed.astype(int) - opened)[140:180, 220:260].mean() > 5


def test_aisle_moves() -> None:
    first, second = list(aisle_view(30, 15))[:30:15]
    assert first.shape == (360, 640, 3) and (first != second).any()


def test_voices_take_turns_at_a_low_level() -> None:
    samples, envelope = speak(Voice(pitch_hz=150, from_s=0.5, to_s=1.5, seed=1), 2)
    assert len(samples) == 2 * SAMPLE_RATE_HZ
    assert 0.01 < np.abs(samples).max() <= 0.051
    assert not samples[: SAMPLE_RATE_HZ // 2].any() and not samples[-SAMPLE_RATE_HZ // 4 :].any()
    loudness = loudness_at(envelope, 40, 2)
    assert len(loudness) == 40 and loudness[:8].max() == 0 and loudness.max() > 0.3
