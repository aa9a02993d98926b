"""SIGTERM in the middle of a recorded call: everybody is told, and the film is there afterwards."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path
from typing import Any

import aiohttp
import av
import psutil
import pytest
from livekit.protocol import models, rtc
from sdk_client import SdkClient, until
from testkit.hostile import open_signal
from testkit.server import AislecastServer
from testkit.server import run_server_aside as run_server

RECORDED_S = 6.0
LATE_S = 10.0
ROOM = "aisle"


async def enter(server: AislecastServer, identity: str) -> SdkClient:
    client = SdkClient(identity)
    await client.room.connect(server.ws_url, server.token(identity, ROOM))
    return client


async def ask(server: AislecastServer, method: str, path: str) -> Any:
    headers = {
        "Authorization": f"Bearer {server.token('boss', ROOM, room_record=True)}",
        "X-Requested-With": "aislecast",
    }
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, server.url + path) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await (answer.json() if "json" in answer.content_type else answer.read())


async def film_of(server: AislecastServer, recording_id: str) -> tuple[dict[str, Any], bytes]:
    """A recording and its file, once it can be played."""
    async with asyncio.timeout(90):
        while True:
            shown = await ask(server, "GET", f"/api/recordings/{recording_id}")
            assert shown["state"] != "failed", shown
            if shown["state"] == "ready":
                break
            await asyncio.sleep(0.2)
    return shown, await ask(server, "GET", f"/api/recordings/{recording_id}/file")


def play(film: bytes) -> tuple[float, float]:
    """How many seconds of picture and of sound there are."""
    seconds = []
    for kind in ("video", "audio"):
        with av.open(io.BytesIO(film)) as file:
            stream = file.streams.get(**{kind: 0})[0]
            times = [frame.time for frame in file.decode(stream)]
            seconds.append(times[-1] - times[0])
    return seconds[0], seconds[1]


async def hold_finish(server: psutil.Process) -> None:
    """Stop the process that makes the film, so that it cannot be made in time."""
    while True:
        for child in server.children():
            if "recorder.finish" in child.cmdline():
                child.suspend()
                return
        await asyncio.sleep(0.01)


async def refused_while_it_drains(server: AislecastServer) -> None:
    """Whoever comes now is told to come again: its parts close one by one."""
    as_browser = {"Accept": "text/html"}
    async with aiohttp.ClientSession() as session:
        for path in ("/api/recordings", "/rtc/validate", "/healthz", "/metrics"):
            async with session.get(server.url + path) as answer:
                refused = path not in ("/healthz", "/metrics")
                assert answer.status == (200 if path == "/metrics" else 503), path
                assert answer.headers.get("Retry-After") == ("3" if refused else None), path
        async with session.get(f"{server.url}/j/code", headers=as_browser) as answer:
            assert (answer.status, answer.headers["Refresh"]) == (503, "3")
            assert "正在重启" in await answer.text()


async def test_who_asks_while_it_stops_is_answered_or_told_to_come_again(tmp_path: Path) -> None:
    """A list of recordings that is fetched again and again meets every moment of the end."""
    statuses: set[int] = set()

    async def ask_on(server: AislecastServer, headers: dict[str, str]) -> None:
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                try:
                    async with session.get(f"{server.url}/api/recordings") as answer:
                        statuses.add(answer.status)
                except aiohttp.ClientError:
                    return

    async with run_server(tmp_path / "data") as server:
        headers = {
            "Authorization": f"Bearer {server.token('boss', '', room_join=False, room_record=True)}"
        }
        for _ in range(3):
            askers = [asyncio.create_task(ask_on(server, headers)) for _ in range(8)]
            await until(lambda: bool(statuses))
            await asyncio.to_thread(server.end)
            await asyncio.gather(*askers)
            assert statuses <= {200, 503}
            server.check_log()
            statuses.clear()
            await asyncio.to_thread(server.start)


# One camera is copied at once; two at the same time are drawn into one picture.
@pytest.mark.parametrize(
    ("names", "is_held"),
    [(("ann",), False), (("ann", "bob"), False), (("ann",), True)],
    ids=["one", "two", "held"],
)
async def test_a_recorded_call_ends_in_time_and_whole(
    tmp_path: Path, names: tuple[str, ...], is_held: bool
) -> None:
    async with run_server(tmp_path / "data") as server:
        people = [await enter(server, name) for name in names]
        try:
            for person in people:
                await person.publish_tone(440)
                await person.publish_bars(simulcast=False)
            await until(lambda: server.metrics()["aislecast_tracks"] == 2 * len(names))
            recording = (await ask(server, "POST", f"/api/rooms/{ROOM}/recording"))["id"]
            await asyncio.sleep(RECORDED_S)
            async with open_signal(server, server.token("eve", ROOM)) as watching:
                assert await watching.receive("join") is not None
                process = psutil.Process(server.pid)
                stopping = asyncio.create_task(asyncio.to_thread(server.end))
                if is_held:
                    await asyncio.wait_for(hold_finish(process), 5)
                    await refused_while_it_drains(server)
                told = await watching.receive("leave")
                children = process.children(recursive=True)
                assert told is not None
                assert told.leave.action == rtc.LeaveRequest.RECONNECT
                assert told.leave.reason == models.SERVER_SHUTDOWN
                await watching.ws.close()
                status, took_s = await stopping
            assert status == 0
            assert took_s < LATE_S
            assert took_s > 5 or not is_held
            server.check_log()
            assert '"event": "stopped"' in server.output
            assert not [child for child in children if child.is_running()]
            for person in people:
                await until(lambda heard=person.heard: heard)

            await asyncio.to_thread(server.start)
            shown, film = await film_of(server, recording)
            assert shown["cut_short"] == "server_stopped", shown
            picture_s, sound_s = play(film)
            assert picture_s == pytest.approx(RECORDED_S, abs=1.5)
            assert sound_s == pytest.approx(RECORDED_S, abs=1.5)
            assert abs(shown["duration_s"] - RECORDED_S) < 1.5, shown
            assert not list(server.data.rglob("*.part"))
            # Who was in the call is back in it without a tap.
            await until(lambda: server.metrics()["aislecast_participants"] == len(names))
        finally:
            for person in people:
                await person.close()
        status, took_s = await asyncio.to_thread(server.end)
        assert (status, took_s < LATE_S) == (0, True)
        server.check_log()
    assert len(re.findall('"event": "stopped"', server.output)) == 2
