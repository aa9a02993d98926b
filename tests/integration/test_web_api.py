"""The JSON API over HTTP: sessions, invitations, entering, rooms, cameras; and what refuses."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from web_fakes import API_KEY, API_SECRET, FakeSignaling, make_token

from web.access.rights import Access
from web.access.sessions import HostSessions
from web.cameras.places import CameraPlaces
from web.cameras.pulls import CameraOpener, camera_config
from web.cameras.routes import CameraRoutes
from web.cameras.store import CameraStore
from web.http import bodies
from web.http.rates import RateLimit
from web.people.entrance import Entrance
from web.people.invites import Invites
from web.people.routes import PeopleRoutes
from web.rooms.catalogue import RoomCatalogue
from web.rooms.routes import RoomRoutes
from web.server.app import build_app
from web.settings.database import Database
from web.twirp.routes import TwirpRoutes

HOST_KEY = "host-key-of-this-test"
OURS = {"X-Requested-With": "aislecast"}
CAMERA_URL = "rtsp://admin:pa55word@192.168.7.7:554/stream"


class FakePull:
    """A camera that is told what happens to it."""

    def __init__(self, camera_id: str, url: str) -> None:
        self.camera_id = camera_id
        self.url = url
        self.source = object()
        self.state = "idle"
        self.error_code = ""
        self.on_state = None
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True

    def become(self, state: str, error_code: str = "") -> None:
        self.state, self.error_code = state, error_code
        if self.on_state:
            self.on_state()


class Rig:
    def __init__(
        self,
        client: TestClient,
        signaling: FakeSignaling,
        pulls: list[FakePull],
        places: CameraPlaces,
    ) -> None:
        self.client = client
        self.signaling = signaling
        self.pulls = pulls
        self.places = places

    async def call(self, method: str, path: str, body: object = None, *, token: str = "", **more):
        headers = {**OURS, **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self.client.request(
            method, path, json=body, headers={**headers, **more.pop("headers", {})}, **more
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type.endswith("json")
            return answer.status, (await answer.json(content_type=None) if is_json else text)

    async def sign_in(self) -> None:
        status, _ = await self.call("POST", "/api/session", {"key": HOST_KEY})
        assert status == 204


class FakeOpener(CameraOpener):
    """Checks addresses as the real one does, and opens nothing."""

    def __init__(self) -> None:
        super().__init__(None, camera_config(()))
        self.pulls: list[FakePull] = []

    def open(self, label: str, url: str) -> FakePull:
        self.pulls.append(FakePull(label, url))
        return self.pulls[-1]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    signaling = FakeSignaling()
    database = Database(tmp_path / "test.sqlite3")
    await database.open()
    sessions = HostSessions(HOST_KEY, wall_s=time.time)
    failures = RateLimit(burst=6, per_s=0.001, clock=time.monotonic)
    access = Access(sessions, signaling, failures=failures)
    catalogue = RoomCatalogue(database, wall_s=time.time)
    store = CameraStore(database, bytes(32), wall_s=time.time)
    opener = FakeOpener()
    places = CameraPlaces(store, signaling, opener)
    places.start()
    people = PeopleRoutes(
        access=access,
        invites=Invites(database, wall_s=time.time),
        entrance=Entrance(signaling, api_key=API_KEY, seat_key=b"seat", wall_s=time.time),
        catalogue=catalogue,
        joins=RateLimit(burst=20, per_s=0.001, clock=time.monotonic),
    )
    operations = [
        *people.operations(),
        *RoomRoutes(signaling, catalogue, access).operations(),
        *CameraRoutes(store, places, catalogue, access).operations(),
        *TwirpRoutes(signaling, failures=failures).operations(),
    ]
    app = build_app(operations, [add_faulty], is_behind_proxy=False)
    async with TestClient(TestServer(app)) as client:
        yield Rig(client, signaling, opener.pulls, places)
    await places.close()
    await database.close()


def add_faulty(app: web.Application) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise RuntimeError("internals")

    app.router.add_get("/api/faulty", fail)


async def test_host_signs_in_and_out(rig: Rig) -> None:
    assert (await rig.call("GET", "/api/rooms"))[0] == 401
    status, answer = await rig.call("POST", "/api/session", {"key": "wrong"})
    assert (status, answer["code"]) == (401, "bad_key")
    await rig.sign_in()
    assert await rig.call("GET", "/api/rooms") == (200, {"rooms": []})
    assert (await rig.call("DELETE", "/api/session"))[0] == 204
    assert (await rig.call("GET", "/api/rooms"))[0] == 401


async def test_session_cookie_cannot_be_read_by_scripts_nor_forged(rig: Rig) -> None:
    answer = await rig.client.post("/api/session", json={"key": HOST_KEY}, headers=OURS)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    value = answer.cookies["aislecast_host"].value
    expiry, nonce, mac = value.split(".")
    rig.client.session.cookie_jar.clear()
    for forged in (
        f"{int(expiry) + 1}.{nonce}.{mac}",
        f"{expiry}.{nonce}.",
        "..",
        "",
        f"9{expiry}.{nonce}.{mac}",
        f"{expiry}.{nonce}.{'0' * 64}",
    ):
        assert (await rig.call("GET", "/api/rooms", cookies={"aislecast_host": forged}))[0] == 401
        rig.client.session.cookie_jar.clear()


async def test_guessing_the_host_key_is_slowed_down(rig: Rig) -> None:
    statuses = [(await rig.call("POST", "/api/session", {"key": "no"}))[0] for _ in range(8)]
    assert statuses == [401] * 6 + [429] * 2


async def test_another_site_cannot_use_the_cookie(rig: Rig) -> None:
    await rig.sign_in()
    for headers in (
        {"X-Requested-With": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        sent = {**OURS, **headers}
        if not sent["X-Requested-With"]:
            del sent["X-Requested-With"]
        answer = await rig.client.post("/api/rooms", json={}, headers=sent)
        assert answer.status == 403
        assert (await answer.json())["code"] == "cross_site"
    own = f"http://{rig.client.host}:{rig.client.port}"
    assert (await rig.call("POST", "/api/rooms", {}, headers={"Origin": own}))[0] == 201


async def test_rooms_are_made_and_shown_live_first(rig: Rig) -> None:
    await rig.sign_in()
    status, quiet = await rig.call("POST", "/api/rooms", {"title": "华东周会"})
    assert (status, quiet["title"], quiet["is_live"]) == (201, "华东周会", False)
    rig.signaling.add_room("live-room")
    _, answer = await rig.call("GET", "/api/rooms")
    assert [room["name"] for room in answer["rooms"]] == ["live-room", quiet["name"]]
    assert answer["rooms"][0]["started_at"].endswith("+00:00")
    assert answer["rooms"][0]["num_participants"] == 1


async def test_invitation_becomes_a_token_with_the_rights_of_its_role(rig: Rig) -> None:
    await rig.sign_in()
    _, room = await rig.call("POST", "/api/rooms", {"title": "Walk"})
    rights = {}
    for role in ("host", "guest", "walker", "viewer"):
        body = {"room": room["name"], "role": role}
        status, invite = await rig.call("POST", "/api/invites", body)
        assert status == 201
        assert invite["url"].endswith(f"/j/{invite['code']}")
        status, seat = await rig.call("POST", "/api/join", {"code": invite["code"], "name": "张敏"})
        assert status == 200
        assert seat["url"].startswith("ws://")
        assert (seat["role"], seat["room"], seat["title"]) == (role, room["name"], "Walk")
        claims = jwt.decode(seat["token"], API_SECRET, algorithms=["HS256"])
        assert claims["sub"] == seat["identity"]
        assert claims["name"] == "张敏"
        assert claims["attributes"] == {"role": role, "aislecast.page": "1"}
        rights[role] = claims["video"]
    assert all(video["room"] == room["name"] and video["roomJoin"] for video in rights.values())
    assert [role for role in rights if rights[role].get("roomAdmin")] == ["host"]
    assert [role for role in rights if not rights[role]["canPublish"]] == ["viewer"]
    assert rights["walker"]["canPublishSources"] == ["camera", "microphone"]


async def test_the_name_in_a_link_cannot_be_replaced(rig: Rig) -> None:
    await rig.sign_in()
    body = {"room": "r", "role": "guest", "name": "李强"}
    _, invite = await rig.call("POST", "/api/invites", body)
    _, seat = await rig.call("POST", "/api/join", {"code": invite["code"], "name": "The boss"})
    assert seat["name"] == "李强"
    _, seat = await rig.call("POST", "/api/join", {"code": invite["code"]})
    assert seat["name"] == "李强"


async def test_same_device_comes_back_to_the_same_seat(rig: Rig) -> None:
    await rig.sign_in()
    _, invite = await rig.call("POST", "/api/invites", {"room": "r", "role": "guest"})
    body = {"code": invite["code"], "name": "A"}

    async def seat(**more: str) -> str:
        return (await rig.call("POST", "/api/join", {**body, **more}))[1]["identity"]

    assert await seat(device="d1") == await seat(device="d1")
    assert len({await seat(device="d1"), await seat(device="d2"), await seat(), await seat()}) == 4


async def test_links_end(rig: Rig) -> None:
    await rig.sign_in()
    _, invite = await rig.call("POST", "/api/invites", {"room": "r", "role": "guest"})
    assert (await rig.call("DELETE", f"/api/invites/{invite['code']}"))[0] == 204
    assert (await rig.call("DELETE", f"/api/invites/{invite['code']}"))[0] == 404
    for code in (invite["code"], "unknown", "x" * 64):
        status, answer = await rig.call("POST", "/api/join", {"code": code, "name": "A"})
        assert (status, answer["code"]) == (404, "link_gone")


async def test_only_hosts_enter_by_room_name(rig: Rig) -> None:
    body = {"room": "r", "name": "A"}
    assert (await rig.call("POST", "/api/join", body))[0] == 401
    await rig.sign_in()
    assert (await rig.call("POST", "/api/join", body))[1]["role"] == "host"
    assert (await rig.call("POST", "/api/join", {**body, "as": "walker"}))[1]["role"] == "walker"
    status, answer = await rig.call("POST", "/api/join", {"room": "r"})
    assert (status, answer["code"]) == (400, "name_missing")
    assert (await rig.call("POST", "/api/join", {"name": "A"}))[0] == 400


async def test_joins_are_limited_per_caller(rig: Rig) -> None:
    statuses = [(await rig.call("POST", "/api/join", {}))[0] for _ in range(22)]
    assert statuses == [400] * 20 + [429] * 2


async def test_tokens_open_what_they_grant_and_nothing_else(rig: Rig) -> None:
    own = make_token(room_admin=True, room="mine")
    assert (await rig.call("POST", "/api/invites", {"room": "mine", "role": "guest"}, token=own))[
        0
    ] == 201
    status, answer = await rig.call(
        "POST", "/api/invites", {"room": "theirs", "role": "guest"}, token=own
    )
    assert (status, answer["code"]) == (403, "not_allowed")
    assert (await rig.call("GET", "/api/rooms", token=own))[0] == 403
    assert (await rig.call("GET", "/api/rooms", token=make_token(room_list=True)))[0] == 200
    assert (await rig.call("GET", "/api/rooms", token="rubbish"))[0] == 401


async def test_qr_code_of_our_own_links_only(rig: Rig) -> None:
    await rig.sign_in()
    answer = await rig.client.get("/api/qr", params={"path": "/j/abcdefgh12345678"})
    assert (answer.status, answer.content_type) == (200, "image/svg+xml")
    assert (await answer.read()).startswith(b"<svg")
    for path in (
        "https://evil.example",
        "//evil.example",
        "/j/x\n",
        "/api/rooms",
        "/j/" + "x" * 99,
    ):
        assert (await rig.client.get("/api/qr", params={"path": path})).status == 400


async def test_camera_address_goes_in_and_never_comes_out(rig: Rig, tmp_path: Path) -> None:
    await rig.sign_in()
    status, camera = await rig.call("POST", "/api/cameras", {"name": "冰柜", "url": CAMERA_URL})
    assert status == 201
    _, listed = await rig.call("GET", "/api/cameras")
    assert listed["cameras"] == [camera]
    assert camera["state"] == "idle"
    assert "pa55word" not in str(camera)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"pa55word" not in stored
    assert b"192.168.7.7" not in stored


async def test_camera_is_in_its_room_while_that_is_live(rig: Rig) -> None:
    await rig.sign_in()
    _, camera = await rig.call("POST", "/api/cameras", {"name": "Cold shelf", "url": CAMERA_URL})
    assert rig.pulls == []
    rig.signaling.add_room(camera["room"])
    await rig.places.settle()
    assert rig.pulls[0].url == CAMERA_URL
    participant = rig.signaling.locals[0]
    assert participant.room == camera["room"]
    assert participant.attributes == {"kind": "camera", "state": "idle"}
    rig.pulls[0].become("failed", "unauthorized")
    assert participant.attributes["state"] == "unauthorized"
    _, listed = await rig.call("GET", "/api/cameras")
    assert listed["cameras"][0]["error_code"] == "unauthorized"
    rig.signaling.end_room(camera["room"])
    participant.on_closed()
    await rig.places.settle()
    assert rig.pulls[0].is_closed
    rig.signaling.add_room(camera["room"])
    await rig.places.settle()
    assert len(rig.pulls) == 2


async def test_camera_moves_between_rooms_and_goes(rig: Rig) -> None:
    await rig.sign_in()
    rig.signaling.add_room("a")
    rig.signaling.add_room("b")
    body = {"name": "Cam", "url": CAMERA_URL, "room": "a"}
    _, camera = await rig.call("POST", "/api/cameras", body)
    status, moved = await rig.call("POST", "/api/rooms/b/cameras", {"camera": camera["id"]})
    assert (status, moved["room"]) == (200, "b")
    assert [p.room for p in rig.signaling.locals if not p.is_closed] == ["b"]
    assert (await rig.call("DELETE", f"/api/cameras/{camera['id']}"))[0] == 204
    assert all(p.is_closed for p in rig.signaling.locals)
    assert all(pull.is_closed for pull in rig.pulls)
    assert (await rig.call("DELETE", f"/api/cameras/{camera['id']}"))[0] == 404
    assert (await rig.call("POST", "/api/rooms/b/cameras", {"camera": "none"}))[0] == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.7.7/",
        "file:///etc/passwd",
        "exec:rm",
        "rtsp://",
        "rtsp://127.0.0.1/a",
        "rtsp://[::1]/a",
        "rtsp://[::ffff:127.0.0.1]/a",
        "rtsp://169.254.169.254/latest",
        "rtsp://[fe80::1]/a",
        "rtsp://0.0.0.0/a",
        "rtsp://224.0.0.1/a",
        "rtsp://localhost/a",
        "rtsp://none.invalid/a",
        "rtsp://host:99999/a",
        "rtsp://ho st/a",
        "rtsp://192.168.7.7:0/",
    ],
)
async def test_camera_addresses_that_lead_elsewhere_are_refused(rig: Rig, url: str) -> None:
    await rig.sign_in()
    status, answer = await rig.call("POST", "/api/cameras", {"name": "x", "url": url})
    assert (status, answer["code"]) == (400, "bad_url")
    assert rig.pulls == []


async def test_wrong_bodies_get_plain_words(rig: Rig) -> None:
    await rig.sign_in()
    for body, content_type, status in (
        (b"{", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"title=x", "application/x-www-form-urlencoded", 415),
        (b" " * 70_000, "application/json", 413),
    ):
        answer = await rig.client.post(
            "/api/rooms", data=body, headers={**OURS, "Content-Type": content_type}
        )
        assert answer.status == status, body[:10]
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["message"]


async def test_a_body_without_a_length_is_bounded_too(rig: Rig) -> None:
    await rig.sign_in()

    async def endless():
        for _ in range(1000):
            yield b" " * 1000

    headers = {**OURS, "Content-Type": "application/json"}
    answer = await rig.client.post("/api/rooms", data=endless(), headers=headers)
    assert answer.status == 413


async def test_a_body_that_never_ends_is_given_up(rig: Rig, monkeypatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.1)
    await rig.sign_in()

    async def stuck():
        yield b"{"
        await asyncio.sleep(5)

    headers = {**OURS, "Content-Type": "application/json"}
    answer = await rig.client.post("/api/rooms", data=stuck(), headers=headers)
    assert (answer.status, (await answer.json())["code"]) == (408, "too_slow")


async def test_unknown_addresses_and_faults_are_problems_without_internals(rig: Rig) -> None:
    for method, path, status in (
        ("GET", "/api/none", 404),
        ("PUT", "/api/rooms", 405),
        ("GET", "/api/faulty", 500),
    ):
        got, answer = await rig.call(method, path)
        assert got == status
        assert answer["code"]
        assert "internals" not in str(answer)


async def test_every_answer_has_security_headers(rig: Rig) -> None:
    for path in ("/api/rooms", "/api/none", "/nowhere"):
        headers = (await rig.client.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers
    assert (await rig.client.get("/api/none")).headers["Cache-Control"] == "no-store"


async def test_a_strange_host_header_does_not_get_into_the_policy(rig: Rig) -> None:
    answer = await rig.client.get("/api/rooms", headers={"Host": "x;script-src *"})
    assert "script-src *" not in answer.headers.get("Content-Security-Policy", "")


async def test_api_clients_find_the_server_at_the_root(rig: Rig) -> None:
    for method in ("GET", "HEAD"):
        answer = await rig.client.request(method, "/")
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert await (await rig.client.get("/")).text() == "OK"
    preflight = await rig.client.options(
        "/twirp/livekit.RoomService/ListRooms",
        headers={"Origin": "https://x", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status == 204
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]


TWIRP = "/twirp/livekit.RoomService/"


async def twirp(
    rig: Rig, method: str, token: str, content_type: str, body: bytes | io.BytesIO = b""
):
    headers = {"Content-Type": content_type}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    answer = await rig.client.post(TWIRP + method, data=body, headers=headers)
    return answer.status, answer.content_type, await answer.read()


async def test_twirp_passes_calls_on_in_both_encodings(rig: Rig) -> None:
    token = make_token(room_list=True)
    for content_type, body in (("application/protobuf", b""), ("application/json", b"{}")):
        got = await twirp(rig, "ListRooms", token, content_type, body)
        assert got == (200, content_type, body)
    assert [call[:4] for call in rig.signaling.calls] == [
        ("livekit.RoomService", "ListRooms", b"", False),
        ("livekit.RoomService", "ListRooms", b"{}", True),
    ]


async def test_twirp_errors_are_json(rig: Rig) -> None:
    token = make_token()
    protobuf = "application/protobuf"
    for args, status, code in (
        (("ListRooms", "", protobuf), 401, b"unauthenticated"),
        (("ListRooms", "rubbish", protobuf), 401, b"unauthenticated"),
        (("ListRooms", token, protobuf), 403, b"permission_denied"),
        (("ListRooms", token, "text/plain"), 404, b"bad_route"),
        (("ListRooms", token, protobuf, io.BytesIO(bytes(2 << 20))), 413, b"resource_exhausted"),
        (("Broken", token, protobuf), 500, b"internal"),
    ):
        got, content_type, body = await twirp(rig, *args)
        assert (got, content_type) == (status, "application/json")
        assert code in body
        assert b"abcdefgh" not in body
