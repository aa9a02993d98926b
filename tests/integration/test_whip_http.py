"""WHIP and WHEP over HTTP: rights, addresses, patches, ends. Media is another file's subject."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from fake_transport import read_sdp
from whip_rig import Rig, room_token, running_server, until

from sfu.sdp import parse_sdp

FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
RESTART = f"a=ice-ufrag:new0\r\na=ice-pwd:{'p' * 24}\r\n"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running_server() as rig:
        yield rig


def offer() -> str:
    return read_sdp("js_dual_publish_offer")


async def start(rig: Rig, token: str = "") -> tuple[str, str]:
    """Publishes; returns the session's path and ETag."""
    status, headers, body = await rig.post(
        "/whip/shop", offer(), token=token or room_token("encoder")
    )
    assert status == 201, body
    return headers["Location"], headers["ETag"]


async def test_created_with_answer_address_and_etag(rig: Rig) -> None:
    status, headers, body = await rig.post("/whip/shop", offer(), token=room_token("encoder"))
    assert status == 201 and headers["Content-Type"].startswith("application/sdp")
    assert headers["Location"].startswith("/whip/shop/sessions/")
    assert headers["ETag"].startswith('"') and headers["Accept-Patch"] == FRAGMENT_TYPE
    answer = parse_sdp(body)
    assert [media.direction for media in answer.media[1:]] == ["recvonly", "recvonly"]
    assert answer.media[0].candidates
    people = rig.signaling.list_participants("shop")
    assert [person.identity for person in people] == ["encoder"]
    # Its tracks are announced when media can flow, and it has not connected.
    assert not people[0].tracks


async def test_options_and_other_methods(rig: Rig) -> None:
    for path in ("/whip/shop", "/whep/shop", "/whep/shop/encoder"):
        status, headers, _ = await rig.call("OPTIONS", path)
        assert status == 204 and headers["Accept-Post"] == "application/sdp"
        for method in ("GET", "PUT", "DELETE"):
            status, headers, _ = await rig.call(method, path)
            assert status == 405 and "POST" in headers["Allow"]
    status, headers, _ = await rig.call(
        "OPTIONS", "/whip/shop", Origin="https://a.example", Access_Control_Request_Method="POST"
    )
    assert status == 204 and headers["Access-Control-Allow-Origin"] == "*"
    location, _ = await start(rig)
    for method in ("GET", "POST", "PUT"):
        assert (await rig.call(method, location))[0] == 405


async def test_refusals(rig: Rig) -> None:
    good = room_token("encoder")
    for token, status in (
        ("", 401),
        ("nonsense", 401),
        (room_token("encoder", room="other"), 403),
        (room_token("encoder", can_publish=False), 403),
        (room_token("encoder", can_publish_sources=("microphone",)), 403),
        (room_token(""), 400),
    ):
        assert (await rig.post("/whip/shop", offer(), token=token))[0] == status, token
    assert (await rig.call("POST", "/whip/shop", token=good, body=offer()))[0] == 415
    assert (await rig.post("/whip/shop", "hello", token=good))[0] == 400
    assert (await rig.post("/whip/shop", "v=0\r\n", token=good))[0] == 400
    assert (await rig.post("/whip/shop", "v" * 900_000, token=good))[0] == 413
    status, _, body = await rig.post("/whip/shop", read_sdp("native_dual_data_offer"), token=good)
    assert status == 422 and "whip_no_track" in body
    status, headers, _ = await rig.post("/whip/shop", offer(), token="")
    assert headers["WWW-Authenticate"] == "Bearer"
    assert rig.signaling.list_participants("shop") == []
    assert rig.media.snapshot().transports.size == 0


async def test_only_the_holder_ends_a_session(rig: Rig) -> None:
    location, _ = await start(rig)
    assert (await rig.call("DELETE", location, token=room_token("somebody")))[0] == 404
    assert (await rig.call("DELETE", location.replace("whip", "whep")))[0] == 401
    other_kind = location.replace("/whip/", "/whep/")
    assert (await rig.call("DELETE", other_kind, token=room_token("encoder")))[0] == 404
    assert (await rig.call("DELETE", location, token=room_token("encoder")))[0] == 200
    assert rig.signaling.list_participants("shop") == []
    assert (await rig.call("DELETE", location, token=room_token("encoder")))[0] == 404
    await until(lambda: rig.media.snapshot().transports.size == 0)


async def test_patch(rig: Rig) -> None:
    location, etag = await start(rig)
    token = room_token("encoder")

    async def patch(body: str, **headers: str) -> tuple[int, Mapping[str, str], str]:
        headers.setdefault("Content_Type", FRAGMENT_TYPE)
        return await rig.call("PATCH", location, token=token, body=body, **headers)

    trickle = "a=ice-ufrag:xSTv\r\na=ice-pwd:3U5Nx4mEnyP6bZWHb3FAfHlH\r\na=end-of-candidates\r\n"
    assert (await patch(trickle))[0] == 428
    assert (await patch(trickle, If_Match='"old"'))[0] == 412
    assert (await patch(trickle, If_Match=etag, Content_Type="text/plain"))[0] == 415
    assert (await patch("rubbish", If_Match=etag))[0] == 400
    assert (await patch("x" * 20_000, If_Match=etag))[0] == 413
    status, headers, _ = await patch(trickle, If_Match=etag)
    assert status == 204 and headers["ETag"] == etag
    status, headers, body = await patch(RESTART, If_Match="*")
    assert status == 200 and headers["Content-Type"] == FRAGMENT_TYPE
    assert headers["ETag"] != etag and "a=ice-ufrag:" in body and "a=candidate:" in body
    assert (await patch(trickle, If_Match=etag))[0] == 412


async def test_the_same_identity_again_replaces_the_first(rig: Rig) -> None:
    first, _ = await start(rig)
    second, _ = await start(rig)
    token = room_token("encoder")
    assert (await rig.call("DELETE", first, token=token))[0] == 404
    assert (await rig.call("DELETE", second, token=token))[0] == 200


async def test_removed_participant_loses_its_session(rig: Rig) -> None:
    location, _ = await start(rig)
    rig.signaling.add_local_participant("shop", "encoder").close()
    assert (await rig.call("DELETE", location, token=room_token("encoder")))[0] == 404


async def test_rooms_with_odd_names(rig: Rig) -> None:
    name = "门店 1/北?"
    token = room_token("encoder", room=name)
    status, headers, _ = await rig.post("/whip/门店%201%2F北%3F", offer(), token=token)
    assert status == 201
    assert (await rig.call("DELETE", headers["Location"], token=token))[0] == 200


async def test_whep_needs_something_to_watch(rig: Rig) -> None:
    status, headers, body = await rig.post(
        "/whep/shop", read_sdp("js_single_join_offer"), token=room_token("player")
    )
    assert status == 404 and "whep_nothing_to_play" in body and "Retry-After" in headers
    token = room_token("player", can_subscribe=False)
    status, _, _ = await rig.post("/whep/shop", read_sdp("js_single_join_offer"), token=token)
    assert status == 403


async def test_a_session_that_never_connects_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.routes.resources, "_connect_timeout_s", 0.1)
    await start(rig)
    await until(lambda: rig.routes.resources.snapshot()["whip_sessions"] == 0)
    assert rig.signaling.list_participants("shop") == []
    assert rig.routes.resources.counters["whip_never_connected"] == 1


async def test_a_full_server_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.routes.resources, "_maximum", 1)
    await start(rig)
    status, headers, _ = await rig.post("/whip/shop", offer(), token=room_token("other"))
    assert status == 503 and headers["Retry-After"]
