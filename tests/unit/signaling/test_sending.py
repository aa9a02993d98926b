"""What a publisher's first answer lets it send."""

from __future__ import annotations

import pytest
from livekit.protocol import models
from signaling_bench import Bench

from signaling.sending import count_first_layers, limit_sound_bps


@pytest.mark.parametrize(
    ("rates", "count"),
    [
        ((450_000, 900_000), 1),
        ((160_000, 450_000, 1_700_000), 2),
        ((100_000, 150_000), 0),
        ((160_000, 450_000), 0),
        ((0, 0), 0),
        ((), 0),
    ],
)
def test_a_weak_line_begins_with_the_lowest_layers(rates: tuple[int, ...], count: int) -> None:
    info = models.TrackInfo(layers=[models.VideoLayer(bitrate=rate) for rate in rates])
    assert count_first_layers(info) == count


@pytest.mark.parametrize(
    ("source", "is_stereo", "limit_bps"),
    [
        (models.TrackSource.MICROPHONE, False, 32_000),
        (models.TrackSource.MICROPHONE, True, 0),
        (models.TrackSource.SCREEN_SHARE_AUDIO, False, 0),
        (models.TrackSource.UNKNOWN, False, 0),
    ],
)
def test_only_speech_is_bounded(
    source: models.TrackSource, is_stereo: bool, limit_bps: int
) -> None:
    assert limit_sound_bps(models.TrackInfo(source=source), is_stereo=is_stereo) == limit_bps


@pytest.mark.parametrize("num_losses", [0, 1, 2])
def test_a_line_that_lost_packets_begins_slowly(num_losses: int) -> None:
    client = Bench().connected("alice")
    client.connection.num_losses = num_losses
    client.publish("mic")
    assert "b=TIAS:32000" in client.last("answer").sdp
    client.publish("v", "video", rids=("q", "h", "f"))
    answer = client.last("answer").sdp
    is_weak = num_losses >= 2
    assert ("x-google-start-bitrate=300" in answer) is is_weak
    assert ("a=simulcast:recv q;~h;~f" in answer) is is_weak
    assert "maxaveragebitrate=32000" in answer


def test_who_cannot_be_asked_for_an_offer_begins_with_all_layers() -> None:
    client = Bench().connected("alice", single=False)
    client.connection.num_losses = 2
    client.publish("v", "video", rids=("q", "h", "f"))
    answer = client.last("answer").sdp
    assert "a=simulcast:recv q;h;f" in answer and "x-google-start-bitrate=300" in answer
