"""Playable files from segments: copied where honest, in sync, seekable, complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from recorded_media import (
    WALL_US,
    ZERO_US,
    Encoded,
    FakeRecording,
    encode_audio,
    encode_video,
    to_frames,
)

from recorder.errors import FinishError
from recorder.finish.job import FinishResult, finish_recording, to_wall_us
from sfu.ids import Codec


def finish(recording: FakeRecording) -> FinishResult:
    return finish_recording(recording.directory, lambda _: None)


def streams(path: Path) -> list[tuple[str, float]]:
    """Codec and seconds from 0 to the end of the last frame of each stream."""
    with av.open(str(path)) as file:
        ends = dict.fromkeys(range(len(file.streams)), 0.0)
        for packet in file.demux():
            if packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[packet.stream_index] = max(ends[packet.stream_index], end)
        return [(s.codec_context.name, ends[i]) for i, s in enumerate(file.streams)]


def pictures(path: Path, start_s: float = 0.0) -> list[tuple[float, int, tuple[int, int]]]:
    """Time, brightness and size of every picture after seeking to ``start_s``."""
    with av.open(str(path)) as file:
        file.seek(int(start_s * 1_000_000))
        return [
            (float(frame.time or 0), int(np.mean(frame.to_ndarray(format="gray"))),
             (frame.width, frame.height))
            for frame in file.decode(video=0)
        ]  # fmt: skip


def loud_at(path: Path) -> list[float]:
    """Seconds at which the sound begins after silence."""
    times: list[float] = []
    was_loud = False
    with av.open(str(path)) as file:
        rate = file.streams.audio[0].rate
        for frame in file.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float)).mean(axis=0)
            scale = 1.0 if frame.format.is_planar or samples.max() <= 1 else 32768.0
            for start in range(0, samples.size, 240):
                is_loud = bool(samples[start : start + 240].mean() / scale > 0.03)
                if is_loud and not was_loud:
                    times.append(float(frame.time or 0) + start / rate)
                was_loud = is_loud
    return times


@pytest.mark.parametrize(("codec", "container"), [(Codec.VP8, "webm"), (Codec.H264, "mp4")])
def test_one_picture_and_one_sound_are_copied(tmp_path: Path, codec: Codec, container: str) -> None:
    recording = FakeRecording(tmp_path / "r")
    frames = encode_video(codec, 250)
    recording.add("camera", to_frames(frames, codec))
    recording.add("microphone", to_frames(encode_audio(500), Codec.OPUS))
    result = finish(recording)
    assert (result.file_name, result.mime) == (f"session.{container}", f"video/{container}")
    assert result.duration_s == pytest.approx(10.0, abs=0.05)
    path = recording.directory / result.file_name
    names = {Codec.VP8: "vp8", Codec.H264: "h264"}
    (video, video_s), (audio, audio_s) = streams(path)
    assert (video, audio) == (names[codec], "opus")
    assert video_s == pytest.approx(10.0, abs=0.1) and audio_s == pytest.approx(10.0, abs=0.1)
    with av.open(str(path)) as file:
        assert file.duration / 1e6 == pytest.approx(10.0, abs=0.1)
        kept = [bytes(p) for p in file.demux(video=0) if p.size]
    assert len(kept) == len(frames)
    if codec is Codec.VP8:
        assert kept == [frame.data for frame in frames]


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_seeking_lands_at_a_key_frame_before(tmp_path: Path, codec: Codec) -> None:
    recording = FakeRecording(tmp_path / "r")
    recording.add("camera", to_frames(encode_video(codec, 250, gop=50), codec))
    result = finish(recording)
    path = recording.directory / result.file_name
    assert result.keyframes_s == pytest.approx([0, 2, 4, 6, 8], abs=0.01)
    first = pictures(path, 7.0)[0]
    assert first[0] == pytest.approx(6.0, abs=0.05)
    # The index is in front, so that a player can seek after its first request.
    head = path.read_bytes()[:65536]
    assert (b"\x1c\x53\xbb\x6b" if codec is Codec.VP8 else b"moov") in head


def test_lips_match_within_80_ms_under_drift_and_late_reports(tmp_path: Path) -> None:
    """A flash and a beep at the same moments, clocks that drift apart, reports after 4 s."""
    recording = FakeRecording(tmp_path / "r")
    levels = encode_video(Codec.VP8, 500)
    beeps = encode_audio(1000, beep_at=900)
    fast = [f._replace(ts_rtp=round(f.ts_rtp * 1.0002)) for f in levels]
    slow = [p._replace(ts_rtp=round(p.ts_rtp * 0.9998)) for p in beeps]
    for source, codec, encoded, delay_us, factor in (
        ("camera", Codec.VP8, fast, 180_000, 1.0002),
        ("microphone", Codec.OPUS, slow, 25_000, 0.9998),
    ):
        frames = []
        for frame in to_frames(encoded, codec, delay_us=delay_us):
            captured = ZERO_US + round((frame.captured_us - ZERO_US) / factor)
            arrived = captured + delay_us
            has_report = captured > ZERO_US + 4_000_000
            frames.append(
                frame._replace(arrived_us=arrived, captured_us=captured if has_report else arrived)
            )
        recording.add(source, frames)
    path = recording.directory / finish(recording).file_name
    (beep_s,) = loud_at(path)
    seen = pictures(path)
    # Frame 450 is captured at 18 s, as is packet 900.
    wanted = int(np.mean([level for _, level, _ in seen[449:452]]))
    flash_s = seen[450][0]
    assert seen[450][1] == pytest.approx(wanted, abs=3)
    assert abs(flash_s - beep_s) < 0.08


def test_silence_fills_gaps_so_that_later_sound_keeps_its_time(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    recording.add("camera", to_frames(encode_video(Codec.VP8, 250), Codec.VP8))
    packets = encode_audio(500, beep_at=400)
    heard = [p for n, p in enumerate(packets) if not 100 <= n < 350]
    recording.add("microphone", to_frames(heard, Codec.OPUS))
    path = recording.directory / finish(recording).file_name
    with av.open(str(path)) as file:
        times = [float(p.pts * p.time_base) for p in file.demux(audio=0) if p.size]
    assert max(np.diff(times)) < 0.045
    assert loud_at(path)[-1] == pytest.approx(8.0, abs=0.04)


def test_overlapping_sounds_are_mixed_and_the_picture_copied(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    frames = encode_video(Codec.VP8, 125)
    recording.add("camera", to_frames(frames, Codec.VP8))
    recording.add("microphone", to_frames(encode_audio(250), Codec.OPUS))
    other = to_frames(encode_audio(250, beep_at=200), Codec.OPUS)
    recording.add("microphone", other, identity="bob")
    result = finish(recording)
    assert result.file_name == "session.webm"
    with av.open(str(recording.directory / result.file_name)) as file:
        assert [bytes(p) for p in file.demux(video=0) if p.size] == [f.data for f in frames]
    assert [t.file_name for t in result.tracks] == [
        "001-video.webm",
        "002-audio.webm",
        "003-audio.webm",
    ]


def test_several_pictures_become_one(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    recording.add("camera", to_frames(encode_video(Codec.VP8, 50), Codec.VP8))
    portrait = encode_video(Codec.H264, 50, size=(120, 160), seed=90)
    recording.add("camera", to_frames(portrait, Codec.H264), identity="bob")
    late = to_frames(encode_video(Codec.VP8, 25, seed=150), Codec.VP8, start_us=ZERO_US + 2_000_000)
    recording.add("screen_share", late, identity="bob")
    recording.add("microphone", to_frames(encode_audio(150), Codec.OPUS))
    progress: list[float] = []
    result = finish_recording(recording.directory, progress.append)
    assert result.file_name == "session.mp4"
    path = recording.directory / result.file_name
    assert [name for name, _ in streams(path)] == ["h264", "aac"]
    seen = pictures(path)
    assert {size for _, _, size in seen} == {(1280, 720)}
    assert result.duration_s == pytest.approx(3.0, abs=0.1)
    assert progress == sorted(progress) and progress[-1] > 0.9
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            if frame.time and frame.time > 1.0:
                break
        image = frame.to_ndarray(format="gray")
    # Ann at the left, Bob's portrait at the right, between bars.
    assert image[360, 300] != pytest.approx(image[360, 960], abs=20)
    assert image[360, 650] < 40


def test_rotation_and_new_sizes_stay_in_one_vp8_file(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    turned = encode_video(Codec.VP8, 50, size=(120, 160), seed=60)
    frames = encode_video(Codec.VP8, 50) + [
        frame._replace(ts_rtp=frame.ts_rtp + 50 * 3600) for frame in turned
    ]
    recording.add("camera", to_frames(frames, Codec.VP8))
    result = finish(recording)
    assert result.file_name == "session.webm"
    seen = pictures(recording.directory / result.file_name)
    assert len(seen) == 100
    assert [seen[0][2], seen[-1][2]] == [(160, 120), (120, 160)]


def test_h264_that_changes_its_size_is_composed(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    turned = encode_video(Codec.H264, 25, size=(120, 160))
    frames = encode_video(Codec.H264, 25) + [
        frame._replace(ts_rtp=frame.ts_rtp + 25 * 3600) for frame in turned
    ]
    recording.add("camera", to_frames(frames, Codec.H264))
    path = recording.directory / finish(recording).file_name
    assert {size for _, _, size in pictures(path)} == {(1280, 720)}


def test_a_camera_published_again_goes_on_in_the_same_file(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    recording.add("camera", to_frames(encode_video(Codec.VP8, 50), Codec.VP8))
    again = to_frames(encode_video(Codec.VP8, 50), Codec.VP8, start_us=ZERO_US + 4_000_000)
    recording.add("camera", again)
    result = finish(recording)
    assert result.file_name == "session.webm"
    assert result.duration_s == pytest.approx(6.0, abs=0.1)


def test_b_frames_of_a_camera_keep_their_order(tmp_path: Path) -> None:
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 160, 120, "yuv420p", 25
    encoder.options = {"bf": "2", "b_adapt": "0", "rc-lookahead": "10"}
    packets = []
    for number in range(50):
        image = np.full((180, 160), 30 + 3 * number, np.uint8)
        image[120:] = 128
        frame: Any = av.VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    frames = [Encoded(3600 * (p.pts + 2), bytes(p), p.is_keyframe) for p in packets]
    assert [f.ts_rtp for f in frames] != sorted(f.ts_rtp for f in frames)
    recording = FakeRecording(tmp_path / "r")
    recording.add("camera", to_frames(frames, Codec.H264))
    seen = pictures(recording.directory / finish(recording).file_name)
    levels = [level for _, level, _ in seen]
    assert len(levels) == 50 and levels == sorted(levels)


def test_a_cut_segment_gives_what_is_in_it(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    entry = recording.add("camera", to_frames(encode_video(Codec.VP8, 100), Codec.VP8))
    path = recording.directory / f"{entry.name}.seg"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 1.0 < finish(recording).duration_s < 3.0


def test_frames_before_the_first_key_frame_are_left_out(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    frames = encode_video(Codec.VP8, 100, gop=50)[10:]
    recording.add("camera", to_frames(frames, Codec.VP8))
    assert finish(recording).duration_s == pytest.approx(2.0, abs=0.05)


def test_tracks_without_media_are_named_and_do_no_harm(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    recording.add("camera", [])
    recording.add("microphone", to_frames(encode_audio(50), Codec.OPUS), identity="bob")
    result = finish(recording)
    assert (result.file_name, result.mime) == ("session.webm", "audio/webm")
    assert [track.reason for track in result.tracks] == ["no_media", ""]


def test_an_empty_recording_says_so(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    recording.add("camera", [])
    with pytest.raises(FinishError) as raised:
        finish(recording)
    assert raised.value.code == "no_media"
    with pytest.raises(FinishError) as raised:
        finish_recording(tmp_path, lambda _: None)
    assert raised.value.code == "manifest_missing"


def test_the_job_can_be_repeated(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    recording.add("camera", to_frames(encode_video(Codec.VP8, 50), Codec.VP8))
    (recording.directory / "session.mp4").write_bytes(b"from an older version")
    (recording.directory / "session.webm.part").write_bytes(b"from a crash")
    assert finish(recording).to_json() == finish(recording).to_json()
    assert sorted(p.name for p in recording.directory.iterdir()) == [
        "001-video.seg",
        "001-video.webm",
        "manifest.json",
        "result.json",
        "session.webm",
    ]


def test_wall_time_of_a_moment_in_the_file(tmp_path: Path) -> None:
    recording = FakeRecording(tmp_path / "r")
    frames = to_frames(encode_video(Codec.VP8, 50), Codec.VP8, start_us=ZERO_US + 1_000_000)
    recording.add("camera", frames)
    result = finish(recording)
    wall_us = to_wall_us(result.clocks, result.zero_us + 500_000)
    assert wall_us == pytest.approx(WALL_US + 1_500_000, abs=200_000)
