"""Feedback of calm lines waits for their turn, and none of it is lost, doubled or out of order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bandwidth.estimator import Feedback
from sfu.downlink.attention import Attention, Look
from sfu.downlink.config import DownlinkConfig

CONFIG = DownlinkConfig(calm_interval_s=2.0, calm_rows=200)
TICK_US = 100_000
NUM_SLOTS = 4


def rows_of(slots: list[int], first_number: int = 1) -> Feedback:
    """Rows that carry a number, in `sent_us`, by which they are known again."""
    count = len(slots)
    return Feedback(
        slot=np.array(slots, np.int32),
        sent_us=np.arange(first_number, first_number + count, dtype=np.int64),
        received_us=np.ones(count, np.int64),
        size_bytes=np.full(count, 100, np.int32),
        probe=np.zeros(count, np.int64),
    )


def calm(*slots: int) -> np.ndarray:
    return np.isin(np.arange(NUM_SLOTS), slots)


def seen(look: Look) -> list[int]:
    return sorted(int(slot) for slot in look.feedback.slot)


def start() -> Attention:
    """At 10 s, with a look at all lines at 10 s."""
    attention = Attention(NUM_SLOTS, CONFIG)
    assert attention.choose(10_000_000, rows_of([])).has_calm
    return attention


def test_a_weak_line_does_not_cost_looks_at_the_strong_ones() -> None:
    attention = start()
    assert list(attention.settle(10_000_000, calm(0, 1, 2))) == [0, 1, 2]
    full_turns = 0
    for tick in range(1, 41):
        look = attention.choose(10_000_000 + tick * TICK_US, rows_of([0, 1, 2, 3]))
        full_turns += look.has_calm
        expected = [0, 1, 2, 3] if look.has_calm else [3]
        assert sorted(set(seen(look))) == expected
        assert (look.is_calm == calm(0, 1, 2)).all()
        watched = attention.settle(10_000_000 + tick * TICK_US, calm(0, 1, 2))
        assert list(watched) == ([0, 1, 2] if look.has_calm else []), "word may have been lost"
    assert full_turns == 2


def test_who_shows_weakness_is_looked_at_from_its_first_row_on_and_for_a_second() -> None:
    attention = start()
    attention.settle(10_000_000, calm(0, 1))
    attention.choose(10_100_000, rows_of([0, 1, 0]))
    attention.settle(10_100_000, calm(0, 1))
    attention.wake(0, 10_150_000)
    look = attention.choose(10_200_000, rows_of([0, 1], 10))
    assert list(look.feedback.sent_us[look.feedback.slot == 0]) == [1, 3, 10]
    assert seen(look) == [0, 0, 0] and not look.has_calm
    assert list(attention.settle(10_200_000, calm(0, 1))) == []
    assert seen(attention.choose(11_100_000, rows_of([0, 1], 20))) == [0]
    assert list(attention.settle(11_200_000, calm(0, 1))) == [0], "and then left alone again"


def test_a_line_that_is_not_calm_any_more_brings_what_was_kept() -> None:
    attention = start()
    attention.settle(10_000_000, calm(0, 1))
    attention.choose(10_100_000, rows_of([0, 1]))
    attention.settle(10_100_000, calm(1))
    look = attention.choose(10_200_000, rows_of([0], 10))
    assert list(look.feedback.sent_us) == [1, 10]


def test_what_is_kept_has_a_bound() -> None:
    attention = start()
    attention.settle(10_000_000, calm(0))
    assert not attention.choose(10_100_000, rows_of([0] * 150)).has_calm
    look = attention.choose(10_200_000, rows_of([0] * 60))
    assert look.has_calm and len(look.feedback.slot) == 210


def test_rows_of_a_line_that_ended_do_not_go_to_the_next_one() -> None:
    attention = start()
    attention.settle(10_000_000, calm(0, 1))
    attention.choose(10_100_000, rows_of([0, 1]))
    attention.forget(0)
    look = attention.choose(12_100_000, rows_of([0], 10))
    assert look.has_calm
    assert list(look.feedback.sent_us) == [2, 10]
    attention.grow(2)
    assert seen(attention.choose(12_200_000, rows_of([5]))) == [5]


Turn = tuple[list[int], set[int], set[int]]
slots = st.integers(0, NUM_SLOTS - 1)
turns = st.tuples(st.lists(slots, max_size=40), st.sets(slots), st.sets(slots, max_size=1))


@settings(max_examples=100, deadline=None)
@given(plan=st.lists(turns, max_size=60))
def test_every_row_comes_once_and_in_the_order_of_its_line(plan: list[Turn]) -> None:
    attention = start()
    now_us, number = 10_000_000, 1
    given_rows: dict[int, list[int]] = {slot: [] for slot in range(NUM_SLOTS)}
    got: dict[int, list[int]] = {slot: [] for slot in range(NUM_SLOTS)}
    for came, is_calm, woken in [*plan, ([], set(), set()), ([], set(), set())]:
        now_us += TICK_US
        for slot in woken:
            attention.wake(slot, now_us)
        rows = rows_of(came, number)
        number += len(came)
        for slot, sent in zip(rows.slot, rows.sent_us, strict=True):
            given_rows[int(slot)].append(int(sent))
        look = attention.choose(now_us, rows)
        for slot, sent in zip(look.feedback.slot, look.feedback.sent_us, strict=True):
            got[int(slot)].append(int(sent))
        attention.settle(now_us, calm(*is_calm))
    assert got == given_rows
