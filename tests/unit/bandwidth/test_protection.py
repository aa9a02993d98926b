"""Redundancy where it helps and fits."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bandwidth.protection import (
    MAX_COPIES,
    MAX_RED_DISTANCE,
    Protection,
    choose_protection,
    cost_factor,
    start_protection,
)

TICK_US = 100_000


class Line:
    """One subscriber's line over time."""

    def __init__(self) -> None:
        self.state: Protection = start_protection(1)
        self.now_us = 1_000_000

    def run(
        self,
        seconds: float,
        *,
        loss: float,
        rtt_ms: float = 200,
        budget: float = 600_000,
        base: float = 60_000,
        audio: float = 36_000,
        congested: bool = False,
        shown: bool = False,
    ) -> tuple[int, int]:
        for _ in range(round(seconds * 10)):
            self.state = choose_protection(
                self.now_us,
                self.state,
                loss=[loss],
                rtt_us=[rtt_ms * 1000],
                budget_bps=[budget],
                video_base_bps=[base],
                audio_bps=[audio],
                is_congested=[congested],
                is_shown=[shown],
            )
            self.now_us += TICK_US
        return int(self.state.copies[0]), int(self.state.red[0])


def test_a_clean_line_gets_nothing() -> None:
    assert Line().run(10, loss=0.01) == (0, 0)


def test_thirty_percent_loss_gets_two_copies_and_two_frames() -> None:
    assert Line().run(3, loss=0.3) == (2, 2)
    assert 0.3**3 < 0.03


def test_a_short_round_trip_leaves_it_to_retransmission() -> None:
    assert Line().run(5, loss=0.12, rtt_ms=40) == (0, 2)
    assert Line().run(5, loss=0.12, rtt_ms=240) == (1, 2)


def test_a_narrow_line_keeps_its_bits_for_originals() -> None:
    # 120 kb/s: one stream of audio that can be understood, and nothing else fits.
    assert Line().run(5, loss=0.3, budget=120_000) == (0, 1)
    assert Line().run(5, loss=0.3, budget=90_000) == (0, 0)
    # Where one frame in thirty is lost, a picture is worth more than the thirtieth frame.
    assert Line().run(5, loss=0.03, budget=90_000) == (0, 0)


def test_a_township_line_has_room_for_one_copy() -> None:
    assert Line().run(5, loss=0.1, rtt_ms=240, budget=300_000) == (1, 2)


def test_a_picture_that_flows_gets_its_copy_into_little_room() -> None:
    # 300 kb/s less a line's moods, three frames of sound in each packet, a thin picture of 72 kb/s.
    line = Line()
    assert line.run(5, loss=0.1, budget=280_000, base=72_000) == (0, 2)
    assert line.run(1, loss=0.1, budget=280_000, base=72_000, shown=True) == (1, 2)
    assert line.run(5, loss=0.1, budget=256_000, base=72_000, shown=True) == (1, 2)
    # One that must begin again needs the room for itself.
    assert line.run(1, loss=0.1, budget=256_000, base=72_000) == (0, 2)


def test_loss_of_a_growing_queue_is_not_answered_with_more_packets() -> None:
    line = Line()
    assert line.run(5, loss=0.3, congested=True) == (0, 0)
    assert line.run(3, loss=0.3) == (2, 2)


def test_it_goes_off_only_after_a_while() -> None:
    line = Line()
    line.run(5, loss=0.3)
    assert line.run(4, loss=0.0) == (2, 2)
    assert line.run(20, loss=0.0) == (0, 0)


def test_loss_on_the_edge_does_not_flicker() -> None:
    line = Line()
    seen = set()
    line.run(5, loss=0.10)
    for _ in range(20):
        seen.add(line.run(1, loss=0.06))
        seen.add(line.run(1, loss=0.10))
    assert seen == {(1, 2)}


def test_the_few_percent_of_a_radio_are_left_to_retransmission() -> None:
    assert Line().run(10, loss=0.05) == (0, 1)


def test_room_on_the_edge_does_not_flicker() -> None:
    line = Line()
    line.run(5, loss=0.3, budget=600_000)
    base = (600_000 - 3 * 36_000) / 3
    line.run(1, loss=0.3, base=base * 1.05)
    copies = [line.run(0.1, loss=0.3, base=base * (1 + 0.05 * (-1) ** i))[0] for i in range(20)]
    assert set(copies) == {1}


def test_unknown_loss_keeps_what_is_known() -> None:
    line = Line()
    line.run(5, loss=0.3)
    assert line.run(5, loss=math.nan) == (2, 2)


def test_no_video_needs_no_copies() -> None:
    assert Line().run(5, loss=0.3, base=0) == (0, 2)


def test_copies_and_retransmissions_are_part_of_the_cost() -> None:
    clean, lossy, copied = cost_factor([0, 0, 2], [0.0, 0.2, 0.3])
    assert clean == 1
    assert lossy == 1.25
    assert 3.02 < copied < 3.04


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=True),
            st.floats(0, 1e7),
            st.floats(0, 1e8),
            st.floats(0, 1e7),
            st.floats(0, 1e6),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_absurd_lines_stay_in_bounds(history: list[tuple[float, ...]]) -> None:
    state = start_protection(1)
    for index, (loss, rtt_us, budget, base, audio, congested) in enumerate(history):
        state = choose_protection(
            1 + index * TICK_US,
            state,
            loss=[loss],
            rtt_us=[rtt_us],
            budget_bps=[budget],
            video_base_bps=[base],
            audio_bps=[audio],
            is_congested=[bool(congested)],
            is_shown=[index % 3 > 0],
        )
        assert 0 <= state.copies[0] <= MAX_COPIES and 0 <= state.red[0] <= MAX_RED_DISTANCE
        assert 0 <= state.loss[0] <= 1
        assert state.copies[0] * base <= max(0.0, budget - base) + 1
        assert np.isfinite(cost_factor(state.copies, state.loss)).all()
