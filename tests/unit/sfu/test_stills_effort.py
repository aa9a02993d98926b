"""What work costs, turn by turn."""

from __future__ import annotations

from sfu.stills.effort import Effort


def test_cores_are_what_was_spent_in_a_turn() -> None:
    effort: Effort[str] = Effort()
    effort.weigh(10.0, {"a": 5.0})
    assert effort.cores == {} and effort.total == 0.0
    effort.weigh(12.0, {"a": 6.0, "b": 3.0})
    assert effort.cores == {"a": 0.5}, "what is new is measured from the next turn on"
    effort.weigh(14.0, {"a": 6.0, "b": 3.5})
    assert effort.cores == {"a": 0.0, "b": 0.25} and effort.total == 0.25
    effort.forget("b")
    effort.weigh(16.0, {"a": 7.0})
    assert effort.cores == {"a": 0.5}


def test_a_clock_that_stands_or_work_that_began_anew_divides_nothing() -> None:
    effort: Effort[str] = Effort()
    for _ in range(3):
        effort.weigh(10.0, {"a": 5.0})
        assert effort.cores == {}
    effort.weigh(11.0, {"a": 0.0})
    assert effort.cores == {"a": 0.0}
