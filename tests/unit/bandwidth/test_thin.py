"""Thin versions go to the most important of what is paused, and only where they fit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandwidth.thin import grant_thin

COST_BPS = 70_000.0


def grant(
    left_bps: float,
    may_have: list[bool],
    *,
    has: list[bool] | None = None,
    area_px: list[float] | None = None,
) -> list[bool]:
    count = len(may_have)
    return [
        bool(each)
        for each in grant_thin(
            np.array([left_bps]),
            np.array([COST_BPS]),
            slot=np.zeros(count, np.int64),
            kind=np.zeros(count, np.int8),
            area_px=np.array(area_px or [0.0] * count),
            may_have=np.array(may_have),
            has=np.array(has or [False] * count),
        )
    ]


def test_a_track_begins_with_a_margin_and_is_kept_through_a_dip() -> None:
    assert grant(COST_BPS * 1.1, [True]) == [False]
    assert grant(COST_BPS * 1.2, [True]) == [True]
    assert grant(COST_BPS * 0.8, [True], has=[True]) == [True]
    assert grant(COST_BPS * 0.7, [True], has=[True]) == [False]


def test_the_largest_goes_first() -> None:
    assert grant(COST_BPS * 1.2, [True, True], area_px=[1.0, 2.0]) == [False, True]
    assert grant(COST_BPS * 2.4, [True, True], area_px=[1.0, 2.0]) == [True, True]


def test_what_is_not_paused_gets_none() -> None:
    assert grant(1e9, [False, True, False]) == [False, True, False]
    assert grant(1e9, []) == []


Row = st.tuples(
    st.integers(0, 3), st.integers(0, 2), st.floats(0, 1e6), st.booleans(), st.booleans()
)


@given(st.lists(Row, max_size=12), st.lists(st.floats(0, 1e6), min_size=4, max_size=4))
def test_no_line_gets_more_than_it_has_left(
    rows: list[tuple[int, int, float, bool, bool]], left: list[float]
) -> None:
    slot = np.array([row[0] for row in rows], np.int64)
    left_bps: NDArray[np.float64] = np.array(left)
    granted = grant_thin(
        left_bps,
        np.full(4, COST_BPS),
        slot=slot,
        kind=np.array([row[1] for row in rows], np.int8),
        area_px=np.array([row[2] for row in rows]),
        may_have=np.array([row[3] for row in rows], np.bool_),
        has=np.array([row[4] for row in rows], np.bool_),
    )
    used = np.bincount(slot[granted], minlength=4) * COST_BPS
    assert (used * 0.75 <= left_bps + 1e-6).all()
    assert not (granted & ~np.array([row[3] for row in rows], np.bool_)).any()
