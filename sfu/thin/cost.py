"""What a thin version will cost, before it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu import engine as _engine
from sfu.stats import parse_rows

if TYPE_CHECKING:
    from sfu.registry import Registry
    from sfu.source import Source

__all__ = ["LEAST_CORES", "expect_cores"]

# Measured on a core of a small server, VP8 and H.264 alike: making ten pictures of 320 px a second
# takes 1 %, decoding 0.2 % for each million pixels a second. 360p: 2 %, 1080p: 13 %, 4K: 50 %.
LEAST_CORES = 0.01
_CORES_PER_PX_S = 2e-9
_FRAMES_PER_S = 30
# Before its first key frame nobody knows.
_UNKNOWN_PX = 1280 * 720


def expect_cores(registry: Registry, source: Source) -> float:
    """Cores for the thin version of a source, made of its lowest layer that flows."""
    rows = parse_rows(registry.engine.snapshot_encodings(), _engine.ENCODING_DTYPE)
    rows = rows[(rows["source"] == source.handle) & (rows["bitrate_bps"] > 0) & (rows["width"] > 0)]
    px = rows["width"].astype(int) * rows["height"] if rows.size else None
    lowest_px = _UNKNOWN_PX if px is None else int(px.min())
    return LEAST_CORES + lowest_px * _FRAMES_PER_S * _CORES_PER_PX_S
