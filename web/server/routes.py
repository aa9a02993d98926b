"""All described routes of the server, from its parts."""

from __future__ import annotations

import time
from collections.abc import Callable

from web.cameras.routes import CameraRoutes
from web.http.operations import Operation
from web.network.check_routes import CheckRoutes
from web.network.history_routes import LineRoutes
from web.network.past_routes import PastRoutes
from web.ops.certificates import Certificates
from web.ops.health import Health
from web.ops.metrics import MetricsRoutes, ServerCollector
from web.people.hands import HandRoutes
from web.people.routes import PeopleRoutes
from web.recordings.routes import RecordingRoutes
from web.rooms.place_routes import PlaceRoutes
from web.rooms.routes import RoomRoutes
from web.rtc.routes import RtcRoutes
from web.server.addresses import Addresses
from web.server.openapi import openapi_operation
from web.server.parts import Parts
from web.twirp.routes import TwirpRoutes


def build_operations(
    parts: Parts,
    *,
    addresses: Addresses,
    certificates: Certificates | None,
    is_draining: Callable[[], bool],
) -> list[Operation]:
    """Return every operation, the description of all of them included."""
    rtc = RtcRoutes(parts.signaling, failures=parts.failures, now_s=time.monotonic)
    people = PeopleRoutes(
        access=parts.access,
        invites=parts.invites,
        entrance=parts.entrance,
        catalogue=parts.catalogue,
        joins=parts.joins,
        public_url=addresses.link_base,
    )
    hands = HandRoutes(
        parts.signaling, api_key=parts.api_key, failures=parts.failures, wall_s=time.time
    )
    recordings = RecordingRoutes(
        parts.recorder,
        parts.recording,
        parts.access,
        parts.shares,
        public_url=addresses.link_base,
    )
    lines = LineRoutes(parts.line_store, parts.access, passports=parts.passports)
    past = PastRoutes(parts.line_store, parts.access, title_of=parts.catalogue.title)
    checks = CheckRoutes(
        parts.checks, parts.invites, parts.access, usual=parts.passports.usual, now_s=time.monotonic
    )
    operations = [
        *Health(is_draining, parts.version).operations(),
        *MetricsRoutes(_collector(parts, rtc)).operations(),
        *rtc.operations(),
        *TwirpRoutes(parts.signaling, failures=parts.failures).operations(),
        *people.operations(),
        *hands.operations(),
        *RoomRoutes(parts.signaling, parts.catalogue, parts.access).operations(),
        *PlaceRoutes(parts.catalogue, parts.access).operations(),
        *CameraRoutes(parts.cameras, parts.places, parts.catalogue, parts.access).operations(),
        *recordings.operations(),
        *lines.operations(),
        *past.operations(),
        *checks.operations(),
        *parts.whip.operations(),
    ]
    if certificates is not None:
        operations += certificates.operations()
    operations.append(openapi_operation(operations, version=parts.version))
    return operations


def _collector(parts: Parts, rtc: RtcRoutes) -> ServerCollector:
    return ServerCollector(
        media=parts.media.snapshot,
        gauges={
            "signaling": parts.signaling.snapshot,
            "media": parts.media.gauges,
            "rtc": lambda: {"sockets": rtc.num_open},
            "whip": parts.whip.resources.snapshot,
        },
        counters={
            "media": parts.media.counters,
            "signaling": lambda: parts.signaling.counters,
            "rtc": lambda: rtc.counters,
            "webhook": lambda: parts.webhooks.counters,
            "recorder": lambda: parts.recorder.counters,
            "whip": lambda: parts.whip.resources.counters,
            "lines": lambda: parts.lines.counters,
            "limit": lambda: {
                "failed_tries_refused": parts.failures.refused,
                "joins_refused": parts.joins.refused,
                "checks_refused": parts.checks.refused,
            },
        },
        version=parts.version,
    )
