"""Stills of a source: one feed for all, only while somebody watches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from drawn_video import FRAME_US, encode
from manual_clock import ManualClock

from sfu.ids import Codec
from sfu.stills import Still, Stills, Watch, has_stills
from sfu.tap import Frame

Result = TypeVar("Result")


class Source:
    is_audio = False
    is_closed = False
    is_muted = False
    is_encrypted = False
    codec: Codec | None = Codec.VP8

    def __init__(self, handle: int = 1) -> None:
        self.handle = handle
        self.asked: list[int] = []

    def request_keyframe(self, encoding: int = 255) -> None:
        self.asked.append(encoding)


class Tap:
    is_closed = False

    def __init__(self, source: Source, is_lowest: bool) -> None:
        self.source = source
        self.is_lowest = is_lowest
        self.frames: list[Frame] = []

    def drain(self) -> list[Frame]:
        taken, self.frames = self.frames, []
        return taken

    def close(self) -> None:
        self.is_closed = True


class Media:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.taps: list[Tap] = []

    def open_tap(self, source: Any, *, max_bytes: int, is_lowest: bool) -> Any:
        assert max_bytes <= 8_000_000
        self.taps.append(Tap(source, is_lowest))
        return self.taps[-1]

    def now_us(self) -> int:
        return round(self.clock.now_s() * 1e6)


class Runner:
    """Works at once, or when told to."""

    def __init__(self) -> None:
        self.is_full = False
        self.is_slow = False
        self.waiting: list[Callable[[], None]] = []

    def submit(self, work: Callable[[], Result], on_done: Callable[[Result | None], None]) -> bool:
        if self.is_full:
            return False
        self.waiting.append(lambda: on_done(work()))
        if not self.is_slow:
            self.run()
        return True

    def run(self) -> None:
        jobs, self.waiting = self.waiting, []
        for job in jobs:
            job()

    def close(self) -> None:
        self.is_full = True


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.media = Media(self.clock)
        self.runner = Runner()
        self.cost_s = 0.0
        self.cpu_s = 0.0
        self.counters: Counter[str] = Counter()
        self.stills = Stills(
            self.media,
            counters=self.counters,
            runner=self.runner,
            call_later=self.clock.call_later,
            cpu_s=self._spend,
        )
        self.got: list[Still] = []

    def _spend(self) -> float:
        """Each piece of work costs so much."""
        self.cpu_s += self.cost_s
        return self.cpu_s

    def watch(self, source: Source, *, is_screen: bool = False) -> Watch:
        made: Any = source
        return self.stills.watch(made, self.got.append, is_screen=is_screen)

    def send(self, levels: list[int], *, tap: int = 0, **options: Any) -> None:
        start_us = self.media.now_us()
        self.media.taps[tap].frames += encode(levels, start_us=start_us, **options)
        self.clock.advance(len(levels) * FRAME_US / 1e6)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_camera_gives_a_small_still_every_three_seconds(bench: Bench) -> None:
    bench.watch(Source())
    assert bench.media.taps[0].is_lowest
    bench.send([50] * 10, width=640, height=360)
    bench.clock.advance(1.0)
    (first,) = bench.got
    assert (first.width, first.height, first.mime) == (320, 180, "image/webp")
    assert first.data[:4] == b"RIFF" and len(first.data) <= 8_000
    assert abs(first.captured_us - bench.media.now_us()) < 2_000_000
    for _ in range(4):
        bench.send([90] * 5)
        bench.clock.advance(2.75)
    assert 4 <= len(bench.got) <= 5


def test_one_feed_serves_all_and_ends_with_the_last(bench: Bench) -> None:
    source = Source()
    one, two = bench.watch(source), bench.watch(source)
    bench.send([50] * 5)
    bench.clock.advance(1.0)
    assert len(bench.media.taps) == 1 and len(bench.got) == 2
    assert bench.counters["stills_made"] == 1
    three = bench.watch(source)
    bench.clock.advance(0.0)
    assert len(bench.got) == 3 and bench.got[0] is bench.got[2], "what is there comes at once"
    for watch in (one, two, three, three):
        watch.close()
    made = bench.counters["stills_made"]
    bench.send([90] * 5)
    bench.clock.advance(4.0)
    assert not bench.media.taps[0].is_closed and bench.counters["stills_made"] == made
    bench.clock.advance(2.0)
    assert bench.media.taps[0].is_closed
    bench.clock.advance(60.0)
    assert bench.clock._due == [], "nothing runs while nobody watches"


def test_who_comes_back_soon_costs_no_key_frame(bench: Bench) -> None:
    source = Source()
    frames = encode([50] * 15, start_us=bench.media.now_us())
    first = bench.watch(source)
    bench.media.taps[0].frames += frames[:5]
    bench.clock.advance(1.0)
    first.close()
    bench.media.taps[0].frames += frames[5:10]
    bench.clock.advance(3.0)
    bench.watch(source)
    bench.media.taps[0].frames += frames[10:]
    bench.clock.advance(4.0)
    assert len(bench.media.taps) == 1 and not source.asked
    assert bench.got[-1].captured_us == frames[-1].captured_us


def test_a_costly_camera_is_looked_at_in_key_frames_only(bench: Bench) -> None:
    """1080p without simulcast, whose publisher makes key frames only when asked."""
    source = Source()
    bench.watch(source)
    bench.cost_s = 1.0
    frames = encode([50] * 20, width=1920, height=1080)

    def arrive(start: int, end: int) -> None:
        now_us = bench.media.now_us()
        bench.media.taps[0].frames += [
            frame._replace(arrived_us=now_us, captured_us=now_us + number)
            for number, frame in enumerate(frames[start:end], start)
        ]
        bench.clock.advance(3.0)

    for start in range(0, 20, 5):
        arrive(start, start + 5)
    assert bench.counters["stills_spared"] == 1
    # Nothing but the key frame that is asked for is decoded, and a still is made of it.
    made, spent_s = len(bench.got), bench.cpu_s
    for start in (15, 16, 17, 18):
        arrive(start, start + 1)
    assert bench.cpu_s == spent_s and 2 <= len(source.asked) <= 3
    arrive(0, 10)
    assert len(bench.got) == made + 1 and bench.got[-1].captured_us % 1_000_000 == 0
    # A minute later it is looked at anew.
    bench.cost_s = 0.001
    bench.clock.advance(60.0)
    for start in range(0, 20, 5):
        arrive(start, start + 5)
    assert bench.got[-1].captured_us % 1_000_000 == 19, "the latest frame"
    assert bench.counters["stills_spared"] == 1


def test_what_costs_little_is_not_spared_for_what_costs_much(bench: Bench) -> None:
    for handle in (1, 2):
        bench.watch(Source(handle))
    frames = encode([50] * 40, start_us=0)
    for start in range(0, 40, 5):
        for tap, cost_s in zip(bench.media.taps, (0.01, 3.0), strict=True):
            tap.frames += frames[start : start + 5]
            bench.cost_s = cost_s
            bench.stills._shared[tap.source.handle, False].feed.step(bench.media.now_us())
        bench.clock.advance(3.0)
    spared = {key: shared.feed.is_sparing for key, shared in bench.stills._shared.items()}
    assert spared == {(1, False): False, (2, False): True}


def test_a_listener_that_fails_harms_no_other(bench: Bench) -> None:
    source: Any = Source()

    def fail(_still: Still) -> None:
        raise RuntimeError("planted")

    bench.stills.watch(source, fail, is_screen=False)
    bench.watch(source)
    bench.send([50] * 5)
    bench.clock.advance(1.0)
    assert len(bench.got) == 1


def test_a_screen_is_sent_when_it_changes_and_once_when_it_stands(bench: Bench) -> None:
    bench.watch(Source(), is_screen=True)
    assert not bench.media.taps[0].is_lowest
    bench.send([50] * 3, width=1280, height=720)
    bench.clock.advance(10.0)
    assert len(bench.got) == 1 and bench.got[0].width == 1280
    bench.send([50] * 3, width=1280, height=720)
    bench.clock.advance(10.0)
    assert len(bench.got) == 1, "the same picture is not sent again"
    bench.send([250] * 3, width=1280, height=720)
    bench.clock.advance(10.0)
    assert len(bench.got) == 2
    bench.watch(Source())
    bench.clock.advance(0.0)
    bench.watch(Source(), is_screen=True)
    bench.clock.advance(0.0)
    assert len(bench.got) == 3, "a standing screen is true however old"


def test_a_late_comer_gets_no_old_camera_picture(bench: Bench) -> None:
    source = Source()
    bench.watch(source)
    bench.send([50] * 5)
    bench.clock.advance(10.0)
    bench.watch(source)
    bench.clock.advance(0.0)
    assert len(bench.got) == 1


def test_after_a_gap_a_key_frame_is_asked_for_once_in_a_while(bench: Bench) -> None:
    source = Source()
    bench.watch(source)
    frames = encode([50] * 20, start_us=bench.media.now_us())
    bench.media.taps[0].frames += [*frames[:5], frames[9]._replace(lost_before=4), *frames[10:]]
    bench.clock.advance(9.0)
    assert len(bench.got) == 1
    assert 2 <= len(source.asked) <= 3 and set(source.asked) == {0}
    bench.send([90] * 5)
    bench.clock.advance(3.0)
    assert len(bench.got) == 2


def test_no_key_frame_is_asked_for_while_frames_flow(bench: Bench) -> None:
    source = Source()
    bench.watch(source)
    frames = encode([50] * 25, start_us=bench.media.now_us())
    for start in range(0, 25, 5):
        bench.media.taps[0].frames += frames[start : start + 5]
        bench.clock.advance(3.0)
    assert source.asked == [] and len(bench.got) >= 4


def test_rubbish_is_counted_and_a_key_frame_goes_on(bench: Bench) -> None:
    source = Source()
    bench.watch(source)
    bench.media.taps[0].frames.append(Frame(0, 0, 0, True, 0, Codec.VP8, 0, b"\x00" * 40))
    bench.clock.advance(1.0)
    assert bench.counters["stills_undecodable"] == 1 and source.asked
    bench.send([50] * 5)
    bench.clock.advance(1.0)
    assert len(bench.got) == 1


def test_a_slow_worker_gets_one_run_at_a_time(bench: Bench) -> None:
    bench.runner.is_slow = True
    bench.watch(Source())
    bench.send([50] * 5)
    bench.clock.advance(10.0)
    assert len(bench.runner.waiting) == 1 and bench.counters["stills_behind"] > 3
    bench.runner.run()
    assert len(bench.got) == 1


def test_a_full_worker_is_counted_and_tried_again(bench: Bench) -> None:
    bench.runner.is_full = True
    bench.watch(Source())
    bench.send([50] * 5)
    bench.clock.advance(1.0)
    assert bench.counters["stills_busy"] == 1 and not bench.got
    bench.runner.is_full = False
    bench.send([60] * 5)
    bench.clock.advance(1.0)
    assert len(bench.got) == 1


def test_a_still_under_way_when_the_watch_ends_is_dropped(bench: Bench) -> None:
    bench.runner.is_slow = True
    watch = bench.watch(Source())
    bench.send([50] * 5)
    bench.clock.advance(1.0)
    watch.close()
    bench.runner.run()
    assert not bench.got


def test_the_end_of_the_source_ends_its_watches(bench: Bench) -> None:
    source = Source()
    watch = bench.watch(source)
    source.is_closed = True
    bench.clock.advance(1.0)
    assert watch.is_closed and bench.media.taps[0].is_closed


def test_closing_ends_everything(bench: Bench) -> None:
    watches = [bench.watch(Source(1)), bench.watch(Source(2), is_screen=True)]
    bench.stills.close()
    bench.stills.close()
    assert all(watch.is_closed for watch in watches)
    assert all(tap.is_closed for tap in bench.media.taps)


@pytest.mark.parametrize(
    ("codec", "expected"),
    [(None, True), (Codec.VP8, True), (Codec.H264, True), (Codec.VP9, False), (Codec.AV1, False)],
)
def test_which_codecs_have_stills(codec: Codec | None, expected: bool) -> None:
    source: Any = Source()
    source.codec = codec
    assert has_stills(source) is expected
    source.is_audio = True
    assert not has_stills(source)


def test_what_its_people_encrypt_has_none() -> None:
    source = Source()
    source.codec = Codec.VP8
    source.is_encrypted = True
    assert not has_stills(source)  # type: ignore[arg-type]
