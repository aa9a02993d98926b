"""Speaker groups as orders to the engine."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine, make_registry

from sfu.ids import EncodingSpec
from sfu.registry import Registry
from sfu.source import Source
from sfu.speakers import SpeakerGroup
from sfu.transport import Transport


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def registry(engine: FakeEngine) -> Registry:
    return make_registry(engine)


def microphone(registry: Registry, *, is_audio: bool = True) -> Source:
    transport = Transport(registry)
    return transport.add_source(mid="1", is_audio=is_audio, encodings=[EncodingSpec()])


async def test_members_are_told_with_the_size(engine: FakeEngine, registry: Registry) -> None:
    first, second = SpeakerGroup(registry, size=3), SpeakerGroup(registry, size=5)
    one, other = microphone(registry), microphone(registry)
    first.add(one)
    second.add(other)
    assert engine.named("set_speaker_group") == [(one.handle, 1), (other.handle, 2)]
    assert engine.named("set_group_size") == [(1, 3), (2, 5)]
    first.discard(one)
    assert engine.named("set_speaker_group")[-1] == (one.handle, 0)


async def test_what_is_closed_is_told_no_more(engine: FakeEngine, registry: Registry) -> None:
    group = SpeakerGroup(registry, size=3)
    source = microphone(registry)
    source.close()
    group.add(source)
    group.discard(source)
    assert engine.named("set_speaker_group") == []


async def test_a_picture_is_no_speaker(registry: Registry) -> None:
    with pytest.raises(ValueError, match="sound"):
        SpeakerGroup(registry, size=3).add(microphone(registry, is_audio=False))
