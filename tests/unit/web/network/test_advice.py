"""Grade and advice from figures: one rule, monotone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.network.advice import ADVICE, GRADES, LIMITS, Advice, Figures, advise


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (Figures(5000, 5000, 50, 0.0), Advice("good", "all_good")),
        (Figures(900, 900), Advice("good", "all_good")),
        (Figures(5000, 400, 50, 0.0), Advice("fair", "small_picture", "up")),
        (Figures(400, 5000, 50, 0.0), Advice("fair", "small_picture", "down")),
        (Figures(5000, 5000, 400, 0.0), Advice("fair", "small_picture", "delay")),
        (Figures(5000, 5000, 50, 0.05), Advice("fair", "small_picture", "loss")),
        (Figures(200, 300, 100, 0.1), Advice("weak", "shelf_first", "down")),
        (Figures(300, 200, 100, 0.1), Advice("weak", "shelf_first", "up")),
        (Figures(5000, 40, 100, 0.0), Advice("bad", "voice_first", "up")),
        (Figures(0, 0), Advice("bad", "voice_first", "up")),
        (Figures(2000, None, None, None), Advice("good", "all_good")),
        (Figures(), Advice("unknown", "no_history")),
        (Figures(rtt_ms=50, loss=0.0), Advice("unknown", "no_history")),
    ],
)
def test_advice(figures: Figures, expected: Advice) -> None:
    assert advise(figures) == expected


kbps = st.floats(0, 1e7)
rank = {"good": 0, "fair": 1, "weak": 2, "bad": 3}


@given(kbps, kbps, st.floats(0, 60_000), st.floats(0, 1), st.floats(0, 1))
def test_a_better_line_is_never_graded_worse(
    down: float, up: float, rtt_ms: float, loss: float, factor: float
) -> None:
    worse = Figures(down * factor, up * factor, rtt_ms, loss)
    better = Figures(down, up, rtt_ms * factor, loss * factor)
    assert rank[advise(better).grade] <= rank[advise(worse).grade]
    assert advise(worse).limit in LIMITS


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_all_have_words(language: str) -> None:
    root = Path(__file__).resolve().parents[4]
    words = json.loads((root / f"web/pages/catalogue/{language}.json").read_text())
    keys = [f"network.grade.{grade}" for grade in GRADES]
    keys += [f"network.advice.{advice}" for advice in ADVICE]
    keys += [f"network.limit.{limit}" for limit in LIMITS if limit]
    assert [key for key in keys if not words.get(key)] == []
