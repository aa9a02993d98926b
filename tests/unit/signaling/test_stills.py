from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from livekit.protocol import models
from signaling_bench import Bench, Client

from sfu.downlink import LineRoom
from sfu.errors import MediaClosedError
from sfu.ids import Codec
from sfu.stills import Still, Watch
from signaling.data import RELIABLE
from signaling.pages import is_page
from signaling.participant import Participant
from signaling.stills import TOPIC, StillSender, build_chunks
from signaling.track import PublishedTrack

HEADER = struct.Struct("!BBHHIHHQB")


class Maker:
    """Stands in for `sfu.stills.Stills`."""

    def __init__(self) -> None:
        self.watches: list[tuple[Any, Callable[[Still], None], bool, Watch]] = []
        self.is_gone = False
        self.is_closed = False

    def watch(self, source: Any, on_still: Callable[[Still], None], *, is_screen: bool) -> Watch:
        if self.is_gone:
            raise MediaClosedError("source")
        watch = Watch(on_still, lambda _watch: None)
        self.watches.append((source, on_still, is_screen, watch))
        return watch

    def close(self) -> None:
        self.is_closed = True


class Stage:
    """Alice shows something, Bob's line is weak."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.alice = self.bench.connected("alice")
        self.camera = self.alice.publish("cam", "video", rids=("q", "h", "f"))
        self.bob = self.bench.connected("bob")
        self.maker = Maker()
        self.line_room: LineRoom | None = None
        self.turns: list[bool] = []
        self.sender = StillSender(
            self.maker,
            clock=self.bench.clock,
            counters=self.bench.service.counters,
            media_now_us=self.now_us,
            room=lambda _participant: self.line_room,
        )
        self.make_page(self.bob)
        self.bob.data.sent.clear()

    def now_us(self) -> int:
        return round(self.bench.clock.now_s() * 1e6)

    @property
    def room(self) -> Any:
        return self.bench.service._registry.rooms["room"]

    def person(self, client: Client) -> Participant:
        found: Participant = self.room.by_sid[client.sid]
        return found

    def track(self, sid: str) -> PublishedTrack:
        found: PublishedTrack = self.room.tracks[sid]
        return found

    def make_page(self, client: Client) -> None:
        object.__setattr__(self.person(client).grants, "attributes", {"aislecast.page": "1"})

    def start(self, sid: str = "") -> bool:
        return self.sender.start(
            self.person(self.bob), self.track(sid or self.camera), self.note_turn
        )

    def note_turn(self) -> None:
        self.turns.append(self.sender.is_through(self.person(self.bob)))

    def make_for(self, seconds: float) -> None:
        """A camera goes on."""
        for _ in range(round(seconds / 3)):
            self.make()
            self.bench.clock.advance(3.0)

    def make(self, size: int = 2500, *, which: int = -1, age_s: float = 0.0) -> bytes:
        data = bytes(range(256)) * (size // 256 + 1)
        data = data[:size]
        captured_us = self.now_us() - round(age_s * 1e6)
        self.maker.watches[which][1](Still(captured_us, 320, 180, "image/webp", data))
        return data

    def chunks(self, client: Client | None = None) -> list[tuple[Any, str, bytes]]:
        found = []
        for label, packet in (client or self.bob).data.sent:
            assert label == RELIABLE and packet.user.topic == TOPIC
            assert not packet.participant_sid and not packet.participant_identity
            header = HEADER.unpack_from(packet.user.payload)
            sid_end = HEADER.size + header[-1]
            sid = packet.user.payload[HEADER.size : sid_end].decode()
            found.append((header, sid, packet.user.payload[sid_end:]))
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_still_comes_in_chunks_that_make_it_whole(stage: Stage) -> None:
    assert stage.start() and stage.sender.is_sending(
        stage.person(stage.bob), stage.track(stage.camera)
    )
    data = stage.make(2500, age_s=0.5)
    stage.bench.clock.advance(2.0)
    chunks = stage.chunks()
    assert b"".join(part for _, _, part in chunks) == data
    for index, (header, sid, part) in enumerate(chunks):
        version, mime, width, height, number, at, count, taken_ms, _ = header
        assert (version, mime, width, height, number) == (1, 1, 320, 180, 1)
        assert (at, count, sid) == (index, 3, stage.camera) and len(part) <= 1000
        assert abs(taken_ms - (1_700_000_000_000 + 1000_000 + 300 + 500)) < 1500
    assert not stage.alice.data.sent and stage.bench.service.counters["still_sent"] == 1


def test_nobody_but_our_pages_gets_them(stage: Stage) -> None:
    other = stage.bench.connected("carol")
    assert not is_page(stage.person(other))
    assert not stage.sender.start(stage.person(other), stage.track(stage.camera), stage.note_turn)
    assert not stage.maker.watches


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.AV1])
def test_codecs_without_stills_say_so(stage: Stage, codec: Codec) -> None:
    source: Any = stage.track(stage.camera).source
    source.codec = codec
    assert not stage.start() and not stage.maker.watches


def test_sound_and_tracks_that_are_gone_have_none(stage: Stage) -> None:
    voice = stage.alice.publish("mic")
    assert not stage.start(voice)
    stage.maker.is_gone = True
    assert not stage.start()
    assert not stage.sender.is_sending(stage.person(stage.bob), stage.track(stage.camera))


@pytest.mark.parametrize(
    ("estimate_bps", "expected_bps"),
    [(None, 64_000), (100_000.0, 50_000), (30_000.0, 32_000), (9e9, 400_000)],
)
def test_the_rate_is_a_share_of_the_line(
    stage: Stage, estimate_bps: float | None, expected_bps: float
) -> None:
    if estimate_bps is not None:
        stage.line_room = LineRoom(estimate_bps, is_clear=True)
    stage.start()
    for _ in range(10):
        stage.make(60_000)
        stage.bench.clock.advance(1.0)
    sent = sum(len(packet.user.payload) for _, packet in stage.bob.data.sent)
    assert expected_bps * 0.8 <= sent * 8 / 10 <= expected_bps * 1.25


def test_nothing_is_sent_while_something_waits_on_the_line(stage: Stage) -> None:
    stage.line_room = LineRoom(90_000.0, is_clear=False)
    stage.start()
    stage.make()
    stage.bench.clock.advance(3.0)
    assert not stage.bob.data.sent
    stage.line_room = LineRoom(10_000.0, is_clear=True)
    stage.bench.clock.advance(1.0)
    assert len(stage.chunks()) == 3


def test_chunks_leave_one_by_one_not_in_a_burst(stage: Stage) -> None:
    stage.start()
    stage.make(12_000)
    most = 0
    for _ in range(40):
        before = len(stage.bob.data.sent)
        stage.bench.clock.advance(0.05)
        most = max(most, len(stage.bob.data.sent) - before)
    assert most <= 2 and len(stage.chunks()) == 12


def test_nothing_is_sent_while_the_channel_is_full_or_the_line_is_down(stage: Stage) -> None:
    stage.start()
    stage.bob.data.unacked_bytes = 10_000
    stage.make()
    stage.bench.clock.advance(1.0)
    assert not stage.bob.data.sent
    stage.bob.data.unacked_bytes = 0
    stage.bob.transports[0].become("disconnected")
    stage.bench.clock.advance(1.0)
    assert not stage.bob.data.sent
    stage.bob.transports[0].become("connected")
    stage.bench.clock.advance(2.0)
    assert len(stage.chunks()) == 3


def test_a_refused_chunk_is_sent_again(stage: Stage) -> None:
    stage.start()
    stage.bob.data.takes = False
    data = stage.make()
    stage.bench.clock.advance(0.5)
    assert stage.bench.service.counters["still_not_sent"] > 0
    stage.bob.data.takes = True
    stage.bench.clock.advance(2.0)
    assert b"".join(part for _, _, part in stage.chunks()) == data


def test_old_camera_pictures_are_skipped_and_the_newest_wins(stage: Stage) -> None:
    stage.start()
    stage.bob.data.unacked_bytes = 10_000
    stage.make(500)
    stage.make(600)
    assert stage.bench.service.counters["still_superseded"] == 1
    stage.bench.clock.advance(6.0)
    stage.bob.data.unacked_bytes = 0
    stage.bench.clock.advance(1.0)
    assert not stage.bob.data.sent and stage.bench.service.counters["still_too_old"] == 1
    stage.make(700)
    stage.bench.clock.advance(1.0)
    assert [len(part) for _, _, part in stage.chunks()] == [700]


def test_an_old_picture_of_a_screen_is_true_until_the_next(stage: Stage) -> None:
    screen = stage.alice.publish("scr", "video", source=models.TrackSource.SCREEN_SHARE)
    assert stage.start(screen) and stage.maker.watches[0][2]
    stage.make(500, age_s=30.0)
    stage.bench.clock.advance(1.0)
    assert [sid for _, sid, _ in stage.chunks()] == [screen]


def test_cameras_take_turns_picture_by_picture_and_a_screen_goes_between(stage: Stage) -> None:
    second = stage.alice.publish("cam2", "video")
    screen = stage.alice.publish("scr", "video", source=models.TrackSource.SCREEN_SHARE)
    for sid in (stage.camera, second, screen):
        stage.start(sid)
    for which in (0, 1, 2):
        stage.make(3000, which=which)
    stage.bench.clock.advance(4.0)
    sids = [sid for _, sid, _ in stage.chunks()]
    assert [sid for sid in sids if sid != screen] == [stage.camera] * 3 + [second] * 3
    assert sids[:6] == [screen, stage.camera] * 3
    stage.make(500, which=0)
    stage.bench.clock.advance(1.0)
    assert len(stage.chunks()) == 10


def test_a_picture_counts_when_the_peer_has_all_of_it(stage: Stage) -> None:
    stage.start()
    assert not stage.sender.is_through(stage.person(stage.bob))
    stage.make()
    stage.bench.clock.advance(0.3)
    stage.bob.data.unacked_bytes = 900
    stage.bench.clock.advance(3.0)
    assert len(stage.chunks()) == 3 and not stage.turns, "part of it may be lost"
    stage.bob.data.unacked_bytes = 0
    stage.bench.clock.advance(0.1)
    assert stage.turns == [True] and stage.sender._timer is None


def test_a_line_full_of_sound_gets_no_pictures_and_that_is_known(stage: Stage) -> None:
    stage.start()
    stage.make_for(6)
    stage.line_room = LineRoom(60_000.0, is_clear=False)
    stage.make_for(9)
    assert stage.turns == [True], "one or two late ones are not worth a word"
    stage.make_for(9)
    assert stage.turns == [True, False]
    stage.line_room = LineRoom(90_000.0, is_clear=True)
    stage.make_for(3)
    assert stage.turns == [True, False, True]


def test_a_large_screen_may_take_its_time(stage: Stage) -> None:
    stage.line_room = LineRoom(60_000.0, is_clear=True)
    screen = stage.alice.publish("scr", "video", source=models.TrackSource.SCREEN_SHARE)
    stage.start(screen)
    stage.make(500)
    stage.bench.clock.advance(1.0)
    stage.make(60_000)
    stage.bench.clock.advance(18.0)
    assert len(stage.chunks()) == 61
    # Nothing has changed on it since: what is shown is true.
    stage.bench.clock.advance(10.0)
    assert stage.turns == [True]


def test_a_camera_that_is_switched_off_says_nothing_about_the_line(stage: Stage) -> None:
    stage.start()
    stage.make_for(3)
    source: Any = stage.track(stage.camera).source
    stage.line_room = LineRoom(60_000.0, is_clear=False)
    stage.make_for(6)
    source.is_muted = True
    stage.line_room = LineRoom(60_000.0, is_clear=True)
    stage.bench.clock.advance(30.0)
    source.is_muted = False
    stage.make_for(3)
    assert stage.turns == [True]


def test_nobody_is_waited_for_who_left_with_half_a_picture(stage: Stage) -> None:
    stage.start()
    stage.make(500)
    stage.bob.data.unacked_bytes = 900
    stage.bench.clock.advance(1.0)
    stage.bob.send(leave={})
    stage.bench.clock.advance(1.0)
    assert not stage.sender._lines and stage.sender._timer is None


def test_stopping_ends_the_watch_and_what_waits(stage: Stage) -> None:
    stage.start()
    assert stage.start(), "again changes nothing"
    assert len(stage.maker.watches) == 1
    stage.make(12_000)
    stage.bench.clock.advance(0.2)
    sent = len(stage.bob.data.sent)
    assert 0 < sent < 12
    for _ in range(2):
        stage.sender.stop(stage.person(stage.bob), stage.track(stage.camera))
    stage.bench.clock.advance(5.0)
    assert len(stage.bob.data.sent) == sent and stage.maker.watches[0][3].is_closed
    assert stage.sender._timer is None and not stage.sender._lines


def test_who_has_left_gets_nothing_more_even_if_nobody_says_stop(stage: Stage) -> None:
    stage.start()
    track = stage.track(stage.camera)
    stage.make(12_000)
    stage.bench.clock.advance(0.2)
    stage.bob.send(leave={})
    stage.bench.clock.advance(1.0)
    assert stage.maker.watches[0][3].is_closed and not stage.sender._lines
    assert all(not str(key).startswith("stills") for key in track.demand._wished._wanted)


def test_the_end_of_the_source_ends_its_stills(stage: Stage) -> None:
    stage.start()
    stage.maker.watches[0][3].close()
    assert not stage.sender._lines


def test_who_unsubscribes_gets_nothing_more(stage: Stage) -> None:
    stage.start()
    stage.bob.send(subscription={"track_sids": [stage.camera], "subscribe": False})
    stage.make()
    stage.bench.clock.advance(1.0)
    assert not stage.bob.data.sent and stage.maker.watches[0][3].is_closed


def test_the_publisher_goes_on_sending_what_stills_are_made_of(stage: Stage) -> None:
    track = stage.track(stage.camera)
    stage.bob.send(track_setting={"track_sids": [stage.camera], "disabled": True})
    stage.start()
    stage.bench.clock.advance(10.0)
    assert track.demand.top == 0
    stage.sender.stop(stage.person(stage.bob), track)
    stage.bench.clock.advance(10.0)
    assert track.demand.top == -1


def test_closing_ends_all(stage: Stage) -> None:
    stage.start()
    stage.make()
    stage.sender.close()
    stage.sender.close()
    stage.bench.clock.advance(5.0)
    assert not stage.bob.data.sent and stage.maker.is_closed


def test_the_largest_still_has_no_more_chunks_than_announced() -> None:
    still = Still(0, 1280, 720, "image/webp", bytes(60_000))
    chunks = build_chunks(still, 2**32 + 5, track_sid="TR_1", wall_ms=7)
    assert len(chunks) == 60
    assert HEADER.unpack_from(chunks[0])[4] == 5
