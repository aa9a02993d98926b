"""A place's network passport."""

from __future__ import annotations

import random

from hypothesis import given
from line_samples import GOOD, SAMPLES

from web.network.advice import Advice
from web.network.lines import Sample
from web.network.passport import draw_up


def at(sample: Sample, *times_s: int) -> list[Sample]:
    return [sample._replace(at_s=time_s) for time_s in times_s]


def test_nothing_known_is_said_so() -> None:
    passport = draw_up([])
    assert passport.minutes == passport.days == 0 and passport.down_kbps is None
    assert passport.advice == Advice("unknown", "no_history")
    assert passport.weak_by_hour == (None,) * 24
    assert draw_up([GOOD] * 10).advice.grade == "unknown", "two minutes say nothing"


def test_percentiles_of_what_was_carried() -> None:
    rates = list(range(100, 1100, 10))
    random.Random(1).shuffle(rates)
    found = [
        GOOD._replace(estimate_kbps=rate, up_kbps=rate * 2, down_loss_permille=rate // 10)
        for rate in rates
    ]
    passport = draw_up([*found, GOOD._replace(is_lost=True, estimate_kbps=0, down_kbps=0)])
    assert passport.down_kbps == (199.0, 595.0, 991.0)
    assert passport.up_kbps is not None and passport.up_kbps[1] == 1190.0
    assert passport.loss_percent is not None and passport.loss_percent[0] == 2.0
    assert passport.rtt_ms == (60.0, 60.0, 60.0)
    assert passport.minutes == 16


def test_without_an_estimate_what_was_sent_counts_and_listeners_say_nothing_of_the_way_up() -> None:
    passport = draw_up([GOOD._replace(estimate_kbps=0, up_fps=None)] * 40)
    assert passport.down_kbps == (900.0,) * 3 and passport.up_kbps is None
    silent = GOOD._replace(estimate_kbps=0, down_kbps=0, up_kbps=0)
    assert draw_up([silent] * 40).down_kbps is None is draw_up([silent] * 40).up_kbps


def test_weak_hours_are_those_of_the_place() -> None:
    weak = GOOD._replace(step="stills", estimate_kbps=150)
    nine = 9 * 3600
    found = at(weak, nine, nine + 10) + at(GOOD, nine + 20, nine + 30, nine + 7200)
    passport = draw_up(found)
    assert passport.weak_by_hour[9] == 0.5 and passport.weak_by_hour[11] == 0.0
    assert passport.weak_by_hour[10] is None and passport.weak_share == 0.4
    shifted = draw_up(found, utc_offset_s=8 * 3600)
    assert shifted.weak_by_hour[17] == 0.5 and shifted.weak_by_hour[9] is None
    assert draw_up(at(GOOD, 0, 86_400), utc_offset_s=-3600).days == 2


def test_advice_follows_how_often_it_is_weak_and_why() -> None:
    weak = GOOD._replace(step="stills", estimate_kbps=150)

    def advice(num_weak: int) -> Advice:
        return draw_up([weak] * num_weak + [GOOD] * (100 - num_weak)).advice

    assert advice(0) == advice(5) == Advice("good", "all_good")
    assert advice(10) == Advice("fair", "small_picture", "down")
    assert advice(50) == Advice("weak", "shelf_first", "down")
    assert advice(90) == Advice("bad", "voice_first", "down")
    lossy = GOOD._replace(up_loss_permille=150)
    assert draw_up([lossy] * 100).advice == Advice("bad", "voice_first", "loss")
    slow_up = GOOD._replace(up_loss_permille=150, up_kbps=90)
    assert draw_up([slow_up] * 100).advice.limit == "up"
    held = GOOD._replace(up_step="sound", up_fps=0, up_kbps=40, up_loss_permille=0)
    assert draw_up([held] * 100).advice == Advice("bad", "voice_first", "up")
    lost = GOOD._replace(is_lost=True)
    assert draw_up([lost] * 100).advice == Advice("bad", "voice_first")


def test_a_phone_that_was_asked_for_little_has_no_weak_line() -> None:
    idle = GOOD._replace(up_kbps=20, down_kbps=30, estimate_kbps=0)
    assert draw_up([idle] * 100).advice == Advice("good", "all_good")


@given(SAMPLES)
def test_any_sample_makes_a_passport(sample: Sample) -> None:
    passport = draw_up([sample] * 40, utc_offset_s=-50_400)
    assert 0 <= passport.weak_share <= 1 and passport.advice.grade != "unknown"
