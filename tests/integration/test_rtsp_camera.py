"""Cameras pulled from GStreamer's RTSP server, and the ways in which cameras fail."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest
from fake_engine import FakeSources

from sfu.ingest.rtsp import RtspCamera
from sfu.ingest.rtsp_stream import CameraConfig

CAMERA = Path(__file__).parents[1] / "support" / "rtsp_camera.py"
LOCAL = CameraConfig(
    open_timeout_s=4.0,
    read_timeout_s=1.5,
    idle_s=0.1,
    retry_delays_s=(0.2,),
    allowed_networks=("127.0.0.0/8",),
)


PushedFrame = tuple[int, int, int, int, bytes]  # source, encoding, codec, ts_rtp, data
FRAMES: dict[RtspCamera, list[PushedFrame]] = {}


class Camera:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    def url(self, credentials: str = "") -> str:
        return f"rtsp://{credentials}127.0.0.1:{self.port}/live"


@asynccontextmanager
async def gstreamer(*options: str, port: int = 0) -> AsyncIterator[Camera]:
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3",
        str(CAMERA),
        "--port",
        str(port),
        *options,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = await asyncio.wait_for(process.stdout.readline(), 20)
        yield Camera(process, int(ready.split()[1]))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def pulled(url: str, config: CameraConfig = LOCAL) -> AsyncIterator[RtspCamera]:
    sources = FakeSources()
    camera = RtspCamera(url, sources, config=config)
    camera.source.add_watcher("viewer")
    FRAMES[camera] = sources.engine.frames
    try:
        yield camera
    finally:
        await camera.close()
        del FRAMES[camera]


async def until(condition: Callable[[], bool], limit_s: float = 15.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.02)


async def failure_of(url: str, config: CameraConfig = LOCAL) -> str:
    async with pulled(url, config) as camera:
        await until(lambda: camera.state == "failed")
        assert camera.error is not None
        return camera.error.code


def frames_of(camera: RtspCamera) -> list[PushedFrame]:
    return FRAMES[camera]


@pytest.mark.parametrize("interval", ["1", "0"], ids=["parameters in stream", "only in SDP"])
async def test_picture_arrives_decodable_and_on_time(interval: str) -> None:
    async with gstreamer("--config-interval", interval) as real, pulled(real.url()) as camera:
        await until(lambda: len(frames_of(camera)) >= 40)
        assert camera.state == "live"
        frames = frames_of(camera)
    decoder = av.CodecContext.create("h264", "r")
    pictures = [p for frame in frames for p in decoder.decode(av.Packet(frame[4]))]
    assert len(pictures) >= 36 and pictures[0].width == 320
    steps = [b[3] - a[3] for a, b in zip(frames, frames[1:], strict=False)]
    assert min(steps) > 0 and abs(sum(steps[5:]) / len(steps[5:]) - 6000) < 300


async def test_several_watchers_share_one_pull_and_it_stops_after_the_last() -> None:
    async with gstreamer() as real, pulled(real.url()) as camera:
        await until(lambda: camera.state == "live")
        camera.source.add_watcher("second")
        camera.source.remove_watcher("viewer")
        await asyncio.sleep(0.3)
        assert camera.state == "live" and camera.pulls == 1
        camera.source.remove_watcher("second")
        await until(lambda: camera.state == "idle")
        await asyncio.sleep(0.2)
        count = len(frames_of(camera))
        await asyncio.sleep(0.3)
        assert len(frames_of(camera)) == count
        camera.source.add_watcher("third")
        await until(lambda: len(frames_of(camera)) > count)
        assert camera.pulls == 2


async def test_password(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with gstreamer("--user", "admin", "--password", "p@ss/word") as real:
        async with pulled(real.url("admin:p%40ss%2Fword@")) as camera:
            await until(lambda: camera.state == "live")
        assert await failure_of(real.url("admin:wr0ng-one@")) == "camera_unauthorized"
        assert await failure_of(real.url()) == "camera_unauthorized"
    captured = capfd.readouterr()
    for secret in ("wr0ng-one", "p@ss/word", "p%40ss"):
        assert secret not in caplog.text + captured.out + captured.err


async def test_h265_is_refused_in_plain_words() -> None:
    async with gstreamer("--codec", "h265") as real, pulled(real.url()) as camera:
        await until(lambda: camera.state == "failed")
        assert camera.error is not None and camera.error.code == "camera_unsupported_codec"
        assert "H.265" in camera.error.message and "H.264" in camera.error.message


async def test_b_frames_are_refused_in_plain_words() -> None:
    async with gstreamer("--codec", "h264-bframes") as real, pulled(real.url()) as camera:
        await until(lambda: camera.state == "failed")
        assert camera.error is not None and "B-frames" in camera.error.message


async def test_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert await failure_of(f"rtsp://127.0.0.1:{port}/live") == "camera_refused"


async def test_wrong_path() -> None:
    async with gstreamer() as real:
        assert await failure_of(real.url().replace("/live", "/no")) == "camera_not_found"


async def test_a_camera_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        started = asyncio.get_running_loop().time()
        assert await failure_of(f"rtsp://127.0.0.1:{port}/live") == "camera_timeout"
        assert asyncio.get_running_loop().time() - started < 6


async def test_a_camera_that_talks_nonsense() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(range(256)) * 50)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = await failure_of(f"rtsp://127.0.0.1:{port}/live")
    assert code in ("camera_failed", "camera_ended", "camera_timeout")
    server.close()
    await server.wait_closed()


async def test_hangs_mid_stream_then_goes_on() -> None:
    async with gstreamer() as real, pulled(real.url()) as camera:
        await until(lambda: camera.state == "live")
        real.process.send_signal(signal.SIGSTOP)
        await until(lambda: camera.state == "failed")
        assert camera.error is not None and camera.error.code == "camera_timeout"
        real.process.send_signal(signal.SIGCONT)
        await until(lambda: camera.state == "live")


async def test_dies_mid_stream_and_comes_back() -> None:
    async with gstreamer() as real, pulled(real.url()) as camera:
        await until(lambda: camera.state == "live")
        real.process.kill()
        await until(lambda: camera.state == "failed")
        assert camera.error is not None
        assert camera.error.code in ("camera_ended", "camera_refused")
        last_ts = frames_of(camera)[-1][3]
        count = len(frames_of(camera))
        async with gstreamer(port=real.port):
            await until(lambda: len(frames_of(camera)) > count)
            assert camera.state == "live" and frames_of(camera)[count][3] > last_ts


async def test_own_machine_is_off_limits_unless_allowed() -> None:
    assert await failure_of("rtsp://127.0.0.1:1/", CameraConfig()) == "camera_forbidden_address"
