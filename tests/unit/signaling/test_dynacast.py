from __future__ import annotations

from livekit.protocol import models
from signaling_bench import LAYERS

from signaling.dynacast import LayerDemand, build_quality_update


def enabled(layers: list[models.VideoLayer], top: int) -> list[bool]:
    update = build_quality_update("TR_1", "vp8", layers, top)
    assert update.subscribed_codecs[0].qualities == update.subscribed_qualities
    return [quality.enabled for quality in update.subscribed_qualities]


def test_more_is_wanted_at_once_and_less_after_a_while() -> None:
    demand = LayerDemand(5.0)
    demand.set("a", 2)
    assert not demand.poll(0.0)
    demand.set("a", 0)
    assert not demand.poll(1.0) and not demand.poll(5.9)
    assert demand.poll(6.0) and demand.top == 0
    demand.set("b", 1)
    assert demand.poll(6.1) and demand.top == 1
    demand.set("a", None)
    demand.set("b", None)
    assert not demand.poll(7.0)
    assert demand.poll(12.0) and demand.top == -1
    assert not demand.poll(100.0)


def test_a_short_change_of_mind_stops_nothing() -> None:
    demand = LayerDemand(5.0)
    demand.set("a", 2)
    demand.poll(0.0)
    for now_s in range(1, 40, 4):
        demand.set("a", None)
        assert not demand.poll(float(now_s))
        demand.set("a", 2)
        assert not demand.poll(now_s + 3.0)
    assert demand.top == 2


def test_a_pin_holds_the_best() -> None:
    demand = LayerDemand(5.0)
    demand.pin(True)
    assert not demand.poll(0.0) and not demand.poll(60.0)
    demand.pin(False)
    assert not demand.poll(61.0) and demand.poll(66.0)


def test_what_nobody_can_get_is_stopped_much_later() -> None:
    demand = LayerDemand(5.0, capacity_delay_s=30.0)
    demand.set("a", 2, granted=0)
    assert not demand.poll(0.0) and not demand.poll(29.0)
    assert demand.poll(30.0) and demand.top == 0
    demand.set("a", 2, granted=1)
    assert demand.poll(31.0) and demand.top == 1
    demand.set("b", 2)
    assert demand.poll(32.0) and demand.top == 2
    demand.set("b", None)
    demand.set("a", None)
    assert not demand.poll(33.0) and not demand.poll(37.9)
    assert demand.poll(38.0) and demand.top == -1


def test_one_line_that_comes_and_goes_switches_nothing() -> None:
    demand = LayerDemand(5.0)
    for now_s in range(0, 300, 20):
        demand.set("a", 2, granted=2)
        assert not demand.poll(float(now_s))
        demand.set("a", 2, granted=0)
        assert not demand.poll(now_s + 10.0)
    assert demand.top == 2


def test_the_message_goes_by_quality() -> None:
    assert enabled(LAYERS, 2) == [True, True, True]
    assert enabled(LAYERS, 1) == [True, True, False]
    assert enabled(LAYERS, -1) == [False, False, False]
    assert enabled(LAYERS[:2], 0) == [True, False, False]
    assert enabled(LAYERS[:2], 2) == [True, True, True]
    assert enabled(LAYERS[2:], 0) == [True, True, True]
    assert enabled([], 0) == [True, True, True]
