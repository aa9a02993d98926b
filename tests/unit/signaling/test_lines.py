from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from livekit.protocol import models
from signaling_bench import ENCODING_ROW, TRANSPORT_ROW, Bench, Client

from signaling.lines import LineSample

Told = list[tuple[str, str, LineSample]]


class Stage:
    def __init__(self) -> None:
        self.bench = Bench()
        self.told: Told = []
        self.bench.service.hooks.on_quality.append(self.tell)

    def tell(self, room: models.Room, person: models.ParticipantInfo, sample: LineSample) -> None:
        self.told.append((room.name, person.identity, sample))

    def measure(self, *encodings: dict[str, int], **line: int) -> None:
        """What the engine shows from now on; 10 s after what it showed before."""
        media = self.bench.media
        media.now += 10_000_000
        media.encodings = np.zeros(len(encodings), ENCODING_ROW)
        for row, values in zip(media.encodings, encodings, strict=True):
            for name, value in values.items():
                row[name] = value
        media.lines = np.zeros(1, TRANSPORT_ROW)
        for name, value in line.items():
            media.lines[name] = value

    def last(self, identity: str) -> LineSample:
        return next(sample for _, who, sample in reversed(self.told) if who == identity)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def announce(client: Client, payload: bytes) -> None:
    user = models.UserPacket(topic="aislecast.uplink", payload=payload)
    client.send_data(models.DataPacket(user=user))


def source_of(client: Client) -> int:
    sources: Any = client.transports[0].sources
    return int(sources[0].handle)


def test_a_sample_speaks_of_the_time_since_the_one_before(stage: Stage) -> None:
    alice = stage.bench.connected("alice")
    alice.publish("cam", "video", rids=("q", "h"))
    source, line = source_of(alice), alice.transports[-1].handle
    low = {"source": source, "encoding": 0, "packets": 100, "frames": 100, "bitrate_bps": 100_000}
    top = {"source": source, "encoding": 1, "packets": 500, "frames": 100, "bitrate_bps": 400_000}
    stage.measure(low, top, transport=line, sent_bytes=1000)
    stage.bench.clock.advance(10)
    assert stage.last("alice").up_fps is None, "nothing to compare with yet"
    low |= {"packets": 300, "frames": 250}
    top |= {"packets": 1400, "lost": 100, "frames": 200}
    stage.measure(low, top, transport=line, sent_bytes=126_000, rtt_us=80_000, loss_permille=30)
    stage.bench.clock.advance(10)
    assert stage.told[-1] == (
        "room",
        "alice",
        LineSample(
            up_loss=0.1,
            up_bps=500_000,
            up_fps=15.0,
            down_loss=0.03,
            down_bps=100_000,
            rtt_ms=80.0,
        ),
    )


@pytest.mark.parametrize("why", ["muted", "unwatched", "sound"])
def test_a_video_that_need_not_flow_has_no_frame_rate(stage: Stage, why: str) -> None:
    alice = stage.bench.connected("alice")
    sid = alice.publish("cam", "audio" if why == "sound" else "video")
    row = {"source": source_of(alice), "packets": 100}
    if why == "muted":
        alice.send(mute={"sid": sid, "muted": True})
    elif why == "unwatched":
        sources: Any = alice.transports[0].sources
        sources[0].is_watched = False
    for _ in range(2):
        stage.measure(row)
        stage.bench.clock.advance(10)
    assert stage.last("alice").up_fps is None


def test_a_sample_tells_where_the_own_picture_stands(stage: Stage) -> None:
    alice = stage.bench.connected("alice", page=True)
    sid = alice.publish("cam", "video")
    announce(alice, b'{"step": "sound"}')
    stage.measure()
    stage.bench.clock.advance(10)
    assert stage.last("alice").up_step == "sound"
    alice.send(mute={"sid": sid, "muted": True})
    stage.bench.clock.advance(10)
    assert stage.last("alice").up_step == "full", "there is no picture to be sent"
    alice.send(mute={"sid": sid, "muted": False})
    announce(alice, b'{"step": "full"}')
    stage.bench.clock.advance(10)
    assert stage.last("alice").up_step == "full"


def test_losing_and_coming_back_are_seen(stage: Stage) -> None:
    alice = stage.bench.connected("alice")
    stage.measure()
    alice.transports[-1].become("disconnected")
    stage.bench.clock.advance(10)
    assert stage.last("alice").is_lost
    alice.transports[-1].become("connected")
    alice.resume()
    stage.bench.clock.advance(10)
    assert not stage.last("alice").is_lost and stage.last("alice").resumes == 1


def test_counters_that_start_over_are_no_negative_rates(stage: Stage) -> None:
    alice = stage.bench.connected("alice")
    alice.publish("cam", "video")
    line = alice.transports[-1].handle
    stage.measure({"source": source_of(alice), "packets": 900, "frames": 900}, transport=line)
    stage.bench.clock.advance(10)
    stage.measure({"source": source_of(alice), "packets": 1, "frames": 1}, transport=line)
    stage.bench.clock.advance(10)
    sample = stage.last("alice")
    assert sample.up_loss == 0 and sample.up_fps == 0 and sample.down_bps == 0


def test_hidden_ones_and_those_who_never_connected_are_left_out(stage: Stage) -> None:
    stage.bench.connected("ghost", hidden=True)
    stage.bench.join("late")
    stage.bench.service.add_local_participant("room", "camera")
    stage.measure()
    stage.bench.clock.advance(10)
    assert stage.told == []


def test_a_listener_that_fails_stops_nobody(stage: Stage) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    stage.bench.service.hooks.on_quality.insert(0, fail)
    stage.bench.connected("alice")
    stage.measure()
    stage.bench.clock.advance(10)
    assert len(stage.told) == 1
