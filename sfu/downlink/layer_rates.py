"""What each layer of each source costs, smoothed: the allocator must not chase every key frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bandwidth.demand import MAX_LAYERS
from bandwidth.rungs import NUM_TEMPORAL
from sfu.stats import Rows

__all__ = ["LayerRates"]

# A rise is believed soon, a fall late: a still scene must not promise room that its next motion
# needs. But a second of twice the rate takes no picture: what does not fit waits, and shows.
_RISE_US = 2_000_000.0
_FALL_US = 6_000_000.0
# After a pause in looking one look counts for no more than this.
_TICK_MOST_US = 200_000
# A rate is measured over a second; before that it is too low.
_WARM_UP_US = 1_200_000
# With a key frame in it that second is no measure of the next ones. Where key frames come all the
# time they are believed after a while.
_KEY_FRAME_US = 1_200_000
_MOST_UNSEEN_US = 5_000_000
# Senders start low and take so long to what they announced. Who got a layer by what it took before
# would lose it again.
_RAMP_US = 15_000_000
# Smaller changes are no news to the allocator.
_NEWS_SHARE = 0.10
# 4K at 60 frames/s. Whoever announces more would have each viewer's line probed for it, and none of
# them ever count as strong.
_ANNOUNCED_MOST_BPS = 20_000_000
# A layer that has not flowed yet and was not announced: as browsers divide their bits.
_GUESSED_LOWEST_BPS = 150_000.0
_NEXT_LAYER = 3.0
_LAYER_BELOW = 1 / 3.0


class LayerRates:
    """A row for each source that anybody wants; a layer that is switched off keeps its rate.

    Attributes:
        rates_bps: (rows, MAX_LAYERS, NUM_TEMPORAL) as the allocator takes them.
    """

    def __init__(self, capacity: int = 16) -> None:
        """No sources yet."""
        self.rates_bps = np.zeros((capacity, MAX_LAYERS, NUM_TEMPORAL))
        self._full_bps = np.zeros((capacity, MAX_LAYERS))
        self._shares = np.zeros((capacity, MAX_LAYERS, NUM_TEMPORAL))
        self._first_us = np.zeros((capacity, MAX_LAYERS), np.int64)
        self._key_frames = np.zeros((capacity, MAX_LAYERS), np.int64)
        self._keyed_us = np.zeros((capacity, MAX_LAYERS), np.int64)
        self._seen_us = np.zeros((capacity, MAX_LAYERS), np.int64)
        self._announced_bps = np.zeros((capacity, MAX_LAYERS))
        self._is_ramping = np.ones((capacity, MAX_LAYERS), np.bool_)
        self._counts = np.zeros(capacity, np.int64)
        self._row_of: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._free = list(range(capacity))[::-1]
        self._handles = np.zeros(0, np.int64)
        self._rows = np.zeros(0, np.int64)

    def acquire(self, source: int, num_layers: int, announced_bps: Sequence[int]) -> int:
        """The row of a source, made for its first user."""
        row = self._row_of.get(source)
        if row is None:
            row = self._make(source, num_layers, announced_bps)
        self._uses[source] += 1
        return row

    def release(self, source: int) -> None:
        """One user less; the row ends with the last."""
        uses = self._uses.get(source, 0) - 1
        if uses > 0:
            self._uses[source] = uses
        elif uses == 0:
            self._free.append(self._row_of.pop(source))
            del self._uses[source]
            self._index()

    def update(self, now_us: int, encodings: Rows) -> npt.NDArray[np.bool_]:
        """Take a look at the encodings; returns which rows have news."""
        has_news = np.zeros(self._counts.shape[0], np.bool_)
        if not self._handles.size or not encodings.size:
            return has_news
        at = np.searchsorted(self._handles, encodings["source"])
        at = np.minimum(at, self._handles.size - 1)
        is_ours = (self._handles[at] == encodings["source"]) & (encodings["encoding"] < MAX_LAYERS)
        is_ours &= (encodings["is_active"] != 0) & (encodings["bitrate_bps"] > 0)
        seen = encodings[is_ours]
        rows, layers = self._rows[at[is_ours]], seen["encoding"].astype(np.int64)
        self._first_us[rows, layers] = np.where(
            self._first_us[rows, layers] > 0, self._first_us[rows, layers], now_us
        )
        is_warm = now_us - self._first_us[rows, layers] >= _WARM_UP_US
        is_warm &= self._is_plain(now_us, seen, rows, layers)
        self._smooth(now_us, seen[is_warm], rows[is_warm], layers[is_warm])
        flows_us = now_us - self._first_us
        self._is_ramping = (self._first_us == 0) | (flows_us < _RAMP_US)
        # np.unique would load numpy.ma: 6 MB, and 50 ms of a first viewer's wait.
        touched = np.flatnonzero(np.bincount(rows))
        has_news[touched] = self._publish(touched)
        return has_news

    def _is_plain(
        self,
        now_us: int,
        seen: Rows,
        rows: npt.NDArray[np.int64],
        layers: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.bool_]:
        """Rates without a key frame in them, or all there are."""
        count = seen["keyframes"].astype(np.int64)
        is_keyed = count != self._key_frames[rows, layers]
        self._key_frames[rows, layers] = count
        self._keyed_us[rows[is_keyed], layers[is_keyed]] = now_us
        is_plain = now_us - self._keyed_us[rows, layers] >= _KEY_FRAME_US
        seen_us = np.maximum(self._seen_us[rows, layers], self._first_us[rows, layers])
        is_unseen = now_us - seen_us >= _MOST_UNSEEN_US
        return np.asarray(is_plain | is_unseen, np.bool_)

    def _smooth(
        self,
        now_us: int,
        seen: Rows,
        rows: npt.NDArray[np.int64],
        layers: npt.NDArray[np.int64],
    ) -> None:
        elapsed_us = np.clip(now_us - self._seen_us[rows, layers], 0, _TICK_MOST_US)
        self._seen_us[rows, layers] = now_us
        now_bps = seen["bitrate_bps"].astype(np.float64)
        before_bps = self._full_bps[rows, layers]
        tau_us = np.where(now_bps > before_bps, _RISE_US, _FALL_US)
        weight = np.where(before_bps > 0, 1.0 - np.exp(-elapsed_us / tau_us), 1.0)
        self._full_bps[rows, layers] = before_bps + weight * (now_bps - before_bps)
        shares = np.zeros((rows.size, NUM_TEMPORAL))
        count = np.clip(seen["num_temporal"], 1, NUM_TEMPORAL).astype(np.int64)
        shares[np.arange(rows.size), count - 1] = 1.0
        for temporal, name in enumerate(("bitrate_t0_bps", "bitrate_t1_bps")):
            share = np.minimum(seen[name] / np.maximum(now_bps, 1.0), 1.0)
            is_below = count > temporal + 1
            shares[is_below, temporal] = share[is_below]
        before = self._shares[rows, layers]
        is_same = (before > 0) == (shares > 0)
        self._shares[rows, layers] = np.where(
            is_same.all(axis=1)[:, None], before + weight[:, None] * (shares - before), shares
        )

    def _publish(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Show what differs enough from what is shown."""
        full_bps = self._complete(rows)
        shares = self._shares[rows]
        shares = np.where(shares.any(axis=2, keepdims=True), shares, [1.0, 0.0, 0.0])
        rates = full_bps[:, :, None] * shares
        shown = self.rates_bps[rows]
        is_news = np.abs(rates - shown) > _NEWS_SHARE * np.maximum(rates, shown)
        has_news = np.asarray(is_news.any(axis=(1, 2)), np.bool_)
        self.rates_bps[rows[has_news]] = rates[has_news]
        return has_news

    def _complete(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Rates of all layers there may be: measured, announced, or guessed from a neighbour."""
        measured, announced = self._full_bps[rows], self._announced_bps[rows]
        is_ramping = self._is_ramping[rows]
        full = np.where(measured > 0, measured, announced)
        full = np.where(is_ramping, np.maximum(full, announced), full)
        # Of several layers the lowest is small, whatever the others are; one alone may be anything.
        is_unknown = ~full.any(axis=1) & (self._counts[rows] > 1)
        full[is_unknown, 0] = _GUESSED_LOWEST_BPS
        for layer in range(1, MAX_LAYERS):
            full[:, layer] = np.where(
                full[:, layer] > 0, full[:, layer], full[:, layer - 1] * _NEXT_LAYER
            )
        for layer in range(MAX_LAYERS - 2, -1, -1):
            full[:, layer] = np.where(
                full[:, layer] > 0, full[:, layer], full[:, layer + 1] * _LAYER_BELOW
            )
        full[np.arange(MAX_LAYERS) >= self._counts[rows][:, None]] = 0.0
        return np.asarray(full, np.float64)

    def _make(self, source: int, num_layers: int, announced_bps: Sequence[int]) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._row_of[source] = row
        self._uses[source] = 0
        self._counts[row] = min(max(1, num_layers), MAX_LAYERS)
        for values in (self.rates_bps, self._full_bps, self._shares, self._announced_bps):
            values[row] = 0
        for times in (self._first_us, self._key_frames, self._keyed_us, self._seen_us):
            times[row] = 0
        self._is_ramping[row] = True
        for layer, rate_bps in enumerate(announced_bps[:MAX_LAYERS]):
            self._announced_bps[row, layer] = min(max(0, rate_bps), _ANNOUNCED_MOST_BPS)
        self._index()
        self._publish(np.array([row]))
        return row

    def _index(self) -> None:
        pairs = sorted(self._row_of.items())
        self._handles = np.array([handle for handle, _ in pairs], np.int64)
        self._rows = np.array([row for _, row in pairs], np.int64)

    def _grow(self) -> None:
        count = self._counts.shape[0]
        self._free = list(range(count, 2 * count))[::-1]
        for name, values in vars(self).copy().items():
            if not isinstance(values, np.ndarray) or name in ("_handles", "_rows"):
                continue
            setattr(self, name, np.concatenate([values, np.zeros_like(values)]))
