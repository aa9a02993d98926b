"""Players that are no participants count as demand for what their lines carry."""

from __future__ import annotations

import pytest
from livekit.protocol import models
from signaling_bench import Bench, Client

from sfu.downlink import Wish
from sfu.ids import Codec, Layers
from sfu.session import Subscription

ROOM = "room"


class Stage:
    """Alice shows a camera in three layers, and players watch it."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.alice: Client = self.bench.connected("alice")
        self.camera = self.alice.publish("cam", "video", rids=("q", "h", "f"))
        self.bench.clock.advance(0.3)
        self.alice.clear()

    def player(self, name: str, layers: Layers | None = None) -> Subscription:
        source = self.bench.service.find_source(ROOM, self.camera)
        assert source is not None
        media = Subscription(source, stream_id="s", track_id=self.camera, codecs=[Codec.VP8])
        media.set_wish(Wish())
        if layers is not None:
            media.handle_granted(layers)
        self.bench.service.watch(ROOM, name, media)
        return media

    def demanded(self) -> list[int]:
        """Highest quality asked of the publisher, by update."""
        return [
            max((q.quality for q in update.subscribed_qualities if q.enabled), default=-1)
            for update in self.alice.named("subscribed_quality_update")
        ]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_strong_player_keeps_all_layers(stage: Stage) -> None:
    stage.player("tv")
    stage.bench.clock.advance(60.0)
    assert not stage.demanded()


def test_what_no_player_s_line_carries_is_stopped_late_and_started_at_once(stage: Stage) -> None:
    tv = stage.player("tv", Layers(0, 7, False))
    stage.player("wall", Layers(0, 7, True))
    stage.bench.clock.advance(25.0)
    assert not stage.demanded()
    stage.bench.clock.advance(10.0)
    assert stage.demanded() == [models.VideoQuality.LOW]
    tv.handle_granted(Layers(2, 7, False))
    assert stage.demanded()[-1] == models.VideoQuality.HIGH


def test_a_player_that_is_gone_counts_no_more(stage: Stage) -> None:
    tv = stage.player("tv")
    stage.bench.service.unwatch(ROOM, "tv", tv)
    tv.handle_granted(Layers(2, 7, False))
    stage.bench.clock.advance(60.0)
    assert stage.demanded() == [-1]


def test_a_room_or_a_track_that_is_gone_is_no_trouble(stage: Stage) -> None:
    tv = stage.player("tv")
    stage.alice.send(leave={})
    stage.bench.clock.advance(60.0)
    tv.handle_granted(Layers(0, 7, False))
    stage.bench.service.unwatch(ROOM, "tv", tv)
    stage.bench.service.watch("nowhere", "tv", tv)
