"""Words do not flicker."""

from __future__ import annotations

from bandwidth.ladder import LadderState, Step, start_ladder, update_ladder

TICK_US = 100_000


class Shown:
    def __init__(self) -> None:
        self.state: LadderState = start_ladder(1)
        self.now_us = 1_000_000

    def run(self, raw: Step, seconds: float) -> Step:
        for _ in range(round(seconds * 10)):
            self.state = update_ladder(self.now_us, [raw], self.state)
            self.now_us += TICK_US
        return Step(self.state.step[0])


def test_a_dip_is_not_worth_words() -> None:
    shown = Shown()
    assert shown.run(Step.REDUCED, 0.2) == Step.FULL
    assert shown.run(Step.FULL, 1) == Step.FULL


def test_a_worse_step_is_shown_soon_and_a_better_one_later() -> None:
    shown = Shown()
    assert shown.run(Step.HALF_RATE, 0.4) == Step.HALF_RATE
    assert shown.run(Step.FULL, 1.4) == Step.HALF_RATE
    assert shown.run(Step.FULL, 0.2) == Step.FULL


def test_losing_the_picture_is_told_at_once() -> None:
    shown = Shown()
    assert shown.run(Step.STILLS, 0.1) == Step.STILLS
    assert shown.run(Step.AUDIO_ONLY, 11.9) == Step.STILLS
    assert shown.run(Step.AUDIO_ONLY, 0.3) == Step.AUDIO_ONLY


def test_whether_not_even_stills_fit_shows_after_some_of_them() -> None:
    shown = Shown()
    assert shown.run(Step.AUDIO_ONLY, 0.1) == Step.STILLS
    assert shown.run(Step.STILLS, 1.0) == Step.STILLS
    assert shown.run(Step.AUDIO_ONLY, 5.0) == Step.STILLS


def test_falling_step_by_step_is_told_in_time() -> None:
    shown = Shown()
    shown.run(Step.REDUCED, 0.2)
    assert shown.run(Step.QUARTER_RATE, 0.2) == Step.QUARTER_RATE


def test_a_flickering_picture_keeps_the_worse_words() -> None:
    shown = Shown()
    shown.run(Step.STILLS, 0.1)
    for _ in range(20):
        shown.run(Step.QUARTER_RATE, 1.0)
        assert shown.run(Step.STILLS, 0.3) == Step.STILLS


def test_everybody_is_on_their_own() -> None:
    state = start_ladder(2)
    for tick in range(5):
        state = update_ladder(1 + tick * TICK_US, [Step.FULL, Step.STILLS], state)
    assert state.step.tolist() == [Step.FULL, Step.STILLS]
