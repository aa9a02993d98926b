"""Layers that a publisher's own line does not carry are left off, and tried ever more rarely."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bandwidth.uplink import (
    BACK_GRACE_S,
    BELOW_SHARE,
    FALL_WAIT_S,
    FIRST_WAIT_S,
    GRACE_S,
    MAX_WAIT_S,
    NO_NEWS,
    OTHER_BPS,
    PROVEN_S,
    Carried,
    find_limit_bps,
    judge,
    take_news,
)

STEP_S = 0.5
Line = Callable[[float, int], tuple[float, float, float]]


def run(
    line: Line, seconds: float, *, top: int = 1, carried: Carried | None = None, from_s: float = 0.0
) -> tuple[Carried, list[tuple[float, int]]]:
    """One track's line for a while; returns when the limit moved where to."""
    carried = Carried.start(1, from_s) if carried is None else carried
    moves = []
    for step in range(1, int(seconds / STEP_S) + 1):
        now_s = from_s + step * STEP_S
        sent = min(top, int(carried.limit[0]))
        before = carried
        carried = judge(now_s, STEP_S, [line(now_s, sent)], [top], before)
        if carried.limit[0] != before.limit[0]:
            moves.append((now_s, int(carried.limit[0])))
    return carried, moves


def narrow(_: float, sent: int) -> tuple[float, float, float]:
    """The lowest layer whole, the crumbs for the next."""
    return (430e3, 70e3 if sent >= 1 else 0.0, 0.0)


def test_a_starved_layer_is_stopped_after_its_grace_and_tried_ever_more_rarely() -> None:
    _, moves = run(narrow, 1000.0)
    stops = [at_s for at_s, limit in moves if limit == 0]
    tries = [at_s for at_s, limit in moves if limit == 1]
    assert stops[0] == STEP_S + GRACE_S
    waits = [tried_s - stopped_s for stopped_s, tried_s in zip(stops, tries, strict=False)]
    assert waits == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]
    assert max(waits) <= MAX_WAIT_S


def test_a_layer_that_its_sender_switches_off_and_on_is_stopped() -> None:
    _, moves = run(lambda at_s, _: (400e3, 0.0 if at_s % 4 < 3 else 200e3, 0.0), 30.0)
    assert moves[0][1] == 0


def test_it_comes_back_with_the_line_and_the_next_trouble_starts_from_the_beginning() -> None:
    carried, _ = run(narrow, 10.0)
    assert carried.limit[0] == 0
    carried, moves = run(
        lambda _, sent: (450e3, 900e3 * sent, 0.0), 100.0, carried=carried, from_s=10.0
    )
    assert moves == [(STEP_S + GRACE_S + FIRST_WAIT_S, 1)]
    assert carried.wait_s[0] == FIRST_WAIT_S, "it was well for so long"
    assert FIRST_WAIT_S + PROVEN_S < 100.0


def test_strong_publishers_lose_nothing() -> None:
    def starting(at_s: float, _: int) -> tuple[float, float, float]:
        return (150e3, 500e3 if at_s > 2 else 0.0, 1700e3 if at_s > 4 else 0.0)

    assert run(starting, 120.0, top=2)[1] == []
    # A dip of two seconds, and crumbs of a still picture, are nothing.
    dips: Line = lambda at_s, _: (450e3, 0.0 if 20 < at_s <= 22.5 else 900e3, 0.0)  # noqa: E731
    assert run(dips, 120.0)[1] == []
    assert run(lambda *_: (60e3, 5e3, 0.0), 120.0)[1] == []
    assert run(lambda *_: (0.0, 0.0, 0.0), 120.0)[1] == []


def test_three_layers_go_one_by_one() -> None:
    _, moves = run(lambda _, sent: (150e3, 30e3 if sent > 0 else 0.0, 0.0), 20.0, top=2)
    assert moves == [(GRACE_S, 1), (2 * GRACE_S, 0)]


