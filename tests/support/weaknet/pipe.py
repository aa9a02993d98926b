"""One direction of a simulated link: a sans-IO core that time and randomness are given to.

A packet passes, in this order:

1. the outage: while the link is down, whatever arrives is gone;
2. the bottleneck: a drop-tail queue bounded in bytes, emptied at the rate. The arithmetic is exact
   (work is counted in bit·µs/s), also where the rate changes while a packet is on its way;
3. loss, independent or in bursts. It comes after the bottleneck as on a radio link: what is lost
   in the air has used its share of the rate;
4. delay with uniform jitter on top. Order is kept unless reordering is asked for: a reordered
   packet is held back by `reorder_us` and those behind it go past.

Times are µs of one clock that never goes back; the caller asks `next_us` when to call `pop`.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

SECOND_US = 1_000_000
#: The bottleneck's queue of every link of the project's table; measured, see tests/bench/README.md.
QUEUE_BYTES = 48_000
_MAX_SAMPLES = 100_000  # of the history: hours at the usual sample length

PacketT = TypeVar("PacketT")


@dataclass(frozen=True)
class Conditions:
    """What one direction of a link is like for a while."""

    rate_bps: int | None = None  # None: no bottleneck
    queue_bytes: int = QUEUE_BYTES
    delay_us: int = 0
    jitter_us: int = 0  # uniform in 0..jitter_us, on top of the delay
    loss: float = 0.0  # share of the packets lost in the long run
    burst: float = 0.0  # mean length of a run of losses; 0: losses are independent
    reorder: float = 0.0  # share of the packets held back by reorder_us
    reorder_us: int = 20_000
    is_down: bool = False

    def __post_init__(self) -> None:
        """Refuse what no link can be like."""
        if self.rate_bps is not None and self.rate_bps <= 0:
            raise ValueError("rate_bps must be above 0; an outage is is_down")
        if min(self.queue_bytes, self.delay_us, self.jitter_us, self.reorder_us) < 0:
            raise ValueError("bytes and times must not be negative")
        if not (0 <= self.loss <= 1 and 0 <= self.reorder <= 1):
            raise ValueError("loss and reorder are shares between 0 and 1")
        if self.burst and not (self.burst >= 1 and 0 < self._to_bad <= 1):
            raise ValueError("such a loss in bursts of such a length does not exist")

    @property
    def _to_bad(self) -> float:
        """Gilbert's chance to turn bad: loss = to_bad / (to_bad + to_good), to_good = 1 / burst."""
        return self.loss / (self.burst * (1 - self.loss)) if 0 < self.loss < 1 else self.loss


class Change(NamedTuple):
    """From this time on (relative to the pipe's start) these conditions hold."""

    at_us: int
    conditions: Conditions


class Sample(NamedTuple):
    """One slice of a pipe's history, by the time at which packets left the bottleneck."""

    start_us: int  # since the pipe's start
    packets: int
    size_bytes: int
    queue_sum_us: int  # of the packets' waiting behind others
    queue_max_us: int


@dataclass
class Counters:
    """What became of the packets."""

    offered: int = 0
    offered_bytes: int = 0
    passed: int = 0  # through the bottleneck and not lost; the last few may still be on their way
    passed_bytes: int = 0
    dropped_queue: int = 0
    dropped_loss: int = 0
    dropped_outage: int = 0
    reordered: int = 0


@dataclass
class _Waiting(Generic[PacketT]):
    packet: PacketT
    size_bytes: int
    arrived_us: int
    work: int  # left, in bit·µs/s


@dataclass
class _Slice:
    start_us: int
    waits_us: list[int] = field(default_factory=list)
    size_bytes: int = 0

    def to_sample(self) -> Sample:
        waits = self.waits_us
        return Sample(self.start_us, len(waits), self.size_bytes, sum(waits), max(waits))


