"""The JSON API over HTTP, with signaling and cameras that only remember what they were told."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from web_fakes import API_KEY, FakeSignaling

from web.access.rights import Access
from web.access.sessions import HostSessions
from web.cameras.places import CameraPlaces
from web.cameras.pulls import CameraOpener, camera_config
from web.cameras.routes import CameraRoutes
from web.cameras.store import CameraStore
from web.http.rates import RateLimit
from web.network.check_routes import CheckRoutes
from web.network.checks import NetworkChecks
from web.network.history_routes import LineRoutes
from web.network.passports import Passports
from web.network.store import LineStore
from web.people.entrance import Entrance
from web.people.invites import Invites
from web.people.routes import PeopleRoutes
from web.rooms.catalogue import RoomCatalogue
from web.rooms.place_routes import PlaceRoutes
from web.rooms.routes import RoomRoutes
from web.server.app import build_app
from web.settings.database import Database
from web.twirp.routes import TwirpRoutes

HOST_KEY = "host-key-of-this-test"
OURS = {"X-Requested-With": "aislecast"}


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
    """A client of the API, and what stands behind it.

    Attributes:
        pulls: cameras that were opened.
        lines: what is remembered of lines.
    """

    def __init__(
        self,
        client: TestClient,
        signaling: FakeSignaling,
        pulls: list[FakePull],
        places: CameraPlaces,
        lines: LineStore,
    ) -> None:
        self.client = client
        self.signaling = signaling
        self.pulls = pulls
        self.places = places
        self.lines = lines

    async def call(self, method: str, path: str, body: object = None, *, token: str = "", **more):
        """Call the API; returns the status with the JSON or the text."""
        headers = {**OURS, **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self.client.request(
            method, path, json=body, headers={**headers, **more.pop("headers", {})}, **more
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type.endswith("json")
            return answer.status, (await answer.json(content_type=None) if is_json else text)

    async def sign_in(self) -> None:
        """Be a host from now on."""
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


@asynccontextmanager
async def run_rig(folder: Path) -> AsyncIterator[Rig]:
    """All of them behind a real HTTP server, with their tables in a folder."""
    signaling = FakeSignaling()
    database = Database(folder / "test.sqlite3")
    await database.open()
    sessions = HostSessions(HOST_KEY, wall_s=time.time)
    failures = RateLimit(burst=6, per_s=0.001, clock=time.monotonic)
    access = Access(sessions, signaling, failures=failures)
    catalogue = RoomCatalogue(database, wall_s=time.time)
    store = CameraStore(database, bytes(32), wall_s=time.time)
    opener = FakeOpener()
    places = CameraPlaces(store, signaling, opener)
    places.start()
    invites = Invites(database, wall_s=time.time)
    lines = LineStore(database)
    passports = Passports(lines, place_of=catalogue.place_of, wall_s=time.time)
    checks = NetworkChecks(now_s=time.monotonic)
    people = PeopleRoutes(
        access=access,
        invites=invites,
        entrance=Entrance(signaling, api_key=API_KEY, seat_key=b"seat", wall_s=time.time),
        catalogue=catalogue,
        joins=RateLimit(burst=20, per_s=0.001, clock=time.monotonic),
    )
    operations = [
        *people.operations(),
        *RoomRoutes(signaling, catalogue, access).operations(),
        *PlaceRoutes(catalogue, access).operations(),
        *LineRoutes(lines, access, passports=passports).operations(),
        *CheckRoutes(
            checks, invites, access, usual=passports.usual, now_s=time.monotonic
        ).operations(),
        *CameraRoutes(store, places, catalogue, access).operations(),
        *TwirpRoutes(signaling, failures=failures).operations(),
    ]
    app = build_app(operations, [add_faulty], is_behind_proxy=False)
    async with TestClient(TestServer(app)) as client:
        yield Rig(client, signaling, opener.pulls, places, lines)
    await places.close()
    await database.close()


def add_faulty(app: web.Application) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise RuntimeError("internals")

    app.router.add_get("/api/faulty", fail)
