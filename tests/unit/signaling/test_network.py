"""What a weak line changes for its own subscriber, and for nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from livekit.protocol import models, rtc
from signaling_bench import LAYERS, Bench, Client

from bandwidth.ladder import Step
from sfu.downlink import Kind
from sfu.ids import Layers
from signaling.layers import TrackSettings, build_wish
from signaling.network import TOPIC
from signaling.participant import Participant

PAGE = {"aislecast.page": "1"}


class Stills:
    """Remembers for whom stills were started."""

    def __init__(self) -> None:
        self.on: set[tuple[str, str]] = set()
        self.through: set[str] = set()
        self.on_turn: Callable[[], None] = lambda: None

    def start(self, participant: Participant, track: Any, on_turn: Callable[[], None]) -> bool:
        self.on.add((participant.identity, track.sid))
        self.on_turn = on_turn
        return True

    def is_through(self, participant: Participant) -> bool:
        return participant.identity in self.through

    def turn(self, identity: str) -> None:
        """They begin to arrive, or no longer do."""
        self.through ^= {identity}
        self.on_turn()

    def stop(self, participant: Participant, track: Any) -> None:
        self.on.discard((participant.identity, track.sid))

    def close(self) -> None:
        pass


class Stage:
    """Alice shows a camera; Bob, on one of our pages, and Carol watch."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.stills = Stills()
        self.bench.service._context.stills = self.stills  # type: ignore[assignment]
        self.alice = self.bench.connected("alice")
        self.bob = self.watcher("bob")
        self.carol = self.watcher("carol")
        self.bob_person = self.person("bob")
        self.bob_person.grants.attributes.update(PAGE)  # type: ignore[attr-defined]
        self.bob_person.info.attributes.update(PAGE)
        self.camera = self.alice.publish("cam", "video", rids=("q", "h", "f"))
        self.bench.clock.advance(0.3)
        for client in (self.bob, self.carol):
            client.answer()
            client.clear()
        self.alice.clear()

    def watcher(self, identity: str) -> Client:
        client = self.bench.join(identity, single=False)
        client.answer()
        client.connect()
        self.bench.clock.advance(0.3)
        return client

    def person(self, identity: str) -> Participant:
        room = self.bench.service._registry.rooms["room"]
        return room.participants[identity]

    def grant(self, client: Client, layers: Layers) -> None:
        """The line of a client carries this of the camera."""
        client.transports[-1].sinks[-1].grant(layers)

    def step(self, client: Client, step: Step, reason: str = "downlink") -> None:
        on_step = client.transports[-1].on_step
        assert on_step is not None
        on_step(step, reason)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def states(client: Client) -> list[tuple[str, int]]:
    return [
        (info.track_sid, info.state)
        for update in client.named("stream_state_update")
        for info in update.stream_states
    ]


def test_a_pause_is_told_and_so_is_its_end(stage: Stage) -> None:
    stage.grant(stage.bob, Layers(0, 7, True))
    assert states(stage.bob) == [(stage.camera, rtc.StreamState.PAUSED)]
    info = stage.bob.last("stream_state_update").stream_states[0]
    assert info.participant_sid == stage.alice.sid
    stage.grant(stage.bob, Layers(0, 0, True))
    stage.grant(stage.bob, Layers(0, 7, False))
    assert [state for _, state in states(stage.bob)] == [
        rtc.StreamState.PAUSED,
        rtc.StreamState.ACTIVE,
    ]
    assert not stage.carol.received


def test_who_shows_nothing_is_not_told_of_a_pause(stage: Stage) -> None:
    stage.bob.send(track_setting=rtc.UpdateTrackSettings(track_sids=[stage.camera], disabled=True))
    assert stage.bob.transports[-1].sinks[-1].layers.paused
    assert not states(stage.bob)


def test_a_pause_is_told_again_after_a_resume(stage: Stage) -> None:
    stage.grant(stage.bob, Layers(0, 7, True))
    stage.bob.resume()
    assert states(stage.bob) == [(stage.camera, rtc.StreamState.PAUSED)]


def test_steps_go_to_pages_only(stage: Stage) -> None:
    stage.step(stage.bob, Step.QUARTER_RATE)
    stage.step(stage.carol, Step.QUARTER_RATE)
    [(label, packet)] = stage.bob.data.sent
    assert (label, packet.user.topic) == ("_reliable", TOPIC)
    assert json.loads(packet.user.payload) == {"step": "quarter_rate", "reason": "downlink"}
    assert not packet.participant_identity
    assert not stage.carol.data.sent and not stage.alice.data.sent


def test_a_channel_that_takes_nothing_is_counted(stage: Stage) -> None:
    stage.bob.data.takes = False
    stage.step(stage.bob, Step.STILLS)
    assert stage.bench.service.counters["step_not_sent"] == 1


def test_stills_replace_what_is_paused_until_there_is_only_sound(stage: Stage) -> None:
    stage.grant(stage.bob, Layers(0, 7, True))
    stage.step(stage.bob, Step.STILLS)
    assert stage.stills.on == {("bob", stage.camera)}
    stage.step(stage.bob, Step.AUDIO_ONLY)
    assert not stage.stills.on
    stage.step(stage.bob, Step.STILLS)
    assert stage.stills.on == {("bob", stage.camera)}
    stage.grant(stage.bob, Layers(0, 0, False))
    assert not stage.stills.on


