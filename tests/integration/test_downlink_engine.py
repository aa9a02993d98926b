"""The engine's packets over a modelled line, its orders from the downlink loop: the whole circle
without sockets, in virtual time."""

from __future__ import annotations

import random
import struct
from typing import Any, cast

import pytest
from downlink_bench import Line
from engine_peer import PAYLOADS, VIDEO_PT, Subscriber
from fake_engine import make_registry

from sfu import engine as native
from sfu.downlink import Downlink, Step, Wish
from sfu.ids import Codec, EncodingSpec, Payload
from sfu.local import LocalSource
from sfu.transport import Path, Transport

FPS = 25
ADDRESS = ("192.0.2.1", 5000)
FEEDBACK_US, TICK_US, STEP_US = 50_000, 100_000, 1_000
VP8 = Payload(PAYLOADS[1][0], Codec.VP8, PAYLOADS[1][2])


LAYERS = ((320, 180, 120_000), (640, 360, 500_000))


def make_frame(is_key: bool, width: int, height: int, noise: bytes) -> bytes:
    """What the engine reads of a VP8 frame (RFC 6386 §9.1), and as many bytes as a real one."""
    tag = (0 if is_key else 1) | 1 << 4 | len(noise) << 5 & 0xFF_FFFF
    start = b"\x9d\x01\x2a" + struct.pack("<HH", width, height) if is_key else b""
    return tag.to_bytes(3, "little") + start + noise


