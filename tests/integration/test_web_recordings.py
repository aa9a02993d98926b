"""Recordings over HTTP: starting and stopping, following a room's tracks, films with Range."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from livekit.protocol import models
from recordings_rig import FILM, Rig, open_rig
from web_fakes import make_token

from recorder.model import RecordingState, TrackFile


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path) as rig:
        yield rig


def publish(rig: Rig, identity: str, sid: str, kind: int) -> None:
    info = models.ParticipantInfo(identity=identity, name=identity.title())
    track = models.TrackInfo(sid=sid, source=kind)
    info.tracks.append(track)
    rig.signaling.participants.setdefault("r", []).append(info)
    rig.signaling.sources[sid] = object()
    for hook in rig.signaling.hooks.on_track_published:
        hook(rig.signaling.rooms["r"], info, track, rig.signaling.sources[sid])


async def test_a_room_is_recorded_with_all_its_tracks_and_everybody_sees_it(rig: Rig) -> None:
    room = rig.signaling.add_room("r")
    publish(rig, "ann", "TR_early", models.CAMERA)
    status, answer = await rig.call("POST", "/api/rooms/r/recording")
    assert (status, answer["is_recording"]) == (200, True)
    assert rig.signaling.recording == {"r": True}
    publish(rig, "bob", "TR_late", models.SCREEN_SHARE_AUDIO)
    for hook in rig.signaling.hooks.on_track_unpublished:
        hook(room, models.ParticipantInfo(), models.TrackInfo(sid="TR_early"))
    assert rig.recorder.tracks == [
        ("add", "ann", "TR_early", "camera"),
        ("add", "bob", "TR_late", "screen_share_audio"),
        ("remove", "", "TR_early", ""),
    ]
    # Asking twice is asking once.
    assert await rig.call("POST", "/api/rooms/r/recording") == (200, answer)
    status, stopped = await rig.call("DELETE", "/api/rooms/r/recording")
    assert (status, stopped) == (200, {"is_recording": False, "id": answer["id"]})
    assert rig.signaling.recording == {"r": False}
    assert (await rig.call("DELETE", "/api/rooms/r/recording"))[1]["id"] == ""
    _, listed = await rig.call("GET", "/api/recordings")
    assert [recording["id"] for recording in listed["recordings"]] == [answer["id"]]


async def test_a_room_that_ends_ends_its_recording(rig: Rig) -> None:
    rig.signaling.add_room("r")
    _, answer = await rig.call("POST", "/api/rooms/r/recording")
    rig.signaling.end_room("r")
    await rig.control.settle()
    assert rig.control.running("r") is None
    assert (await rig.recorder.get(answer["id"])).state != RecordingState.RECORDING


async def test_the_room_sees_when_the_recorder_gives_up(rig: Rig) -> None:
    rig.signaling.add_room("r")
    _, answer = await rig.call("POST", "/api/rooms/r/recording")
    await rig.recorder.stop(answer["id"], "disk_full")
    assert rig.signaling.recording == {"r": False}
    assert rig.control.running("r") is None


async def test_what_cannot_be_recorded_is_said(rig: Rig, monkeypatch) -> None:
    status, answer = await rig.call("POST", "/api/rooms/r/recording")
    assert (status, answer["code"]) == (409, "room_not_live")
    rig.signaling.add_room("r")
    monkeypatch.setattr(
        rig.recorder, "_config", replace(rig.recorder._config, min_free_bytes=1 << 62)
    )
    status, answer = await rig.call("POST", "/api/rooms/r/recording")
    assert (status, answer["code"]) == (507, "disk_full")
    assert rig.signaling.recording == {}


async def test_a_film_is_sent_whole_in_parts_and_for_saving(rig: Rig) -> None:
    recording = await rig.add_ready()
    path = f"/api/recordings/{recording.id}/file"
    headers = {"Authorization": f"Bearer {rig.token}"}
    whole = await rig.client.get(path, headers=headers)
    assert (whole.status, whole.content_type, await whole.read()) == (200, "video/mp4", FILM)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert "private" in whole.headers["Cache-Control"]
    part = await rig.client.get(path, headers={**headers, "Range": "bytes=1000-1999"})
    assert (part.status, await part.read()) == (206, FILM[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(FILM)}"
    tail = await rig.client.get(path, headers={**headers, "Range": "bytes=-10"})
    assert await tail.read() == FILM[-10:]
    beyond = await rig.client.get(path, headers={**headers, "Range": "bytes=9999999-"})
    assert beyond.status == 416
    head = await rig.client.head(path, headers=headers)
    assert head.headers["Content-Length"] == str(len(FILM))
    saved = await rig.client.get(path, headers=headers, params={"download": "1"})
    assert "filename*=UTF-8''%E8%99%B9" in saved.headers["Content-Disposition"]


async def test_a_recording_is_shown_with_who_was_there(rig: Rig) -> None:
    recording = await rig.add_ready(reason="disk_full")
    _, shown = await rig.call("GET", f"/api/recordings/{recording.id}")
    assert shown["participants"][0] == {"name": "Ann", "joined_s": 1.5, "is_camera": False}
    assert shown["started_at"] == "2023-11-14T22:13:20+00:00"
    assert (shown["state"], shown["error_code"], shown["progress"]) == ("ready", "disk_full", None)


async def test_cameras_are_not_counted_as_people(rig: Rig) -> None:
    person = TrackFile("001", "TR_1", "ann", "1 号机", "camera", False)
    camera = TrackFile("002", "TR_2", "camera-x", "1 号机", "camera", False)
    recording = await rig.add_ready(tracks=(person, camera))
    _, shown = await rig.call("GET", f"/api/recordings/{recording.id}")
    assert [one["is_camera"] for one in shown["participants"]] == [False, True]


async def test_a_recording_that_nobody_ended_says_why_it_ends(rig: Rig) -> None:
    recording = await rig.add_ready(cut_short="server_stopped")
    _, shown = await rig.call("GET", f"/api/recordings/{recording.id}")
    assert (shown["state"], shown["error_code"]) == ("ready", None)
    assert shown["cut_short"] == "server_stopped"


async def test_removing_removes_the_files(rig: Rig) -> None:
    recording = await rig.add_ready()
    assert (await rig.call("DELETE", f"/api/recordings/{recording.id}"))[0] == 204
    assert list(rig.directory.iterdir()) == []
    assert (await rig.call("GET", f"/api/recordings/{recording.id}"))[0] == 404


async def test_a_film_can_be_tried_again_only_when_it_is_over(rig: Rig) -> None:
    rig.signaling.add_room("r")
    _, answer = await rig.call("POST", "/api/rooms/r/recording")
    status, refused = await rig.call("POST", f"/api/recordings/{answer['id']}/retry")
    assert (status, refused["code"]) == (409, "not_possible")
    status, refused = await rig.call("GET", f"/api/recordings/{answer['id']}/file")
    assert (status, refused["code"]) == (409, "not_possible")


@pytest.mark.parametrize("path", ["", "/file"])
@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("", 401),
        ("rubbish", 401),
        (make_token(room_list=True, room_create=True), 404),
        (make_token(room_record=True, room="other"), 404),
        (make_token(room_record=True, room="r"), 200),
    ],
)
async def test_who_may_see_a_recording(rig: Rig, token: str, status: int, path: str) -> None:
    recording = await rig.add_ready()
    got, _ = await rig.call("GET", f"/api/recordings/{recording.id}{path}", token)
    assert got == status


async def test_who_may_record_and_list(rig: Rig) -> None:
    rig.signaling.add_room("r")
    for token, status in (
        ("", 401),
        (make_token(room_admin=True, room="r"), 403),
        (make_token(room_record=True, room="other"), 403),
        (make_token(room_record=True, room="r"), 200),
    ):
        assert (await rig.call("POST", "/api/rooms/r/recording", token))[0] == status
    one_room = make_token(room_record=True, room="r")
    assert (await rig.call("GET", "/api/recordings", one_room))[0] == 403


@pytest.mark.parametrize("recording_id", ["..", "%2e%2e%2fapi-key", "x" * 500, "%00"])
async def test_strange_ids_find_nothing(rig: Rig, recording_id: str) -> None:
    for path in (f"/api/recordings/{recording_id}", f"/api/recordings/{recording_id}/file"):
        assert (await rig.call("GET", path))[0] in (403, 404)