def steps(client: Client) -> list[str]:
    """What it was told, in order."""
    return [json.loads(packet.user.payload)["step"] for _, packet in client.data.sent]


def test_stills_are_said_when_they_arrive_and_until_they_do_not(stage: Stage) -> None:
    stage.grant(stage.bob, Layers(0, 7, True))
    stage.step(stage.bob, Step.STILLS)
    assert steps(stage.bob) == ["audio_only"], "none has come: there is sound alone"
    stage.stills.turn("bob")
    assert steps(stage.bob)[1:] == ["stills"] and stage.bob_person.step == Step.STILLS
    stage.stills.turn("bob")
    assert steps(stage.bob)[2:] == ["audio_only"]
    assert stage.stills.on == {("bob", stage.camera)}, "tried on: they come back by themselves"
    stage.stills.turn("bob")
    stage.grant(stage.bob, Layers(0, 7, False))
    stage.step(stage.bob, Step.REDUCED)
    stage.stills.turn("bob")
    assert steps(stage.bob)[3:] == ["stills", "reduced"]


def test_where_a_tile_had_stills_already_they_are_said_at_once(stage: Stage) -> None:
    stage.step(stage.bob, Step.REDUCED)
    stage.grant(stage.bob, Layers(0, 7, True))
    stage.stills.turn("bob")
    stage.step(stage.bob, Step.STILLS)
    assert steps(stage.bob) == ["reduced", "stills"]


def test_who_gets_no_stills_has_sound_alone(stage: Stage) -> None:
    stage.grant(stage.carol, Layers(0, 7, True))
    stage.step(stage.carol, Step.STILLS)
    assert stage.person("carol").step == Step.AUDIO_ONLY and not stage.carol.data.sent


def demanded(stage: Stage) -> list[int]:
    """Highest quality asked of the publisher, by update."""
    return [
        max((q.quality for q in update.subscribed_qualities if q.enabled), default=-1)
        for update in stage.alice.named("subscribed_quality_update")
    ]


def test_layers_that_no_line_carries_are_stopped_late_and_started_at_once(stage: Stage) -> None:
    for client in (stage.bob, stage.carol):
        stage.grant(client, Layers(0, 7, False))
    stage.bench.clock.advance(25.0)
    assert not demanded(stage)
    stage.bench.clock.advance(10.0)
    assert demanded(stage) == [models.VideoQuality.LOW]
    stage.grant(stage.carol, Layers(2, 7, False))
    assert demanded(stage)[-1] == models.VideoQuality.HIGH


def test_one_weak_line_changes_nothing_for_the_publisher(stage: Stage) -> None:
    for _ in range(10):
        stage.grant(stage.bob, Layers(0, 7, True))
        stage.bench.clock.advance(10.0)
        stage.grant(stage.bob, Layers(2, 7, False))
        stage.bench.clock.advance(10.0)
    assert not demanded(stage)


def test_a_paused_picture_keeps_its_lowest_layer_flowing(stage: Stage) -> None:
    for client in (stage.bob, stage.carol):
        stage.grant(client, Layers(0, 7, True))
    stage.bench.clock.advance(60.0)
    assert demanded(stage) == [models.VideoQuality.LOW]


def test_a_weak_line_is_not_graded_excellent(stage: Stage) -> None:
    stage.step(stage.bob, Step.HALF_RATE)
    stage.bench.clock.advance(6.0)
    grades = {
        info.participant_sid: info.quality
        for update in stage.bob.named("connection_quality")
        for info in update.updates
    }
    assert grades[stage.bob.sid] == models.ConnectionQuality.POOR


def test_the_line_is_known_again_by_its_person(stage: Stage) -> None:
    client = models.ClientInfo(protocol=16, network="cellular")
    phone = stage.bench.join("dan", params={"client": client})
    line = phone.transports[-1]
    assert line.person == "dan" and line.is_cellular
    assert not stage.bob.transports[-1].is_cellular


# --- what is wished for


def wish_of(
    source: models.TrackSource = models.TrackSource.CAMERA,
    *,
    has_stills: bool = True,
    **settings: Any,
) -> Any:
    info = models.TrackInfo(source=source, layers=LAYERS)
    return build_wish(info, TrackSettings(**settings), encoding_count=3, has_stills=has_stills)


def test_who_says_nothing_looks_at_the_stage() -> None:
    wish = wish_of()
    assert (wish.spatial, wish.kind, wish.min_spatial) == (2, Kind.STAGE, 0)


def test_small_players_are_tiles() -> None:
    assert wish_of(width=320, height=180).kind is Kind.THUMBNAIL
    assert wish_of(width=640, height=360).kind is Kind.STAGE
    assert wish_of(quality=models.VideoQuality.LOW).kind is Kind.THUMBNAIL
    assert wish_of(width=640, height=360).area_px > wish_of(width=320, height=180).area_px


def test_slides_are_sharp_or_stills() -> None:
    screen = models.TrackSource.SCREEN_SHARE
    assert wish_of(screen).kind is Kind.SCREEN
    assert wish_of(screen).min_spatial == 2
    assert wish_of(screen, has_stills=False).min_spatial == 0
    assert wish_of(screen, width=640, height=360).min_spatial == 1


def test_a_hidden_player_wants_nothing() -> None:
    assert wish_of(is_disabled=True).is_paused
