"""A walk along a supermarket shelf, as a phone would film it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from web.demo.drawing import Canvas, Color, Picture, mix

__all__ = ["shelf_walk"]

WIDTH, HEIGHT = 640, 360
_STEP_PX = 4  # panned per frame
_SWAY_PX = 5  # up and down, as by hand
_ROW_HEIGHT = 112
_ROWS = 3
_EDGE_HEIGHT = 20

_BRANDS: tuple[tuple[Color, Color, str], ...] = (
    ((196, 44, 52), (255, 240, 228), "COLA"),
    ((38, 120, 74), (240, 248, 226), "TEA"),
    ((32, 92, 170), (236, 246, 255), "AQUA"),
    ((238, 148, 36), (255, 250, 236), "PEAR"),
    ((112, 62, 140), (250, 240, 255), "PLUM"),
    ((232, 190, 60), (120, 54, 20), "OATS"),
    ((90, 54, 38), (250, 226, 180), "KOKO"),
    ((226, 98, 128), (255, 244, 248), "YOGI"),
    ((60, 160, 178), (255, 255, 255), "MINT"),
)


def shelf_walk(frames: int, rate_hz: int) -> Iterator[Picture]:
    """Yield the pictures of one walk that ends where it began.

    Args:
        frames: how many.
        rate_hz: for the time code.
    """
    panorama = _draw_panorama(frames * _STEP_PX).to_picture()
    # Twice around, so that every view is one slice.
    around = np.concatenate([panorama, panorama[:, :WIDTH]], axis=1)
    for index in range(frames):
        phase = 2 * math.pi * index / frames
        lift = round(_SWAY_PX * (1 + math.sin(3 * phase) * 0.6 + math.sin(5 * phase) * 0.4))
        view = around[lift : lift + HEIGHT, index * _STEP_PX : index * _STEP_PX + WIDTH]
        canvas = Canvas(view.astype(np.float32))
        _draw_time_code(canvas, index, rate_hz)
        yield canvas.to_picture()


def _draw_time_code(canvas: Canvas, index: int, rate_hz: int) -> None:
    seconds, part = divmod(index, rate_hz)
    canvas.rect(14, 12, 256, 26, (16, 24, 32), radius=13, alpha=0.72)
    canvas.ellipse(30, 25, 5, 5, (240, 72, 72) if part < rate_hz // 2 else (120, 60, 60))
    canvas.text(44, 18, f"SHELF WALK 0:{seconds:02d}.{part:02d}", (255, 255, 255), scale=2)
    canvas.rect(552, 12, 74, 26, (16, 24, 32), radius=13, alpha=0.72)
    canvas.text(565, 18, f"#{index:03d}", (180, 226, 210), scale=2)


def _draw_panorama(width: int) -> Canvas:
    """Draw a shelf that continues at its own beginning."""
    random = np.random.default_rng(7)
    canvas = Canvas.filled(width, HEIGHT + 2 * _SWAY_PX + 12, (214, 222, 226), (176, 186, 192))
    for row in range(_ROWS):
        top = 12 + row * _ROW_HEIGHT
        floor = top + _ROW_HEIGHT - _EDGE_HEIGHT
        canvas.rect(0, top, width, _ROW_HEIGHT, (226, 231, 233))
        canvas.rect(0, top, width, 16, (120, 130, 138), alpha=0.35)
        x = 6.0
        while x < width - 40:
            x = _draw_group(canvas, random, x, floor, width)
        canvas.rect(0, floor, width, _EDGE_HEIGHT, (198, 206, 212))
        canvas.rect(0, floor, width, 2, (240, 243, 245))
        canvas.rect(0, floor + _EDGE_HEIGHT - 3, width, 3, (148, 156, 162))
        _draw_price_tags(canvas, random, floor, width)
    return canvas


def _draw_group(
    canvas: Canvas, random: np.random.Generator, x: float, floor: float, width: int
) -> float:
    """Draw facings of one product side by side; returns where the next group starts."""
    body, label, name = _BRANDS[int(random.integers(len(_BRANDS)))]
    kind = int(random.integers(3))
    facing = (26, 46, 30)[kind] + int(random.integers(6))
    tall = (78, 62, 50)[kind] + int(random.integers(8))
    facings = int(random.integers(2, 5))
    gap_at = int(random.integers(facings)) if random.random() < 0.14 else -1
    for index in range(facings):
        if x + facing > width - 4:
            return float(width)
        if index == gap_at:  # sold out: the reason for a walk
            canvas.rect(x + 3, floor - 7, facing - 6, 7, (150, 158, 164), alpha=0.6)
        else:
            canvas.rect(x + 2, floor - 5, facing, 5, (60, 66, 72), alpha=0.35)
            (_draw_bottle, _draw_box, _draw_can)[kind](
                canvas, x, floor, (facing, tall), (body, label, name)
            )
        x += facing + 2
    return x + 6


def _draw_bottle(
    canvas: Canvas,
    x: float,
    floor: float,
    size: tuple[int, int],
    brand: tuple[Color, Color, str],
) -> None:
    width, height = size
    body, label, name = brand
    shoulder = floor - height * 0.72
    canvas.rect(x + width * 0.34, floor - height, width * 0.32, height * 0.4, body, shine=0.7)
    canvas.rect(x + width * 0.3, floor - height - 5, width * 0.4, 9, label, radius=2, shine=0.5)
    canvas.rect(x, shoulder, width, floor - shoulder, body, radius=8, shine=0.8)
    canvas.rect(x, floor - height * 0.5, width, height * 0.3, label, shine=0.4)
    _draw_name(canvas, x, floor - height * 0.42, width, name, body)


def _draw_box(
    canvas: Canvas,
    x: float,
    floor: float,
    size: tuple[int, int],
    brand: tuple[Color, Color, str],
) -> None:
    width, height = size
    body, label, name = brand
    top = floor - height
    canvas.rect(x, top, width, height, body, radius=2)
    canvas.rect(x, top, width, 5, mix(body, (255, 255, 255), 0.35))
    canvas.ellipse(x + width / 2, floor - height * 0.36, width * 0.3, height * 0.22, label, 0.92)
    canvas.rect(x, floor - 6, width, 6, mix(body, (0, 0, 0), 0.3))
    _draw_name(canvas, x, top + 11, width, name, label)


def _draw_can(
    canvas: Canvas,
    x: float,
    floor: float,
    size: tuple[int, int],
    brand: tuple[Color, Color, str],
) -> None:
    width, height = size
    body, label, name = brand
    canvas.rect(x, floor - height, width, height, (196, 202, 208), radius=4, shine=0.8)
    canvas.rect(x, floor - height + 5, width, height - 10, body, shine=0.8)
    canvas.rect(x, floor - height * 0.6, width, 13, label, shine=0.3)
    _draw_name(canvas, x, floor - height * 0.6 + 3, width, name, body)


def _draw_name(canvas: Canvas, x: float, y: float, width: float, name: str, color: Color) -> None:
    fitting = name[: max(1, int(width - 2) // 6)]
    text_width = 6 * len(fitting) - 1
    canvas.text(round(x + (width - text_width) / 2), round(y), fitting, color)


def _draw_price_tags(canvas: Canvas, random: np.random.Generator, floor: float, width: int) -> None:
    for x in range(18, width - 50, 92):
        is_offer = random.random() < 0.25
        paper: Color = (255, 216, 64) if is_offer else (255, 255, 255)
        canvas.rect(x, floor + 2, 46, 15, paper, radius=2)
        price = f"{random.integers(2, 30)}.{random.integers(10)}0"
        canvas.text(
            x + 4, round(floor) + 6, f"¥{price}", (190, 30, 36) if is_offer else (30, 36, 42)
        )
