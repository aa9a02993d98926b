"""The recorder as a whole, with real files, a real database and real finish jobs."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import pytest
from recorded_media import FakeMedia, FakeSource, encode_audio, encode_video, to_frames

from recorder.config import RecorderConfig
from recorder.errors import DiskFullError, RecordingNotFoundError, RecordingStateError
from recorder.model import Participant, Recording, RecordingState, TrackInfo
from recorder.service import RecorderService
from sfu.ids import Codec

CHILD = Path(__file__).with_name("recorder_child.py")
PATHS = (CHILD.parents[2], CHILD.parents[1] / "support")
VIDEO = list(to_frames(encode_video(Codec.VP8, 100), Codec.VP8))
AUDIO = list(to_frames(encode_audio(200), Codec.OPUS))
ANN = Participant("ann", "Ann")


def make_service(directory: Path, **options: Any) -> RecorderService:
    media: Any = FakeMedia()
    settings = {"min_free_bytes": 0, "batch_s": 0.02, "sync_s": 0.05, **options}
    config = RecorderConfig(directory=directory, database=directory / "list.sqlite", **settings)
    return RecorderService(media, config, media.wall_s)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RecorderService]:
    made = make_service(tmp_path)
    await made.recover()
    yield made
    await made.drain()


async def record(service: RecorderService, *, has_video: bool = True) -> Recording:
    recording = await service.start("shop", "Walk")
    camera: Any = FakeSource(is_audio=False)
    microphone: Any = FakeSource(is_audio=True)
    if has_video:
        service.add_track(recording.id, ANN, TrackInfo("TR_v", "camera"), camera)
        camera.frames = list(VIDEO)
    service.add_track(recording.id, ANN, TrackInfo("TR_a", "microphone"), microphone)
    microphone.frames = list(AUDIO)
    return recording


async def until(service: RecorderService, recording_id: str, *states: RecordingState) -> Recording:
    async with asyncio.timeout(60):
        while (recording := await service.get(recording_id)).state not in states:
            await asyncio.sleep(0.02)
    return recording


async def test_from_start_to_replay(service: RecorderService) -> None:
    news: list[tuple[str, float]] = []
    service.on_change.append(lambda changed: news.append((changed.state, changed.progress)))
    recording = await record(service)
    assert service.active("shop") == (recording.id,)
    with pytest.raises(RecordingStateError):
        await service.file_path(recording.id)
    stopped = await service.stop(recording.id)
    assert stopped.state is RecordingState.FINISHING
    ready = await until(service, recording.id, RecordingState.READY)
    assert (ready.reason, ready.cut_short, ready.participants) == ("", "", ("ann",))
    assert ready.duration_s == pytest.approx(4.0, abs=0.1)
    path, mime = await service.file_path(recording.id)
    assert mime == "video/webm" and path.stat().st_size == ready.size_bytes
    with av.open(str(path)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 100
    track_path, track_mime = await service.file_path(recording.id, "002-audio")
    assert track_mime == "audio/webm" and track_path.exists()
    with pytest.raises(RecordingNotFoundError):
        await service.file_path(recording.id, "../list.sqlite")
    assert [state for state, _ in news][0] == "recording"
    assert news[-1] == ("ready", 1.0)
    assert any(state == "finishing" and 0 < part < 1 for state, part in news)


async def test_tracks_can_be_played_while_the_session_is_composed(
    service: RecorderService,
) -> None:
    recording = await record(service)
    second: Any = FakeSource(is_audio=False)
    service.add_track(recording.id, Participant("bob"), TrackInfo("TR_w", "camera"), second)
    second.frames = list(VIDEO)
    await asyncio.sleep(0.1)
    seen: list[tuple[str, int]] = []
    service.on_change.append(lambda changed: seen.append((changed.state, len(changed.tracks))))
    await service.stop(recording.id)
    async with asyncio.timeout(60):
        while not (current := await service.get(recording.id)).tracks:
            await asyncio.sleep(0.01)
    if current.state is RecordingState.FINISHING:
        path, _ = await service.file_path(recording.id, "003-video")
        assert path.is_file()
    ready = await until(service, recording.id, RecordingState.READY)
    assert ready.mime == "video/mp4" and ready.participants == ("ann", "bob")
    assert ("finishing", 3) in seen


async def test_recordings_are_private_until_published(service: RecorderService) -> None:
    recording = await record(service)
    await service.stop(recording.id)
    assert await service.list() == ()
    assert [r.id for r in await service.list(published_only=False)] == [recording.id]
    await service.set_published(recording.id, True)
    assert [r.id for r in await service.list()] == [recording.id]
    await until(service, recording.id, RecordingState.READY)
    assert (await service.get(recording.id)).is_published


async def test_an_empty_recording_fails_honestly_and_can_be_retried(
    service: RecorderService, tmp_path: Path
) -> None:
    recording = await service.start("shop", "Walk")
    await service.stop(recording.id)
    failed = await until(service, recording.id, RecordingState.FAILED)
    assert failed.reason == "no_media"
    again = await service.retry(recording.id)
    assert (again.state, again.reason) == (RecordingState.FINISHING, "")
    await until(service, recording.id, RecordingState.FAILED)
    assert service.counters["recordings_failed"] == 2


async def test_deleting_removes_every_byte(service: RecorderService, tmp_path: Path) -> None:
    recording = await record(service)
    with pytest.raises(RecordingStateError):
        await service.delete(recording.id)
    await service.stop(recording.id)
    await service.delete(recording.id)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    with pytest.raises(RecordingNotFoundError):
        await service.get(recording.id)
    with pytest.raises(RecordingNotFoundError):
        await service.delete(recording.id)


async def test_stopping_twice_is_stopping_once(service: RecorderService) -> None:
    recording = await record(service)
    one, other = await asyncio.gather(service.stop(recording.id), service.stop(recording.id))
    assert one == other
    await service.stop(recording.id)
    await until(service, recording.id, RecordingState.READY)
    assert service.counters["recordings_ready"] == 1


async def test_a_full_disk_ends_the_recording_and_keeps_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(tmp_path)
    await service.recover()
    recording = await record(service)
    camera: Any = FakeSource(is_audio=False)
    service.add_track(recording.id, ANN, TrackInfo("TR_v2", "camera"), camera)
    await asyncio.sleep(0.2)

    def refuse(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", refuse)
        camera.frames = list(VIDEO[:5])
        async with asyncio.timeout(10):
            while service.active("shop"):
                await asyncio.sleep(0.01)
    ready = await until(service, recording.id, RecordingState.READY, RecordingState.FAILED)
    assert (ready.state, ready.cut_short) == (RecordingState.READY, "disk_full")
    assert ready.duration_s == pytest.approx(4.0, abs=0.2)
    assert service.counters["recordings_cut_short"] == 1
    await service.drain()


async def test_no_recording_begins_on_a_full_disk(tmp_path: Path) -> None:
    service = make_service(tmp_path, min_free_bytes=1 << 60)
    await service.recover()
    with pytest.raises(DiskFullError):
        await service.start("shop", "Walk")
    assert await service.list(published_only=False) == ()
    await service.drain()


async def test_a_drain_finishes_and_a_next_start_goes_on(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    await service.recover()
    recording = await record(service)
    await service.drain(timeout_s=0.3)
    with pytest.raises(RecordingStateError):
        await service.start("shop", "again")
    following = make_service(tmp_path)
    await following.recover()
    ready = await until(following, recording.id, RecordingState.READY)
    assert ready.cut_short == "server_stopped"
    await following.drain()


async def test_a_lost_list_is_made_again_from_the_folders(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    await service.recover()
    done, other = await record(service), await record(service)
    await service.stop(done.id)
    await until(service, done.id, RecordingState.READY)
    before = await service.get(done.id)
    await service.stop(other.id)
    await service.drain(timeout_s=0.0)
    for path in tmp_path.glob("list.sqlite*"):
        path.unlink()
    following = make_service(tmp_path)
    await following.recover()
    assert await following.get(done.id) == before
    assert (await until(following, other.id, RecordingState.READY)).tracks
    await following.drain()


async def test_lost_files_are_told(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    await service.recover()
    recording = await record(service)
    await service.stop(recording.id)
    await service.drain(timeout_s=0.0)
    shutil.rmtree(tmp_path / recording.id)
    following = make_service(tmp_path)
    await following.recover()
    assert (await following.get(recording.id)).reason == "files_missing"
    await following.drain()


async def test_a_job_that_crashes_or_hangs_is_a_failure_not_a_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(tmp_path, finish_timeout_s=0.01)
    await service.recover()
    recording = await record(service)
    await service.stop(recording.id)
    failed = await until(service, recording.id, RecordingState.FAILED)
    assert failed.reason == "finish_timeout"
    await service.drain()
    service = make_service(tmp_path)
    await service.recover()
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    await service.retry(recording.id)
    failed = await until(service, recording.id, RecordingState.FAILED)
    assert failed.reason == "finish_crashed"
    monkeypatch.undo()
    await service.retry(recording.id)
    await until(service, recording.id, RecordingState.READY)
    await service.drain()


@pytest.mark.parametrize("seconds", [2.3, 4.0])
async def test_kill_9_loses_two_seconds_at_most(tmp_path: Path, seconds: float) -> None:
    """The server dies in the middle; the next start makes the file."""
    lines: list[str] = []
    command = [sys.executable, str(CHILD), str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as child:
        reading = asyncio.create_task(asyncio.to_thread(lambda: lines.extend(child.stdout or ())))
        async with asyncio.timeout(60):
            while len(lines) < 25 * seconds:
                await asyncio.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        await reading
    recording_id, last_us = lines[0].strip(), int(lines[-1])
    service = make_service(tmp_path)
    await service.recover()
    ready = await until(service, recording_id, RecordingState.READY, RecordingState.FAILED)
    assert (ready.state, ready.cut_short) == (RecordingState.READY, "interrupted")
    assert last_us / 1e6 - ready.duration_s < 0.7
    path, _ = await service.file_path(recording_id)
    with av.open(str(path)) as file:
        assert sum(1 for _ in file.decode(video=0)) > 25 * (seconds - 0.8)
    await service.drain()
