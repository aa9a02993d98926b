"""The list of recordings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from recorder.errors import RecordingNotFoundError
from recorder.model import Recording, RecordingState, TrackFile
from recorder.store import RecordingStore

TRACK = TrackFile("001-video", "TR_1", "ann", "Ann 安", "camera", False, "vp8", "a.webm")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RecordingStore]:
    opened = RecordingStore(tmp_path / "deep" / "list.sqlite")
    await opened.open()
    yield opened
    await opened.close()


def recording(number: int, room: str = "shop") -> Recording:
    return Recording(f"{number:032x}", room, "巡店", 1000.0 + number)


async def test_a_recording_comes_back_as_it_was(store: RecordingStore) -> None:
    whole = replace(
        recording(1),
        ended_at_s=2000.5,
        state=RecordingState.READY,
        cut_short="disk_full",
        progress=1.0,
        duration_s=12.5,
        size_bytes=3_000_000_000,
        file_name="session.webm",
        mime="video/webm",
        participants=("ann", "bob"),
        tracks=(TRACK,),
        is_published=True,
    )
    await store.put(whole)
    assert await store.get(whole.id) == whole


async def test_listing_is_newest_first_and_private_by_default(store: RecordingStore) -> None:
    for number in range(3):
        await store.put(recording(number))
    await store.put(replace(recording(9, "hall"), is_published=True))
    assert [r.started_at_s for r in await store.list()] == [1009, 1002, 1001, 1000]
    assert [r.room for r in await store.list(published_only=True)] == ["hall"]
    assert len(await store.list(room="shop", limit=2)) == 2


async def test_changing_one_field_keeps_the_others(store: RecordingStore) -> None:
    await store.put(recording(1))
    changed = await store.update(recording(1).id, state=RecordingState.FAILED, reason="no_media")
    assert changed == replace(recording(1), state=RecordingState.FAILED, reason="no_media")
    assert await store.get(changed.id) == changed


async def test_what_is_not_there(store: RecordingStore) -> None:
    with pytest.raises(RecordingNotFoundError):
        await store.get("x' OR 1=1 --")
    with pytest.raises(RecordingNotFoundError):
        await store.update("nothing", reason="x")
    await store.delete("nothing")


async def test_the_list_survives_closing(tmp_path: Path) -> None:
    for _ in range(2):
        store = RecordingStore(tmp_path / "list.sqlite")
        await store.open()
        await store.put(recording(1))
        await store.close()
    store = RecordingStore(tmp_path / "list.sqlite")
    await store.open()
    assert len(await store.list()) == 1
    await store.close()
