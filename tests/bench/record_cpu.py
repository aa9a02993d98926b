"""CPU of recording one session of 2 Mb/s: the same server with and without a recording.

Prints per cent of a core while recording, and CPU-seconds of making the playable file afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from recorded_media import Encoded, NoisyCamera, encode_audio  # noqa: E402

from recorder.config import RecorderConfig  # noqa: E402
from recorder.model import Participant, RecordingState, TrackInfo  # noqa: E402
from recorder.service import RecorderService  # noqa: E402
from sfu.config import MediaConfig  # noqa: E402
from sfu.ids import Codec  # noqa: E402
from sfu.local import LocalSource  # noqa: E402
from sfu.server import MediaServer  # noqa: E402

_TICK_S = 0.02
_FRAME_TICKS = 2  # 25 frames per second


async def feed(
    video: LocalSource,
    audio: LocalSource,
    pictures: list[Encoded],
    sounds: list[Encoded],
    seconds: float,
) -> int:
    """Push a camera and a microphone in real time; returns the bytes pushed."""
    began_s, pushed = time.monotonic(), 0
    for tick in range(int(seconds / _TICK_S)):
        await asyncio.sleep(max(0.0, began_s + tick * _TICK_S - time.monotonic()))
        sound = sounds[tick % len(sounds)].data
        audio.push_frame(Codec.OPUS, tick * 960, sound)
        pushed += len(sound)
        if tick % _FRAME_TICKS == 0:
            number = tick // _FRAME_TICKS
            data = pictures[number % len(pictures)].data
            video.push_frame(Codec.VP8, number * 3600, data)
            pushed += len(data)
    return pushed


def cpu_s(who: int = resource.RUSAGE_SELF) -> float:
    """User and system time so far."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


async def measure(seconds: float, directory: Path) -> None:
    """One run without, one with a recording."""
    media = MediaServer(MediaConfig(udp_port=0, tcp_port=None))
    await media.start()
    config = RecorderConfig(directory=directory, database=directory / "list.sqlite")
    recorder = RecorderService(media, config)
    await recorder.recover()
    results = []
    recording_id = ""
    camera = NoisyCamera()
    pictures = [camera.encode(is_key=number == 0) for number in range(250)]
    sounds = encode_audio(50)
    for is_recording in (False, True):
        video = media.create_local_source(is_audio=False, label="camera")
        audio = media.create_local_source(is_audio=True, label="microphone")
        if is_recording:
            recording_id = (await recorder.start("bench", "bench")).id
            who = Participant("ann")
            recorder.add_track(recording_id, who, TrackInfo("v", "camera"), video)
            recorder.add_track(recording_id, who, TrackInfo("a", "microphone"), audio)
        before_s, began_s = cpu_s(), time.monotonic()
        pushed = await feed(video, audio, pictures, sounds, seconds)
        lasted_s = time.monotonic() - began_s
        results.append((cpu_s() - before_s) / lasted_s)
        video.close()
        audio.close()
    children_s = cpu_s(resource.RUSAGE_CHILDREN)
    await recorder.stop(recording_id)
    while (recording := await recorder.get(recording_id)).state is RecordingState.FINISHING:
        await asyncio.sleep(0.1)
    finish_s = cpu_s(resource.RUSAGE_CHILDREN) - children_s
    await recorder.drain()
    await media.close()
    assert recording.state is RecordingState.READY, recording.reason
    share = results[1] - results[0]
    print(
        f"recording {pushed * 8 / seconds / 1e6:.1f} Mb/s: {share:.1%} of a core "
        f"({results[0]:.1%} without, {results[1]:.1%} with it; wanted: 3 % at most)"
    )
    print(
        f"making its file: {finish_s:.2f} CPU-s for {recording.duration_s:.0f} s, "
        f"{recording.size_bytes / 1e6:.1f} MB"
    )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aislecast-bench-") as directory:
        asyncio.run(measure(options.seconds, Path(directory)))


if __name__ == "__main__":
    main()
