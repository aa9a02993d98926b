"""The link model: rate, loss, order and outages are what they are said to be."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weaknet.pipe import SECOND_US, Change, Conditions, Pipe


def pipe(plan: Conditions | list[Change], seed: int = 1, **options: int) -> Pipe[int]:
    return Pipe(plan, random.Random(seed), **options)


def run_out(link: Pipe[int]) -> list[tuple[int, int]]:
    """Everything that is left, with the time it comes out."""
    arrived = []
    while (due_us := link.next_us()) is not None:
        arrived += [(due_us, packet) for packet in link.pop(due_us)]
    return arrived


def flow(link: Pipe[int], count: int, every_us: int, size_bytes: int = 1000) -> list[int]:
    """Packets at a steady rate; returns those that arrive, in order of arrival."""
    arrived: list[int] = []
    for number in range(count):
        link.push(number * every_us, number, size_bytes)
        arrived += link.pop(number * every_us)
    return arrived + [packet for _, packet in run_out(link)]


def test_the_rate_is_exact_also_where_packets_do_not_last_whole_microseconds() -> None:
    link = pipe(Conditions(rate_bps=777_777, queue_bytes=10**9))
    for number in range(10_000):
        link.push(0, number, 333)
    arrived = run_out(link)
    assert [packet for _, packet in arrived] == list(range(10_000))
    assert abs(arrived[-1][0] - 10_000 * 333 * 8 * SECOND_US / 777_777) <= 1
    assert abs(arrived[4999][0] - 5_000 * 333 * 8 * SECOND_US / 777_777) <= 1


def test_an_idle_link_keeps_no_rate_for_later() -> None:
    link = pipe(Conditions(rate_bps=800_000))
    link.push(5 * SECOND_US, 1, 1000)
    link.push(5 * SECOND_US, 2, 1000)
    assert run_out(link) == [(5_010_000, 1), (5_020_000, 2)]


def test_the_queue_is_bounded_in_bytes_and_takes_the_tail() -> None:
    link = pipe(Conditions(rate_bps=8_000, queue_bytes=3000))
    for number in range(5):
        link.push(0, number, 1000)
    assert link.queued_bytes == 3000
    assert [packet for _, packet in run_out(link)] == [0, 1, 2]
    assert (link.counters.offered, link.counters.passed, link.counters.dropped_queue) == (5, 3, 2)


def test_a_packet_longer_than_the_queue_passes_an_idle_link() -> None:
    link = pipe(Conditions(rate_bps=8_000, queue_bytes=100))
    link.push(0, 1, 1000)
    assert run_out(link) == [(SECOND_US, 1)]


def test_a_change_of_rate_slows_the_packet_that_is_on_its_way() -> None:
    link = pipe(
        [Change(0, Conditions(rate_bps=8_000)), Change(500_000, Conditions(rate_bps=4_000))]
    )
    link.push(0, 1, 1000)
    link.push(0, 2, 1000)
    assert run_out(link) == [(1_500_000, 1), (3_500_000, 2)]


def test_a_plan_counts_from_the_start_of_the_pipe() -> None:
    plan = [Change(0, Conditions()), Change(10, Conditions(is_down=True)), Change(20, Conditions())]
    link = pipe(plan, start_us=1000)
    for now_us in (1005, 1010, 1019, 1020):
        link.push(now_us, now_us, 100)
    assert [packet for _, packet in run_out(link)] == [1005, 1020]
    assert link.counters.dropped_outage == 2


@pytest.mark.parametrize(("loss", "burst"), [(0.03, 2), (0.1, 2), (0.3, 4), (0.3, 0), (0.05, 0)])
def test_loss_has_the_given_share_and_burst_length(loss: float, burst: float) -> None:
    count = 60_000
    arrived = set(flow(pipe(Conditions(loss=loss, burst=burst)), count, 100))
    lost = [number not in arrived for number in range(count)]
    bursts = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    assert sum(lost) / count == pytest.approx(loss, rel=0.08)
    assert sum(lost) / bursts == pytest.approx(burst or 1 / (1 - loss), rel=0.08)


def test_what_is_lost_in_the_air_has_used_its_share_of_the_rate() -> None:
    link = pipe(Conditions(rate_bps=8_000_000, loss=0.5, queue_bytes=10**9))
    for number in range(2000):
        link.push(0, number, 1000)
    assert run_out(link)[-1][0] == pytest.approx(2 * SECOND_US, rel=0.01)


@given(seed=st.integers(0, 2**32), jitter_us=st.integers(0, 200_000))
def test_jitter_keeps_the_order_and_its_bounds(seed: int, jitter_us: int) -> None:
    link = pipe(Conditions(delay_us=50_000, jitter_us=jitter_us), seed)
    sent_us = [number * 3_000 for number in range(100)]
    for number, now_us in enumerate(sent_us):
        link.push(now_us, number, 100)
    arrived = run_out(link)
    assert [packet for _, packet in arrived] == list(range(100))
    assert all(50_000 <= out - sent_us[n] <= 50_000 + jitter_us for out, n in arrived)


def test_reordering_holds_back_the_asked_share() -> None:
    link = pipe(Conditions(delay_us=1000, reorder=0.05, reorder_us=5_000))
    arrived = flow(link, 10_000, 1_000)
    late = sum(b < a for a, b in zip(arrived, arrived[1:], strict=False))
    assert sorted(arrived) == list(range(10_000))
    assert late / 10_000 == pytest.approx(0.05, rel=0.1)
    assert link.counters.reordered >= late


def test_the_history_tells_what_waited_and_for_how_long() -> None:
    link = pipe(Conditions(rate_bps=800_000, queue_bytes=10**6), sample_us=100_000)
    for number in range(20):  # 10 ms each: the last waits 190 ms
        link.push(0, number, 1000)
    run_out(link)
    history = link.finish_history()
    assert [sample.start_us for sample in history] == [0, 100_000, 200_000]
    assert [sample.packets for sample in history] == [9, 10, 1]
    assert [sample.queue_max_us for sample in history] == [80_000, 180_000, 190_000]
    assert sum(sample.size_bytes for sample in history) == link.counters.passed_bytes
    assert history[0].queue_sum_us == sum(range(0, 90_000, 10_000))


def test_the_same_seed_gives_the_same_link() -> None:
    weak = Conditions(rate_bps=300_000, delay_us=100_000, jitter_us=40_000, loss=0.1, burst=2)
    first, second, other = (flow(pipe(weak, seed), 500, 30_000) for seed in (7, 7, 8))
    assert first == second != other


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 50_000), st.integers(1, 1500)), min_size=1, max_size=80
    ),
    rate_bps=st.integers(8_000, 10_000_000),
    queue_bytes=st.integers(0, 20_000),
)
def test_packets_are_never_made_nor_forgotten(
    steps: list[tuple[int, int]], rate_bps: int, queue_bytes: int
) -> None:
    link = pipe(
        [
            Change(0, Conditions(rate_bps=rate_bps, queue_bytes=queue_bytes, loss=0.2)),
            Change(200_000, Conditions(is_down=True)),
            Change(400_000, Conditions(rate_bps=2 * rate_bps, jitter_us=5_000, delay_us=100)),
            Change(600_000, Conditions()),
        ]
    )
    now_us, arrived = 0, []
    for number, (wait_us, size_bytes) in enumerate(steps):
        now_us += wait_us
        arrived += link.pop(now_us)
        link.push(now_us, number, size_bytes)
        assert link.queued_bytes <= max(queue_bytes, 48_000)
    arrived += [packet for _, packet in run_out(link)]
    counted = link.counters
    assert len(set(arrived)) == len(arrived) == counted.passed
    dropped = counted.dropped_queue + counted.dropped_loss + counted.dropped_outage
    assert counted.offered == len(steps) == counted.passed + dropped
    assert arrived == sorted(arrived) and link.queued_bytes == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"rate_bps": 0},
        {"queue_bytes": -1},
        {"delay_us": -1},
        {"loss": 1.5},
        {"reorder": -0.1},
        {"loss": 0.9, "burst": 1},
        {"loss": 0.1, "burst": 0.5},
        {"burst": 2},
    ],
)
def test_conditions_no_link_can_have_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Conditions(**bad)  # type: ignore[arg-type]


def test_a_plan_starts_at_once_and_goes_forward() -> None:
    for times in ([], [5], [0, 20, 10], [0, 10, 10]):
        with pytest.raises(ValueError):
            pipe([Change(at_us, Conditions()) for at_us in times])
