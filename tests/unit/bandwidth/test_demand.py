from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandwidth.demand import (
    ALL_TEMPORAL,
    MAX_LAYERS,
    NOTHING,
    Wanted,
    choose_layers,
    find_demand,
    update_demand,
)

HD = [(320, 180), (640, 360), (1280, 720)]


def choose(
    sizes: list[tuple[int, int]] = HD,
    *,
    width: int = 0,
    height: int = 0,
    quality: int = 2,
    fps: float = 0,
    source_fps: float = 30,
    is_disabled: bool = False,
) -> tuple[int, int]:
    padded = [*sizes, *[(0, 0)] * (MAX_LAYERS - len(sizes))]
    wanted = choose_layers(
        [padded],
        width=[width],
        height=[height],
        quality=[quality],
        fps=[fps],
        source_fps=[source_fps],
        is_disabled=[is_disabled],
    )
    return int(wanted.spatial[0]), int(wanted.temporal[0])


@pytest.mark.parametrize(
    ("shown", "layer"),
    [
        ((160, 90), 0),
        ((320, 180), 0),
        ((321, 181), 1),
        ((640, 360), 1),
        ((900, 506), 2),
        ((3840, 2160), 2),
        ((180, 320), 0),
        ((1000, 1), 0),
    ],
)
def test_the_smallest_layer_that_covers(shown: tuple[int, int], layer: int) -> None:
    assert choose(width=shown[0], height=shown[1])[0] == layer


def test_an_upright_phone_counts_by_its_short_side() -> None:
    upright = [(height, width) for width, height in HD]
    assert choose(upright, width=640, height=360)[0] == 1


def test_quality_counts_without_a_size() -> None:
    assert [choose(quality=quality)[0] for quality in (0, 1, 2, 9)] == [0, 1, 2, 2]
    assert choose(width=640, quality=0)[0] == 0


def test_tracks_with_fewer_layers() -> None:
    assert choose(HD[:2], quality=2)[0] == 1
    assert choose(HD[:1], quality=0)[0] == choose([], quality=2)[0] == 0
    assert choose([], width=100, height=100)[0] == 0


def test_nothing_for_a_hidden_player() -> None:
    assert choose(is_disabled=True)[0] == NOTHING


@pytest.mark.parametrize(
    ("fps", "source_fps", "temporal"),
    [
        (0, 30, ALL_TEMPORAL),
        (30, 30, ALL_TEMPORAL),
        (20, 30, ALL_TEMPORAL),
        (15, 30, 1),
        (15, 0, 1),
        (8, 30, 0),
        (5, 30, 0),
        (15, 15, ALL_TEMPORAL),
        (15, 60, 0),
    ],
)
def test_frame_rate_chooses_the_temporal_layer(
    fps: float, source_fps: float, temporal: int
) -> None:
    assert choose(fps=fps, source_fps=source_fps)[1] == temporal


def test_no_rows() -> None:
    empty: list[int] = []
    wanted = choose_layers(
        np.zeros((0, MAX_LAYERS, 2)),
        width=empty,
        height=empty,
        quality=empty,
        fps=empty,
        source_fps=empty,
        is_disabled=empty,
    )
    assert wanted.spatial.shape == wanted.temporal.shape == (0,)
    assert find_demand(0, empty, empty).shape == (0, MAX_LAYERS)


sides = st.integers(1, 4000)
ladders = st.lists(sides, min_size=1, max_size=MAX_LAYERS, unique=True).map(sorted)
rows = st.lists(
    st.tuples(ladders, sides, sides, st.integers(0, 2), st.booleans()), min_size=1, max_size=8
)


def choose_rows(table: list[tuple[list[int], int, int, int, bool]]) -> Wanted:
    return choose_layers(
        [
            [*[(side, side) for side in ladder], *[(0, 0)] * (MAX_LAYERS - len(ladder))]
            for ladder, *_ in table
        ],
        width=[row[1] for row in table],
        height=[row[2] for row in table],
        quality=[row[3] for row in table],
        fps=[0] * len(table),
        source_fps=[0] * len(table),
        is_disabled=[row[4] for row in table],
    )