class Pipe(Generic[PacketT]):
    """One direction of a link."""

    def __init__(
        self,
        plan: Conditions | Sequence[Change],
        rng: random.Random,
        *,
        start_us: int = 0,
        sample_us: int = 100_000,
    ) -> None:
        """Args: `plan` holds from `start_us` on, its times count from there; the first is 0."""
        changes = [Change(0, plan)] if isinstance(plan, Conditions) else list(plan)
        times = [change.at_us for change in changes]
        if not times or times[0] != 0 or times != sorted(set(times)):
            raise ValueError("a plan starts at 0 and its times rise")
        self.counters = Counters()
        self.history: deque[Sample] = deque(maxlen=_MAX_SAMPLES)
        self._changes = changes
        self._times_us = [start_us + at_us for at_us in times]
        self._rng = rng
        self._start_us = self._clock_us = start_us
        self._sample_us = sample_us
        self._slice: _Slice | None = None
        self._queue: deque[_Waiting[PacketT]] = deque()
        self._queued_bytes = 0
        self._flying: list[tuple[int, int, PacketT]] = []
        self._count = 0
        self._last_out_us = start_us
        self._is_bad = False

    def conditions_at(self, now_us: int) -> Conditions:
        """What holds at a moment."""
        return self._changes[max(0, bisect_right(self._times_us, now_us) - 1)].conditions

    @property
    def queued_bytes(self) -> int:
        """What waits at the bottleneck, the packet on its way through it included."""
        return self._queued_bytes

    def push(self, now_us: int, packet: PacketT, size_bytes: int) -> None:
        """A packet arrives at the link."""
        self._advance(now_us)
        conditions = self.conditions_at(now_us)
        counters = self.counters
        counters.offered += 1
        counters.offered_bytes += size_bytes
        if conditions.is_down:
            counters.dropped_outage += 1
        elif self._queue and self._queued_bytes + size_bytes > conditions.queue_bytes:
            # An idle bottleneck takes any packet, or a short queue would never pass a long one.
            counters.dropped_queue += 1
        else:
            work = size_bytes * 8 * SECOND_US
            self._queue.append(_Waiting(packet, size_bytes, now_us, work))
            self._queued_bytes += size_bytes
            if conditions.rate_bps is None:
                self._drain_at_once(now_us)

    def pop(self, now_us: int) -> list[PacketT]:
        """What has arrived at the other end by now, in order of arrival."""
        self._advance(now_us)
        arrived = []
        while self._flying and self._flying[0][0] <= now_us:
            arrived.append(heapq.heappop(self._flying)[2])
        return arrived

    def next_us(self) -> int | None:
        """When `pop` has something to do next; None while the pipe is empty."""
        due = [self._flying[0][0]] if self._flying else []
        if self._queue:
            due.append(self._head_done_us())
        return min(due, default=None)

    def finish_history(self) -> list[Sample]:
        """The history with the slice that is still open."""
        return [*self.history, *([self._slice.to_sample()] if self._slice else [])]

    def _next_change_us(self) -> int | None:
        index = bisect_right(self._times_us, self._clock_us)
        return self._times_us[index] if index < len(self._times_us) else None

    def _head_done_us(self) -> int:
        rate_bps = self.conditions_at(self._clock_us).rate_bps
        assert rate_bps is not None, "without a bottleneck nothing waits"
        done_us = self._clock_us - (-self._queue[0].work // rate_bps)
        change_us = self._next_change_us()
        return done_us if change_us is None else min(done_us, change_us)

    def _advance(self, now_us: int) -> None:
        """Run the bottleneck up to now, piece by piece where the conditions change."""
        while self._clock_us < now_us:
            change_us = self._next_change_us()
            to_us = now_us if change_us is None else min(now_us, change_us)
            rate_bps = self.conditions_at(self._clock_us).rate_bps
            if rate_bps is not None:
                self._drain(to_us, rate_bps)
            self._clock_us = to_us
            if self.conditions_at(to_us).rate_bps is None:
                self._drain_at_once(to_us)  # the bottleneck has just gone

    def _drain(self, to_us: int, rate_bps: int) -> None:
        budget = (to_us - self._clock_us) * rate_bps
        while self._queue:
            head = self._queue[0]
            if head.work > budget:
                head.work -= budget
                return
            budget -= head.work
            self._leave(to_us - budget // rate_bps, rate_bps)

    def _drain_at_once(self, now_us: int) -> None:
        while self._queue:
            self._leave(now_us, None)

    def _leave(self, now_us: int, rate_bps: int | None) -> None:
        """The head of the queue is through the bottleneck."""
        waited = self._queue.popleft()
        self._queued_bytes -= waited.size_bytes
        own_us = waited.size_bytes * 8 * SECOND_US // rate_bps if rate_bps else 0
        self._record(now_us, waited.size_bytes, max(0, now_us - waited.arrived_us - own_us))
        conditions = self.conditions_at(now_us)
        if self._is_lost(conditions):
            self.counters.dropped_loss += 1
            return
        self.counters.passed += 1
        self.counters.passed_bytes += waited.size_bytes
        out_us = now_us + conditions.delay_us
        if conditions.jitter_us:
            out_us += self._rng.randrange(conditions.jitter_us + 1)
        out_us = max(out_us, self._last_out_us)
        if conditions.reorder and self._rng.random() < conditions.reorder:
            self.counters.reordered += 1
            out_us += conditions.reorder_us
        else:
            self._last_out_us = out_us
        self._count += 1
        heapq.heappush(self._flying, (out_us, self._count, waited.packet))

    def _is_lost(self, conditions: Conditions) -> bool:
        if not conditions.loss:
            self._is_bad = False
            return False
        if not conditions.burst:
            return self._rng.random() < conditions.loss
        # Gilbert 1960, with every packet of the bad state lost.
        draw = self._rng.random()
        self._is_bad = draw >= 1 / conditions.burst if self._is_bad else draw < conditions._to_bad
        return self._is_bad

    def _record(self, now_us: int, size_bytes: int, waited_us: int) -> None:
        since_us = now_us - self._start_us
        start_us = since_us - since_us % self._sample_us
        if self._slice is None or self._slice.start_us != start_us:
            if self._slice is not None:
                self.history.append(self._slice.to_sample())
            self._slice = _Slice(start_us)
        self._slice.waits_us.append(waited_us)
        self._slice.size_bytes += size_bytes
