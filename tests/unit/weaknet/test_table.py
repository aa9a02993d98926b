"""Bounds and medians of the table, and its links."""

from __future__ import annotations

import pytest
from weaknet import links
from weaknet.runs import TEN
from weaknet.table import ROWS, Bound, Row, chosen, medians, to_text


def test_bounds_scale_with_the_run_where_they_should() -> None:
    scaled, fixed = Bound("a", 11, is_scaled=True), Bound("a", 11)
    assert scaled.holds(5, 25) and not scaled.holds(5.1, 25) and fixed.holds(11, 25)
    assert not fixed.holds(None, 55)
    assert Bound("a", 75, is_at_least=True).holds(75, 55)


def test_medians_count_what_is_missing_as_the_worst() -> None:
    runs = [
        {"a": 1.0, "b": None, "strong": {"x": 1}, "is_same_seat": True, "events": []},
        {"a": 3.0, "b": 2.0, "strong": {"x": 3}, "is_same_seat": False, "events": []},
        {"failure": "it did not start"},
    ]
    found = medians(runs)
    assert found == {"a": 3.0, "b": None, "strong": {"x": 2.0}, "is_same_seat": False}
    assert medians([{"failure": "…"}]) == {}


def test_a_row_says_what_holds() -> None:
    row = Row("r", lambda stage, seconds: {}, (Bound("freeze_s", 1), Bound("strong.x", 2)))
    told = to_text(row, {"runs": [{}], "medians": {"freeze_s": 0.5, "strong": {"x": 3}}}, 55)
    assert "holds         freeze_s 0.5 ≤ 1" in told and "DOES NOT HOLD strong.x 3 ≤ 2" in told


def test_rows_are_chosen_by_name() -> None:
    assert [row.name for row in chosen("cliff,ten")] == ["cliff", "ten"]
    assert chosen("") == list(ROWS)
    with pytest.raises(ValueError, match="nothing"):
        chosen("nothing")


@pytest.mark.parametrize("kind", [*set(TEN), "cap", "address"])
@pytest.mark.parametrize("seconds", [20, 55])
def test_every_link_has_a_plan(kind: str, seconds: float) -> None:
    plan = links.plan(kind, seconds)
    assert plan[0].at_us == 0 and plan[-1].at_us < seconds * 1e6
    trouble = links.trouble_us(kind, seconds)
    assert (trouble is not None) == (len(plan) == 3)
    with pytest.raises(ValueError):
        links.plan("perfect", seconds)


def test_the_table_s_own_times() -> None:
    assert links.trouble_us("cliff", 55) == (15_000_000, 35_000_000)
    assert links.trouble_us("dead10", 55) == (15_000_000, 25_000_000)
