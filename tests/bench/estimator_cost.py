"""CPU of the estimator: many subscribers of 200 packets a second, ten updates a second.

Prints milliseconds of CPU time per update and per cent of a core at 10 Hz, for quiet lines and
with a share of lossy ones (these cost the likelihood of losses).

    python tests/bench/estimator_cost.py --subscribers 1000
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from bandwidth.estimator import Estimator, Feedback, Lines  # noqa: E402

TICK_US = 100_000


def measure(subscribers: int, packets_per_s: int, lossy: float, ticks: int) -> list[float]:
    """CPU milliseconds of each update after two seconds of warming up."""
    random = np.random.default_rng(1)
    estimator = Estimator(subscribers)
    now_us = 1_000_000_000
    for slot in range(subscribers):
        estimator.open(slot, now_us, start_bps=600_000)
    count = packets_per_s * TICK_US // 1_000_000
    chance = np.where(np.arange(subscribers) < lossy * subscribers, 0.1, 0.0)
    lines = Lines(
        rtt_us=np.full(subscribers, 80_000.0),
        loss=np.zeros(subscribers),
        remb_bps=np.zeros(subscribers),
        has_twcc=np.ones(subscribers, np.bool_),
        sent_bps=np.full(subscribers, 1_500_000.0),
        needed_bps=np.full(subscribers, 3_000_000.0),
        next_bps=np.full(subscribers, 1_000_000.0),
        cost_factor=np.ones(subscribers),
        is_braking=np.zeros(subscribers, np.bool_),
        reported_packets=np.zeros(subscribers),
        reported_lost=np.zeros(subscribers),
        newest_rtt_us=np.zeros(subscribers),
    )
    costs = []
    for tick in range(ticks + 20):
        now_us += TICK_US
        slot = np.repeat(np.arange(subscribers, dtype=np.int32), count)
        offsets = np.sort(random.integers(0, TICK_US, (subscribers, count)), axis=1)
        sent_us = (now_us - 2 * TICK_US + offsets).reshape(-1)
        received_us = sent_us + 5_000_000_000 + random.integers(0, 8_000, len(sent_us))
        is_lost = random.random(len(slot)) < chance[slot]
        received_us[is_lost] = 0
        # Reports of all lines come mixed, each line's own rows in order.
        order = np.argsort(sent_us // 50_000, kind="stable")
        feedback = Feedback(
            slot[order],
            sent_us[order],
            received_us[order],
            np.full(len(slot), 940, np.int32),
            np.zeros(len(slot), np.int64),
        )
        begun = time.process_time()
        estimator.update(now_us, feedback, lines)
        if tick >= 20:
            costs.append((time.process_time() - begun) * 1e3)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--packets", type=int, default=200, help="per second and subscriber")
    parser.add_argument("--ticks", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    for lossy in (0.0, 0.2, 1.0):
        for run in range(arguments.runs):
            costs = measure(arguments.subscribers, arguments.packets, lossy, arguments.ticks)
            mean = float(np.mean(costs))
            worst = float(np.quantile(costs, 0.95))
            print(
                f"{arguments.subscribers} subscribers, {lossy:.0%} lossy, run {run + 1}:"
                f" {mean:.2f} ms an update (p95 {worst:.2f}), {mean:.1f} % of a core at 10 Hz"
            )


if __name__ == "__main__":
    main()
