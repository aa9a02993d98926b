from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit.protocol import models, rtc
from signaling_bench import ENCODING_ROW, TRANSPORT_ROW, Bench, Client

from bandwidth.uplink import BACK_GRACE_S, BELOW_SHARE, FALL_WAIT_S, FIRST_WAIT_S, GRACE_S
from signaling.pages import PAGE_ATTRIBUTE
from signaling.subscriptions import tell_layers
from signaling.up_step import UpStep
from signaling.uplinks import Uplinks

RIDS = ("q", "h", "f")
ANNOUNCED = (150_000, 450_000, 1_700_000)
SOUND_BPS = 160_000
STARVED = (150_000, 400_000, 60_000)


@pytest.fixture
def bench() -> Bench:
    return Bench()


class Watch:
    """Alice publishes three layers and sound; her line is looked at twice a second."""

    def __init__(self, bench: Bench, *, is_single: bool = False) -> None:
        self.bench = bench
        self.tracks: list[Any] = []
        self.uplinks = Uplinks()
        self.now_s = 0.0
        self.received = 0
        self.is_single = is_single
        self.people: dict[str, Any] = {}
        self.alice = self.publish("alice")

    def publish(self, name: str, *, num_losses: int = 0) -> Any:
        client = self.bench.connected(name, single=self.is_single)
        client.connection.num_losses = num_losses
        sid = client.publish(name, "video", rids=RIDS)
        (transport,) = [one for one in client.transports if one.sources]
        source = transport.sources[-1]
        info = models.TrackInfo(layers=[models.VideoLayer(bitrate=rate) for rate in ANNOUNCED])
        participant = client.peer._participant
        self.people[client.sid] = participant
        track = SimpleNamespace(
            sid=sid,
            publisher_sid=client.sid,
            mid=participant.tracks[sid].mid,
            first_layers=participant.tracks[sid].first_layers,
            info=info,
            source=source,
            is_video=True,
            encoding_count=3,
            lowered_to=None,
            line_news=-1,
            demand=SimpleNamespace(top=2),
        )
        self.tracks.append(track)
        return SimpleNamespace(track=track, transport=transport, client=client)

    def run(self, seconds: float, *rates_bps: int) -> None:
        for _ in range(int(seconds * 2)):
            self.now_s += 0.5
            self.received += (sum(rates_bps) + SOUND_BPS) // 16
            self.uplinks.update([self.room], self.snapshot(rates_bps), self.now_s)  # type: ignore[list-item, arg-type]

    @property
    def room(self) -> Any:
        tracks = {track.sid: track for track in self.tracks}
        return SimpleNamespace(tracks=tracks, by_sid=self.people)

    def snapshot(self, rates_bps: tuple[int, ...]) -> Any:
        encodings = np.zeros(len(rates_bps), ENCODING_ROW)
        for encoding, (row, rate_bps) in enumerate(zip(encodings, rates_bps, strict=True)):
            row["source"], row["encoding"] = self.alice.track.source.handle, encoding
            row["bitrate_bps"] = rate_bps
        transports = np.zeros(1, TRANSPORT_ROW)
        transports["transport"] = self.alice.transport.handle
        transports["received_bytes"] = self.received
        return SimpleNamespace(encodings=encodings, transports=transports)


def test_a_sender_whose_top_layer_starves_is_limited_to_the_layers_below(bench: Bench) -> None:
    watch = Watch(bench)
    watch.run(GRACE_S, *STARVED)
    assert watch.alice.transport.uplink_limit_bps == 0
    watch.run(1, *STARVED)
    whole_bps = SOUND_BPS + BELOW_SHARE * (150_000 + 450_000)
    limit_bps = watch.alice.transport.uplink_limit_bps
    assert limit_bps == pytest.approx(whole_bps, rel=0.05)
    watch.run(30, *STARVED)
    assert watch.alice.transport.uplink_limit_bps == pytest.approx(0.7 * whole_bps, rel=0.05)
    limit_bps = watch.alice.transport.uplink_limit_bps
    watch.run(FIRST_WAIT_S - 32, 150_000, 400_000, 0)
    assert watch.alice.transport.uplink_limit_bps == limit_bps
    watch.run(2, 150_000, 400_000, 0)
    assert watch.alice.transport.uplink_limit_bps == 0, "another try"


def asked(watch: Watch) -> Client:
    """Alice's client, once it was asked for an offer."""
    watch.bench.clock.advance(0.1)
    client: Client = watch.alice.client
    assert client.last("media_sections_requirement") == rtc.MediaSectionsRequirement()
    client.clear()
    return client


