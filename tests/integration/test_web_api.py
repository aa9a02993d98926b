"""The JSON API over HTTP: sessions, invitations, entering, rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from livekit.protocol import models
from web_fakes import API_SECRET, make_token
from web_rig import HOST_KEY, OURS, Rig, run_rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with run_rig(tmp_path) as made:
        yield made


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
    rig.signaling.participants["live-room"] = [
        models.ParticipantInfo(identity="a"),
        models.ParticipantInfo(identity="b", permission=models.ParticipantPermission(hidden=True)),
        models.ParticipantInfo(identity="c", attributes={"kind": "camera"}),
    ]
    _, answer = await rig.call("GET", "/api/rooms")
    assert [room["name"] for room in answer["rooms"]] == ["live-room", quiet["name"]]
    assert answer["rooms"][0]["started_at"].endswith("+00:00")
    assert answer["rooms"][0]["num_people"] == 1


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
        assert seat["url"] == str(rig.client.make_url("")).replace("http", "ws", 1).rstrip("/")
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
