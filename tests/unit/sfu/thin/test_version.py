"""One source made thin: a camera of 1080p without simulcast, and what it costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import av
import pytest
from drawn_video import FRAMES_PER_S, draw, encode

from sfu.ids import Codec
from sfu.stills.picture import Decoder
from sfu.tap import Frame
from sfu.thin.version import ThinVersion

Result = TypeVar("Result")


class Runner:
    """Works at once, and tells soon."""

    def submit(self, work: Callable[[], Result], on_done: Callable[[Result | None], None]) -> bool:
        asyncio.get_running_loop().call_soon(on_done, work())
        return True

    def close(self) -> None: ...


class Source:
    def __init__(self) -> None:
        self.num_asked = 0

    def request_keyframe(self, _encoding: int) -> None:
        self.num_asked += 1


class Tap:
    def __init__(self, frames: list[Frame]) -> None:
        self.source = Source()
        self._frames = frames

    async def __aiter__(self) -> AsyncIterator[list[Frame]]:
        for frame in self._frames:
            yield [frame]
            await asyncio.sleep(0)

    def close(self) -> None: ...


class Local:
    def __init__(self) -> None:
        self.made: list[tuple[Codec, int, bytes]] = []

    def push_frame(self, codec: Codec, ts_rtp: int, data: bytes) -> None:
        self.made.append((codec, ts_rtp, data))

    def close(self) -> None: ...


class Cpu:
    """A second of a processor for every look at it."""

    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


async def make_thin(frames: list[Frame]) -> tuple[ThinVersion, Local, Counter[str]]:
    tap: Any = Tap(frames)
    local: Any = Local()
    counters: Counter[str] = Counter()
    version = ThinVersion(tap, local, Runner(), counters, cpu_s=Cpu())
    await version.run()
    return version, local, counters


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
async def test_a_single_layer_of_1080p_becomes_small_and_slow(codec: Codec) -> None:
    frames = encode([100] * FRAMES_PER_S, codec=codec, width=1920, height=1080)
    version, local, counters = await make_thin(frames)
    # The sides, of half the frames.
    decoder: Any = av.CodecContext.create("vp8" if codec is Codec.VP8 else "h264", "r")
    shown: list[Any] = []
    for _, _, data in local.made:
        shown += decoder.decode(av.Packet(data))
    assert {(one.width, one.height) for one in shown} == {(320, 180)}
    assert counters["thin_frames"] == len(local.made) == FRAMES_PER_S // 2
    assert version.busy_s == FRAMES_PER_S, "each piece of work is measured"


async def test_what_is_broken_is_measured_too() -> None:
    (key,) = encode([100], width=320, height=180)
    version, _, counters = await make_thin([key._replace(data=b"\x00" * 40)])
    assert counters["thin_broken"] == 1 and version.busy_s == 1.0


class HeldRunner(Runner):
    """Works when it is let."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] = []

    def submit(self, work: Callable[[], Result], on_done: Callable[[Result | None], None]) -> bool:
        self.held.append(lambda: on_done(work()))
        return True


def at_20_a_second(count: int) -> list[Frame]:
    frames = encode([number % 200 for number in range(count)], width=320, height=180)
    return [
        frame._replace(arrived_us=number * 50_000, captured_us=number * 50_000)
        for number, frame in enumerate(frames)
    ]


async def make_held(frames: list[Frame], let_after: int) -> tuple[Local, Counter[str], Source]:
    """The worker gets no processor until all have come, and then as much as it likes."""
    tap, local, counters = Tap(frames), Local(), Counter[str]()
    runner = HeldRunner()
    version = ThinVersion(tap, local, runner, counters, cpu_s=Cpu())  # type: ignore[arg-type]
    version._ask_for_key(0)
    for number, frame in enumerate(frames):
        version._take([frame])
        version._work()
        if number >= let_after and runner.held:
            runner.held.pop(0)()
    return local, counters, tap.source


async def test_a_worker_that_was_held_shows_what_is_new_only() -> None:
    # 0.8 s behind: one picture of what it held at first, one of what waited, then each in time.
    local, counters, _ = await make_held(at_20_a_second(30), let_after=16)
    shown_us = [ts * 100 // 9 for _, ts, _ in local.made]
    assert shown_us[0] == 0, "what it had begun with"
    assert 550_000 <= shown_us[1] and len(shown_us) <= 12, "those between are not worth a look"
    assert counters["thin_overflow"] == 0


async def test_a_worker_that_is_a_second_behind_begins_with_a_new_key_frame() -> None:
    frames = at_20_a_second(60)
    local, counters, source = await make_held(frames, let_after=40)
    assert counters["thin_overflow"] == 1 and source.num_asked >= 2
    assert len(local.made) == 1, "no key frame has come: nothing can be shown"
    frames[50] = frames[50]._replace(is_key=True, data=frames[0].data)
    local, _, _ = await make_held(frames, let_after=40)
    assert local.made[1][1] * 100 // 9 == 50 * 50_000


def encode_two_temporal_layers(count: int) -> list[Frame]:
    """Every second frame is one that no other refers to."""
    context: Any = av.CodecContext.create("libvpx", "w")
    context.width, context.height, context.pix_fmt = 320, 180, "yuv420p"
    context.framerate, context.bit_rate, context.gop_size = FRAMES_PER_S, 400_000, 1000
    context.options = {
        "deadline": "realtime",
        "lag-in-frames": "0",
        "error-resilient": "1",
        "ts-parameters": "ts_number_layers=2:ts_target_bitrate=250,400:ts_rate_decimator=2,1"
        ":ts_periodicity=2:ts_layer_id=0,1:ts_layering_mode=2",
    }
    made = []
    for number in range(count):
        picture = draw(320, 180, number * 10)
        picture.pts = number
        for packet in context.encode(picture):
            at_us = number * 50_000
            key = packet.is_keyframe
            made.append(Frame(number * 4500, at_us, at_us, key, 0, Codec.VP8, 0, bytes(packet)))
    return made


def test_frames_that_are_not_shown_are_decoded_only_for_others() -> None:
    frames = encode_two_temporal_layers(20)
    whole, thrifty = Decoder(), Decoder()
    skipped = 0
    for number, frame in enumerate(frames):
        expected = whole.decode([frame])
        is_shown = number % 4 == 0
        got = thrifty.decode([frame], is_shown=is_shown)
        skipped += got is None
        if is_shown:
            assert expected is not None and got is not None
            assert bytes(got.planes[0]) == bytes(expected.planes[0]), "nothing drifts away"
    assert skipped >= 8
