"""What the media side counts and measures, as numpy rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Counters", "MediaSnapshot", "Rows", "parse_rows"]

# Structured rows; the field names are those of sfu.engine's dtypes.
Rows = npt.NDArray[np.void]

# Counted by name: drops by reason, handshakes, refused sends. Names end up in /metrics.
Counters = Counter[str]


@dataclass(frozen=True, slots=True)
class MediaSnapshot:
    """One look at everything; the arrays are read-only.

    Attributes:
        now_us: the engine's clock when it was taken.
        transports: rows of ``sfu.engine.TRANSPORT_DTYPE``.
        encodings: rows of ``sfu.engine.ENCODING_DTYPE``.
        sinks: rows of ``sfu.engine.SINK_DTYPE``.
    """

    now_us: int
    transports: Rows
    encodings: Rows
    sinks: Rows


def parse_rows(data: bytes, dtype: np.dtype[Any]) -> Rows:
    """View packed rows without copying."""
    return np.frombuffer(data, dtype=dtype)