def test_one_that_can_be_asked_for_an_offer_is_told_to_pause_the_layer(bench: Bench) -> None:
    watch = Watch(bench, is_single=True)
    watch.alice.client.clear()
    watch.run(GRACE_S + 1, *STARVED)
    assert watch.alice.transport.uplink_limit_bps > 0, "until it has been told"
    client = asked(watch)
    client.offer()
    assert "a=simulcast:recv q;h;~f" in client.last("answer").sdp
    watch.run(1, 150_000, 450_000, 0)
    assert watch.alice.transport.uplink_limit_bps == 0
    watch.run(2 * FIRST_WAIT_S, 150_000, 200_000, 0)
    assert "media_sections_requirement" not in client.kinds(), "nothing is left for another one"
    watch.run(1, 150_000, 450_000, 0)
    asked(watch).offer()
    assert "a=simulcast:recv q;h;f" in client.last("answer").sdp


def test_what_a_line_began_without_is_tried_after_a_while(bench: Bench) -> None:
    watch = Watch(bench, is_single=True)
    watch.tracks.clear()
    bob = watch.alice = watch.publish("bob", num_losses=2)
    assert "a=simulcast:recv q;~h;~f" in bob.client.last("answer").sdp
    bob.client.clear()
    watch.run(FIRST_WAIT_S - 1, 300_000, 0, 0)
    assert "media_sections_requirement" not in bob.client.kinds()
    watch.run(2, 300_000, 0, 0)
    asked(watch).offer()
    assert "a=simulcast:recv q;h;~f" in bob.client.last("answer").sdp


def test_what_a_line_does_not_carry_is_noted_of_its_publisher_alone(bench: Bench) -> None:
    watch = Watch(bench)
    bob = watch.publish("bob")
    alice = watch.people[watch.alice.client.sid]
    watch.run(GRACE_S, *STARVED)
    assert alice.seen_step is UpStep.FULL
    watch.run(1, *STARVED)
    assert alice.seen_step is UpStep.REDUCED
    watch.run(2 * GRACE_S, 120_000, 40_000, 0)
    assert alice.seen_step is UpStep.SLOW, "nor the middle one"
    assert watch.people[bob.client.sid].seen_step is UpStep.FULL
    watch.alice.track.demand.top = 0
    watch.run(1, 120_000, 0, 0)
    assert alice.seen_step is UpStep.FULL, "more is wanted by nobody"
    watch.alice.track.demand.top = 2
    watch.run(1, 120_000, 0, 0)
    assert alice.seen_step is UpStep.SLOW
    watch.tracks.clear()
    watch.run(1, 0, 0, 0)
    assert alice.seen_step is UpStep.FULL


@pytest.mark.parametrize("step", [UpStep.STARTING, UpStep.REDUCED])
def test_a_layer_that_its_sender_holds_back_itself_is_not_judged(
    bench: Bench, step: UpStep
) -> None:
    watch = Watch(bench)
    alice = watch.people[watch.alice.client.sid]
    alice.announced_step = step
    watch.run(FIRST_WAIT_S, 150_000, 400_000, 0)
    assert watch.alice.transport.uplink_limit_bps == 0 and alice.seen_step is UpStep.FULL
    alice.announced_step = UpStep.FULL
    watch.run(GRACE_S, *STARVED)
    assert watch.alice.transport.uplink_limit_bps == 0, "it has time to grow"
    watch.run(1, *STARVED)
    assert watch.alice.transport.uplink_limit_bps > 0


def test_layers_a_line_began_without_are_no_verdict(bench: Bench) -> None:
    watch = Watch(bench, is_single=True)
    watch.tracks.clear()
    bob = watch.alice = watch.publish("bob", num_losses=2)
    person = watch.people[bob.client.sid]
    watch.run(FIRST_WAIT_S - 1, 300_000, 0, 0)
    assert person.seen_step is UpStep.FULL, "nobody has tried"
    watch.run(2, 300_000, 0, 0)
    asked(watch).offer()
    watch.run(2 * GRACE_S, 300_000, 30_000, 0)
    assert person.seen_step is UpStep.SLOW, "tried, and it did not fit"


def test_a_strong_publisher_is_never_limited(bench: Bench) -> None:
    watch = Watch(bench)
    watch.alice.transport.limit_uplink = lambda _: pytest.fail("limited")
    watch.run(120, 150_000, 450_000, 1_700_000)


def test_a_layer_that_nobody_wants_is_no_reason(bench: Bench) -> None:
    watch = Watch(bench)
    watch.alice.track.demand.top = 1
    watch.run(60, 150_000, 400_000, 0)
    assert watch.alice.transport.uplink_limit_bps == 0


def test_the_limit_ends_with_the_track_and_while_it_is_muted(bench: Bench) -> None:
    watch = Watch(bench)
    watch.run(GRACE_S + 1, *STARVED)
    assert watch.alice.transport.uplink_limit_bps > 0
    watch.alice.track.info.muted = True
    watch.run(0.5, 0, 0, 0)
    assert watch.alice.transport.uplink_limit_bps == 0
    watch.alice.track.info.muted = False
    watch.run(GRACE_S, *STARVED)
    assert watch.alice.transport.uplink_limit_bps == 0, "judged anew"
    watch.tracks.clear()
    watch.run(0.5, *STARVED)


