"""Two drawn people who talk in turns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from web.demo.drawing import Canvas, Color, Picture, mix

__all__ = ["DEALER", "HOST", "Person", "talking"]

WIDTH, HEIGHT = 480, 270
_MIDDLE = WIDTH / 2
_MOUTH: Color = (128, 44, 48)


@dataclass(frozen=True, slots=True)
class Person:
    """How somebody looks.

    Attributes:
        plate: what the name plate says.
        wall: colours of the room behind, top and bottom.
    """

    plate: str
    wall: tuple[Color, Color]
    shirt: Color
    skin: Color
    hair: Color
    has_long_hair: bool
    has_glasses: bool


HOST = Person(
    plate="HQ HOST",
    wall=((222, 233, 238), (186, 204, 214)),
    shirt=(30, 92, 116),
    skin=(238, 200, 170),
    hair=(52, 38, 34),
    has_long_hair=True,
    has_glasses=False,
)
DEALER = Person(
    plate="DEALER",
    wall=((240, 230, 214), (214, 196, 170)),
    shirt=(214, 118, 52),
    skin=(226, 182, 146),
    hair=(70, 72, 78),
    has_long_hair=False,
    has_glasses=True,
)


def talking(person: Person, loudness: npt.NDArray[np.float64]) -> Iterator[Picture]:
    """Yield one picture for each value of ``loudness`` (0..1), which opens the mouth."""
    room = _draw_room(person)
    frames = len(loudness)
    for index, open_share in enumerate(loudness):
        canvas = room.copy()
        phase = 2 * math.pi * index / frames
        sway = 3.0 * math.sin(2 * phase) + 1.5 * math.sin(5 * phase)
        nod = 2.0 * math.sin(3 * phase) + 3.0 * float(open_share)
        is_blinking = index % 67 in (40, 41) or index % 67 == 12
        _draw_head(canvas, person, sway, nod, float(open_share), is_blinking)
        _draw_plate(canvas, person.plate, float(open_share))
        yield canvas.to_picture()


def _draw_room(person: Person) -> Canvas:
    canvas = Canvas.filled(WIDTH, HEIGHT, *person.wall)
    accent = mix(person.wall[1], (60, 70, 80), 0.25)
    canvas.rect(34, 26, 110, 92, (248, 250, 252), radius=5)
    canvas.rect(40, 32, 98, 80, mix(person.wall[0], (150, 196, 226), 0.6), radius=3)
    canvas.rect(87, 32, 4, 80, (248, 250, 252))
    canvas.rect(350, 58, 104, 7, accent, radius=2)
    for index, tone in enumerate(((176, 74, 66), (66, 118, 140), (226, 178, 84), (92, 140, 96))):
        canvas.rect(
            360 + 17 * index, 26 + 3 * (index % 2), 13, 32 - 3 * (index % 2), tone, radius=1
        )
    canvas.rect(434, 200, 30, 44, (188, 108, 76), radius=5, shine=0.4)
    for angle in (-0.7, -0.25, 0.2, 0.65):
        canvas.ellipse(449 + 34 * math.sin(angle), 176 - 18 * math.cos(angle), 9, 28, (78, 136, 88))
    return canvas


def _draw_head(
    canvas: Canvas, person: Person, sway: float, nod: float, open_share: float, is_blinking: bool
) -> None:
    x, y = _MIDDLE + sway, 118 + nod
    shade = mix(person.skin, (120, 70, 50), 0.25)
    if person.has_long_hair:
        canvas.rect(x - 56, y - 44, 112, 124, person.hair, radius=46)
    canvas.rect(_MIDDLE - 96 + sway * 0.3, 196, 192, 130, person.shirt, radius=58)
    canvas.rect(x - 17, y + 40, 34, 44, shade, radius=12)
    canvas.ellipse(_MIDDLE + sway * 0.4, 200, 26, 13, person.skin)
    canvas.ellipse(x, y - 8, 52, 58, person.hair)
    canvas.ellipse(x, y + 6, 44, 54, person.skin)
    canvas.ellipse(x, y - 38, 41, 20, person.hair)
    canvas.ellipse(x - 45, y + 8, 7, 11, shade)
    canvas.ellipse(x + 45, y + 8, 7, 11, shade)
    for side in (-1, 1):
        _draw_eye(canvas, person, x + 17 * side, y, is_blinking)
    canvas.ellipse(x, y + 21, 5, 7, shade, 0.7)
    canvas.ellipse(x - 24, y + 25, 9, 6, (236, 140, 120), 0.35)
    canvas.ellipse(x + 24, y + 25, 9, 6, (236, 140, 120), 0.35)
    canvas.ellipse(x, y + 38, 13 - 3 * open_share, 2.5 + 9 * open_share, _MOUTH)
    if open_share > 0.35:
        canvas.ellipse(x, y + 38 + 4 * open_share, 6, 2.5 * open_share + 1, (216, 104, 104))


def _draw_eye(canvas: Canvas, person: Person, x: float, y: float, is_blinking: bool) -> None:
    if person.has_glasses:
        canvas.rect(x - 14, y - 5, 28, 20, (48, 52, 58), radius=8)
        canvas.rect(x - 12, y - 3, 24, 16, mix(person.skin, (255, 255, 255), 0.25), radius=6)
    if is_blinking:
        canvas.rect(x - 7, y + 4, 14, 2.5, person.hair, radius=1)
    else:
        canvas.ellipse(x, y + 4, 7.5, 5.5, (255, 255, 255))
        canvas.ellipse(x, y + 4, 4, 4.5, (58, 44, 40))
        canvas.ellipse(x - 1.5, y + 2.5, 1.3, 1.3, (255, 255, 255))
    canvas.rect(x - 9, y - 8, 18, 3.4, person.hair, radius=1.6)


def _draw_plate(canvas: Canvas, plate: str, open_share: float) -> None:
    width = 12 * len(plate) + 44
    canvas.rect(14, HEIGHT - 40, width, 26, (16, 24, 32), radius=13, alpha=0.72)
    for index in range(3):  # a small level meter
        height = 4 + 12 * open_share * (0.6, 1.0, 0.75)[index]
        canvas.rect(
            26 + 5 * index, HEIGHT - 27 - height / 2, 3, height, (104, 214, 160), radius=1.5
        )
    canvas.text(47, HEIGHT - 34, plate, (255, 255, 255), scale=2)