class Viewer(Subscriber):
    """A subscriber that reports every packet (draft-holmer-rmcat-transport-wide-cc-extensions)."""

    def __init__(self, engine: Any, clock: list[int]) -> None:
        super().__init__(engine, seed=1)
        self._clock = clock
        self._arrivals: dict[int, int] = {}
        self._next = 0
        self._count = 0
        self.media_bytes = 0

    def handle_rtp(self, packet: Any) -> list[bytes]:
        seq = packet.extensions.transport_sequence_number
        if seq is not None:
            distance = (seq - self._next + 0x8000) % 0x10000 - 0x8000
            self._arrivals[self._next + distance] = self._clock[0]
        if packet.payload_type == VIDEO_PT:
            self.media_bytes += len(packet.payload)
        return super().handle_rtp(packet)

    def report(self) -> bytes | None:
        """All that arrived since the last report."""
        arrivals = {seq: at for seq, at in self._arrivals.items() if seq >= self._next}
        self._arrivals.clear()
        if not arrivals:
            return None
        base, last = self._next, max(arrivals)
        self._next = last + 1
        reference = min(arrivals.values()) // 64_000
        previous_us = reference * 64_000
        symbols, deltas = [], b""
        for seq in range(base, last + 1):
            if seq not in arrivals:
                symbols.append(0)
                continue
            delta = round((arrivals[seq] - previous_us) / 250)
            previous_us += delta * 250
            is_small = 0 <= delta < 256
            symbols.append(1 if is_small else 2)
            deltas += struct.pack("!B", delta) if is_small else struct.pack("!h", delta)
        chunks = b""
        for at in range(0, len(symbols), 7):
            word = 0xC000
            for index, symbol in enumerate(symbols[at : at + 7]):
                word |= symbol << (12 - 2 * index)
            chunks += struct.pack("!H", word)
        body = struct.pack("!IIHHI", 1, 2, base & 0xFFFF, len(symbols), 0)[:-4]
        body += reference.to_bytes(3, "big") + bytes([self._count & 0xFF]) + chunks + deltas
        self._count += 1
        body += bytes(-len(body) % 4)
        return self.protect_rtcp(struct.pack("!BBH", 0x8F, 205, len(body) // 4) + body)


class Circle:
    """One camera of two layers, one viewer behind a line."""

    def __init__(self, line: Line) -> None:
        self.line, self.random = line, random.Random(3)
        self.clock = [1_000_000]
        self.simulator = native.Simulator(1)
        self.registry = make_registry(cast(Any, self.simulator))
        self.downlink = self.registry.downlink = Downlink(self.registry)
        specs = (EncodingSpec("q"), EncodingSpec("h"))
        self.source = LocalSource(self.registry, is_audio=False, label="camera", encodings=specs)
        self.source.announced_bps = tuple(rate_bps for _, _, rate_bps in LAYERS)
        self.transport = Transport(self.registry)
        self.viewer = Viewer(_Joined(self.simulator, self.transport), self.clock)
        self.viewer.remote_ufrag, self.viewer.remote_pwd = self.transport.ice
        self.steps: list[Step] = []
        self.transport.on_step = lambda step, _why: self.steps.append(step)
        self.queue: list[tuple[int, bytes, bool]] = []
        self.number = 0
        self.simulator.handle_datagram(self.clock[0], ADDRESS, self.viewer.check())
        self.sink = self.transport.add_sink(
            self.source, ssrc=5, rtx_ssrc=6, mid="0", payloads=[VP8], wish=Wish(1)
        )
        self.transport._state, self.transport.path = "connected", Path("udp", *ADDRESS)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_us = self.clock[0] + round(seconds * 1e6)
        while self.clock[0] < end_us:
            self.clock[0] += STEP_US
            now_us = self.clock[0]
            if now_us % (1_000_000 // FPS) < STEP_US:
                self._film()
            self._move(now_us)
            if now_us % FEEDBACK_US < STEP_US and (report := self.viewer.report()) is not None:
                self.queue.append((now_us + self.line.delay_us, report, False))
            if now_us % TICK_US < STEP_US:
                self.downlink.tick(now_us)

    def _film(self) -> None:
        is_key = self.number % 50 == 0
        ts_rtp = self.number * 90_000 // FPS
        for encoding, (width, height, rate_bps) in enumerate(LAYERS):
            size = rate_bps // 8 // FPS * (5 if is_key else 1)
            data = make_frame(is_key, width, height, self.random.randbytes(size))
            self.source.push_frame(Codec.VP8, ts_rtp, data, encoding=encoding)
        self.number += 1

    def _move(self, now_us: int) -> None:
        for ip, port, data in self.simulator.poll(now_us):
            assert (ip, port) == ADDRESS
            arrives_us = self.line.carry(now_us, len(data), self.random)
            if arrives_us:
                self.queue.append((arrives_us, data, True))
        due = [item for item in self.queue if item[0] <= now_us]
        self.queue = [item for item in self.queue if item[0] > now_us]
        for _, data, is_down in due:
            if is_down:
                for answer in self.viewer.handle(data):
                    self.queue.append((now_us + self.line.delay_us, answer, False))
            else:
                self.simulator.handle_datagram(now_us, ADDRESS, data)


class _Joined:
    """The simulator, for a peer whose transport exists already."""

    def __init__(self, simulator: native.Simulator, transport: Transport) -> None:
        self._simulator, self._transport = simulator, transport

    def add_transport(self, _ufrag: str, _pwd: str) -> int:
        return self._transport.handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulator, name)


@pytest.fixture
async def wide() -> Circle:
    return Circle(Line(20e6, delay_us=20_000))


async def test_a_wide_line_gets_the_full_layer_soon(wide: Circle) -> None:
    wide.run(2.0)
    assert wide.viewer.refused == 0 and wide.viewer.is_connected
    assert wide.sink.layers.spatial == 1 and not wide.sink.layers.paused
    assert (wide.downlink.estimate_of(wide.transport) or 0) > 600_000
    assert not wide.steps


async def test_a_narrow_line_gets_what_fits_and_keeps_a_short_queue() -> None:
    circle = Circle(Line(300e3, delay_us=40_000))
    circle.run(8.0)
    queues_us = []
    for _ in range(60):
        circle.run(0.1)
        queues_us.append(circle.line.queue_us)
    assert circle.sink.layers.spatial == 0 or circle.sink.layers.temporal < 7
    assert sorted(queues_us)[54] <= 250_000


async def test_a_cliff_and_back() -> None:
    circle = Circle(Line(5e6, delay_us=30_000))
    circle.run(4.0)
    assert circle.sink.layers.spatial == 1
    circle.line.rate_bps = 60e3
    circle.run(8.0)
    assert circle.sink.layers.spatial == 0 or circle.sink.layers.paused
    circle.line.rate_bps = 5e6
    before = circle.viewer.media_bytes
    circle.run(5.0)
    assert circle.sink.layers.spatial == 1 and not circle.sink.layers.paused
    assert circle.viewer.media_bytes > before
