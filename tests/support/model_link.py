"""A seeded model of lines, senders and receivers for the estimator: no sockets, no waiting.

`World` moves time in small steps. A `Link` is a queue with a rate, a delay, jitter and loss that
several flows may share. A `VideoFlow` sends what the estimator allows, as the engine would: audio
always, frames paced, probes when ordered. A `TcpFlow` fills the queue until it loses packets.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import numpy as np

from bandwidth.estimator import Estimates, Estimator, Feedback, Lines, ProbeOrder

STEP_US = 2_000
TICK_US = 100_000
PACKET_BYTES = 1_200
AUDIO_BYTES = 83
AUDIO_GAP_US = 20_000
FRAME_GAP_US = 50_000
KEY_FRAME_GAP = 40
START_US = 1_000_000_000
CLOCK_OFFSET_US = 77_000_000_000

Rate = Callable[[float], float]


@dataclass
class Packet:
    flow: Flow
    number: int
    size_bytes: int
    sent_us: int
    probe: int = 0


class Flow(Protocol):
    def step(self, now_us: int) -> None: ...

    def on_arrival(self, packet: Packet, at_us: int) -> None: ...


@dataclass
class Link:
    """Rate by time, a queue that drops at its end, a delay, jitter in order, and loss.

    `loss` is the share lost behind the queue; with `burst` > 1 losses come in runs of about that
    many packets. With `bucket_bytes` the line is a policer: no queue, what exceeds the rate and the
    bucket is dropped. `delivered` and `waits` are what came through, for figures.
    """

    rate: Rate | float
    queue_bytes: int = 60_000
    delay_us: int = 30_000
    jitter_us: int = 0
    keeps_order: bool = True
    loss: float = 0.0
    burst: float = 1.0
    bucket_bytes: int = 0
    seed: int = 1
    queue: deque[Packet] = field(default_factory=deque)
    held_bytes: int = 0
    delivered: list[tuple[int, int, Flow]] = field(default_factory=list)
    waits: list[tuple[int, int]] = field(default_factory=list)
    _free_us: float = 0.0
    _last_out_us: int = 0
    _is_bad: bool = False
    _tokens: float = 0.0

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._way: list[tuple[int, Packet]] = []

    def rate_at(self, now_us: float) -> float:
        return self.rate if isinstance(self.rate, float | int) else self.rate(_seconds(now_us))

    def send(self, packet: Packet) -> None:
        if self.held_bytes + packet.size_bytes > self.queue_bytes:
            return
        if self.rate_at(packet.sent_us) <= 0:
            return
        if self.bucket_bytes and not self._has_token(packet):
            return
        self.queue.append(packet)
        self.held_bytes += packet.size_bytes

    def step(self, now_us: int) -> None:
        while self.queue:
            packet = self.queue[0]
            begin = max(self._free_us, packet.sent_us)
            rate = self.rate_at(begin)
            if rate <= 0:
                self.queue.clear()
                self.held_bytes = 0
                break
            end = begin if self.bucket_bytes else begin + packet.size_bytes * 8e6 / rate
            if end > now_us:
                break
            self.queue.popleft()
            self.held_bytes -= packet.size_bytes
            self._free_us = end
            self.waits.append((int(end), int(end) - packet.sent_us))
            if not self._loses():
                out = int(end) + self.delay_us + int(self._random.random() * self.jitter_us)
                if self.keeps_order:
                    out = self._last_out_us = max(out, self._last_out_us)
                bisect.insort(self._way, (out, packet), key=lambda one: one[0])
        arrived = bisect.bisect_right(self._way, now_us, key=lambda one: one[0])
        for at_us, packet in self._way[:arrived]:
            self.delivered.append((at_us, packet.size_bytes, packet.flow))
            packet.flow.on_arrival(packet, at_us)
        del self._way[:arrived]

    def _has_token(self, packet: Packet) -> bool:
        refilled = (packet.sent_us - self._free_us) * self.rate_at(packet.sent_us) / 8e6
        self._tokens = min(self._tokens + max(refilled, 0.0), float(self.bucket_bytes))
        if self._tokens < packet.size_bytes:
            self._free_us = max(self._free_us, packet.sent_us)
            return False
        self._tokens -= packet.size_bytes
        self._free_us = max(self._free_us, packet.sent_us)
        return True

    def _loses(self) -> bool:
        if self.loss == 0:
            return False
        if self.burst <= 1:
            return self._random.random() < self.loss
        # Gilbert: the bad state lasts `burst` packets, and holds `loss` of all time.
        leave = 1 / self.burst
        enter = leave * self.loss / (1 - self.loss)
        chance = 1 - leave if self._is_bad else enter
        self._is_bad = self._random.random() < chance
        return self._is_bad

    def carried_bps(self, flow: Flow | None, from_s: float, to_s: float) -> float:
        total = sum(
            size
            for at_us, size, owner in self.delivered
            if from_s <= _seconds(at_us) < to_s and (flow is None or owner is flow)
        )
        return total * 8 / (to_s - from_s)

    def wait_us(self, share: float, from_s: float, to_s: float) -> float:
        chosen = [wait for at_us, wait in self.waits if from_s <= _seconds(at_us) < to_s]
        return float(np.quantile(chosen, share)) if chosen else math.nan


def _seconds(now_us: float) -> float:
    return (now_us - START_US) / 1e6


class VideoFlow:
    """One subscriber: what the engine sends it, and the feedback it gives.

    Args:
        link: shared or its own.
        slot: in the estimator.
        wish: bits per second the application would send at most, by time; audio included.
        back_us: delay of feedback.
        feedback_us: how often.
        feedback_loss: share of feedback packets lost.
        rates: if given, the application sends one of these (layers) and nothing between.
        key_frame_bytes: of a frame every other second, beyond what the rate allows.
    """

    def __init__(
        self,
        link: Link,
        *,
        slot: int = 0,
        wish: Rate | float = 10e6,
        back_us: int = 30_000,
        feedback_us: int = 50_000,
        feedback_loss: float = 0.0,
        rates: tuple[float, ...] = (),
        clock_drift: float = 0.0,
        key_frame_bytes: int = 0,
        seed: int = 1,
    ) -> None:
        self.link, self.slot = link, slot
        self._wish, self._rates = wish, rates
        self._back_us, self._feedback_us, self._feedback_loss = back_us, feedback_us, feedback_loss
        self._drift = clock_drift
        self._key_frame_bytes = key_frame_bytes
        self._num_frames = 0
        self._random = Random(seed)
        self.target_bps = 0.0
        self.history: list[tuple[float, float, float]] = []
        self.probes: list[tuple[float, ProbeOrder]] = []
        self.stalls: list[float] = []
        self._sent: dict[int, Packet] = {}
        self._log: list[tuple[int, int]] = []
        self._number = 0
        self._next_report = 0
        self._arrived: list[tuple[int, int]] = []
        self._next_feedback_us = START_US
        self._under_way: list[tuple[int, list[tuple[int, int]], int]] = []
        self._rows: list[tuple[int, int, int, int]] = []
        self._next_audio_us = START_US
        self._next_frame_us = START_US + 7_000
        self._waiting: deque[int] = deque()
        self._paced_us = float(START_US)
        self._cluster: list[tuple[int, int, int]] = []
        self._heard_us = START_US
        self._credit_bytes = 0.0

    def wish_bps(self, now_us: int) -> float:
        wish = self._wish
        return wish if isinstance(wish, float | int) else wish(_seconds(now_us))

    def video_bps(self, now_us: int) -> float:
        audio = AUDIO_BYTES * 8e6 / AUDIO_GAP_US
        room = min(self.target_bps, self.wish_bps(now_us)) - audio
        if self._rates:
            return max((rate for rate in self._rates if rate <= room), default=0.0)
        return max(room, 0.0)

    def step(self, now_us: int) -> None:
        self._send_due(now_us)
        if now_us >= self._next_feedback_us:
            self._next_feedback_us += self._feedback_us
            self._report(now_us)
        due = [one for one in self._under_way if one[0] <= now_us]
        self._under_way = [one for one in self._under_way if one[0] > now_us]
        for _, came, newest in due:
            self._take_report(came, newest, now_us)

    def _send_due(self, now_us: int) -> None:
        due: list[tuple[int, int, int]] = []
        while self._next_audio_us <= now_us:
            due.append((self._next_audio_us, AUDIO_BYTES, 0))
            self._next_audio_us += AUDIO_GAP_US
        while self._next_frame_us <= now_us:
            self._add_frame(self._next_frame_us)
            self._next_frame_us += FRAME_GAP_US
        pace_bps = max(self.target_bps * 1.5, 50_000.0)
        while self._waiting and self._paced_us <= now_us:
            size = self._waiting.popleft()
            at_us = int(max(self._paced_us, now_us - STEP_US))
            due.append((at_us, size, 0))
            self._paced_us = max(self._paced_us, at_us) + size * 8e6 / pace_bps
        due += [one for one in self._cluster if one[0] <= now_us]
        self._cluster = [one for one in self._cluster if one[0] > now_us]
        for at_us, size, probe in sorted(due):
            self._send(at_us, size, probe)

    def _add_frame(self, at_us: int) -> None:
        # As the engine: when nothing is heard, video waits.
        if at_us - self._heard_us > 300_000:
            self._waiting.clear()
            return
        self._credit_bytes += self.video_bps(at_us) * FRAME_GAP_US / 8e6
        frame = int(self._credit_bytes * self._random.uniform(0.7, 1.3))
        self._num_frames += 1
        if self._key_frame_bytes and self._num_frames % KEY_FRAME_GAP == 0:
            frame += self._key_frame_bytes
            self._credit_bytes += self._key_frame_bytes
        if frame < 150 or sum(self._waiting) * 8 > self.target_bps * 0.3:
            return
        self._credit_bytes -= frame
        count = math.ceil(frame / PACKET_BYTES)
        self._waiting.extend([max(1, frame // count)] * count)
        self._paced_us = max(self._paced_us, at_us)

    def _send(self, at_us: int, size: int, probe: int) -> None:
        packet = Packet(self, self._number, size, at_us, probe)
        self._sent[self._number] = packet
        self._log.append((at_us, size))
        self._number += 1
        self.link.send(packet)

    def on_arrival(self, packet: Packet, at_us: int) -> None:
        clock = int(at_us * (1 + self._drift)) + CLOCK_OFFSET_US
        self._arrived.append((packet.number, clock))

    def _report(self, now_us: int) -> None:
        if not self._arrived:
            return
        came, self._arrived = self._arrived, []
        if self._random.random() >= self._feedback_loss and self.link.rate_at(now_us) > 0:
            self._under_way.append((now_us + self._back_us, came, came[-1][0]))
        else:
            self._next_report = came[-1][0] + 1

    def _take_report(self, came: list[tuple[int, int]], newest: int, now_us: int) -> None:
        self._heard_us = now_us
        at = dict(came)
        for number in range(min(self._next_report, came[0][0]), newest + 1):
            packet = self._sent.pop(number, None)
            if packet is not None:
                row = (packet.sent_us, at.get(number, 0), packet.size_bytes, packet.probe)
                self._rows.append(row)
        self._next_report = newest + 1

    def take_rows(self) -> list[tuple[int, int, int, int]]:
        rows, self._rows = self._rows, []
        return rows

    def sent_bps(self, now_us: int) -> float:
        at = bisect.bisect_left(self._log, (now_us - 1_000_000, 0))
        del self._log[:at]
        return sum(size for _, size in self._log) * 8.0

    def obey(self, now_us: int, estimates: Estimates, orders: list[ProbeOrder]) -> None:
        self.target_bps = float(estimates.target_bps[self.slot])
        queue = float(estimates.queue_us[self.slot])
        self.history.append((_seconds(now_us), self.target_bps, queue))
        if estimates.is_stalled[self.slot]:
            self.stalls.append(_seconds(now_us))
        for order in orders:
            if order.slot == self.slot:
                self.probes.append((_seconds(now_us), order))
                self._begin_probe(now_us, order)

    def _begin_probe(self, now_us: int, order: ProbeOrder) -> None:
        total = order.rate_bps * order.duration_us / 8e6
        size = int(min(max(total / 5, 255), PACKET_BYTES))
        gap_us = size * 8e6 / order.rate_bps
        count = max(2, math.ceil(total / size)) + 1
        self._cluster += [(now_us + int(k * gap_us), size, order.probe) for k in range(count)]
        # The probe is media as far as some waits; the rest waits until it is over.
        while self._waiting and total > 0:
            total -= self._waiting.popleft()
        self._paced_us = max(self._paced_us, now_us + count * gap_us)

    def mean_bps(self, from_s: float, to_s: float) -> float:
        return float(np.mean([bps for at, bps, _ in self.history if from_s <= at < to_s]))

    def first_s(self, is_reached: Callable[[float], bool], from_s: float) -> float:
        """When the estimate first met a condition, counted from `from_s`; inf = never."""
        return next(
            (at - from_s for at, bps, _ in self.history if at >= from_s and is_reached(bps)),
            math.inf,
        )


class TcpFlow:
    """A greedy Reno sender: one packet more a round trip, half at a loss."""

    def __init__(self, link: Link, *, back_us: int = 30_000) -> None:
        self._link, self._back_us = link, back_us
        self._window = 4.0
        self._threshold = 64.0
        self._number = 0
        self._acked = -1
        self._in_flight = 0
        self._recover = -1
        self._acks: deque[tuple[int, int]] = deque()
        self._heard_us = START_US

    def step(self, now_us: int) -> None:
        while self._acks and self._acks[0][0] <= now_us:
            self._on_ack(self._acks.popleft()[1], now_us)
        if now_us - self._heard_us > 1_000_000:
            self._window, self._in_flight, self._heard_us = 2.0, 0, now_us
        while self._in_flight < int(self._window):
            self._link.send(Packet(self, self._number, PACKET_BYTES, now_us))
            self._number += 1
            self._in_flight += 1

    def _on_ack(self, number: int, now_us: int) -> None:
        self._heard_us = now_us
        lost = max(0, number - self._acked - 1)
        self._acked = max(self._acked, number)
        self._in_flight = max(0, self._in_flight - 1 - lost)
        if lost and number > self._recover:
            self._threshold = self._window = max(2.0, self._window / 2)
            self._recover = self._number
        elif self._window < self._threshold:
            self._window += 1
        else:
            self._window += 1 / self._window

    def on_arrival(self, packet: Packet, at_us: int) -> None:
        self._acks.append((at_us + self._back_us, packet.number))


class World:
    """Links and flows under one estimator."""

    def __init__(
        self,
        flows: list[VideoFlow],
        *,
        start_bps: int = 600_000,
        good_bps: int = 0,
        others: tuple[TcpFlow, ...] = (),
        estimator: Estimator | None = None,
    ) -> None:
        self.flows, self.others = flows, others
        self.links = list({id(flow.link): flow.link for flow in flows}.values())
        self.capacity = max(flow.slot for flow in flows) + 1
        self.estimator = estimator or Estimator(self.capacity)
        self.now_us = START_US
        for flow in flows:
            self.estimator.open(flow.slot, START_US, start_bps=start_bps, good_bps=good_bps)
            flow.target_bps = float(start_bps)

    def run(self, until_s: float) -> None:
        while _seconds(self.now_us) < until_s:
            self.now_us += STEP_US
            for flow in (*self.flows, *self.others):
                flow.step(self.now_us)
            for link in self.links:
                link.step(self.now_us)
            if (self.now_us - START_US) % TICK_US == 0:
                self._tick()

    def _tick(self) -> None:
        rows = [(flow.slot, *row) for flow in self.flows for row in flow.take_rows()]
        feedback = feedback_of(rows)
        lines = lines_of(self.capacity)
        for flow in self.flows:
            lines.rtt_us[flow.slot] = flow.link.delay_us + 30_000
            lines.sent_bps[flow.slot] = flow.sent_bps(self.now_us)
            lines.needed_bps[flow.slot] = flow.wish_bps(self.now_us)
        estimates, orders = self.estimator.update(self.now_us, feedback, lines)
        for flow in self.flows:
            flow.obey(self.now_us, estimates, orders)


def feedback_of(rows: list[tuple[int, int, int, int, int]]) -> Feedback:
    """Rows of (slot, sent_us, received_us, size_bytes, probe)."""
    table = np.array(rows, np.int64).reshape(-1, 5)
    return Feedback(
        table[:, 0].astype(np.int32),
        table[:, 1],
        table[:, 2],
        table[:, 3].astype(np.int32),
        table[:, 4],
    )


def lines_of(capacity: int, *, has_twcc: bool = True) -> Lines:
    """Lines of which nothing is known."""
    return Lines(
        rtt_us=np.zeros(capacity),
        loss=np.full(capacity, np.nan),
        remb_bps=np.zeros(capacity),
        has_twcc=np.full(capacity, has_twcc),
        sent_bps=np.zeros(capacity),
        needed_bps=np.zeros(capacity),
        next_bps=np.zeros(capacity),
        cost_factor=np.ones(capacity),
        is_braking=np.zeros(capacity, np.bool_),
        reported_packets=np.zeros(capacity),
        reported_lost=np.zeros(capacity),
        newest_rtt_us=np.zeros(capacity),
    )
