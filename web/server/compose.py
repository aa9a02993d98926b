"""The composition root: builds every part once and knows in which order they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web

from sfu.errors import ConfigError
from sfu.server import MediaServer
from signaling.clock import LoopClock
from signaling.service import SignalingService
from signaling.tokens import TokenKeys
from web.http.callers import origin
from web.http.operations import Operation
from web.http.rates import RateLimit
from web.ops.certificates import Certificates
from web.ops.health import Health
from web.ops.metrics import MetricsRoutes, ServerCollector
from web.pages.routes import add_page_routes
from web.people.access import Access
from web.people.entrance import Entrance
from web.people.invites import Invites
from web.people.roles import Role
from web.people.routes import PeopleRoutes
from web.people.sessions import HostSessions
from web.rooms.catalogue import RoomCatalogue
from web.rooms.routes import RoomRoutes
from web.rtc.routes import RtcRoutes
from web.server.app import build_app, build_runner
from web.server.backend import Backend
from web.server.banner import Welcome, http_host, primary_address
from web.server.configs import Secrets, media_config, signaling_config
from web.server.openapi import openapi_operation
from web.settings.database import Database
from web.settings.options import OptionError
from web.settings.sources import Settings
from web.twirp.routes import TwirpRoutes
from web.webhooks.delivery import HttpPost, WebhookDelivery

log = structlog.get_logger("web.server")

DRAIN_WEBHOOKS_S: Final = 1.0
WILDCARD_HOSTS: Final = ("0.0.0.0", "::")
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
FIRST_ROOM: Final = "first-walk"
FIRST_ROOM_TITLE: Final = "第一次巡店 First walk"


class Server:
    """Everything that runs in this process."""

    def __init__(self, settings: Settings, secret: Secrets, *, version: str) -> None:
        """Take the settings; `start` does the work. Needs a running event loop."""
        self._settings = settings
        self._secrets = secret
        self._version = version
        self._is_draining = False
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()
        self.port = settings.port
        self.database = Database(settings.data_dir / "aislecast.sqlite3")
        self.media = MediaServer(media_config(settings))
        self._post = HttpPost()
        keys = {pair.key: pair.secret for pair in secret.api_keys}
        self.webhooks = WebhookDelivery(
            settings.webhook_url,
            keys=TokenKeys(keys),
            api_key=secret.api_keys[0].key,
            wall_s=time.time,
            post=self._post,
        )
        self.invites = Invites(self.database, wall_s=time.time)
        self.rooms = RoomCatalogue(self.database, wall_s=time.time)
        self._failures = RateLimit(burst=30, per_s=0.5, clock=time.monotonic)
        self.sessions = HostSessions(secret.host_key, wall_s=time.time)

    async def start(self) -> None:
        """Start every part; what was started is stopped again if a later part fails.

        Raises:
            OptionError: an address, a port or a file cannot be used.
        """
        settings = self._settings
        try:
            await self.database.open()
            self._stack.push_async_callback(self.database.close)
            await self.media.start()
            self._stack.push_async_callback(self.media.close)
        except ConfigError as error:
            await self._stack.aclose()
            raise OptionError(str(error)) from None
        self.signaling = SignalingService(
            self.media,
            signaling_config(self._secrets, version=self._version),
            clock=LoopClock(),
            token_bytes=secrets.token_bytes,
            on_webhook=self.webhooks.enqueue if settings.webhook_url else None,
        )
        self.signaling.start()
        self._stack.push_async_callback(self._post.close)
        self._address = settings.node_ip or self._listening_address()
        self.certificates = self._make_certificates()
        await self._listen()

    def _listening_address(self) -> str:
        """Return the address others reach the HTTP port at."""
        host = self._settings.host
        return primary_address() if host in WILDCARD_HOSTS else host

    def _make_certificates(self) -> Certificates | None:
        if not self._settings.tls:
            return None
        own = {candidate.ip for candidate in self.media.candidates}
        certificates = Certificates(
            self._settings.tls, self._settings.data_dir, {*own, self._address}
        )
        self._tasks.append(asyncio.create_task(certificates.watch()))
        return certificates

    async def _listen(self) -> None:
        settings = self._settings
        runner = build_runner(self.build_app())
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        context = self.certificates.context if self.certificates else None
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or "not possible"
            raise OptionError(
                f"cannot listen on {settings.host} port {settings.port}: {reason}"
            ) from None
        self.port = runner.addresses[0][1]

    def build_app(self) -> web.Application:
        """Build the HTTP application from the parts."""
        operations = self._operations()
        operations.append(openapi_operation(operations, version=self._version))
        backend = Backend(
            sessions=self.sessions,
            invites=self.invites,
            catalogue=self.rooms,
            recording_title=self._recording_title,
        )
        return build_app(
            operations,
            [lambda app: add_page_routes(app, backend)],
            is_behind_proxy=self._settings.behind_proxy,
        )

    def _operations(self) -> list[Operation]:
        access = Access(self.sessions, self.signaling, failures=self._failures)
        self.rtc = RtcRoutes(self.signaling, failures=self._failures, now_s=time.monotonic)
        people = PeopleRoutes(
            access=access,
            invites=self.invites,
            entrance=Entrance(
                self.signaling,
                api_key=self._secrets.api_keys[0].key,
                seat_key=self._secrets.seal_key,
                wall_s=time.time,
            ),
            catalogue=self.rooms,
            joins=RateLimit(burst=120, per_s=4, clock=time.monotonic),
            public_url=self._link_base,
        )
        subjects: list[Callable[[], list[Operation]]] = [
            Health(lambda: self._is_draining, self._version).operations,
            MetricsRoutes(self._collector()).operations,
            self.rtc.operations,
            TwirpRoutes(self.signaling, failures=self._failures).operations,
            people.operations,
            RoomRoutes(self.signaling, self.rooms, access).operations,
        ]
        if self.certificates is not None:
            subjects.append(self.certificates.operations)
        return [operation for subject in subjects for operation in subject()]

    def _collector(self) -> ServerCollector:
        return ServerCollector(
            media=self.media.snapshot,
            gauges={"signaling": self.signaling.snapshot},
            counters={
                "signaling": lambda: self.signaling.counters,
                "rtc": lambda: self.rtc.counters,
                "webhook": lambda: self.webhooks.counters,
            },
            version=self._version,
        )

    async def _recording_title(self, recording_id: str) -> str | None:
        return None

    def _link_base(self, request: web.Request) -> str:
        """Return what links start with: never localhost, which a phone cannot open."""
        if self._settings.public_url:
            return self._settings.public_url
        own = origin(request)
        host = own.partition("://")[2].rpartition(":")[0] or own.partition("://")[2]
        return self.own_url if host in LOOPBACK_HOSTS else own

    @property
    def own_url(self) -> str:
        """The address of this machine that others can open."""
        if self._settings.public_url:
            return self._settings.public_url
        scheme = "https" if self.certificates is not None else "http"
        return f"{scheme}://{http_host(self._address)}:{self.port}"

    async def welcome(self) -> Welcome:
        """Make the phone link and return what to print."""
        room = await self.rooms.make(FIRST_ROOM_TITLE, name=FIRST_ROOM)
        code = await self.invites.make(room.name, Role.WALKER)
        base = self.own_url
        # Without HTTPS browsers lend the camera to pages of localhost only.
        is_plain = base.startswith("http:") and self._settings.host in WILDCARD_HOSTS
        hq = f"http://localhost:{self.port}" if is_plain else base
        return Welcome(
            host_url=f"{hq}/",
            host_link=f"{hq}/#key={self._secrets.host_key}",
            host_key_file=str(self._settings.data_dir / "host-key"),
            phone_url=f"{base}/j/{code}",
            room_title=room.title,
            is_https=base.startswith("https:"),
            is_local_certificate=self.certificates is not None and self.certificates.is_local,
            data_dir=str(self._settings.data_dir),
        )

    async def drain(self) -> None:
        """Stop in order: no new callers, clients sent elsewhere, recordings finished."""
        self._is_draining = True
        for task in self._tasks:
            task.cancel()
        await self.signaling.drain()
        await self.webhooks.drain(DRAIN_WEBHOOKS_S)

    async def close(self) -> None:
        """Free what `start` took; harmless after a start that failed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
