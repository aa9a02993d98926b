"""One line of the estimator at its start, on which sound comes, and the rows of its probes."""

from __future__ import annotations

from model_link import START_US, feedback_of, lines_of

from bandwidth.estimator import Estimator, ProbeOrder

TICK_US = 100_000


class Probed:
    """One line at its start, and the rows of its probes."""

    def __init__(self, *, start_bps: int = 300_000, needed_bps: float = 2e6, good_bps: int = 0):
        self.estimator = Estimator(1)
        self.estimator.open(0, START_US, start_bps=start_bps, good_bps=good_bps)
        self.now_us = START_US
        self.lines = lines_of(1)
        self.lines.needed_bps[:] = needed_bps
        self.lines.sent_bps[:] = start_bps
        self.target_bps = float(start_bps)
        self.stalled = False
        self.proven_bps = 0.0
        self.is_full = False

    def tick(self, rows: list[tuple[int, int, int, int, int]] | None = None) -> list[ProbeOrder]:
        self.now_us += TICK_US
        if rows is None:
            rows = self.sound()
        estimates, orders = self.estimator.update(self.now_us, feedback_of(rows), self.lines)
        self.target_bps = float(estimates.target_bps[0])
        self.stalled = bool(estimates.is_stalled[0])
        self.proven_bps = float(estimates.proven_bps[0])
        self.is_full = bool(estimates.is_full[0])
        return orders

    def sound(self) -> list[tuple[int, int, int, int, int]]:
        sent = [self.now_us - 100_000 + k * 20_000 for k in range(5)]
        return [(0, at, at + 30_000, 83, 0) for at in sent]

    def cluster(
        self, order: ProbeOrder, *, came_bps: float, lost: int = 0
    ) -> list[tuple[int, int, int, int, int]]:
        size = 500
        count = int(order.rate_bps * order.duration_us / 8e6 / size) + 2
        begun = self.now_us - 60_000
        rows = []
        for k in range(count):
            sent = begun + int(k * size * 8e6 / order.rate_bps)
            came = begun + 30_000 + int(k * size * 8e6 / came_bps)
            is_lost = 0 < k <= lost
            rows.append((0, sent, 0 if is_lost else came, size, order.probe))
        return rows


def first_order(probed: Probed) -> ProbeOrder:
    for _ in range(5):
        orders = probed.tick()
        if orders:
            return orders[0]
    raise AssertionError("no probe")
