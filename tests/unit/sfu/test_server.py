"""The media server's dispatch, without an engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from fake_engine import FakeEngine, make_registry

from sfu.config import MediaConfig
from sfu.downlink import Downlink
from sfu.server import MediaServer


def test_a_dead_media_thread_is_told_to_the_owner() -> None:
    """The process then ends with an error, so that a supervisor starts it again."""
    engine = FakeEngine()
    news: list[tuple[object, ...]] = [("dead",), ("sink", 99), ("unheard-of",)]
    engine.drain_events = lambda: news  # type: ignore[method-assign]
    server = MediaServer(MediaConfig())
    server._registry_or_none = make_registry(engine)
    told: list[str] = []
    server.on_dead = lambda: told.append("dead")

    server._handle_events()

    assert told == ["dead"]
    assert server.is_dead
    counters = cast(dict[str, int], server._registry_or_none.counters)
    assert counters["event_unknown"] == 1, "news after it are still looked at"
    assert counters["event_errors"] == 0


def test_news_of_a_restless_line_wake_the_loop() -> None:
    engine = FakeEngine()
    engine.drain_events = lambda: [("restless", 7)]  # type: ignore[method-assign]
    server = MediaServer(MediaConfig())
    registry = make_registry(engine)
    server._registry_or_none = registry
    woken: list[int] = []
    registry.downlink = cast(Downlink, SimpleNamespace(wake=woken.append))

    server._handle_events()

    assert woken == [7]
