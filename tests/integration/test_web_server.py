"""The whole server in its own process: start, server API, secrets in logs, TLS, stopping."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import api
from livekit.protocol import models, rtc
from testkit.server import KEY, SECRET, AislecastServer
from testkit.server import run_server_aside as run_server

OURS = {"X-Requested-With": "aislecast"}
CAMERA_SECRET = "camera-pa55word"
LATE_S = 10.0


def token(identity: str = "ann", room: str = "r", **grants: object) -> str:
    video = api.VideoGrants(room_join=True, room=room, **grants)
    return api.AccessToken(KEY, SECRET).with_identity(identity).with_grants(video).to_jwt()


async def join(session: aiohttp.ClientSession, server: AislecastServer, jwt: str):
    ws = await session.ws_connect(
        f"{server.url}/rtc", params={"access_token": jwt, "protocol": "16"}, ssl=False
    )
    first = rtc.SignalResponse.FromString(await ws.receive_bytes())
    assert first.WhichOneof("message") == "join"
    return ws, first.join


async def test_server_api_works_with_livekit_api(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server, aiohttp.ClientSession() as session:
        client = api.LiveKitAPI(server.url, KEY, SECRET)
        try:
            made = await client.room.create_room(api.CreateRoomRequest(name="r", metadata="m"))
            assert made.sid.startswith("RM_")
            rooms = (await client.room.list_rooms(api.ListRoomsRequest())).rooms
            assert [(room.name, room.metadata) for room in rooms] == [("r", "m")]
            ws, joined = await join(session, server, token("ann"))
            assert joined.participant.identity == "ann"
            people = await client.room.list_participants(api.ListParticipantsRequest(room="r"))
            assert [person.identity for person in people.participants] == ["ann"]
            with pytest.raises(api.TwirpError) as missing:
                await client.room.get_participant(
                    api.RoomParticipantIdentity(room="r", identity="nobody")
                )
            assert (missing.value.code, missing.value.status) == ("not_found", 404)
            await client.room.remove_participant(
                api.RoomParticipantIdentity(room="r", identity="ann")
            )
            assert (await _leave(ws)).reason == models.PARTICIPANT_REMOVED
            await ws.close()
            await client.room.delete_room(api.DeleteRoomRequest(room="r"))
            assert not (await client.room.list_rooms(api.ListRoomsRequest())).rooms
        finally:
            await client.aclose()


async def test_wrong_api_keys_are_refused(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server:
        for key, secret in ((KEY, "x" * 40), ("nokey", SECRET)):
            client = api.LiveKitAPI(server.url, key, secret)
            try:
                with pytest.raises(api.TwirpError) as refused:
                    await client.room.list_rooms(api.ListRoomsRequest())
                assert refused.value.status == 401
            finally:
                await client.aclose()


async def test_nothing_secret_gets_into_output(tmp_path: Path) -> None:
    jwt = token("ann")
    async with run_server(tmp_path / "data") as server, aiohttp.ClientSession() as session:
        host_key = (server.data / "host-key").read_text().strip()
        seal_key = (server.data / "seal-key").read_text().strip()
        answer = await session.post(
            f"{server.url}/api/session", json={"key": host_key}, headers=OURS
        )
        cookie = answer.cookies["aislecast_host"].value
        session.cookie_jar.update_cookies({"aislecast_host": cookie})
        cookies = {"Cookie": f"aislecast_host={cookie}", **OURS}
        made = await session.post(
            f"{server.url}/api/invites", json={"room": "r", "role": "guest"}, headers=cookies
        )
        code = (await made.json())["code"]
        for path in (f"/j/{code}", "/j/some-other-code", f"/rtc/validate?access_token={jwt}"):
            await session.get(f"{server.url}{path}", headers={"Accept": "text/html"})
        seat = await session.post(
            f"{server.url}/api/join", json={"code": code, "name": "A"}, headers=OURS
        )
        seat_token = (await seat.json())["token"]
        camera_url = f"rtsp://admin:{CAMERA_SECRET}@192.0.2.200:554/s?pw={CAMERA_SECRET}"
        for url in (camera_url, f"rtsp://admin:{CAMERA_SECRET}@127.0.0.1/s"):
            await session.post(
                f"{server.url}/api/cameras", json={"name": "c", "url": url}, headers=cookies
            )
        ws, _ = await join(session, server, seat_token)
        await ws.send_bytes(b"\xff\xfe rubbish")
        await session.get(f"{server.url}/api/none?access_token={jwt}")
        await _send_raw(server.port, f"GET /rtc?access_token={jwt} HTTP/9\r\n\r\n")
        await _send_raw(server.port, f"\x00 {jwt}\r\n\r\n")
        await ws.close()
        await asyncio.to_thread(server.end)
        output = server.output
        stored = b"".join(
            file.read_bytes() for file in server.data.iterdir() if "sqlite3" in file.name
        )
    assert '"event": "started"' in output
    for secret in (
        *(SECRET, host_key, seal_key, cookie, code, CAMERA_SECRET),
        *(jwt, jwt.split(".")[1], jwt.split(".")[2], seat_token, seat_token.split(".")[2]),
    ):
        assert secret not in output
    for secret in (SECRET, host_key, code, CAMERA_SECRET):
        assert secret.encode() not in stored


async def _send_raw(port: int, text: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode("latin-1"))
    await writer.drain()
    await asyncio.wait_for(reader.read(500), 5)
    writer.close()


async def test_it_says_where_it_is_and_what_a_phone_opens(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server, aiohttp.ClientSession() as session:
        async with asyncio.timeout(10):
            # It answers a moment before it says so.
            while "Ctrl-C" not in server.output:
                await asyncio.sleep(0.05)
        output = server.output
        assert f"http://127.0.0.1:{server.port}/" in output
        assert "█" in output
        link = re.search(rf"http://127\.0\.0\.1:{server.port}/j/[\w-]+", output)
        assert link
        page = await session.get(link[0], headers={"Accept": "text/html"})
        assert page.status == 200
        assert "walker" in await page.text()


async def test_every_described_route_is_served_and_the_reverse(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server, aiohttp.ClientSession() as session:
        answer = await session.get(f"{server.url}/api/openapi.json")
        document = await answer.json()
        assert document["openapi"] == "3.1.0"
        for path, methods in document["paths"].items():
            for method in methods:
                url = server.url + re.sub(r"{\w+}", "x", path)
                got = await session.request(method, url, headers=OURS, allow_redirects=False)
                assert got.status != 405, (method, path)
                body = await got.read()
                # 404 for want of the thing, never of the route.
                assert got.status != 404 or body not in (b"404: Not Found", b""), (method, path)


async def test_metrics_and_health(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server, aiohttp.ClientSession() as session:
        ws, _ = await join(session, server, token("ann"))
        text = await (await session.get(f"{server.url}/metrics")).text()
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        assert float(values["aislecast_rooms"]) == 1
        assert float(values["aislecast_participants"]) == 1
        assert float(values["aislecast_sockets"]) == 1
        assert float(values["aislecast_whip_sessions"]) == 0
        assert float(values["aislecast_whep_sessions"]) == 0
        assert float(values['aislecast_whip_events_total{event="whip_opened"}']) == 0
        assert float(values["process_resident_memory_bytes"]) > 1e6
        assert "ann" not in text
        health = await (await session.get(f"{server.url}/healthz")).json()
        assert health["status"] == "ok"
        await ws.close()


async def test_sigterm_tells_clients_to_come_back_and_ends_in_time(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server, aiohttp.ClientSession() as session:
        sockets = [(await join(session, server, token(f"p{n}")))[0] for n in range(5)]
        stopping = asyncio.create_task(asyncio.to_thread(server.end))
        for ws in sockets:
            leave = await _leave(ws)
            assert leave.action == rtc.LeaveRequest.RECONNECT
            assert leave.reason == models.SERVER_SHUTDOWN
            await ws.close()
        status, took_s = await stopping
        assert status == 0
        assert took_s < LATE_S
        assert '"event": "stopped"' in server.output
        assert "Traceback" not in server.output


async def _leave(ws: aiohttp.ClientWebSocketResponse) -> rtc.LeaveRequest:
    async with asyncio.timeout(5):
        while True:
            message = rtc.SignalResponse.FromString(await ws.receive_bytes())
            if message.WhichOneof("message") == "leave":
                return message.leave


async def test_a_client_that_does_not_read_cannot_hold_up_the_end(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server, aiohttp.ClientSession() as session:
        silent, _ = await join(session, server, token("ann"))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        await writer.drain()
        status, took_s = await asyncio.to_thread(server.end)
        assert (status, took_s < LATE_S) == (0, True)
        writer.close()
        await silent.close()


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server:
        server.send(signal.SIGTERM)
        _, took_s = await asyncio.to_thread(server.end, signal.SIGINT)
        assert took_s < 5


async def test_tls_with_a_local_certificate(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with (
        run_server(data, "--tls", "self", scheme="https") as server,
        aiohttp.ClientSession() as session,
    ):
        authority = await (await session.get(f"{server.url}/local-ca.crt", ssl=False)).read()
        trusting = ssl.create_default_context(cadata=authority.decode())
        for name in ("127.0.0.1", "localhost"):
            url = f"https://{name}:{server.port}"
            answer = await session.get(f"{url}/healthz", ssl=trusting)
            assert answer.status == 200
            ws = await session.ws_connect(
                f"{url}/rtc",
                params={"access_token": token(), "protocol": "16"},
                ssl=trusting,
            )
            await ws.receive_bytes()
            await ws.close()
        host_key = (data / "host-key").read_text().strip()
        signed_in = await session.post(
            f"{server.url}/api/session", json={"key": host_key}, headers=OURS, ssl=False
        )
        assert "Secure" in signed_in.headers["Set-Cookie"]


async def test_a_certificate_that_changes_is_used_without_a_restart(tmp_path: Path) -> None:
    from web.ops import certificates
    from web.ops.local_authority import LocalAuthority

    authority = LocalAuthority(tmp_path)
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    authority.ensure(["localhost"], now)
    pair = f"{authority.certificate_path},{authority.key_path}"
    loaded = certificates.Certificates(pair, tmp_path, [])

    async def serial() -> bytes:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", ssl=loaded.context)
        port = server.sockets[0].getsockname()[1]
        plain = ssl.create_default_context()
        plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=plain)
        found = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        server.close()
        return found

    before = await serial()
    authority.ensure(["localhost", "127.0.0.1"], now)
    loaded.refresh()
    assert await serial() != before


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["--port", "x"], {}, "--port wants a port number"),
        ([], {"AISLECAST_KEY": "nosecret"}, "AISLECAST_KEY wants KEY:SECRET"),
        (["--config", "none.toml"], {}, "cannot read none.toml"),
        (["--tls", "none.pem,none.key"], {}, "cannot use none.pem and none.key"),
    ],
)
async def test_mistakes_are_said_in_one_line(tmp_path: Path, arguments, environ, words) -> None:
    with pytest.raises(AssertionError) as caught:
        async with run_server(tmp_path / "data", *arguments, environ=environ):
            pass
    assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server:
        with pytest.raises(AssertionError, match="cannot listen on 127.0.0.1 port"):
            async with run_server(tmp_path / "other", "--port", str(server.port)) as _:
                pass


async def test_generated_key_signs_tokens_from_the_command_line(tmp_path: Path) -> None:
    environ = {"AISLECAST_KEY": ""}
    async with (
        run_server(tmp_path / "data", environ=environ) as server,
        aiohttp.ClientSession() as session,
    ):
        import sys

        command = [sys.executable, "-m", "web", "token", "--data", str(server.data)]
        printed = await asyncio.create_subprocess_exec(
            *command,
            *("--room", "r", "--identity", "eve", "--name", "Eve", "--no-can-publish", "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await printed.communicate()
        ws, joined = await join(session, server, json.loads(out)["token"])
        assert joined.participant.name == "Eve"
        assert joined.participant.permission.can_publish is False
        await ws.close()


async def test_it_starts_fast(tmp_path: Path) -> None:
    async with run_server(tmp_path / "data") as server:
        used = psutil.Process(server.pid).cpu_times()
    # CPU, not wall time: tests share their machine with others.
    assert used.user + used.system < 5


async def test_events_are_posted_signed_and_in_order(tmp_path: Path) -> None:
    receiver = api.WebhookReceiver(api.TokenVerifier(KEY, SECRET))
    events: list[str] = []

    async def take(request: web.Request) -> web.Response:
        event = receiver.receive(await request.text(), request.headers["Authorization"])
        events.append(event.event)
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    async with TestServer(app) as hook:
        url = str(hook.make_url("/hook"))
        async with run_server(tmp_path / "data", "--webhook-url", url) as server:
            client = api.LiveKitAPI(server.url, KEY, SECRET)
            await client.room.create_room(api.CreateRoomRequest(name="r"))
            await client.room.delete_room(api.DeleteRoomRequest(room="r"))
            await client.aclose()
            await asyncio.to_thread(server.end)
    assert events == ["room_started", "room_finished"]