def test_what_nobody_wants_is_not_judged() -> None:
    assert run(narrow, 60.0, top=0)[1] == []
    assert run(narrow, 60.0, top=-1)[1] == []


rates = st.lists(
    st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 3), min_size=1, max_size=60
)


@given(rates, st.integers(-1, 2), st.floats(0.1, 5.0))
def test_anything_stays_in_bounds_and_moves_one_layer_at_a_time(
    history: list[tuple[float, float, float]], top: int, step_s: float
) -> None:
    carried = Carried.start(1, 0.0)
    for step, row in enumerate(history):
        before = int(carried.limit[0])
        carried = judge((step + 1) * step_s, step_s, [row], [top], carried)
        assert 0 <= carried.limit[0] <= 2 and abs(int(carried.limit[0]) - before) <= 1 + (top < 2)
        assert FIRST_WAIT_S <= carried.wait_s[0] <= MAX_WAIT_S


@given(st.lists(st.tuples(*[st.floats(0, 2e6)] * 3), min_size=2, max_size=8))
def test_a_row_never_depends_on_another(rows: list[tuple[float, float, float]]) -> None:
    tops = [index % 3 for index in range(len(rows))]
    together, alone = Carried.start(len(rows), 0.0), Carried.start(1, 0.0)
    for step in range(1, 30):
        together = judge(step * STEP_S, STEP_S, rows, tops, together)
        alone = judge(step * STEP_S, STEP_S, rows[:1], tops[:1], alone)
    assert all(np.array_equal(whole[:1], own) for whole, own in zip(together, alone, strict=True))


def test_rows_are_taken_and_joined() -> None:
    both = Carried.start(1, 1.0).join(Carried.start(1, 2.0))
    assert both.since_s.tolist() == [1.0, 2.0]
    assert both.take([1, 1, 0]).since_s.tolist() == [2.0, 2.0, 1.0]
    assert both.take([]).limit.size == 0


def test_the_limit_leaves_room_for_the_layers_below_and_for_sound() -> None:
    carried = Carried.start(4, 0.0)._replace(limit=np.array([0, 1, 2, 0], np.int8))
    limits = find_limit_bps(
        carried,
        [2, 2, 2, 0],
        [[140e3, 60e3, 0.0]] * 4,
        [[150e3, 450e3, 1700e3], [0, 0, 0], [0] * 3, [0] * 3],
        [160e3, np.nan, 0.0, 0.0],
    )
    assert limits.tolist() == [160e3 + BELOW_SHARE * 150e3, OTHER_BPS + 200e3, 0.0, 0.0]


def test_news_of_a_line_counts_at_once_and_only_for_it() -> None:
    before = Carried.start(2, 0.0)
    fallen = take_news(50.0, [0, NO_NEWS], [2, 2], before)
    assert fallen.limit.tolist() == [0, 2] and fallen.wait_s.tolist() == [FALL_WAIT_S, FIRST_WAIT_S]
    rates = [(140_000.0, 0.0, 0.0), (150_000.0, 450_000.0, 900_000.0)]
    judged = judge(50.5, STEP_S, rates, [2, 2], fallen)
    assert judged.limit.tolist() == [0, 2] and judged.since_s.tolist()[0] == 50.0
    assert judge(50.0 + FALL_WAIT_S, STEP_S, rates, [2, 2], judged).limit.tolist() == [1, 2]
    back = take_news(60.0, [2, NO_NEWS], [2, 2], judged)
    starved = [(150_000.0, 150_000.0, 0.0)]
    line, moves = run(
        lambda now_s, sent: starved[0], BACK_GRACE_S, top=2, carried=back.take([0]), from_s=60.0
    )
    assert moves == [] and line.limit.tolist() == [2]
    _, moves = run(
        lambda now_s, sent: starved[0], 10, top=2, carried=line, from_s=60.0 + BACK_GRACE_S
    )
    assert [limit for _, limit in moves] == [1]
