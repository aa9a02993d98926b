"""The life of a camera pull, with a stream and a loop of the test's own."""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import pytest
from fake_engine import FakeSources

from sfu.errors import CameraError
from sfu.ingest.rtsp import RtspCamera
from sfu.ingest.rtsp_stream import CameraConfig, CameraPacket
from sfu.ingest.rtsp_url import CameraUrl

URL = "rtsp://admin:hunter2@192.0.2.20/live"
START = b"\x00\x00\x00\x01"
PARAMETERS = START + b"\x67\x42\xc0\x1e\xaa" + START + b"\x68\xce\x3c\x80\xbb"
IDR = START + b"\x65\x88\x84\x21"
QUICK = CameraConfig(idle_s=0.0, retry_delays_s=(0.0,), refused_retry_s=0.0)


class FakeStream:
    """A camera that sends what the test puts in; an exception ends it."""

    extradata: bytes | None = PARAMETERS

    def __init__(self) -> None:
        self.items: queue.Queue[CameraPacket | CameraError] = queue.Queue()
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_closed = True

    def packets(self) -> Iterator[CameraPacket]:
        while True:
            item = self.items.get(timeout=5)
            if isinstance(item, CameraError):
                raise item
            yield item


class Opener:
    """Opens prepared streams or fails as told, in order; then repeats the last."""

    def __init__(self, *outcomes: FakeStream | CameraError) -> None:
        self.outcomes = list(outcomes)
        self.opened = 0

    def __call__(self, url: CameraUrl, config: CameraConfig) -> FakeStream:
        outcome = self.outcomes[min(self.opened, len(self.outcomes) - 1)]
        self.opened += 1
        if isinstance(outcome, CameraError):
            raise outcome
        return outcome


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_pulls_only_while_watched() -> None:
    sources, stream = FakeSources(), FakeStream()
    opener = Opener(stream)
    camera = RtspCamera(URL, sources, config=QUICK, open_stream=opener)
    assert camera.state == "idle" and opener.opened == 0
    camera.source.add_watcher("first")
    camera.source.add_watcher("second")
    assert camera.state == "connecting"
    stream.items.put(CameraPacket(1.0, IDR))
    await until(lambda: camera.state == "live")
    await until(lambda: len(sources.engine.frames) == 1)
    assert sources.engine.frames[0][1:] == (0, 4, 0, PARAMETERS + IDR)
    assert opener.opened == camera.pulls == 1
    camera.source.remove_watcher("first")
    assert camera.state == "live"
    camera.source.remove_watcher("second")
    await until(lambda: camera.state == "idle")
    stream.items.put(CameraPacket(1.1, IDR))
    await until(lambda: stream.is_closed)
    assert len(sources.engine.frames) == 1
    await camera.close()


async def test_a_short_look_away_keeps_the_pull() -> None:
    sources, stream = FakeSources(), FakeStream()
    opener = Opener(stream)
    config = CameraConfig(idle_s=60.0)
    camera = RtspCamera(URL, sources, config=config, open_stream=opener)
    camera.source.add_watcher("one")
    stream.items.put(CameraPacket(1.0, IDR))
    await until(lambda: camera.state == "live")
    camera.source.remove_watcher("one")
    camera.source.add_watcher("two")
    stream.items.put(CameraPacket(1.04, IDR))
    await until(lambda: len(sources.engine.frames) == 2)
    assert opener.opened == 1
    stream.items.put(CameraError("camera_ended", ""))
    await camera.close()


async def test_comes_back_after_failures_and_says_why() -> None:
    sources, stream = FakeSources(), FakeStream()
    refused = CameraError("camera_refused", "refused")
    camera = RtspCamera(URL, sources, config=QUICK, open_stream=Opener(refused, refused, stream))
    seen: list[tuple[str, str | None]] = []
    camera.on_state = lambda state: seen.append((state, camera.error and camera.error.code))
    camera.source.add_watcher("one")
    stream.items.put(CameraPacket(1.0, IDR))
    await until(lambda: camera.state == "live")
    failed, connecting = ("failed", "camera_refused"), ("connecting", None)
    assert seen == [connecting, failed, connecting, failed, connecting, ("live", None)]
    stream.items.put(CameraError("camera_ended", "ended"))
    await until(lambda: ("failed", "camera_ended") in seen)
    stream.items.put(CameraPacket(0.0, IDR))
    await until(lambda: camera.state == "live" and len(sources.engine.frames) == 2)
    assert sources.engine.frames[1][3] > sources.engine.frames[0][3]
    stream.items.put(CameraError("camera_ended", "ended"))
    await camera.close()


async def test_b_frames_are_refused_in_plain_words() -> None:
    sources, stream = FakeSources(), FakeStream()
    camera = RtspCamera(URL, sources, open_stream=Opener(stream))
    camera.source.add_watcher("one")
    for index in range(30):
        pts_s = (0.2, 0.07, 0.13)[index % 3] + index // 3 * 0.2
        stream.items.put(CameraPacket(pts_s, IDR))
    await until(lambda: camera.state == "failed")
    assert camera.error is not None and camera.error.code == "camera_unsupported_codec"
    await camera.close()


async def test_password_is_nowhere_to_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    camera = RtspCamera(
        URL,
        FakeSources(),
        config=QUICK,
        open_stream=Opener(CameraError("camera_unauthorized", "no")),
    )
    camera.source.add_watcher("one")
    await until(lambda: camera.state == "failed")
    assert camera.address == "rtsp://192.0.2.20:554/live"
    assert "hunter2" not in repr(camera) + camera.address + caplog.text
    assert "camera_unauthorized" in caplog.text
    await camera.close()
    await camera.close()
    assert camera.state == "closed" and camera.source.is_closed


async def test_close_before_anything() -> None:
    camera = RtspCamera(URL, FakeSources())
    await camera.close()
    camera.source.add_watcher("late")
    assert camera.state == "closed"
