"""What the engine and the listeners are told, and only what is new."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bandwidth.ladder import Step
from bandwidth.protection import Protection
from sfu.downlink.lines import Lines

if TYPE_CHECKING:
    from sfu.registry import Registry
    from sfu.source import Sink
    from sfu.transport import Transport

__all__ = ["Orders"]

logger = logging.getLogger(__name__)

# The engine takes five seconds without a budget for a stalled interpreter.
_REPEAT_US = 900_000
_NEWS_SHARE = 0.03


class Orders:
    """Gives orders to the engine by way of transports and sinks."""

    def __init__(self, registry: Registry) -> None:
        """Gives none yet."""
        self._registry = registry

    def pace(
        self,
        now_us: int,
        lines: Lines,
        paced_bps: npt.NDArray[np.float64],
        is_released: npt.NDArray[np.bool_],
    ) -> None:
        """Set budgets where they have changed or must be repeated.

        Args:
            now_us: monotonic.
            lines: whose `paced_bps` and `paced_us` say what was told last.
            paced_bps: by slot, 0 = no limit.
            is_released: by slot, an order shall end the engine's own braking.
        """
        columns = lines.columns
        before_bps = columns.paced_bps
        has_moved = np.abs(paced_bps - before_bps) > _NEWS_SHARE * before_bps
        must_repeat = (paced_bps > 0) & (now_us - columns.paced_us >= _REPEAT_US)
        must_repeat |= (paced_bps > 0) & is_released
        for slot in np.flatnonzero(columns.is_open & (has_moved | must_repeat)):
            transport = lines.transports[slot]
            if transport is None:
                continue
            transport.set_budget(int(paced_bps[slot]))
            columns.paced_bps[slot] = paced_bps[slot]
            columns.paced_us[slot] = now_us

    def protect(self, sink: Sink, copies: int, red: int) -> None:
        """Set the redundancy of one subscription."""
        if sink.source.is_audio:
            sink.set_red(red)
        else:
            sink.set_protection(copies)

    def protect_all(
        self, lines: Lines, has_changed: npt.NDArray[np.bool_], now: Protection
    ) -> None:
        """Set that of all subscriptions of these lines; by slot."""
        for slot in np.flatnonzero(has_changed & lines.columns.is_open):
            transport = lines.transports[slot]
            for sink in () if transport is None else list(transport.sinks):
                self.protect(sink, int(now.copies[slot]), int(now.red[slot]))

    def tell_step(self, transport: Transport, step: Step, reason: str) -> None:
        """Tell whoever serves this subscriber."""
        if transport.on_step is None:
            return
        try:
            transport.on_step(step, reason)
        except Exception:  # a bug of one listener must not stop the other lines
            self._registry.counters["callback_errors"] += 1
            logger.exception("transport %d: step listener failed", transport.handle)
