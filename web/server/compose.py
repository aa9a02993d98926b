"""The composition root's life: what starts in which order, and stops in which other."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog
from aiohttp import web

from recorder.errors import RecorderError
from sfu.errors import ConfigError
from web.demo.store import DemoStore
from web.http.tcp import PatientSite
from web.ops.certificates import Certificates
from web.pages.routes import add_page_routes
from web.people.roles import Role
from web.server.addresses import Addresses
from web.server.app import build_app, build_runner
from web.server.backend import Backend
from web.server.banner import Welcome
from web.server.configs import Secrets
from web.server.parts import Parts, build_parts
from web.server.routes import build_operations
from web.settings.options import OptionError
from web.settings.secret_files import HOST_KEY_FILE
from web.settings.sources import Settings

log = structlog.get_logger("web.server")

DRAIN_WEBHOOKS_S: Final = 1.0
DRAIN_TRACKS_S: Final = 1.0
DRAIN_RECORDER_S: Final = 6.0
FIRST_ROOM: Final = ("first-walk", "第一次巡店 First walk")
DEMO_ROOM: Final = ("demo-store", "演示门店 Demo store")


class Server:
    """Everything that runs in this process."""

    def __init__(self, settings: Settings, secret: Secrets, *, version: str) -> None:
        """Build the parts; `start` opens ports and files. Needs a running event loop."""
        self.settings = settings
        self._secrets = secret
        self.parts: Parts = build_parts(settings, secret, version=version)
        self.addresses = Addresses(settings)
        self.certificates: Certificates | None = None
        self._is_draining = False
        self._is_recorder_open = False
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Start every part; after a failure `close` frees what was started.

        Raises:
            OptionError: an address, a port or a file cannot be used.
        """
        parts = self.parts
        try:
            await parts.database.open()
            self._stack.push_async_callback(parts.database.close)
            await parts.media.start()
            self._stack.push_async_callback(parts.media.close)
        except ConfigError as error:
            raise OptionError(str(error)) from None
        self._stack.push_async_callback(parts.post.close)
        self._is_recorder_open = True
        await parts.recorder.recover()
        parts.signaling.start()
        parts.places.start()
        parts.recording.start()
        parts.lines.start()
        self._stack.push_async_callback(parts.lines.close)
        if self.settings.tls:
            own = {candidate.ip for candidate in parts.media.candidates}
            self.certificates = Certificates(
                self.settings.tls, self.settings.data_dir, {*own, self.addresses.ip}
            )
            self._tasks.append(asyncio.create_task(self.certificates.watch()))
        await self._listen()

    async def _listen(self) -> None:
        settings = self.settings
        runner = build_runner(self.build_app())
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        context = self.certificates.context if self.certificates else None
        site = PatientSite(runner, settings.host, settings.port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or "not possible"
            raise OptionError(
                f"cannot listen on {settings.host} port {settings.port}: {reason}"
            ) from None
        self.addresses.port = runner.addresses[0][1]

    def build_app(self) -> web.Application:
        """Build the HTTP application from the parts."""
        operations = build_operations(
            self.parts,
            addresses=self.addresses,
            certificates=self.certificates,
            is_draining=lambda: self._is_draining,
        )
        backend = Backend(
            sessions=self.parts.sessions,
            invites=self.parts.invites,
            catalogue=self.parts.catalogue,
            shares=self.parts.shares,
            passports=self.parts.passports,
            recording_title=self._recording_title,
        )
        return build_app(
            operations,
            [lambda app: add_page_routes(app, backend)],
            is_behind_proxy=self.settings.behind_proxy,
            is_draining=lambda: self._is_draining,
        )

    async def _recording_title(self, recording_id: str) -> str | None:
        try:
            recording = await self.parts.recorder.get(recording_id)
        except RecorderError:
            return None
        return recording.title or recording.room

    async def welcome(self) -> Welcome:
        """Make the phone link and return what to print."""
        name, title = DEMO_ROOM if self.settings.demo else FIRST_ROOM
        room = await self.parts.catalogue.make(title, name=name)
        if self.settings.demo and not room.place:
            await self.parts.catalogue.change(name, place=title)
        code = await self.parts.invites.make(room.name, Role.WALKER)
        local, public = self.addresses.local_url, self.addresses.public_url
        return Welcome(
            host_url=f"{local}/",
            host_link=f"{local}/#key={self._secrets.host_key}",
            host_key_file=str(self.settings.data_dir / HOST_KEY_FILE),
            phone_url=f"{public}/j/{code}",
            room_title=room.title,
            is_https=public.startswith("https:"),
            is_local_certificate=self.certificates is not None and self.certificates.is_local,
            data_dir=str(self.settings.data_dir),
        )

    def open_demo(self) -> None:
        """Open the demonstration store; its pictures are drawn first, in the background."""
        if self.settings.demo:
            self._tasks.append(asyncio.create_task(self._run_demo()))

    async def _run_demo(self) -> None:
        parts, folder = self.parts, self.settings.data_dir / "demo"
        store = DemoStore(parts.media, parts.signaling, parts.places, folder, room=DEMO_ROOM[0])
        try:
            await store.start()
            log.info("demo_opened", room=DEMO_ROOM[0])
            await asyncio.Event().wait()
        except Exception:
            # The server is of use without it.
            log.exception("demo_failed")
        finally:
            await store.close()

    async def drain(self) -> None:
        """Stop in order: no new callers, clients sent elsewhere, recordings finished."""
        self._is_draining = True
        parts = self.parts
        # Recordings end first, while their tracks still flow; clients wait so long at most.
        recorded = asyncio.create_task(self._drain_recorder(DRAIN_RECORDER_S))
        await asyncio.wait([recorded], timeout=DRAIN_TRACKS_S)
        leaving = [asyncio.create_task(work) for work in (parts.whip.close(), parts.places.close())]
        await asyncio.wait(leaving, timeout=DRAIN_TRACKS_S)
        await parts.signaling.drain()
        await asyncio.gather(recorded, parts.webhooks.drain(DRAIN_WEBHOOKS_S))

    async def _drain_recorder(self, timeout_s: float) -> None:
        if self._is_recorder_open:
            self._is_recorder_open = False
            await self.parts.recorder.drain(timeout_s)

    async def close(self) -> None:
        """Free what `start` took; harmless after a start that failed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drain_recorder(0.0)
        await self._stack.aclose()
