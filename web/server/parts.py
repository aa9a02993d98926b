"""Every part of the server, built once from settings and secrets."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass

from recorder.service import RecorderService
from sfu.server import MediaServer
from signaling.clock import LoopClock
from signaling.service import SignalingService
from signaling.tokens import TokenKeys
from web.access.rights import Access
from web.access.sessions import HostSessions
from web.cameras.places import CameraPlaces
from web.cameras.pulls import CameraOpener, camera_config
from web.cameras.store import CameraStore
from web.http.rates import RateLimit
from web.network.checks import NetworkChecks
from web.network.history import LineHistory
from web.network.load import LoadMeter
from web.network.passports import Passports
from web.network.store import LineStore
from web.people.entrance import Entrance
from web.people.invites import Invites
from web.recordings.control import RecordingControl
from web.recordings.shares import Shares
from web.rooms.catalogue import RoomCatalogue
from web.server.configs import Secrets, media_config, recorder_config, signaling_config
from web.settings.database import Database
from web.settings.sources import Settings
from web.webhooks.delivery import HttpPost, WebhookDelivery
from web.whip.routes import WhipRoutes

FAILED_TRIES = {"burst": 30.0, "per_s": 0.5}
"""Wrong keys and tokens per caller. An office behind one address must be able to mistype."""
JOINS = {"burst": 120.0, "per_s": 4.0}
"""Tokens given out per caller. A meeting's start in one office comes from one address."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What the server is made of."""

    settings: Settings
    version: str
    api_key: str
    database: Database
    media: MediaServer
    signaling: SignalingService
    webhooks: WebhookDelivery
    post: HttpPost
    sessions: HostSessions
    failures: RateLimit
    joins: RateLimit
    access: Access
    invites: Invites
    entrance: Entrance
    catalogue: RoomCatalogue
    cameras: CameraStore
    places: CameraPlaces
    recorder: RecorderService
    recording: RecordingControl
    shares: Shares
    line_store: LineStore
    passports: Passports
    lines: LineHistory
    checks: NetworkChecks
    whip: WhipRoutes


def build_parts(settings: Settings, secret: Secrets, *, version: str) -> Parts:
    """Build all parts; nothing is opened or started. Call inside the event loop."""
    database = Database(settings.data_dir / "aislecast.sqlite3")
    media = MediaServer(media_config(settings))
    post = HttpPost()
    api_key = secret.api_keys[0].key
    webhooks = WebhookDelivery(
        settings.webhook_url,
        keys=TokenKeys({pair.key: pair.secret for pair in secret.api_keys}),
        api_key=api_key,
        wall_s=time.time,
        post=post,
    )
    signaling = SignalingService(
        media,
        signaling_config(settings, secret, version=version),
        clock=LoopClock(),
        token_bytes=secrets.token_bytes,
        on_webhook=webhooks.enqueue if settings.webhook_url else None,
    )
    sessions = HostSessions(secret.host_key, wall_s=time.time)
    failures = RateLimit(**FAILED_TRIES, clock=time.monotonic)
    cameras = CameraStore(database, secret.seal_key, wall_s=time.time)
    opener = CameraOpener(media, camera_config(settings.camera_network))
    catalogue = RoomCatalogue(database, wall_s=time.time)
    recorder = RecorderService(media, recorder_config(settings))
    line_store = LineStore(database)
    load = LoadMeter(cpu_s=time.process_time, now_s=time.monotonic, num_cpus=os.cpu_count() or 1)
    return Parts(
        settings=settings,
        version=version,
        api_key=api_key,
        database=database,
        media=media,
        signaling=signaling,
        webhooks=webhooks,
        post=post,
        sessions=sessions,
        failures=failures,
        joins=RateLimit(**JOINS, clock=time.monotonic),
        access=Access(sessions, signaling, failures=failures),
        invites=Invites(database, wall_s=time.time),
        entrance=Entrance(signaling, api_key=api_key, seat_key=secret.seal_key, wall_s=time.time),
        catalogue=catalogue,
        cameras=cameras,
        places=CameraPlaces(cameras, signaling, opener),
        recorder=recorder,
        recording=RecordingControl(recorder, signaling, catalogue),
        shares=Shares(database, key=secret.seal_key, wall_s=time.time),
        line_store=line_store,
        passports=Passports(line_store, place_of=catalogue.place_of, wall_s=time.time),
        lines=LineHistory(
            line_store, signaling.hooks, load=load, wall_s=time.time, now_s=time.monotonic
        ),
        checks=NetworkChecks(now_s=time.monotonic),
        whip=WhipRoutes(signaling, media, failures=failures),
    )
