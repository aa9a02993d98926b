"""What a camera above a shop aisle sees."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from web.demo.drawing import Canvas, Color, Picture, mix

__all__ = ["aisle_view"]

WIDTH, HEIGHT = 640, 360
_VANISH_X, _VANISH_Y = 320.0, 64.0
_PRODUCTS: tuple[Color, ...] = (
    (186, 60, 60),
    (64, 128, 84),
    (58, 104, 164),
    (222, 158, 60),
    (130, 84, 148),
    (208, 200, 186),
)


def aisle_view(frames: int, rate_hz: int) -> Iterator[Picture]:
    """Yield the pictures of a loop: shoppers pass, a time code runs."""
    scene = _draw_scene()
    for index in range(frames):
        canvas = scene.copy()
        place = index / frames
        # Down the aisle and back on the other side, so that the loop closes.
        _draw_shopper(canvas, 0.5 - 0.5 * math.cos(2 * math.pi * place), -0.45, (70, 96, 138))
        _draw_shopper(canvas, 0.5 - 0.5 * math.cos(2 * math.pi * (place + 0.4)), 0.4, (168, 92, 74))
        seconds, part = divmod(index, rate_hz)
        canvas.rect(10, 10, 250, 22, (0, 0, 0), alpha=0.55)
        canvas.text(16, 14, f"CAM 1 AISLE 0:{seconds:02d}.{part:02d}", (235, 240, 240), scale=2)
        yield canvas.to_picture()


def _draw_scene() -> Canvas:
    """Paint floor, ceiling and both shelves by their depth below the camera."""
    random = np.random.default_rng(3)
    canvas = Canvas.filled(WIDTH, HEIGHT, (150, 158, 164), (206, 204, 198))
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    below = np.maximum(ys - _VANISH_Y, 1.0)
    across = (xs - _VANISH_X) / below  # the aisle's floor reaches from -0.55 to 0.55
    depth = 300.0 / below
    is_floor = (np.abs(across) < 0.62) & (ys > _VANISH_Y)
    tile = (np.floor(across * 5) + np.floor(depth * 2.5)) % 2
    pixels = canvas.pixels
    pixels[is_floor] = (206, 203, 196)
    pixels[is_floor & (tile > 0)] = (192, 189, 183)

    # Shelves: planes at the aisle's sides, height above the floor from the angle.
    side = np.maximum(np.abs(xs - _VANISH_X), 1.0)
    is_wall = ~is_floor & (side > 26)
    wall_depth = 186.0 / side
    height_share = 0.62 - (ys - _VANISH_Y) / side * 0.38
    row = np.clip(np.floor(height_share * 5), 0, 4).astype(int)
    column = np.floor(wall_depth * 9).astype(int) + np.where(xs < _VANISH_X, 0, 40)
    colors = np.array(_PRODUCTS, np.float32)[random.integers(len(_PRODUCTS), size=(5, 200))]
    is_edge = (height_share * 5) % 1 < 0.16
    is_slit = (wall_depth * 9) % 1 < 0.12
    wall = colors[row, np.clip(column, 0, 199)]
    wall = np.where(is_slit[..., None], wall * 0.7, wall)
    wall = np.where(is_edge[..., None], np.array((232, 232, 228), np.float32), wall)
    fade = np.clip(wall_depth / 5, 0, 0.7)[..., None]
    wall = wall * (1 - fade) + np.array((168, 174, 178), np.float32) * fade
    pixels[is_wall] = wall[is_wall]
    canvas.rect(0, 0, WIDTH, 40, (132, 138, 144), alpha=0.75)
    for x in (150, 290, 430):
        canvas.rect(x, 8, 70, 8, (250, 250, 244), radius=4)
    canvas.rect(268, 40, 104, 26, (32, 92, 116), radius=4)
    canvas.text(282, 46, "DRINKS", (255, 255, 255), scale=2)
    return canvas


def _draw_shopper(canvas: Canvas, nearness: float, lane: float, coat: Color) -> None:
    """Draw somebody from above and in front; nearness 0 is far, 1 is near."""
    below = 46 + 200 * nearness**1.6
    scale = below / 120
    x, y = _VANISH_X + lane * below, _VANISH_Y + below
    canvas.ellipse(x, y + 2 * scale, 20 * scale, 7 * scale, (70, 70, 70), 0.35)
    canvas.rect(
        x - 9 * scale, y - 34 * scale, 8 * scale, 34 * scale, (58, 62, 74), radius=3 * scale
    )
    canvas.rect(
        x + 1 * scale, y - 34 * scale, 8 * scale, 34 * scale, (50, 54, 66), radius=3 * scale
    )
    canvas.rect(x - 15 * scale, y - 74 * scale, 30 * scale, 46 * scale, coat, radius=10 * scale)
    canvas.rect(
        x - 20 * scale,
        y - 70 * scale,
        8 * scale,
        34 * scale,
        mix(coat, (0, 0, 0), 0.15),
        radius=4 * scale,
    )
    canvas.ellipse(x, y - 84 * scale, 10 * scale, 12 * scale, (228, 188, 156))
    canvas.ellipse(x, y - 88 * scale, 10.5 * scale, 9 * scale, (58, 44, 38))
