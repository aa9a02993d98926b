"""Sources, sinks and taps as orders to the engine."""

from __future__ import annotations

import asyncio

import pytest
from fake_engine import FakeEngine, FakeSources, make_registry

from sfu.dtls import DtlsIdentity
from sfu.engine import EngineError
from sfu.errors import MediaClosedError
from sfu.ids import Codec, EncodingSpec, Layers, Payload
from sfu.registry import Registry
from sfu.source import Source
from sfu.tap import Frame, Tap
from sfu.transport import Transport

VP8 = Payload(96, Codec.VP8, 97)


@pytest.fixture(scope="module")
def identity() -> DtlsIdentity:
    return DtlsIdentity()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def registry(engine: FakeEngine, identity: DtlsIdentity) -> Registry:
    return make_registry(engine, identity)


@pytest.fixture
async def source(registry: Registry) -> Source:
    transport = Transport(registry)
    specs = [EncodingSpec("q"), EncodingSpec("h")]
    return transport.add_source(mid="1", is_audio=False, encodings=specs)


def watch(source: Source) -> list[bool]:
    seen: list[bool] = []
    source.on_watched = seen.append
    return seen


async def test_source_is_made_and_told(engine: FakeEngine, source: Source) -> None:
    assert engine.named("add_source") == [(1, "1", False, [("q", 0, 0), ("h", 0, 0)])]
    started: list[tuple[int, int, Codec]] = []
    source.on_started = lambda *news: started.append(news)
    source.handle_started(1, 1234, Codec.VP8)
    assert started == [(1, 1234, Codec.VP8)] and source.codec is Codec.VP8
    assert source.encodings[1].rid == "h"


async def test_mute_is_told_once(engine: FakeEngine, source: Source) -> None:
    source.mute(True)
    source.mute(True)
    source.request_keyframe()
    assert engine.named("mute_source") == [(source.handle, True)]
    assert engine.named("request_keyframe") == [(source.handle, 255)]


async def test_watched_by_unpaused_sinks_and_taps(registry: Registry, source: Source) -> None:
    seen = watch(source)
    viewer = Transport(registry)
    paused = viewer.add_sink(
        source, ssrc=1, rtx_ssrc=2, mid="0", payloads=[VP8], layers=Layers(paused=True)
    )
    assert seen == []
    paused.set_layers(1, 7, False)
    tap = Tap(registry, source)
    assert seen == [True]
    paused.set_layers(0, 7, True)
    assert source.is_watched
    tap.close()
    assert seen == [True, False]
    paused.set_layers(0, 7, False)
    paused.close()
    paused.close()
    assert seen == [True, False, True, False]


async def test_equal_layers_cost_nothing(
    engine: FakeEngine, registry: Registry, source: Source
) -> None:
    sink = Transport(registry).add_sink(source, ssrc=1, rtx_ssrc=2, mid="0", payloads=[VP8])
    assert engine.named("add_sink")[0][1:] == (source.handle, 1, 2, "0", [(96, 3, 97)], 2, 7, False)
    sink.set_layers(2, 7, False)
    sink.set_layers(1, 7, False)
    assert engine.named("set_layers") == [(sink.handle, 1, 7, False)]


async def test_closing_a_transport_ends_what_it_carries(
    engine: FakeEngine, registry: Registry, source: Source
) -> None:
    seen = watch(source)
    viewer = Transport(registry)
    sink = viewer.add_sink(source, ssrc=1, rtx_ssrc=0, mid="0", payloads=[VP8])
    await viewer.close()
    assert sink.is_closed and seen == [True, False]
    assert not registry.sinks and viewer.handle not in registry.transports
    assert engine.calls[-1] == ("remove_transport", viewer.handle)
    assert source.transport is not None
    await source.transport.close()
    assert source.is_closed and not registry.sources
    with pytest.raises(MediaClosedError):
        Transport(registry).add_sink(source, ssrc=1, rtx_ssrc=0, mid="0", payloads=[VP8])
    with pytest.raises(MediaClosedError):
        Tap(registry, source)


async def test_tap_yields_batches_and_ends_with_its_source(
    engine: FakeEngine, registry: Registry, source: Source
) -> None:
    tap = Tap(registry, source)
    batches: list[list[Frame]] = []

    async def read() -> None:
        async for batch in tap:
            batches.append(batch)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    engine.tapped = [(0, 10, 10, True, 0, 3, 0, b"key"), (3000, 20, 20, False, 0, 3, 1, b"delta")]
    tap.handle_ready()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    engine.tapped = [(6000, 30, 30, False, 0, 3, 0, b"last")]
    source.close()
    await reading
    assert [frame.data for batch in batches for frame in batch] == [b"key", b"delta", b"last"]
    assert batches[0][1].lost_before == 1 and batches[0][0].codec is Codec.VP8
    tap.close()
    assert engine.named("remove_tap") == [(tap.handle,)]


async def test_local_frames_are_wrapped_and_never_raise() -> None:
    sources = FakeSources()
    source = sources.create_local_source(is_audio=True, label="tone")
    source.push_frame(Codec.OPUS, 2**32 + 5, b"x")
    assert sources.engine.frames == [(source.handle, 0, 1, 5, b"x")]

    def refuse(*frame: object) -> None:
        raise EngineError("full")

    sources.engine.push_frame = refuse  # type: ignore[method-assign]
    source.push_frame(Codec.OPUS, 6, b"x")
    assert sources.registry.counters["local_frames_refused"] == 1
    source.close()
    source.push_frame(Codec.OPUS, 7, b"x")


async def test_whoever_makes_the_media_hears_of_watchers_whatever_the_room_does() -> None:
    source = FakeSources().create_local_source(is_audio=False, label="camera")
    seen: list[bool] = []
    source.follow_watched(seen.append)
    source.on_watched = None
    source.add_watcher("one")
    source.remove_watcher("one")
    assert seen == [True, False]
