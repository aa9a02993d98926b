"""Which sources have a thin version: bounded by what they cost, not by who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from fake_engine import FakeEngine, make_registry

from sfu import engine as native
from sfu.ids import Codec, EncodingSpec, Layers, Payload
from sfu.registry import Registry
from sfu.source import Source
from sfu.thin.versions import ThinVersions
from sfu.transport import Transport

VP8 = Payload(96, Codec.VP8, 97)


class Engine(FakeEngine):
    """Has measured encodings."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, list[tuple[int, int]]] = {}
        self.looked = 0

    def snapshot_encodings(self) -> bytes:
        self.looked += 1
        rows = np.zeros(sum(map(len, self.sizes.values())), native.ENCODING_DTYPE)
        at = 0
        for source, sizes in self.sizes.items():
            for encoding, (width, height) in enumerate(sizes):
                rows["source"][at], rows["encoding"][at] = source, encoding
                rows["width"][at], rows["height"][at] = width, height
                rows["bitrate_bps"][at] = 500_000
                at += 1
        return rows.tobytes()


class Bench:
    def __init__(self) -> None:
        self.engine = Engine()
        self.registry: Registry = make_registry(self.engine)
        self.now_s = 100.0
        self.versions = ThinVersions(self.registry, max_cores=0.5, now_s=lambda: self.now_s)
        self.registry.thin = self.versions

    def camera(self, *sizes: tuple[int, int]) -> Source:
        rids = ["q", "h", "f"][: len(sizes)] if len(sizes) > 1 else [""]
        source = Transport(self.registry).add_source(
            mid="0", is_audio=False, encodings=[EncodingSpec(rid) for rid in rids]
        )
        source.handle_started(0, 1, Codec.VP8)
        self.engine.sizes[source.handle] = list(sizes)
        return source

    def work(self, source: Source, cores: float, *, turns: int = 1) -> None:
        """Let time pass in which a version takes so much of a core."""
        for _ in range(turns):
            self.now_s += 2.0
            shared = self.versions._shared.get(source.handle)
            if shared is not None:
                shared.version.busy_s += 2.0 * cores
            self.versions.weigh()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.versions.close()
    await asyncio.sleep(0)


HD, UHD, SMALL = (1920, 1080), (3840, 2160), (640, 360)


async def test_cameras_of_1080p_without_simulcast_are_few(bench: Bench) -> None:
    cameras = [bench.camera(HD) for _ in range(8)]
    made = [bench.versions.acquire(camera) is not None for camera in cameras]
    assert made == [True] * 3 + [False] * 5
    assert bench.registry.counters["thin_refused"] == 5
    assert bench.versions.acquire(cameras[0]) is not None, "one more line costs nothing"
    assert 0.3 < bench.versions.cores < 0.5


async def test_one_of_4k_is_too_much_where_the_lowest_of_three_layers_is_not(bench: Bench) -> None:
    assert bench.versions.acquire(bench.camera(UHD)) is None
    layered = [bench.camera((960, 540), HD, UHD) for _ in range(5)]
    assert all(bench.versions.acquire(camera) is not None for camera in layered)


async def test_small_cameras_are_many_and_bounded(bench: Bench) -> None:
    made = [bench.versions.acquire(bench.camera(SMALL)) is not None for _ in range(40)]
    assert 15 <= sum(made) <= 25 and made == sorted(made, reverse=True)


async def test_what_is_measured_counts(bench: Bench) -> None:
    cameras = [bench.camera(HD) for _ in range(5)]
    for camera in cameras[:3]:
        assert bench.versions.acquire(camera) is not None
    assert bench.versions.acquire(cameras[3]) is None
    # They do less than they seemed to; the first turn measures nothing yet.
    bench.work(cameras[0], 0.02, turns=3)
    assert bench.versions.cores < 0.05
    assert bench.versions.acquire(cameras[3]) is not None
    # One does more, and there is no room while it does.
    bench.work(cameras[1], 0.45, turns=2)
    assert bench.versions.acquire(cameras[4]) is None
    assert bench.registry.counters["thin_too_costly"] == 0


async def test_one_that_was_refused_is_not_looked_at_with_every_try(bench: Bench) -> None:
    camera = bench.camera(UHD)
    for _ in range(100):
        assert bench.versions.acquire(camera) is None
    assert bench.engine.looked == 1 and bench.registry.counters["thin_refused"] == 100
    bench.engine.sizes[camera.handle] = [SMALL]
    bench.now_s += 5.0
    assert bench.versions.acquire(camera) is not None


async def test_a_source_that_grows_loses_its_version_and_others_keep_theirs(bench: Bench) -> None:
    small, growing = bench.camera(SMALL), bench.camera(SMALL)
    viewer = Transport(bench.registry)
    sinks = [
        viewer.add_sink(source, ssrc=ssrc, rtx_ssrc=0, mid=str(ssrc), payloads=[VP8])
        for ssrc, source in ((1, small), (2, growing))
    ]
    granted: list[Layers] = []
    sinks[1].on_granted = granted.append
    assert all(sink.grant(Layers(0, 7, False), is_thin=True) for sink in sinks)
    bench.work(growing, 0.02, turns=2)
    bench.work(growing, 0.9)
    assert sinks[1].is_thin, "one turn may be a key frame"
    bench.work(growing, 0.9)
    assert bench.registry.counters["thin_too_costly"] == 1
    assert not sinks[1].is_thin and granted[-1].paused, "its viewer can have stills"
    assert sinks[0].is_thin and not bench.versions._shared[small.handle].version.local.is_closed
    assert growing.handle not in bench.versions._shared
    # Whoever asks again at once does not begin it anew.
    assert not sinks[1].grant(Layers(0, 7, False), is_thin=True)
    bench.now_s += 60.0
    assert sinks[1].grant(Layers(0, 7, False), is_thin=True)


async def test_nothing_is_remembered_of_what_has_ended(bench: Bench) -> None:
    for _ in range(50):
        bench.versions.acquire(bench.camera(UHD))
        bench.now_s += 1.0
    assert len(bench.versions._paused_until_s) <= 6
    camera = bench.camera(SMALL)
    bench.versions.acquire(camera)
    bench.work(camera, 0.1, turns=2)
    bench.versions.close()
    assert bench.versions.cores == 0.0 and bench.versions._weighing is None
