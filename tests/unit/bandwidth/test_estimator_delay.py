"""Groups, trend, queue and holes in the reports, against plain reference code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_link import START_US, feedback_of

from bandwidth.estimator.arrival_rate import Arrivals, measure_arrivals
from bandwidth.estimator.columns import Bools
from bandwidth.estimator.constants import DEFAULTS
from bandwidth.estimator.gaps import Gaps, find_missing
from bandwidth.estimator.grouping import Deltas, Groups, group_rows
from bandwidth.estimator.queueing import Queues, find_standing, measure_queues
from bandwidth.estimator.rows import Batch, sort_rows
from bandwidth.estimator.trendline import Trends, find_signals

Row = tuple[int, int, int, int, int]
CALM = np.zeros(3, np.bool_)
Delta = tuple[int, int, int]


def batch_of(rows: list[Row], num_slots: int = 3) -> Batch:
    is_open = np.ones(num_slots, np.bool_)
    return sort_rows(feedback_of(rows), START_US + 50_000_000, is_open, DEFAULTS)[0]


class PlainGroups:
    """One line, one packet at a time."""

    def __init__(self) -> None:
        self.current: list[int] | None = None
        self.previous: tuple[int, int] | None = None

    def take(self, packets: list[tuple[int, int]]) -> list[Delta]:
        if self.current:
            packets = [packet for packet in packets if packet[0] >= self.current[0]]
        segments: list[list[tuple[int, int]]] = []
        anchor = self.current[0] if self.current else None
        for sent, came in packets:
            if anchor is not None and sent <= anchor + DEFAULTS.burst_us:
                if segments:
                    segments[-1].append((sent, came))
                else:
                    assert self.current
                    self.current[1] = sent
                    self.current[3] = max(self.current[3], came)
            else:
                anchor = sent
                segments.append([(sent, came)])
        deltas = []
        for segment in segments:
            first, last = segment[0], segment[-1]
            newest = max(came for _, came in segment)
            if self.current:
                gap = first[1] - self.current[3]
                if (
                    gap <= DEFAULTS.burst_us
                    and gap < first[0] - self.current[1]
                    and first[1] - self.current[2] < DEFAULTS.max_burst_us
                ):
                    self.current[1] = last[0]
                    self.current[3] = max(self.current[3], newest)
                    continue
                deltas += self.finish()
            self.current = [first[0], last[0], first[1], newest]
        return deltas

    def finish(self) -> list[Delta]:
        assert self.current
        _, sent, _, came = self.current
        if self.previous is None:
            self.previous = (sent, came)
            return []
        d_sent, d_came = sent - self.previous[0], came - self.previous[1]
        if abs(d_came - d_sent) > DEFAULTS.max_delay_jump_us:
            self.previous = (sent, came)
            return []
        if d_came < 0:
            return []
        self.previous = (sent, came)
        return [(d_sent, d_came, came)]


steps = st.tuples(
    st.sampled_from([0, 0, 300, 2_000, 4_900, 5_100, 9_000, 20_000, 60_000]),
    st.one_of(st.integers(0, 3_000), st.integers(0, 90_000), st.just(5_000_000)),
)


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(st.lists(steps, max_size=40), min_size=3, max_size=3), cut=st.integers(1, 4))
def test_groups_are_those_of_plain_code(lines: list[list[tuple[int, int]]], cut: int) -> None:
    groups, plain = Groups(3), [PlainGroups() for _ in lines]
    packets: list[list[tuple[int, int]]] = []
    for line in lines:
        sent = START_US + np.cumsum([step[0] for step in line], dtype=np.int64)
        came = sent + 1_000_000 + np.array([step[1] for step in line], np.int64)
        packets.append([(int(s), int(c)) for s, c in zip(sent, came, strict=True)])
    for part in range(cut):
        parts = [line[len(line) * part // cut : len(line) * (part + 1) // cut] for line in packets]
        rows = [(slot, s, c, 100, 0) for slot, line in enumerate(parts) for s, c in line]
        batch = batch_of(rows)
        burst_us = np.full(len(batch.slots), DEFAULTS.burst_us)
        deltas = group_rows(groups, batch, burst_us, DEFAULTS)
        for at, slot in enumerate(batch.slots):
            expected = plain[slot].take(sorted(parts[slot], key=lambda packet: packet[0]))
            assert deltas_of(deltas, at) == expected


def deltas_of(deltas: Deltas, at: int) -> list[Delta]:
    count = int(deltas.counts[at])
    columns = (deltas.sent_us[:count, at], deltas.came_us[:count, at], deltas.at_us[:count, at])
    return [(int(a), int(b), int(c)) for a, b, c in zip(*columns, strict=True)]


def deltas_with(growth_ms: list[float], gap_ms: float = 10.0, *, from_ms: float = 0.0) -> Deltas:
    came = np.array(growth_ms)[:, None] * 1e3 + gap_ms * 1e3
    sent = np.full_like(came, gap_ms * 1e3)
    at = 5e9 + from_ms * 1e3 + np.cumsum(came, axis=0)
    return Deltas(np.array([len(came)]), sent, came, at, np.zeros(1, np.bool_))


def test_the_slope_is_that_of_least_squares() -> None:
    random = np.random.default_rng(3)
    growth = random.normal(0.3, 2.0, 45)
    trends, slots = Trends(1), np.array([0])
    expected_smooth, total, smooth, times = [], 0.0, 0.0, []
    clock = 0.0
    for value in growth:
        total += value
        smooth = 0.9 * smooth + 0.1 * total
        clock += 10 + value
        expected_smooth.append(smooth)
        times.append(clock)
    parts = (growth[:13], growth[13:14], growth[14:])
    begun = 0
    for part in parts:
        deltas = deltas_with(list(part))
        at = 5e9 + 1e3 * np.array(times[begun : begun + len(part)])
        find_signals(trends, slots, deltas._replace(at_us=at[:, None]), DEFAULTS)
        begun += len(part)
        if begun >= 20:
            slope = np.polyfit(times[begun - 20 : begun], expected_smooth[begun - 20 : begun], 1)[0]
            assert trends.previous_trend[0] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize(
    ("growth_ms", "is_overused", "is_underused"),
    [(0.0, False, False), (2.0, True, False), (-2.0, False, True)],
)
def test_growing_delay_is_overuse(growth_ms: float, is_overused: bool, is_underused: bool) -> None:
    trends, slots = Trends(1), np.array([0])
    find_signals(trends, slots, deltas_with([0.0] * 25), DEFAULTS)
    over, under = find_signals(trends, slots, deltas_with([growth_ms] * 12, from_ms=250), DEFAULTS)
    assert (bool(over[0]), bool(under[0])) == (is_overused, is_underused)


def test_the_threshold_follows_noise_and_not_jumps() -> None:
    trends, slots = Trends(1), np.array([0])
    for turn in range(20):
        find_signals(trends, slots, deltas_with([0.0] * 10, from_ms=turn * 100), DEFAULTS)
    assert trends.threshold_ms[0] == DEFAULTS.threshold_min_ms
    find_signals(trends, slots, deltas_with([40.0] * 3, from_ms=2000), DEFAULTS)
    assert trends.threshold_ms[0] < 2 * DEFAULTS.threshold_min_ms


def rows_every(gap_us: int, count: int, *, delay_us: int = 30_000, from_us: int = 0) -> list[Row]:
    sent = [START_US + from_us + k * gap_us for k in range(count)]
    return [(0, at, at + delay_us, 100, 0) for at in sent]


def test_the_queue_is_what_the_quickest_packet_waited() -> None:
    queues = Queues(3)
    measure_queues(queues, batch_of(rows_every(20_000, 5)), CALM, START_US, DEFAULTS)
    assert queues.queue_us[0] == 0
    late = rows_every(20_000, 5, delay_us=110_000, from_us=100_000)
    late[2] = (0, late[2][1], late[2][1] + 75_000, 100, 0)
    measure_queues(queues, batch_of(late), CALM, START_US + 100_000, DEFAULTS)
    assert queues.queue_us[0] == 45_000


def test_a_queue_that_sending_less_does_not_shrink_is_the_way_itself() -> None:
    queues, slots = Queues(3), np.array([0])
    found = []
    for tick in range(60):
        now_us = START_US + tick * 100_000
        delay_us = 30_000 if tick < 10 else 230_000
        rows = rows_every(20_000, 5, delay_us=delay_us, from_us=tick * 100_000)
        measure_queues(queues, batch_of(rows), CALM, now_us, DEFAULTS)
        if find_standing(queues, slots, now_us, DEFAULTS)[0]:
            found.append(tick)
    assert found == [22]
    assert queues.queue_us[0] == 0
    # And a queue on the longer way is seen as any other.
    for tick in range(60, 66):
        rows = rows_every(20_000, 5, delay_us=330_000, from_us=tick * 100_000)
        measure_queues(queues, batch_of(rows), CALM, START_US + tick * 100_000, DEFAULTS)
        find_standing(queues, slots, START_US + tick * 100_000, DEFAULTS)
        assert queues.queue_us[0] == 100_000


def test_holes_in_the_reports_do_not_count_as_time() -> None:
    gaps, arrivals = Gaps(3), Arrivals(3)
    kept = np.random.default_rng(1).random(400) < 0.7
    for tick in range(400):
        batch = batch_of(rows_every(20_000, 5, from_us=tick * 100_000) if kept[tick] else [])
        missing = find_missing(gaps, batch, DEFAULTS)
        measure_arrivals(arrivals, batch, missing, nobody(batch), DEFAULTS)
    # 100 bytes every 20 ms
    assert arrivals.smooth_bps[0] == pytest.approx(40_000, rel=0.1)


def test_pauses_of_a_slow_sender_are_time() -> None:
    gaps, arrivals = Gaps(3), Arrivals(3)
    for tick in range(100):
        batch = batch_of(rows_every(1_000, 2, from_us=tick * 200_000))
        missing = find_missing(gaps, batch, DEFAULTS)
        measure_arrivals(arrivals, batch, missing, nobody(batch), DEFAULTS)
    assert arrivals.smooth_bps[0] == pytest.approx(8_000, rel=0.1)


def waiting(batch: Batch) -> Bools:
    return np.ones(len(batch.slots), np.bool_)


def nobody(batch: Batch) -> Bools:
    return np.zeros(len(batch.slots), np.bool_)


def take_video(arrivals: Arrivals, ticks: range, gap_us: int, *, waits: bool) -> None:
    """Packets of 1000 bytes."""
    for tick in ticks:
        rows = rows_of_size(1000, gap_us, 100_000 // gap_us, from_us=tick * 100_000)
        batch = batch_of(rows)
        chosen = waiting(batch) if waits else nobody(batch)
        measure_arrivals(arrivals, batch, np.zeros(3), chosen, DEFAULTS)


def rows_of_size(size: int, gap_us: int, count: int, *, from_us: int) -> list[Row]:
    sent = [START_US + from_us + k * gap_us for k in range(count)]
    return [(0, at, at + 1_000_000, size, 0) for at in sent]


FIRST, SELDOM, ALWAYS = np.array([0]), np.zeros(1, np.bool_), np.ones(1, np.bool_)


def test_what_comes_while_packets_wait_is_what_the_line_carries() -> None:
    arrivals = Arrivals(3)
    take_video(arrivals, range(20), 50_000, waits=False)
    usual = arrivals.current_bps(FIRST, SELDOM, DEFAULTS)[0]
    assert usual == pytest.approx(160_000, rel=0.1) and arrivals.full_bps[0] == 0
    take_video(arrivals, range(20, 22), 10_000, waits=True)
    assert arrivals.full_bps[0] == pytest.approx(800_000, rel=0.05)
    assert arrivals.current_bps(FIRST, SELDOM, DEFAULTS)[0] == arrivals.full_bps[0]
    # Who sends all that is allowed shows the same over a longer time.
    assert arrivals.current_bps(FIRST, ALWAYS, DEFAULTS)[0] < 0.8 * arrivals.full_bps[0]
    take_video(arrivals, range(22, 23), 50_000, waits=False)
    assert arrivals.full_bps[0] == 0


def test_a_queue_that_stands_tells_of_the_line_as_it_is_now() -> None:
    arrivals = Arrivals(3)
    take_video(arrivals, range(30), 10_000, waits=True)
    take_video(arrivals, range(30, 37), 20_000, waits=True)
    assert arrivals.full_bps[0] == pytest.approx(400_000, rel=0.25)
    take_video(arrivals, range(37, 40), 50_000, waits=True)
    assert arrivals.current_bps(FIRST, SELDOM, DEFAULTS)[0] == pytest.approx(160_000, rel=0.25)


def test_pictures_that_stop_beside_sound_are_no_hole() -> None:
    gaps = Gaps(3)
    for tick in range(50):
        missing = find_missing(
            gaps, batch_of(rows_every(5_000, 20, from_us=tick * 100_000)), DEFAULTS
        )
    for tick in range(50, 60):
        missing = find_missing(
            gaps, batch_of(rows_every(20_000, 5, from_us=tick * 100_000)), DEFAULTS
        )
        assert missing[0] == 0
