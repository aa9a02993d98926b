"""A store camera, a viewer and a recording through the whole server, and what a stop leaves."""

from __future__ import annotations

import asyncio
import io
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import av
import numpy as np
import pytest
from livekit import rtc
from testkit.server import AislecastServer
from testkit.server import run_server_aside as run_server

from web.demo.camera import LoopCamera
from web.demo.drawing import Canvas, Picture
from web.demo.loops import VideoSize, encode_h264

OURS = {"X-Requested-With": "aislecast"}
LOOPBACK = ("--camera-network", "127.0.0.0/8")
WIDTH, HEIGHT, RATE_HZ = 160, 96, 10


def pictures() -> Iterator[Picture]:
    """Two seconds of a bar that moves over a shelf-coloured wall."""
    for index in range(2 * RATE_HZ):
        canvas = Canvas.filled(WIDTH, HEIGHT, (200, 180, 150), (120, 100, 80))
        canvas.rect(6 * index, 20, 20, 50, (200, 30, 30))
        yield canvas.to_picture()


@pytest.fixture
async def camera():
    loop = await asyncio.to_thread(
        encode_h264, pictures(), RATE_HZ, VideoSize(WIDTH, HEIGHT, 100_000)
    )
    camera = LoopCamera(loop)
    await camera.start()
    yield camera
    await camera.close()


class Host:
    """A host at the API, with a session."""

    def __init__(self, session: aiohttp.ClientSession, server: AislecastServer) -> None:
        self._session = session
        self._server = server

    async def sign_in(self) -> None:
        key = (self._server.data / "host-key").read_text().strip()
        assert (await self.call("POST", "/api/session", {"key": key}))[0] == 204

    async def call(self, method: str, path: str, body: object = None):
        url = f"{self._server.url}{path}"
        async with self._session.request(method, url, json=body, headers=OURS) as answer:
            is_json = answer.content_type.endswith("json")
            return answer.status, await (
                answer.json(content_type=None) if is_json else answer.read()
            )

    async def until(self, path: str, condition):
        async with asyncio.timeout(30):
            while True:
                _, answer = await self.call("GET", path)
                if condition(answer):
                    return answer
                await asyncio.sleep(0.2)


def make_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def first_frames(room: rtc.Room, count: int) -> np.ndarray:
    """Return the last of some frames of the first video that comes."""
    subscribed: asyncio.Queue[rtc.Track] = asyncio.Queue()
    room.on("track_subscribed", lambda track, *_: subscribed.put_nowait(track))
    async with asyncio.timeout(20):
        stream = rtc.VideoStream(await subscribed.get(), format=rtc.VideoBufferType.RGB24)
        async for event in stream:
            count -= 1
            if count == 0:
                frame = event.frame
                break
    await stream.aclose()
    return np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_camera_is_seen_and_its_recording_survives_the_server(
    tmp_path: Path, camera: LoopCamera, number: signal.Signals
) -> None:
    data = tmp_path / "data"
    async with run_server(data, *LOOPBACK) as server, make_session() as session:
        host = Host(session, server)
        await host.sign_in()
        status, shown = await host.call(
            "POST", "/api/cameras", {"name": "Aisle", "url": camera.url}
        )
        assert (status, shown["state"]) == (201, "idle")
        _, seat = await host.call("POST", "/api/join", {"room": shown["room"], "name": "HQ"})
        room = rtc.Room()
        frames = asyncio.create_task(first_frames(room, 5))
        await room.connect(server.url, seat["token"])
        picture = await frames
        assert picture.shape == (HEIGHT, WIDTH, 3)
        # Compare what arrived with what was drawn: the wall is brown, the bar red.
        assert np.abs(picture[5, 5].astype(int) - (200, 180, 150)).max() < 40
        assert (picture[45].astype(int)[:, 0] - picture[45].astype(int)[:, 1] > 100).any()
        _, listed = await host.call("GET", "/api/cameras")
        assert listed["cameras"][0]["state"] == "live"

        status, started = await host.call("POST", f"/api/rooms/{shown['room']}/recording")
        assert status == 200
        await asyncio.sleep(5)
        status, took_s = await asyncio.to_thread(server.end, number)
        assert took_s < 10
        if number is signal.SIGTERM:
            assert status == 0
        await room.disconnect()

    async with run_server(data, *LOOPBACK) as server, make_session() as session:
        host = Host(session, server)
        await host.sign_in()
        path = f"/api/recordings/{started['id']}"
        recording = await host.until(path, lambda r: r["state"] in ("ready", "failed"))
        assert (recording["state"], recording["error_code"]) == ("ready", None)
        assert recording["participants"][0]["name"] == "Aisle"
        assert recording["duration_s"] > 2.5
        _, film = await host.call("GET", f"{path}/file")
        with av.open(io.BytesIO(film)) as container:
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(decoded) > 2 * RATE_HZ
        assert (await host.call("GET", "/api/cameras"))[1]["cameras"][0]["name"] == "Aisle"
