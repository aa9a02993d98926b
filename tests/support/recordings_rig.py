"""Recordings over HTTP with everything real but frames and rooms."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer
from web_fakes import FakeSignaling, make_token

from recorder.config import RecorderConfig
from recorder.errors import RecordingNotFoundError
from recorder.model import Recording, RecordingState, TrackFile
from recorder.service import RecorderService
from web.access.rights import Access
from web.access.sessions import HostSessions
from web.http.rates import RateLimit
from web.network.passports import Passports
from web.network.store import LineStore
from web.pages.routes import add_page_routes
from web.people.invites import Invites
from web.recordings.control import RecordingControl
from web.recordings.routes import RecordingRoutes
from web.recordings.shares import Shares
from web.rooms.catalogue import RoomCatalogue
from web.server.app import build_app
from web.server.backend import Backend
from web.settings.database import Database

OURS = {"X-Requested-With": "aislecast"}
HOST_KEY = "k" * 20
FILM = bytes(range(256)) * 400


class FakeMedia:
    """No frames ever; the recorder's own tests have those."""

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000


class SpyRecorder(RecorderService):
    """The real recorder, but for frames."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.tracks: list[tuple[str, str, str, str]] = []

    def add_track(self, recording_id, participant, track, source) -> None:
        self.tracks.append(("add", participant.identity, track.id, track.source))

    def remove_track(self, recording_id, track_id) -> None:
        self.tracks.append(("remove", "", track_id, ""))


class Rig:
    def __init__(self, client, signaling, recorder, control, directory, shares) -> None:
        self.client = client
        self.signaling = signaling
        self.recorder = recorder
        self.control = control
        self.directory = directory
        self.shares = shares
        self.token = make_token(room_record=True)

    async def call(self, method: str, path: str, token: str | None = None, **more):
        token = self.token if token is None else token
        headers = {**OURS, **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self.client.request(method, path, headers=headers, **more) as answer:
            has_json = answer.content_type.endswith("json")
            return answer.status, await answer.json(content_type=None) if has_json else None

    async def add_ready(self, **more) -> Recording:
        recording = Recording(
            "ab" * 16,
            "r",
            "虹桥店 巡店",
            1_700_000_000.0,
            state=RecordingState.READY,
            file_name="session.mp4",
            mime="video/mp4",
            size_bytes=len(FILM),
            duration_s=12.5,
            participants=("ann",),
            tracks=(TrackFile("001", "TR_1", "ann", "Ann", "camera", False, started_s=1.5),),
        )
        recording = replace(recording, **more)
        folder = self.directory / recording.id
        folder.mkdir()
        (folder / "session.mp4").write_bytes(FILM)
        await self.recorder._store.put(recording)
        return recording


def titles_of(recorder: RecorderService) -> Callable[[str], Awaitable[str | None]]:
    async def title(recording_id: str) -> str | None:
        try:
            return (await recorder.get(recording_id)).title
        except RecordingNotFoundError:
            return None

    return title


@asynccontextmanager
async def open_rig(tmp_path: Path, clock: Callable[[], float] = time.time) -> AsyncIterator[Rig]:
    """A server with recordings, links to them, and their pages."""
    signaling = FakeSignaling()
    database = Database(tmp_path / "test.sqlite3")
    await database.open()
    config = RecorderConfig(
        directory=tmp_path / "recordings",
        database=tmp_path / "recordings.sqlite3",
        min_free_bytes=0,
    )
    recorder = SpyRecorder(FakeMedia(), config)
    await recorder.recover()
    failures = RateLimit(burst=9, per_s=1, clock=time.monotonic)
    access = Access(HostSessions(HOST_KEY, wall_s=time.time), signaling, failures=failures)
    catalogue = RoomCatalogue(database, wall_s=time.time)
    control = RecordingControl(recorder, signaling, catalogue)
    control.start()
    shares = Shares(database, key=b"s" * 32, wall_s=clock)
    pages = Backend(
        sessions=access.sessions,
        invites=Invites(database, wall_s=clock),
        catalogue=catalogue,
        shares=shares,
        passports=Passports(LineStore(database), place_of=catalogue.place_of, wall_s=clock),
        recording_title=titles_of(recorder),
    )
    routes = RecordingRoutes(recorder, control, access, shares)
    app = build_app(
        routes.operations(), [lambda app: add_page_routes(app, pages)], is_behind_proxy=False
    )
    async with TestClient(TestServer(app)) as client:
        yield Rig(client, signaling, recorder, control, config.directory, shares)
    await control.settle()
    await recorder.drain(1.0)
    await database.close()
