"""Cameras over HTTP: where their addresses go, and in which rooms they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from web_rig import FakePull, Rig, run_rig

CAMERA_URL = "rtsp://admin:pa55word@192.168.7.7:554/stream"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with run_rig(tmp_path) as made:
        yield made


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


async def test_a_camera_that_is_lent_is_one_among_others_and_kept_nowhere(
    rig: Rig, tmp_path: Path
) -> None:
    await rig.sign_in()
    rig.signaling.add_room("store")
    pulls: list[FakePull] = []

    def open_pull() -> FakePull:
        pulls.append(FakePull("lent", "rtsp://127.0.0.1/aisle"))
        return pulls[-1]

    await rig.places.lend("demo", "1 号机", "store", open_pull)
    _, listed = await rig.call("GET", "/api/cameras")
    assert [(c["id"], c["room"], c["state"]) for c in listed["cameras"]] == [
        ("demo", "store", "idle")
    ]
    assert rig.signaling.locals[0].attributes["kind"] == "camera"
    rig.signaling.add_room("other")
    status, moved = await rig.call("POST", "/api/rooms/other/cameras", {"camera": "demo"})
    assert (status, moved["room"]) == (200, "other")
    assert pulls[0].is_closed and rig.signaling.locals[1].room == "other"
    assert not any("1 号机".encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert (await rig.call("DELETE", "/api/cameras/demo"))[0] == 204
    assert pulls[1].is_closed and (await rig.call("GET", "/api/cameras"))[1]["cameras"] == []
    assert (await rig.call("DELETE", "/api/cameras/demo"))[0] == 404
