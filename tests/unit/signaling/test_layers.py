from __future__ import annotations

import pytest
from livekit.protocol import models, rtc
from signaling_bench import LAYERS

from sfu.ids import Layers
from signaling.layers import TrackSettings, choose

PORTRAIT = [
    models.VideoLayer(quality=layer.quality, width=layer.height, height=layer.width)
    for layer in LAYERS
]


@pytest.mark.parametrize(
    ("settings", "spatial"),
    [
        (TrackSettings(), 2),
        (TrackSettings(quality=0), 0),
        (TrackSettings(quality=1), 1),
        (TrackSettings(quality=9), 2),
        (TrackSettings(width=100, height=100), 0),
        (TrackSettings(width=640, height=360), 1),
        (TrackSettings(width=360, height=640), 1),
        (TrackSettings(width=641, height=361), 2),
        (TrackSettings(width=65536, height=65536), 2),
    ],
)
@pytest.mark.parametrize("layers", [LAYERS, PORTRAIT])
def test_the_smallest_layer_that_covers(
    layers: list[models.VideoLayer], settings: TrackSettings, spatial: int
) -> None:
    assert choose(layers, settings, encoding_count=3) == Layers(spatial, 7, False)


def test_a_single_stream_serves_every_wish() -> None:
    assert choose(LAYERS, TrackSettings(quality=0), encoding_count=1).spatial == 0
    assert choose([], TrackSettings(width=50, height=50), encoding_count=1).spatial == 0


def test_fewer_streams_than_announced_are_the_lowest() -> None:
    assert choose(LAYERS, TrackSettings(quality=2), encoding_count=2).spatial == 1
    assert choose(LAYERS, TrackSettings(width=300, height=170), encoding_count=2).spatial == 0


def test_layers_of_unknown_size_go_by_order() -> None:
    unknown = [models.VideoLayer(quality=q) for q in range(3)]
    assert choose(unknown, TrackSettings(quality=1), encoding_count=3).spatial == 1
    assert choose([], TrackSettings(quality=1), encoding_count=3).spatial == 1
    assert choose(unknown, TrackSettings(width=640, height=360), encoding_count=3).spatial == 2


def test_frame_rate_and_pause() -> None:
    assert choose(LAYERS, TrackSettings(fps=15), encoding_count=3).temporal == 1
    assert choose(LAYERS, TrackSettings(fps=7), encoding_count=3).temporal == 0
    assert choose(LAYERS, TrackSettings(fps=60), encoding_count=1).temporal == 7
    assert choose(LAYERS, TrackSettings(fps=7), encoding_count=1).temporal == 0
    assert choose(LAYERS, TrackSettings(is_disabled=True), encoding_count=3).paused
    assert choose([], TrackSettings(is_disabled=True), encoding_count=1).paused


def test_extreme_numbers_from_the_wire() -> None:
    largest = 2**32 - 1
    message = rtc.UpdateTrackSettings(width=largest, height=largest, fps=largest, quality=77)
    assert choose(LAYERS, TrackSettings.from_message(message), encoding_count=3).spatial == 2
