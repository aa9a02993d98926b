"""Smooth-edged shapes on a numpy picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from web.demo.font import render_text

__all__ = ["Canvas", "Color", "Picture", "mix"]

Color = tuple[float, float, float]  # red, green, blue, 0..255
Picture = npt.NDArray[np.uint8]  # (height, width, 3)
_Coverage = npt.NDArray[np.float32]


def mix(a: Color, b: Color, share: float) -> Color:
    """Blend two colours; share 0 is all ``a``."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


class Canvas:
    """A picture in floating point; coordinates in pixels, shapes clipped at the edges."""

    def __init__(self, pixels: npt.NDArray[np.float32]) -> None:
        """Draws on ``pixels``, shape (height, width, 3)."""
        self.pixels = pixels

    @classmethod
    def filled(cls, width: int, height: int, top: Color, bottom: Color) -> Canvas:
        """A vertical gradient."""
        share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        column = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
        return cls(np.broadcast_to(column, (height, width, 3)).astype(np.float32).copy())

    def copy(self) -> Canvas:
        """An independent copy."""
        return Canvas(self.pixels.copy())

    def to_picture(self) -> Picture:
        """Round to bytes."""
        picture: Picture = np.clip(self.pixels + 0.5, 0, 255).astype(np.uint8)
        return picture

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        color: Color,
        *,
        radius: float = 0.0,
        alpha: float = 1.0,
        shine: float = 0.0,
    ) -> None:
        """Draw a rectangle with round corners.

        Args:
            x: left edge.
            y: top edge.
            width: in pixels.
            height: in pixels.
            color: of the middle.
            radius: of the corners.
            alpha: 0..1.
            shine: 0..1, how much it is lit like an upright cylinder.
        """
        box = self._box(x, y, x + width, y + height)
        if box is None:
            return
        left, top, xs, ys = box
        half_w, half_h = width / 2, height / 2
        radius = min(radius, half_w, half_h)
        dx = np.abs(xs - (x + half_w)) - (half_w - radius)
        dy = np.abs(ys - (y + half_h)) - (half_h - radius)
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        distance = outside + np.minimum(np.maximum(dx, dy), 0) - radius
        coverage = np.clip(0.5 - distance, 0, 1).astype(np.float32) * alpha
        self._blend(left, top, coverage, color, self._shading(xs, x + half_w, half_w, shine))

    def ellipse(
        self, x: float, y: float, radius_x: float, radius_y: float, color: Color, alpha: float = 1.0
    ) -> None:
        """Draw an ellipse around (x, y)."""
        box = self._box(x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        if box is None:
            return
        left, top, xs, ys = box
        reach = np.hypot((xs - x) / radius_x, (ys - y) / radius_y)
        coverage = np.clip(0.5 - (reach - 1) * min(radius_x, radius_y), 0, 1)
        self._blend(left, top, coverage.astype(np.float32) * alpha, color, None)

    def text(self, x: int, y: int, text: str, color: Color, *, scale: int = 1) -> int:
        """Write one line with its top left at (x, y); returns its width."""
        coverage = render_text(text, scale)
        height, width, _ = self.pixels.shape
        left, top = max(x, 0), max(y, 0)
        visible = coverage[top - y : height - y, left - x : width - x]
        if visible.size:
            self._blend(left, top, visible, color, None)
        return int(coverage.shape[1])

    def _box(
        self, x0: float, y0: float, x1: float, y1: float
    ) -> tuple[int, int, npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
        height, width, _ = self.pixels.shape
        left, right = max(int(x0) - 1, 0), min(int(x1) + 2, width)
        top, bottom = max(int(y0) - 1, 0), min(int(y1) + 2, height)
        if left >= right or top >= bottom:
            return None
        xs = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5)
        ys = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
        return left, top, xs, ys

    @staticmethod
    def _shading(
        xs: npt.NDArray[np.float32], middle: float, half_width: float, shine: float
    ) -> _Coverage | None:
        if not shine:
            return None
        place = (xs - middle) / max(half_width, 1.0)
        # A light from the upper left: bright at a third, dark at the right edge.
        light = 1 + shine * (0.55 * np.exp(-(((place + 0.4) / 0.22) ** 2)) - 0.45 * place**2)
        shading: _Coverage = light[:, :, None].astype(np.float32)
        return shading

    def _blend(
        self, left: int, top: int, coverage: _Coverage, color: Color, light: _Coverage | None
    ) -> None:
        height, width = coverage.shape
        target = self.pixels[top : top + height, left : left + width]
        paint = np.array(color, np.float32)[None, None, :]
        if light is not None:
            paint = np.minimum(paint * light, 255)
        target += (paint - target) * coverage[:, :, None]
