"""GET /metrics: the server's state for Prometheus, read when asked and never pushed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sfu.stats import MediaSnapshot
from web.http.operations import Operation

PREFIX: Final = "aislecast"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_UNSAFE: Final = re.compile(r"[^a-zA-Z0-9_]")

SINK_SUMS: Final = (
    ("sent_packets", "packets", "Media packets sent to subscribers that are there now"),
    ("rtx_sent_packets", "rtx_sent", "Packets sent again to subscribers that are there now"),
    ("nacked_packets", "nacks_received", "Packets subscribers asked for again"),
)
Counts = Callable[[], Mapping[str, int]]


class ServerCollector(Collector):
    """Reads the parts of the server at scrape time."""

    def __init__(
        self,
        *,
        media: Callable[[], MediaSnapshot],
        gauges: Mapping[str, Counts],
        counters: Mapping[str, Counts],
        version: str,
    ) -> None:
        """Take what to read.

        Args:
            media: the media side's snapshot.
            gauges: subsystem to its present counts (rooms, participants …).
            counters: subsystem to its running counts.
            version: shown as a label.
        """
        self._media = media
        self._gauges = gauges
        self._counters = counters
        self._version = version

    def collect(self) -> Iterable[Metric]:
        """Return all metrics (called by prometheus_client)."""
        info = GaugeMetricFamily(f"{PREFIX}_build", "Version", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        yield from self._collect_media(self._media())
        for subsystem, read in self._gauges.items():
            for name, value in sorted(read().items()):
                yield GaugeMetricFamily(
                    f"{PREFIX}_{_UNSAFE.sub('_', name)}", f"Now, in {subsystem}", value=value
                )
        for subsystem, read in self._counters.items():
            yield _events(f"{PREFIX}_{subsystem}_events", subsystem, read())

    def _collect_media(self, snapshot: MediaSnapshot) -> Iterable[Metric]:
        transports, encodings, sinks = snapshot.transports, snapshot.encodings, snapshot.sinks
        yield GaugeMetricFamily(
            f"{PREFIX}_transports", "ICE/DTLS associations", value=len(transports)
        )
        yield GaugeMetricFamily(f"{PREFIX}_sinks", "Forwarded subscriptions", value=len(sinks))
        yield GaugeMetricFamily(
            f"{PREFIX}_encodings",
            "Encodings that flow now",
            value=int(encodings["is_active"].sum()),
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_received_bitrate_bps",
            "Media arriving from publishers",
            value=float(encodings["bitrate_bps"].astype(np.float64).sum()),
        )
        rtts_us = transports["rtt_us"]
        known_us = rtts_us[rtts_us > 0]
        yield GaugeMetricFamily(
            f"{PREFIX}_rtt_seconds",
            "Median round trip time",
            value=float(np.median(known_us)) / 1e6 if len(known_us) else 0.0,
        )
        for name, column, meaning in SINK_SUMS:
            yield GaugeMetricFamily(f"{PREFIX}_{name}", meaning, value=float(sinks[column].sum()))


def _events(name: str, subsystem: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, f"Events counted in {subsystem}", labels=["event"])
    for event, value in sorted(counts.items()):
        family.add_metric([event], value)
    return family


class MetricsRoutes:
    """Serves the registry."""

    def __init__(self, collector: Collector) -> None:
        """Build a registry of our own; the library's global one is left alone."""
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        ProcessCollector(registry=self._registry)

    def operations(self) -> list[Operation]:
        """Return the route."""
        return [
            Operation(
                "GET",
                "/metrics",
                self.handle_metrics,
                "Counters and gauges for Prometheus; holds no names of people or rooms",
                "operations",
                access="anyone",
                answers={200: "Prometheus text format."},
            )
        ]

    async def handle_metrics(self, _request: web.Request) -> web.Response:
        """Answer a scrape."""
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})