def test_a_second_publisher_changes_nothing_for_the_first(bench: Bench) -> None:
    watch = Watch(bench)
    watch.run(4, *STARVED)
    bob = watch.publish("bob")
    watch.tracks.reverse()
    watch.run(GRACE_S - 3, *STARVED)
    assert watch.alice.transport.uplink_limit_bps > 0
    assert bob.transport.uplink_limit_bps == 0


def test_the_service_looks_at_lines(bench: Bench) -> None:
    alice = bench.connected("alice")
    alice.publish("v", "video", rids=RIDS)
    bench.clock.advance(30)
    assert bench.service.snapshot()["rooms"] == 1


class Fall:
    """Alice's camera in its room, as it is, on a line that falls."""

    def __init__(self, bench: Bench, *, is_page: bool = False, is_single: bool = True) -> None:
        self.watch = Watch(bench, is_single=is_single)
        self.client: Client = self.watch.alice.client
        self.participant = self.watch.people[self.client.sid]
        if is_page:
            self.participant.grants.attributes[PAGE_ATTRIBUTE] = "1"
        (track,) = (one for one in self.participant.tracks.values() if one.is_video)
        del track.info.layers[:]
        track.info.layers.extend(
            models.VideoLayer(quality=quality, bitrate=rate_bps)
            for quality, rate_bps in enumerate(ANNOUNCED)
        )
        self.track = self.watch.alice.track = track
        self.watch.tracks = [track]
        self.watch.now_s = bench.clock.now_s()
        self.client.clear()

    def tell(self, rate_bps: int) -> None:
        self.watch.alice.transport.on_uplink(rate_bps)
        self.watch.bench.clock.advance(0.1)

    def enabled(self) -> list[bool]:
        update = self.client.last("subscribed_quality_update")
        return [one.enabled for one in update.subscribed_qualities]


def test_a_page_whose_line_falls_is_ordered_to_the_lowest_layer_at_once(bench: Bench) -> None:
    fall = Fall(bench, is_page=True)
    fall.tell(120_000)
    assert fall.enabled() == [True, False, False]
    fall.watch.run(5, 60_000, 0, 0)
    assert "media_sections_requirement" not in fall.client.kinds(), "an offer would fill its line"
    assert fall.watch.alice.transport.uplink_limit_bps == 0, "it obeys"
    fall.client.clear()
    fall.tell(0)
    assert fall.enabled() == [True, True, True]
    fall.watch.run(BACK_GRACE_S, 150_000, 150_000, 30_000)
    assert "media_sections_requirement" not in fall.client.kinds(), "its estimate grows slowly"
    fall.watch.run(GRACE_S + 1, *STARVED)
    assert asked(fall.watch) is fall.client


def test_another_client_is_asked_for_the_offer_that_lets_us_pause_its_layers(bench: Bench) -> None:
    fall = Fall(bench)
    fall.tell(120_000)
    assert fall.enabled() == [True, False, False], "it may know of dynacast"
    asked(fall.watch).offer()
    assert "a=simulcast:recv q;~h;~f" in fall.client.last("answer").sdp
    fall.tell(0)
    asked(fall.watch).offer()
    assert "a=simulcast:recv q;h;f" in fall.client.last("answer").sdp


def test_a_line_that_comes_back_in_part_is_tried_once_the_lowest_layer_is_full(
    bench: Bench,
) -> None:
    fall = Fall(bench, is_page=True)
    fall.tell(120_000)
    fall.client.clear()
    fall.watch.run(FALL_WAIT_S + 5, 60_000, 0, 0)
    assert "subscribed_quality_update" not in fall.client.kinds()
    fall.watch.run(1, 140_000, 0, 0)
    assert fall.enabled() == [True, True, False]


def test_what_was_told_of_a_line_stays_when_wishes_change(bench: Bench) -> None:
    fall = Fall(bench, is_page=True)
    fall.tell(120_000)
    fall.tell(110_000)
    assert fall.client.kinds().count("subscribed_quality_update") == 1
    fall.client.clear()
    tell_layers(fall.participant, fall.track)
    assert fall.enabled() == [True, False, False]


def test_where_no_offer_can_be_asked_for_a_limit_keeps_the_layers_off(bench: Bench) -> None:
    fall = Fall(bench, is_single=False)
    fall.tell(120_000)
    fall.watch.run(1, 60_000, 0, 0)
    assert fall.watch.alice.transport.uplink_limit_bps > 0
    assert fall.enabled() == [True, False, False]
