"""A recording in progress: what reaches the segments, and what is asked of publishers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from recorded_media import ZERO_US, FakeMedia, FakeSource, encode_audio, encode_video, to_frames

from recorder.config import RecorderConfig
from recorder.manifest import Manifest, load_manifest
from recorder.model import Participant, TrackInfo
from recorder.segment import SegmentScan, scan_segment
from recorder.session import RecordingSession
from sfu.errors import MediaClosedError
from sfu.ids import Codec

ANN = Participant("ann", "Ann")
CAMERA, MICROPHONE = TrackInfo("TR_v", "camera"), TrackInfo("TR_a", "microphone")
VIDEO = list(to_frames(encode_video(Codec.VP8, 60, gop=60), Codec.VP8))
AUDIO = list(to_frames(encode_audio(20), Codec.OPUS))


@dataclass
class Scene:
    directory: Path
    media: FakeMedia = field(default_factory=FakeMedia)
    failures: list[str] = field(default_factory=list)

    def begin(self, **options: Any) -> RecordingSession:
        settings = {"batch_s": 0.0, "sync_s": 0.01, "min_free_bytes": 0, **options}
        config = RecorderConfig(
            directory=self.directory, database=self.directory / "x.sqlite", **settings
        )
        manifest = Manifest("rec", "shop", "Walk", ZERO_US, 0)
        media: Any = self.media
        return RecordingSession(
            manifest, self.directory, media, config, self.media.wall_s, self.failures.append
        )

    def scan(self, name: str) -> SegmentScan:
        return scan_segment(self.directory / f"{name}.seg")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    yield Scene(tmp_path)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_frames_reach_their_segments(scene: Scene) -> None:
    session = scene.begin()
    camera, microphone = FakeSource(is_audio=False), FakeSource(is_audio=True)
    session.add_track(ANN, CAMERA, camera)  # type: ignore[arg-type]
    session.add_track(ANN, MICROPHONE, microphone)  # type: ignore[arg-type]
    session.add_track(ANN, MICROPHONE, microphone)  # type: ignore[arg-type]
    camera.frames, microphone.frames = VIDEO[:30], AUDIO[:10]
    await turns()
    session.set_muted("TR_a", True)
    camera.frames, microphone.frames = VIDEO[30:], AUDIO[10:]
    assert await session.stop()
    video, audio = scene.scan("001-video"), scene.scan("002-audio")
    assert [f.captured_us for f in video.frames] == [f.captured_us for f in VIDEO]
    assert [f.captured_us for f in audio.frames] == [f.captured_us for f in AUDIO]
    assert [note.kind for note in audio.notes] == ["muted"]
    assert video.clocks and video.header["identity"] == "ann"
    manifest = load_manifest(scene.directory)
    assert manifest is not None and manifest.ended_us == ZERO_US
    assert [track.track_id for track in manifest.tracks] == ["TR_v", "TR_a"]
    assert camera.keyframe_wishes == 1


async def test_a_source_that_closes_ends_its_track_only(scene: Scene) -> None:
    session = scene.begin()
    camera, microphone = FakeSource(is_audio=False), FakeSource(is_audio=True)
    session.add_track(ANN, CAMERA, camera)  # type: ignore[arg-type]
    session.add_track(ANN, MICROPHONE, microphone)  # type: ignore[arg-type]
    camera.frames, camera.is_closed = list(VIDEO), True
    scene.media.clock_us += 1
    await turns()
    microphone.frames = list(AUDIO)
    session.remove_track("TR_v")
    await session.stop()
    assert len(scene.scan("001-video").frames) == len(VIDEO)
    assert len(scene.scan("002-audio").frames) == len(AUDIO)
    assert all(track.ended_us for track in session.manifest.tracks)


async def test_key_frames_are_asked_for_when_they_stay_out(scene: Scene) -> None:
    session = scene.begin(keyframe_interval_s=10.0)
    camera = FakeSource(is_audio=False)
    session.add_track(ANN, CAMERA, camera)  # type: ignore[arg-type]
    wishes = []
    for second in range(25):
        scene.media.clock_us = ZERO_US + second * 1_000_000
        camera.frames = VIDEO[second + 1 : second + 2]
        await turns()
        wishes.append(camera.keyframe_wishes)
    await session.stop()
    assert (wishes[9], wishes[11], wishes[20], wishes[24]) == (1, 2, 2, 3)


async def test_after_a_loss_a_key_frame_is_asked_for_at_once(scene: Scene) -> None:
    session = scene.begin()
    camera = FakeSource(is_audio=False)
    session.add_track(ANN, CAMERA, camera)  # type: ignore[arg-type]
    camera.frames = [VIDEO[0], VIDEO[3]._replace(lost_before=2)]
    await turns()
    assert camera.keyframe_wishes == 1
    camera.frames = [VIDEO[5]._replace(lost_before=1)]
    await turns()
    assert camera.keyframe_wishes == 2
    await session.stop()
    assert session.lost_frames == 3
    assert sum(f.lost_before for f in scene.scan("001-video").frames) == 3


async def test_what_a_slow_disk_costs_is_written_down(scene: Scene) -> None:
    size = sum(len(frame.data) for frame in VIDEO[:10])
    session = scene.begin(max_pending_bytes=size)
    camera = FakeSource(is_audio=False)
    session.add_track(ANN, CAMERA, camera)  # type: ignore[arg-type]
    camera.frames = VIDEO[:11]
    await turns()
    camera.frames = VIDEO[11:14]
    await session.stop()
    (first, *_) = scene.scan("001-video").frames
    assert (first.ts_rtp_ext, first.lost_before) == (VIDEO[11].ts_rtp_ext, 11)
    assert session.lost_frames == 11


async def test_a_source_that_is_gone_already_is_no_error(scene: Scene) -> None:
    session = scene.begin()

    def refuse(source: object) -> None:
        raise MediaClosedError("source")

    scene.media.open_tap = refuse  # type: ignore[assignment,method-assign]
    session.add_track(ANN, CAMERA, FakeSource(is_audio=False))  # type: ignore[arg-type]
    await session.stop("server_stopped")
    assert session.manifest.tracks == []
    assert session.manifest.reason == "server_stopped"


async def test_the_wall_clock_is_noted_again_and_again(scene: Scene) -> None:
    session = scene.begin()
    source = FakeSource(is_audio=True)
    session.add_track(ANN, MICROPHONE, source)  # type: ignore[arg-type]
    for _ in range(5):
        scene.media.clock_us += 11_000_000
        await turns()
    await session.stop()
    clocks = scene.scan("001-audio").clocks
    assert len(clocks) == 6
    assert {reading.wall_us - reading.engine_us for reading in clocks} == {
        clocks[0].wall_us - clocks[0].engine_us
    }
