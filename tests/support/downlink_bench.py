"""The downlink loop over modelled lines: an engine that sends what it is ordered, packet by packet,
through a queue of a given rate, and reports what came."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fake_engine import FakeEngine, make_registry

from sfu import engine as _engine
from sfu.downlink import Downlink, Step, Wish
from sfu.ids import Codec, EncodingSpec, Layers, Payload
from sfu.source import Sink, Source
from sfu.transport import Path, Transport

TICK_US = 100_000
SHARES = (0.4, 0.6, 1.0)
LAYERS_BPS = (150_000, 450_000, 1_200_000)
VIDEO_BYTES, AUDIO_BYTES = 1150, 120
RESTLESS_QUEUE_US, RESTLESS_LOSS = 50_000, 0.03  # as in the engine's feedback.rs
VP8 = Payload(96, Codec.VP8, 97)
OPUS = Payload(111, Codec.OPUS)


@dataclass
class Line:
    """One direction of somebody's network.

    Attributes:
        rate_bps: what it carries.
        delay_us: one way.
        jitter_us: of one packet, evenly distributed.
        loss: of packets, at random.
        buffer_us: a packet that would wait longer is dropped.
        is_dead: nothing arrives.
    """

    rate_bps: float = 100e6
    delay_us: int = 10_000
    jitter_us: int = 0
    loss: float = 0.0
    buffer_us: int = 1_000_000
    is_dead: bool = False
    free_us: int = 0
    queue_us: int = 0

    def carry(self, sent_us: int, size_bytes: int, rng: random.Random) -> int:
        """When a packet arrives; 0 = never."""
        start_us = max(sent_us, self.free_us)
        self.queue_us = start_us - sent_us
        if self.is_dead or self.queue_us > self.buffer_us:
            return 0
        self.free_us = start_us + round(size_bytes * 8e6 / self.rate_bps)
        if rng.random() < self.loss:
            return 0
        return self.free_us + self.delay_us + rng.randrange(self.jitter_us + 1)


@dataclass
class Viewer:
    """A subscriber and what it saw."""

    transport: Transport
    line: Line
    sinks: list[Sink] = field(default_factory=list)
    audio_bps: int = 0
    budget_bps: int = 0
    is_braking: bool = False
    is_watched: bool = False
    lost_share: float = 0.0
    probes: list[tuple[int, int, int]] = field(default_factory=list)
    steps: list[tuple[float, Step]] = field(default_factory=list)
    granted: dict[Sink, list[tuple[float, Layers]]] = field(default_factory=dict)
    worst_queue_us: int = 0
    sent_bits: list[float] = field(default_factory=list)
    waiting: list[tuple[int, tuple[Any, ...]]] = field(default_factory=list)

    @property
    def layers(self) -> list[Layers]:
        return [sink.layers for sink in self.sinks]


class LineEngine(FakeEngine):
    """Answers what the loop reads."""

    def __init__(self, bench: DownlinkBench) -> None:
        super().__init__()
        self._bench = bench

    def now_us(self) -> int:
        return self._bench.now_us

    def drain_twcc(self) -> bytes:
        return self._bench.feedback().tobytes()

    def snapshot_transports(self) -> bytes:
        return self._bench.transport_rows().tobytes()

    def snapshot_encodings(self) -> bytes:
        return self._bench.encoding_rows().tobytes()

    def set_budget(self, transport: int, rate_bps: int) -> None:
        self.calls.append(("set_budget", transport, rate_bps))
        self._bench.viewer_of(transport).budget_bps = rate_bps
        self._bench.viewer_of(transport).is_braking = False

    def watch_lines(self, transports: list[int]) -> None:
        self.calls.append(("watch_lines", *transports))
        for handle in transports:
            self._bench.viewer_of(handle).is_watched = True

    def probe(self, transport: int, probe: int, rate_bps: int, duration_us: int) -> None:
        self.calls.append(("probe", transport, probe, rate_bps, duration_us))
        self._bench.viewer_of(transport).probes.append((probe, rate_bps, duration_us))


class DownlinkBench:
    """Make it, add sources and viewers, `run`."""

    def __init__(self, *, seed: int = 1) -> None:
        self.now_us = 1_000_000
        self.rng = random.Random(seed)
        self.engine = LineEngine(self)
        self.registry = make_registry(self.engine)
        self.downlink = Downlink(self.registry)
        self.registry.downlink = self.downlink
        self.viewers: list[Viewer] = []
        self.sources: list[Source] = []
        self.rates_bps: dict[int, tuple[int, ...]] = {}
        self.scale = 1.0
        self.audio_bps = 36_000

    # --- who is there

    def source(self, layers_bps: tuple[int, ...] = LAYERS_BPS, *, announced: bool = True) -> Source:
        publisher = Transport(self.registry)
        specs = [EncodingSpec(str(index)) for index in range(len(layers_bps))]
        found = publisher.add_source(mid="1", is_audio=False, encodings=specs)
        if announced:
            found.announced_bps = layers_bps
        self.sources.append(found)
        self.rates_bps[found.handle] = layers_bps
        return found

    def viewer(
        self,
        *sources: Source,
        line: Line | None = None,
        person: str = "",
        ip: str = "192.0.2.7",
        wishes: tuple[Wish, ...] = (),
        has_audio: bool = True,
    ) -> Viewer:
        transport = Transport(self.registry)
        transport.person = person
        found = Viewer(transport, line or Line())
        self.viewers.append(found)
        transport.on_step = lambda step, _why: found.steps.append((self.now_us / 1e6, step))
        if has_audio:
            voice = Transport(self.registry).add_source(
                mid="0", is_audio=True, encodings=[EncodingSpec()]
            )
            transport.add_sink(voice, ssrc=9, rtx_ssrc=0, mid="0", payloads=[OPUS])
        for index, source in enumerate(sources):
            wish = wishes[index] if index < len(wishes) else Wish()
            self.subscribe(found, source, wish)
        transport._state = "connected"
        transport.path = Path("udp", ip, 5000)
        return found

    def subscribe(self, viewer: Viewer, source: Source, wish: Wish) -> Sink:
        sink = viewer.transport.add_sink(
            source, ssrc=len(viewer.sinks), rtx_ssrc=99, mid="1", payloads=[VP8], wish=wish
        )
        history: list[tuple[float, Layers]] = [(self.now_us / 1e6, sink.layers)]
        sink.on_granted = lambda layers: history.append((self.now_us / 1e6, layers))
        viewer.sinks.append(sink)
        viewer.granted[sink] = history
        return sink

    def viewer_of(self, handle: int) -> Viewer:
        return next(v for v in self.viewers if v.transport.handle == handle)

    # --- time

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            for viewer in self.viewers:
                self._send(viewer)
            self.now_us += TICK_US
            for viewer in self.viewers:
                self._watch(viewer)
            self.downlink.tick(self.now_us)

    def _watch(self, viewer: Viewer) -> None:
        """What the engine says of a line that nobody looks at."""
        news = [row for known_us, row in viewer.waiting if known_us <= self.now_us]
        if not news or viewer.line.is_dead:
            return
        lost = sum(row[4] == 0 for row in news) / len(news)
        viewer.lost_share += (lost - viewer.lost_share) / 4
        queues = [row[4] - row[3] - viewer.line.delay_us for row in news if row[4]]
        is_restless = viewer.lost_share >= RESTLESS_LOSS or viewer.is_braking
        is_restless |= min(queues, default=0) > RESTLESS_QUEUE_US
        if viewer.is_watched and viewer.budget_bps and is_restless:
            viewer.is_watched = False
            self.downlink.wake(viewer.transport.handle)

    def _send(self, viewer: Viewer) -> None:
        if viewer.transport.is_closed:
            return
        packets = [(0, AUDIO_BYTES, 0, 2) for _ in range(5)] if self.audio_bps else []
        packets = [(index * 20_000, *rest) for index, (_, *rest) in enumerate(packets)]
        video_bps = sum(self._rate(sink) for sink in viewer.sinks)
        copies = 1 + max((sink._copies for sink in viewer.sinks), default=0)
        video_bps *= copies
        if viewer.budget_bps:
            video_bps = min(video_bps, viewer.budget_bps * 1.2)
        count = int(video_bps / 10 / 8 / VIDEO_BYTES + self.rng.random())
        packets += [(TICK_US * i // max(1, count), VIDEO_BYTES, 0, 0) for i in range(count)]
        for probe, rate_bps, duration_us in viewer.probes:
            total = rate_bps * duration_us / 8e6
            number = max(5, round(total / VIDEO_BYTES))
            size = round(total / number)
            packets += [(duration_us * i // number, size, probe, 1) for i in range(number)]
        viewer.probes.clear()
        for offset_us, size, probe, flags in sorted(packets):
            sent_us = self.now_us + offset_us
            arrived_us = viewer.line.carry(sent_us, size, self.rng)
            viewer.worst_queue_us = max(viewer.worst_queue_us, viewer.line.queue_us)
            known_us = (arrived_us or sent_us + viewer.line.queue_us) + viewer.line.delay_us
            row = (viewer.transport.handle, size, 0, sent_us, arrived_us, probe, flags)
            viewer.waiting.append((known_us + 30_000, row))
        viewer.sent_bits.append(sum(size * 8.0 for _, size, _, _ in packets))

    def _rate(self, sink: Sink) -> float:
        layers = sink.layers
        table = self.rates_bps[sink.source.handle]
        if layers.paused:
            return 0.0
        return table[min(layers.spatial, len(table) - 1)] * SHARES[min(layers.temporal, 2)]

    # --- what the engine says

    def feedback(self) -> np.ndarray:
        rows = []
        for viewer in self.viewers:
            if viewer.line.is_dead:
                continue
            rows += [row for known_us, row in viewer.waiting if known_us <= self.now_us]
            viewer.waiting = [item for item in viewer.waiting if item[0] > self.now_us]
        return np.array(sorted(rows, key=lambda row: row[3]), _engine.TWCC_DTYPE)

    def transport_rows(self) -> np.ndarray:
        rows = np.zeros(len(self.viewers), _engine.TRANSPORT_DTYPE)
        for row, viewer in zip(rows, self.viewers, strict=True):
            row["transport"] = viewer.transport.handle
            row["rtt_us"] = 2 * viewer.line.delay_us
            row["has_twcc"] = 1
            row["is_braking"] = viewer.is_braking
            row["sent_bps"] = round(sum(viewer.sent_bits[-10:]))
            row["audio_bps"] = AUDIO_BYTES * 8 * 50
        return rows

    def encoding_rows(self) -> np.ndarray:
        rows = np.zeros(sum(map(len, self.rates_bps.values())), _engine.ENCODING_DTYPE)
        index = 0
        for handle, table in self.rates_bps.items():
            for encoding, full_bps in enumerate(table):
                row = rows[index]
                row["source"], row["encoding"] = handle, encoding
                row["is_active"], row["num_temporal"] = 1, 3
                row["bitrate_bps"] = full_bps * self.scale
                row["bitrate_t0_bps"] = full_bps * self.scale * SHARES[0]
                row["bitrate_t1_bps"] = full_bps * self.scale * SHARES[1]
                index += 1
        return rows
