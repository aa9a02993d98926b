"""Signaling and media in this process, behind the real WebSocket and Twirp routes."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiohttp import web
from livekit import api
from livekit.protocol.webhook import WebhookEvent

from sfu.config import MediaConfig
from sfu.server import MediaServer
from signaling.clock import LoopClock
from signaling.config import SignalingConfig
from signaling.service import SignalingService
from web.http.rates import RateLimit
from web.rtc.routes import RtcRoutes
from web.server.app import build_app, build_runner
from web.twirp.routes import TwirpRoutes
from web.whip.routes import WhipRoutes

KEY = "testkey"
SECRET = "a-secret-of-the-tests-that-is-long-enough"


@dataclass
class RunningServer:
    """A server on the loopback interface."""

    url: str
    media: MediaServer
    signaling: SignalingService
    events: list[WebhookEvent] = field(default_factory=list)

    def token(self, identity: str, room: str = "room", **grants: object) -> str:
        """An access token as the server SDK makes it."""
        grants.setdefault("can_update_own_metadata", True)
        return (
            api.AccessToken(KEY, SECRET)
            .with_identity(identity)
            .with_name(f"n-{identity}")
            .with_grants(api.VideoGrants(room_join=True, room=room, **grants))
            .to_jwt()
        )

    def api(self) -> api.LiveKitAPI:
        """The server SDK, pointed at this server."""
        return api.LiveKitAPI(self.url, KEY, SECRET)


@asynccontextmanager
async def run_server(config: SignalingConfig | None = None) -> AsyncIterator[RunningServer]:
    """Starts a server on free ports and stops it at the end."""
    media = MediaServer(
        MediaConfig(hosts=("127.0.0.1",), udp_port=0, tcp_port=0, announce_loopback=True)
    )
    await media.start()
    config = config or SignalingConfig(keys={})
    config = replace(config, keys={KEY: SECRET})
    events: list[WebhookEvent] = []
    signaling = SignalingService(
        media,
        config,
        clock=LoopClock(),
        token_bytes=secrets.token_bytes,
        on_webhook=events.append,
    )
    signaling.start()
    failures = RateLimit(burst=1000, per_s=100, clock=time.monotonic)
    whip = WhipRoutes(signaling, media, failures=failures)
    operations = [
        *whip.operations(),
        *RtcRoutes(signaling, failures=failures, now_s=time.monotonic).operations(),
        *TwirpRoutes(signaling, failures=failures).operations(),
    ]
    runner = build_runner(build_app(operations, [], is_behind_proxy=False))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield RunningServer(url, media, signaling, events)
    finally:
        await whip.close()
        await signaling.drain()
        await runner.cleanup()
        await media.close()
