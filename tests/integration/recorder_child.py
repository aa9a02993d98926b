"""A process that records until it is killed; says on stdout which frame it has handed over."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from recorded_media import ZERO_US, FakeMedia, FakeSource, encode_video, to_frames

from recorder.config import RecorderConfig
from recorder.model import Participant, TrackInfo
from recorder.service import RecorderService
from sfu.ids import Codec

_FRAME_S = 0.04


async def record(directory: Path) -> None:
    media: Any = FakeMedia()
    config = RecorderConfig(directory=directory, database=directory / "list.sqlite")
    service = RecorderService(media, config)
    await service.recover()
    recording = await service.start("shop", "Walk")
    source: Any = FakeSource(is_audio=False)
    frames = list(to_frames(encode_video(Codec.VP8, 300), Codec.VP8))
    service.add_track(recording.id, Participant("ann"), TrackInfo("TR_v", "camera"), source)
    print(recording.id, flush=True)
    began_s = time.monotonic()
    for number, frame in enumerate(frames):
        await asyncio.sleep(max(0.0, began_s + number * _FRAME_S - time.monotonic()))
        media.clock_us = frame.arrived_us
        source.frames.append(frame)
        print(frame.captured_us - ZERO_US, flush=True)


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