@given(rows)
@settings(deadline=None)
def test_choice_covers_and_is_smallest(
    table: list[tuple[list[int], int, int, int, bool]],
) -> None:
    wanted = choose_rows(table)
    for (ladder, width, height, _, is_disabled), layer in zip(
        table, wanted.spatial.tolist(), strict=True
    ):
        shown = min(width, height)
        if is_disabled:
            assert layer == NOTHING
            continue
        assert 0 <= layer < len(ladder)
        assert ladder[layer] >= shown or layer == len(ladder) - 1
        assert layer == 0 or ladder[layer - 1] < shown


@given(rows)
@settings(deadline=None)
def test_rows_do_not_touch_each_other(
    table: list[tuple[list[int], int, int, int, bool]],
) -> None:
    together = choose_rows(table).spatial.tolist()
    assert together == [int(choose_rows([row]).spatial[0]) for row in table]


@given(ladders, sides, sides)
@settings(deadline=None)
def test_showing_more_never_wants_less(ladder: list[int], shown: int, more: int) -> None:
    small, big = sorted((shown, more))
    table = [(ladder, side, side, 0, False) for side in (small, big)]
    low, high = choose_rows(table).spatial.tolist()
    assert low <= high


def test_demand_is_the_union_of_wishes() -> None:
    wanted = find_demand(3, [0, 0, 1, 1, 2], [0, 2, NOTHING, 1, NOTHING])
    assert wanted.tolist() == [[True, False, True], [False, True, False], [False] * 3]


def test_layers_within_one_stream_need_those_below() -> None:
    wanted = find_demand(2, [0, 1], [2, 1], is_simulcast=[False, True])
    assert wanted.tolist() == [[True, True, True], [False, True, False]]


def test_layers_are_enabled_at_once_and_disabled_late() -> None:
    nobody = np.zeros((1, MAX_LAYERS), np.bool_)
    top = np.array([[False, False, True]])
    all_on = np.ones((1, MAX_LAYERS), np.bool_)
    state = update_demand(10.0, top, all_on, np.full((1, MAX_LAYERS), np.nan))
    assert state.enabled.all() and state.next_s == 15.0
    state = update_demand(14.9, top, state.enabled, state.unwanted_since_s)
    assert state.enabled.all()
    state = update_demand(15.0, top, state.enabled, state.unwanted_since_s)
    assert state.enabled.tolist() == [[False, False, True]] and state.next_s == math.inf
    state = update_demand(15.1, all_on, state.enabled, state.unwanted_since_s)
    assert state.enabled.all() and np.isnan(state.unwanted_since_s).all()
    state = update_demand(16.0, nobody, state.enabled, state.unwanted_since_s)
    state = update_demand(20.0, top, state.enabled, state.unwanted_since_s)
    state = update_demand(21.0, nobody, state.enabled, state.unwanted_since_s)
    assert state.enabled.tolist() == [[False, False, True]] and state.next_s == 26.0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 4, allow_nan=False),
            st.lists(st.booleans(), min_size=MAX_LAYERS, max_size=MAX_LAYERS),
        ),
        min_size=1,
        max_size=30,
    )
)
@settings(deadline=None)
def test_delay_holds_over_any_history(history: list[tuple[float, list[bool]]]) -> None:
    now_s = 0.0
    enabled = np.ones((1, MAX_LAYERS), np.bool_)
    since_s = np.full((1, MAX_LAYERS), np.nan)
    steps: list[tuple[float, list[bool]]] = []
    for pause_s, wanted in history:
        now_s += pause_s
        before = enabled[0].copy()
        enabled, since_s, next_s = update_demand(now_s, [wanted], enabled, since_s)
        steps.append((now_s, wanted))
        for layer in range(MAX_LAYERS):
            if wanted[layer]:
                assert enabled[0, layer]
                continue
            unwanted_from = next(at for at, flags in _tail(steps, layer) if not flags[layer])
            if before[layer]:
                assert enabled[0, layer] == (unwanted_from + 5.0 > now_s)
            else:
                assert not enabled[0, layer]
        assert next_s > now_s


def _tail(steps: list[tuple[float, list[bool]]], layer: int) -> list[tuple[float, list[bool]]]:
    """The steps since the layer was last wanted."""
    start = max((i + 1 for i, (_, flags) in enumerate(steps) if flags[layer]), default=0)
    return steps[start:]
