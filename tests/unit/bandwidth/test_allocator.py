"""Properties that hold for any wishes and budgets, and the histories people notice."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bandwidth.allocator import (
    SCREEN,
    STAGE,
    THUMBNAIL,
    Allocation,
    AllocatorState,
    Subscriptions,
    allocate,
    start_allocator,
)
from bandwidth.demand import ALL_TEMPORAL, NOTHING
from bandwidth.ladder import Step

SHARES = (0.4, 0.6, 1.0)
LOW, MIDDLE, HIGH = 150_000.0, 450_000.0, 1_200_000.0


def camera(*layers: float, temporal: int = 3) -> np.ndarray:
    rates = np.zeros((3, 3))
    for index, rate in enumerate(layers):
        rates[index, :temporal] = rate * np.array(SHARES[3 - temporal :])
    return rates


CAMERA = camera(LOW, MIDDLE, HIGH)


def rows(*tracks: dict[str, Any]) -> Subscriptions:
    """Subscriptions from a few words each; by default a fresh wish for all of a camera."""
    full = [
        {
            "slot": 0,
            "kind": STAGE,
            "area": 1000.0,
            "wanted": 2,
            "frames": ALL_TEMPORAL,
            "least": 0,
            "rates": CAMERA,
            "has": (NOTHING, ALL_TEMPORAL),
            "fresh": True,
            **track,
        }
        for track in tracks
    ]
    return Subscriptions(
        np.array([t["slot"] for t in full], np.int64),
        np.array([t["kind"] for t in full], np.int8),
        np.array([t["area"] for t in full], np.float64),
        np.array([t["wanted"] for t in full], np.int8),
        np.array([t["frames"] for t in full], np.int8),
        np.array([t["least"] for t in full], np.int8),
        np.array([t["rates"] for t in full], np.float64).reshape(-1, 3, 3),
        np.array([t["has"][0] for t in full], np.int8),
        np.array([t["has"][1] for t in full], np.int8),
        np.array([t["fresh"] for t in full], np.bool_),
    )


def fit(budget_bps: float, *tracks: dict[str, Any], factor: float = 1.0) -> Allocation:
    return allocate(
        1_000_000,
        np.array([budget_bps]),
        rows(*tracks),
        start_allocator(1),
        cost_factor=np.array([factor]),
    )


def layers(found: Allocation) -> list[tuple[int, int]]:
    return list(zip(found.spatial.tolist(), found.temporal.tolist(), strict=True))


class Story:
    """One subscriber over time: what it has is what it was granted."""

    def __init__(self, *tracks: dict[str, Any]) -> None:
        self.tracks = [dict(track) for track in tracks]
        self.state: AllocatorState = start_allocator(1)
        self.now_us = 1_000_000
        self.changes = 0

    def run(
        self, budget_bps: float, seconds: float, *, tick_s: float = 0.1, proven_bps: float = 0.0
    ) -> list[tuple[int, int]]:
        for _ in range(max(1, round(seconds / tick_s))):
            found = allocate(
                self.now_us,
                np.array([budget_bps]),
                rows(*self.tracks),
                self.state,
                proven_bps=np.array([proven_bps]),
            )
            granted = layers(found)
            for track, has in zip(self.tracks, granted, strict=True):
                self.changes += track.get("has") not in (None, has)
                track.update(has=has, fresh=False)
            self.state = found.state
            self.now_us += round(tick_s * 1e6)
        return granted


# --- who comes first


def test_everything_fits_and_everybody_gets_the_wish() -> None:
    found = fit(10e6, {}, {"kind": SCREEN}, {"kind": THUMBNAIL, "wanted": 0})
    assert layers(found) == [(2, 7), (2, 7), (0, 7)]
    assert found.step[0] == Step.FULL
    assert found.used_bps[0] == found.needed_bps[0] == 2 * HIGH + LOW


def test_low_layers_of_all_come_before_a_better_stage() -> None:
    tiles = [{"kind": THUMBNAIL, "wanted": 0} for _ in range(3)]
    assert layers(fit(LOW + 3 * 0.4 * LOW, {}, *tiles)) == [(0, 7), (0, 0), (0, 0), (0, 0)]


def test_stage_reaches_the_middle_before_thumbnails_are_smooth() -> None:
    tiles = [{"kind": THUMBNAIL, "wanted": 0} for _ in range(3)]
    found = fit(MIDDLE + 3 * 0.4 * LOW, {}, *tiles)
    assert layers(found) == [(1, 7), (0, 0), (0, 0), (0, 0)]


def test_several_on_stage_climb_together() -> None:
    grid = [{"area": area} for area in (10.0, 40.0, 30.0, 20.0)]
    assert {spatial for spatial, _ in layers(fit(4 * MIDDLE, *grid))} == {1}
    assert layers(fit(4 * LOW + 120_000, *grid)) == [(0, 7), (1, 1), (0, 7), (0, 7)]


def test_the_least_visible_tile_is_paused_first() -> None:
    tiles = [{"kind": THUMBNAIL, "wanted": 0, "area": area} for area in (10.0, 30.0, 20.0)]
    found = fit(LOW + 2 * 0.4 * LOW, {"wanted": 0}, *tiles)
    assert layers(found) == [(0, 7), (NOTHING, 7), (0, 0), (0, 0)]
    assert found.is_paused.tolist() == [False, True, False, False]
    assert found.step[0] == Step.REDUCED


def test_a_heavy_thumbnail_does_not_hold_up_the_stage() -> None:
    heavy = {"kind": THUMBNAIL, "wanted": 0, "rates": camera(2_000_000.0, temporal=1)}
    assert layers(fit(1_500_000, {}, heavy)) == [(2, 7), (NOTHING, 7)]


def test_slides_lose_frames_before_sharpness() -> None:
    slides = {"kind": SCREEN, "least": 2, "rates": camera(LOW, MIDDLE, HIGH)}
    assert layers(fit(0.4 * HIGH + 1, slides)) == [(2, 0)]
    found = fit(0.3 * HIGH, slides)
    assert layers(found) == [(NOTHING, 7)]
    assert found.step[0] == Step.STILLS


# --- the ladder


def test_the_ladder_goes_down_rung_by_rung() -> None:
    seen = [fit(budget * 1e3, {}) for budget in (1300, 800, 460, 300, 200, 100, 70, 40, 20)]
    assert [layers(found)[0] for found in seen] == [
        (2, 7),
        (2, 1),
        (1, 7),
        (1, 1),
        (0, 7),
        (0, 1),
        (0, 0),
        (NOTHING, 7),
        (NOTHING, 7),
    ]
    assert [Step(found.step[0]) for found in seen] == [
        Step.FULL,
        Step.REDUCED,
        Step.REDUCED,
        Step.REDUCED,
        Step.REDUCED,
        Step.HALF_RATE,
        Step.QUARTER_RATE,
        Step.STILLS,
        Step.AUDIO_ONLY,
    ]


def test_without_temporal_layers_the_low_layer_is_all_or_nothing() -> None:
    plain = {"rates": camera(LOW, MIDDLE, temporal=1)}
    assert layers(fit(LOW * 0.9, plain)) == [(NOTHING, 7)]
    assert layers(fit(LOW, plain)) == [(0, 7)]


def test_protection_makes_rungs_dearer() -> None:
    assert layers(fit(500_000, {}, factor=3.0)) == [(0, 7)]
    assert layers(fit(500_000, {}, factor=1.0)) == [(1, 7)]


def test_a_wish_for_few_frames_is_met_by_the_lowest_temporal_layers() -> None:
    assert layers(fit(10e6, {"wanted": 1, "frames": 0})) == [(1, 0)]
    assert layers(fit(10e6, {"frames": 0, "rates": camera(LOW, HIGH, temporal=1)})) == [(1, 0)]


def test_unknown_rates_are_granted_and_cost_nothing() -> None:
    found = fit(0.0, {"rates": np.zeros((3, 3))})
    assert layers(found) == [(2, 7)]
    assert not found.is_paused[0] and found.used_bps[0] == 0


def test_nobody_subscribes() -> None:
    found = allocate(0, np.array([1e6, 2e6]), rows(), start_allocator(2))
    assert found.used_bps.tolist() == [0, 0] and found.step.tolist() == [0, 0]


# --- calm


def test_what_was_never_limited_grows_at_once() -> None:
    story = Story({})
    assert story.run(200_000, 0.3) == [(0, 7)]
    assert story.run(2_000_000, 0.1) == [(2, 7)]


def test_growth_waits_after_the_line_has_shown_its_limit() -> None:
    story = Story({})
    story.run(2_000_000, 1)
    assert story.run(300_000, 0.1) == [(1, 1)]
    just_enough = MIDDLE * 1.2
    assert story.run(just_enough, 1.5) == [(1, 1)]
    assert story.run(just_enough, 0.7) == [(1, 7)]


def test_growth_needs_a_margin() -> None:
    story = Story({})
    story.run(2_000_000, 1)
    story.run(300_000, 0.5)
    assert story.run(MIDDLE * 1.1, 20) == [(1, 1)]


def test_a_line_that_is_back_is_believed_soon() -> None:
    story = Story({})
    story.run(3_000_000, 5)
    story.run(70_000, 20)
    assert story.run(3_000_000, 0.6) == [(2, 7)]


def test_a_line_on_the_edge_comes_to_rest() -> None:
    story = Story({})
    story.run(2_000_000, 1)
    for _ in range(30):
        story.run(MIDDLE * 1.2, 3)
        story.run(MIDDLE * 0.95, 1)
    assert story.changes <= 20


def test_less_comes_at_once_and_more_than_the_budget_never() -> None:
    story = Story({}, {"kind": THUMBNAIL, "wanted": 0})
    story.run(3_000_000, 3)
    assert story.run(0.4 * LOW, 0.1) == [(0, 0), (NOTHING, 7)]


def test_a_click_is_answered_at_once() -> None:
    story = Story({}, {"kind": THUMBNAIL, "wanted": 0})
    story.run(3_000_000, 1)
    story.run(800_000, 1)
    story.tracks[0].update(kind=THUMBNAIL, wanted=0, fresh=True)
    story.tracks[1].update(kind=STAGE, wanted=2, fresh=True)
    assert story.run(800_000, 0.1) == [(0, 7), (1, 7)]


# --- for any input

bps = st.floats(0, 5e6, allow_nan=False)
rate_tables = st.builds(
    lambda low, first, second, temporal, count: camera(
        *[low, low * first, low * first * second][:count], temporal=temporal
    ),
    st.floats(20e3, 600e3),
    st.floats(0.8, 5),
    st.floats(0.8, 5),
    st.integers(1, 3),
    st.integers(0, 3),
)
track_sets = st.lists(
    st.fixed_dictionaries(
        {
            "slot": st.integers(0, 2),
            "kind": st.integers(0, 2),
            "area": st.floats(0, 1e6),
            "wanted": st.integers(-1, 2),
            "frames": st.sampled_from([0, 1, 2, 7]),
            "least": st.integers(0, 2),
            "rates": rate_tables,
            "has": st.tuples(st.integers(-1, 2), st.sampled_from([0, 1, 2, 7])),
            "fresh": st.booleans(),
        }
    ),
    max_size=12,
)


def cost_of(subscriptions: Subscriptions, found: Allocation, slot: int) -> float:
    total = 0.0
    for row in np.flatnonzero(subscriptions.slot == slot):
        if found.spatial[row] >= 0:
            table = subscriptions.rates_bps[row, found.spatial[row]]
            total += table[: found.temporal[row] + 1].max(initial=0.0)
    return total


@settings(max_examples=120, deadline=None)
@given(track_sets, bps, st.floats(1, 4), st.booleans())
def test_never_over_budget(
    tracks: list[dict[str, Any]], budget: float, factor: float, was_lowered: bool
) -> None:
    subscriptions = rows(*tracks)
    state = start_allocator(3)._replace(was_lowered=np.full(3, was_lowered))
    budgets = np.full(3, budget)
    found = allocate(1, budgets, subscriptions, state, cost_factor=np.full(3, factor))
    assert (found.used_bps <= budgets * (1 + 1e-9)).all()
    for slot in range(3):
        cost = cost_of(subscriptions, found, slot) * factor
        assert cost <= budget * (1 + 1e-9) + 1e-6
        assert np.isclose(cost, found.used_bps[slot])
    assert (found.spatial <= subscriptions.wanted_spatial).all()
    assert (found.spatial[subscriptions.wanted_spatial < 0] < 0).all()
    assert (found.needed_bps >= found.used_bps - 1e-3).all()


def ranked(subscriptions: Subscriptions, found: Allocation, slot: int) -> list[int]:
    mine = np.flatnonzero(subscriptions.slot == slot)
    order = sorted(mine, key=lambda r: (subscriptions.kind[r], -subscriptions.area_px[r]))
    return [
        int(found.spatial[r]) * 3 + min(2, int(found.temporal[r])) if found.spatial[r] >= 0 else -1
        for r in order
    ]


@settings(max_examples=120, deadline=None)
@given(track_sets, bps, bps)
def test_more_budget_never_takes_from_a_higher_ranked_track(
    tracks: list[dict[str, Any]], one: float, other: float
) -> None:
    subscriptions = rows(*[{**track, "fresh": True} for track in tracks])
    less, more = (
        allocate(1, np.full(3, budget), subscriptions, start_allocator(3))
        for budget in sorted((one, other))
    )
    for slot in range(3):
        # Lexicographic: the first track that differs, by rank, has more.
        assert ranked(subscriptions, less, slot) <= ranked(subscriptions, more, slot)


@settings(max_examples=60, deadline=None)
@given(track_sets, bps, st.integers(0, 2))
def test_a_subscriber_never_depends_on_another(
    tracks: list[dict[str, Any]], budget: float, slot: int
) -> None:
    alone = [track for track in tracks if track["slot"] == slot]
    together = allocate(1, np.full(3, budget), rows(*tracks), start_allocator(3))
    apart = allocate(1, np.full(3, budget), rows(*alone), start_allocator(3))
    mine = rows(*tracks).slot == slot
    assert together.spatial[mine].tolist() == apart.spatial.tolist()
    assert together.temporal[mine].tolist() == apart.temporal.tolist()


@settings(max_examples=30, deadline=None)
@given(track_sets, st.lists(bps, min_size=1, max_size=20))
def test_a_steady_budget_comes_to_rest(tracks: list[dict[str, Any]], budgets: list[float]) -> None:
    mine = [{**track, "slot": 0} for track in tracks]
    story = Story(*mine)
    for budget in budgets:
        story.run(budget, 0.5)
    story.run(budgets[-1], 130, tick_s=2)
    rest = story.changes
    story.run(budgets[-1], 20, tick_s=2)
    assert story.changes == rest


# --- what a probe has shown


def grown(budget_bps: float, proven_bps: float, seconds: float) -> list[tuple[int, int]]:
    """Who was lowered to the low layer, and then has this budget."""
    story = Story({"rates": camera(LOW, MIDDLE, temporal=1)})
    story.run(2e6, 1)
    story.run(0.9 * MIDDLE, 1)
    return story.run(budget_bps, seconds, proven_bps=proven_bps)


def test_what_is_proven_needs_less_margin_and_less_time() -> None:
    assert grown(1.1 * MIDDLE, 0, 5)[0][0] == 0
    assert grown(1.2 * MIDDLE, 0, 0.6)[0][0] == 0
    assert grown(1.1 * MIDDLE, 1.1 * MIDDLE, 0.6)[0][0] == 1
    assert grown(1.1 * MIDDLE, 1.03 * MIDDLE, 5)[0][0] == 0


def test_after_a_growth_that_failed_a_proof_is_not_enough() -> None:
    story = Story({"rates": camera(LOW, MIDDLE, temporal=1)})
    story.run(2e6, 1)
    story.run(0.9 * MIDDLE, 1)
    assert story.run(1.1 * MIDDLE, 1, proven_bps=1.1 * MIDDLE)[0][0] == 1
    assert story.run(0.9 * MIDDLE, 1)[0][0] == 0
    assert story.run(1.1 * MIDDLE, 10, proven_bps=1.1 * MIDDLE)[0][0] == 0
    assert story.run(1.2 * MIDDLE, 5, proven_bps=1.2 * MIDDLE)[0][0] == 1


def test_what_is_proven_beyond_the_budget_does_not_count() -> None:
    assert grown(1.03 * MIDDLE, 2e6, 5)[0][0] == 0


def test_a_line_whose_end_was_found_needs_the_margin_for_its_first_growth() -> None:
    has_low = rows({"rates": camera(LOW, MIDDLE, temporal=1), "has": (0, 7), "fresh": False})
    for is_full, expected in ((False, 1), (True, 0)):
        found = allocate(
            1_000_000,
            np.array([1.1 * MIDDLE]),
            has_low,
            start_allocator(1),
            is_full=np.array([is_full]),
        )
        assert found.spatial[0] == expected


def test_the_next_step_is_named_with_what_it_costs() -> None:
    single = camera(LOW, MIDDLE, HIGH, temporal=1)
    assert fit(100e3, {"rates": single}).next_bps[0] == LOW
    assert fit(200e3, {"rates": single}).next_bps[0] == MIDDLE
    assert fit(500e3, {"rates": single}, factor=1.1).next_bps[0] == 1.1 * HIGH
    assert fit(2e6, {"rates": single}).next_bps[0] == 0
    # The stage climbs before the thumbnail does.
    both = fit(350e3, {"rates": single}, {"rates": single, "kind": THUMBNAIL, "wanted": 0})
    assert both.used_bps[0] == 2 * LOW and both.next_bps[0] == LOW + MIDDLE
    assert fit(1e6).next_bps.tolist() == [0]
