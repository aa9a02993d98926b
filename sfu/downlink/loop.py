"""Ten times a second: from what the engine measured to what it shall send, all lines at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bandwidth import allocator, ladder, protection
from bandwidth.estimator import Estimates, Estimator, ProbeOrder
from bandwidth.ladder import Step
from sfu import engine as _engine
from sfu.downlink import budget, feed
from sfu.downlink.attention import Attention, Bools
from sfu.downlink.config import DownlinkConfig
from sfu.downlink.layer_rates import LayerRates
from sfu.downlink.line_room import LineRoom, find_room
from sfu.downlink.lines import Lines
from sfu.downlink.memory import LineMemory, network_of
from sfu.downlink.orders import Orders
from sfu.downlink.states import States
from sfu.downlink.table import Table
from sfu.downlink.thinning import thin_out
from sfu.downlink.ticker import Ticker
from sfu.downlink.wish import Wish
from sfu.ids import Layers
from sfu.stats import parse_rows

if TYPE_CHECKING:
    from sfu.registry import Registry
    from sfu.source import Sink, Source
    from sfu.transport import Transport

__all__ = ["Downlink"]

logger = logging.getLogger(__name__)

# A move of the budget below this is noise, as long as what is granted fits.
_NOISE = 0.15
_NEWS = 1.05
_REMEMBER_US = 10_000_000
# A new line gets the lowest layers until its first probes are back: one switch instead of three.
_SETTLE_US = 400_000
_DOUBT_US = 2_500_000
_PROVEN = 1.05
_SETTLED_ROOM = 1.4  # of what it started with; measured rates differ from announced ones
_FIRST_SHARE = 0.5
_NEW_US = 3_000_000


class Downlink:
    """The lines to all subscribers of one media server.

    Sinks and transports report themselves; `tick` runs on the event loop from `start` to `stop`.
    """

    def __init__(self, registry: Registry, config: DownlinkConfig | None = None) -> None:
        """Starts nothing."""
        self._registry = registry
        self._config = config or DownlinkConfig()
        self._lines = Lines()
        self._table = Table()
        self._rates = LayerRates()
        self._memory = LineMemory()
        self._estimator = Estimator(self._lines.capacity)
        self._orders = Orders(registry)
        self._states = States.start(self._lines.capacity)
        self._target_bps = np.zeros(self._lines.capacity)
        self._ticked_us = self._remembered_us = 0
        self._num_rows = 0.0  # a second
        self._has_failed = False
        self._ticker = Ticker(self._run, self._config.interval_s)
        self._attention = Attention(self._lines.capacity, self._config)

    def start(self) -> None:
        """Begin to look at the lines, in the running event loop."""
        self._ticker.start()

    def stop(self) -> None:
        """Idempotent."""
        self._ticker.stop()

    def _run(self) -> None:
        try:
            self.tick(self._registry.engine.now_us())
            self._has_failed = False
        except Exception:  # a bug here must not stop media: the engine goes on as it was told last
            self._registry.counters["downlink_errors"] += 1
            if not self._has_failed:  # it may fail ten times a second
                logger.exception("the downlink loop failed")
            self._has_failed = True

    def first_layers(self, transport: Transport, source: Source, wish: Wish) -> Layers:
        """What a new subscription starts with, before the next turn fits all of them."""
        if wish.is_paused or source.is_audio:
            return wish.layers
        slot = self._lines.open(transport, self._start_bps(transport))
        self._fit_capacity()
        row = self._rates.acquire(source.handle, len(source.specs), source.announced_bps)
        rates_bps = self._rates.rates_bps[row, 0]
        self._rates.release(source.handle)
        columns = self._lines.columns
        left_bps = (self.estimate_of(transport) or columns.start_bps[slot]) - columns.used_bps[slot]
        # A small key frame is there at once, and what the line carries is known soon after.
        is_smooth = rates_bps.max() <= left_bps * _FIRST_SHARE
        columns.used_bps[slot] += rates_bps.max() if is_smooth else rates_bps[0]
        return Layers(0, wish.temporal if is_smooth else 0, False)

    def add(self, sink: Sink) -> None:
        """A new subscription; one of video follows its wish from now on."""
        self._ticker.hurry()
        slot = self._lines.open(sink.transport, self._start_bps(sink.transport))
        self._fit_capacity()
        columns = self._lines.columns
        if sink.source.is_audio:
            columns.audios[slot] += 1
        elif sink.wish is not None:
            source = sink.source
            source_row = self._rates.acquire(source.handle, len(source.specs), source.announced_bps)
            self._table.add(sink, slot, source_row)
            columns.videos[slot] += 1
            self.set_wish(sink, sink.wish)
        self._orders.protect(
            sink, int(self._states.protection.copies[slot]), int(self._states.protection.red[slot])
        )

    def remove(self, sink: Sink) -> None:
        """A subscription ended."""
        slot = self._lines.find(sink.transport.handle)
        if slot is None:
            return
        columns = self._lines.columns
        if sink.source.is_audio:
            columns.audios[slot] -= 1
        elif self._table.remove(sink) is not None:
            self._rates.release(sink.source.handle)
            columns.videos[slot] -= 1
            columns.is_dirty[slot] = True

    def set_wish(self, sink: Sink, wish: Wish) -> None:
        """A player shows a track otherwise; answered at the next turn, without waiting."""
        self._ticker.hurry()
        row, slot = self._table.row_of(sink), self._lines.find(sink.transport.handle)
        if row is not None and slot is not None:
            self._table.set_wish(row, wish)
            self._lines.columns.is_dirty[slot] = True

    def close(self, transport: Transport) -> None:
        """A transport ended; its line is remembered."""
        slot = self._lines.find(transport.handle)
        if slot is None:
            return
        self._remember(slot, self._ticked_us)
        self._lines.close(transport.handle)
        self._estimator.close(slot)
        self._attention.forget(slot)

    def wake(self, handle: int) -> None:
        """A transport's line shows weakness."""
        if (slot := self._lines.find(handle)) is not None:
            self._attention.wake(slot, self._registry.engine.now_us())
            self._ticker.hurry()

    def estimate_of(self, transport: Transport) -> float | None:
        """Bits a second that a line is believed to carry; None = nobody has measured."""
        room = self.room_of(transport)
        return None if room is None else room.line_bps

    def room_of(self, transport: Transport) -> LineRoom | None:
        """What is known of a line; None = nobody has measured."""
        return find_room(self._lines, self._states.belief, transport.handle)

    def step_of(self, transport: Transport) -> Step:
        """The step that the subscriber was told of."""
        slot = self._lines.find(transport.handle)
        return Step.FULL if slot is None else Step(self._states.ladder.step[slot])

    def snapshot(self) -> dict[str, int]:
        """How many lines are on which step, by name."""
        is_open = self._lines.columns.is_open & (self._lines.columns.videos > 0)
        counts = np.bincount(self._states.ladder.step[is_open], minlength=len(Step))
        return {f"downlink_{step.name.lower()}": int(counts[step]) for step in Step} | {
            "downlink_lines": len(self._lines),
            "downlink_remembered": len(self._memory),
            "downlink_dropped_rows": self._estimator.dropped_rows,
        }

    def tick(self, now_us: int) -> None:
        """Look at everything once."""
        elapsed_us = now_us - self._ticked_us if self._ticked_us else 100_000
        self._ticked_us = now_us
        engine = self._registry.engine
        twcc = parse_rows(engine.drain_twcc(), _engine.TWCC_DTYPE)
        if not len(self._lines):
            return
        self._num_rows = len(twcc) * 1e6 / max(elapsed_us, 1)
        transports = parse_rows(engine.snapshot_transports(), _engine.TRANSPORT_DTYPE)
        encodings = parse_rows(engine.snapshot_encodings(), _engine.ENCODING_DTYPE)
        measured = feed.read_transports(self._lines, transports)
        self._open_estimates(now_us)
        look = self._attention.choose(now_us, feed.read_feedback(self._lines, twcc))
        factor = self._states.cost_factor
        known = feed.describe_lines(self._lines, measured, self._reserve_bps, factor)
        estimates, probes = self._estimator.update(
            now_us, look.feedback, known, is_calm=look.is_calm, has_calm=look.has_calm
        )
        estimates = feed.fit_estimates(estimates, self._lines.capacity)
        self._target_bps = estimates.target_bps
        red = self._states.protection.red
        feed.follow_audio(self._lines.columns, now_us, elapsed_us, measured.audio_bps, red)
        # Most of what a woken line reported is from before: it does not show a brake to be wrong.
        self._believe(now_us, estimates, measured, measured.is_braking & ~look.is_woken)
        self._protect(now_us, estimates, measured)
        has_news = self._rates.update(now_us, encodings)
        self._lines.columns.is_dirty[self._table.slots_of_sources(has_news)] = True
        self._allocate(now_us)
        self._pace(now_us, probes)
        self._tell_steps(now_us)
        if now_us - self._remembered_us > _REMEMBER_US:
            self._remembered_us = now_us
            for slot in self._lines.columns.has_estimate.nonzero()[0]:
                self._remember(int(slot), now_us)

    def _open_estimates(self, now_us: int) -> None:
        """Begin with lines whose transports are connected by now."""
        columns = self._lines.columns
        for slot in np.flatnonzero(columns.is_open & ~columns.has_estimate):
            transport = self._lines.transports[slot]
            if transport is None or transport.state != "connected" or transport.path is None:
                continue
            known = self._memory.recall(transport.person, network_of(transport.path.ip), now_us)
            # Known better now than when the line was added: by how long connecting took.
            columns.start_bps[slot] = self._start_bps(transport)
            start_bps = known.last_bps if known else int(columns.start_bps[slot])
            # A line that seems weak is not hit with three times what it may carry.
            is_weak = start_bps < self._config.start_bps
            good_bps = known.good_bps if known else start_bps if is_weak else 0
            self._estimator.open(int(slot), now_us, start_bps=start_bps, good_bps=good_bps)
            columns.has_estimate[slot] = columns.is_dirty[slot] = True
            columns.settles_us[slot] = 0 if known else now_us + _SETTLE_US
            self._states.reset(int(slot), is_weak=is_weak)

    @property
    def _reserve_bps(self) -> npt.NDArray[np.float64]:
        """Of audio, redundancy included."""
        audio_bps = self._lines.columns.audio_bps
        return np.asarray(audio_bps * (1.0 + self._states.protection.red), np.float64)

    def _believe(
        self, now_us: int, estimates: Estimates, measured: feed.Measured, is_braking: Bools
    ) -> None:
        columns = self._lines.columns
        columns.is_dirty |= estimates.proven_bps > _NEWS * columns.proven_bps  # a probe showed more
        columns.proven_bps, columns.is_full = estimates.proven_bps, estimates.is_full
        self._states.belief = budget.believe(
            now_us,
            self._states.belief,
            estimates,
            sent_bps=measured.sent_bps,
            used_bps=columns.used_bps + self._reserve_bps,
            is_braking=is_braking,
            waiting_us=measured.waiting_us,
            has_twcc=measured.has_twcc,
        )

    def _protect(self, now_us: int, estimates: Estimates, measured: feed.Measured) -> None:
        columns = self._lines.columns
        before = self._states.protection
        self._states.protection = protection.choose_protection(
            now_us,
            before,
            loss=np.where(columns.has_estimate, estimates.loss, np.nan),
            rtt_us=measured.rtt_us,
            budget_bps=self._states.belief.budget_bps,
            video_base_bps=columns.base_bps,
            audio_bps=columns.audio_bps,
            is_congested=budget.has_queue(estimates, measured.is_braking),
            is_shown=columns.used_bps > 0,
        )
        now = self._states.protection
        has_changed = (now.copies != before.copies) | (now.red != before.red)
        columns.is_dirty |= has_changed
        columns.red_changed_us[now.red != before.red] = now_us
        self._orders.protect_all(self._lines, has_changed, now)

    def _allocate(self, now_us: int) -> None:
        """Fit wishes into budgets where anything that matters has changed."""
        columns, config = self._lines.columns, self._config
        budgets_bps = np.maximum(self._states.belief.budget_bps - self._reserve_bps, 0.0)
        start_bps = np.where(columns.has_estimate, budgets_bps, columns.start_bps)
        most_bps = np.where(columns.used_bps > 0, columns.used_bps * _SETTLED_ROOM, np.inf)
        start_bps = np.minimum(start_bps, most_bps)
        budgets_bps = np.where(self._is_settling(now_us), start_bps, budgets_bps)
        moved = np.abs(budgets_bps - columns.settled_bps) > _NOISE * columns.settled_bps
        is_over = columns.used_bps > budgets_bps
        is_due = (columns.due_us > 0) & (columns.due_us <= now_us)
        is_old = now_us - columns.allocated_us > config.refit_s * 1e6
        wants = columns.is_dirty | moved | is_due | is_old | is_over
        wants &= columns.is_open & (columns.videos > 0)
        # What must go down goes first; of the rest those that have waited longest.
        picked = np.flatnonzero(wants)
        if picked.size > config.max_lines_per_tick:
            order = np.lexsort((columns.allocated_us[picked], ~is_over[picked]))
            picked = np.sort(picked[order[: config.max_lines_per_tick]])
        if picked.size:
            self._refit(now_us, picked, budgets_bps)

    def _is_settling(self, now_us: int) -> npt.NDArray[np.bool_]:
        """Lines that nothing is known of yet: what they start with is a guess, not a measure."""
        columns = self._lines.columns
        is_guess = self._target_bps <= columns.start_bps * _PROVEN
        is_early = now_us < columns.settles_us + np.where(is_guess, _DOUBT_US, 0)
        return np.asarray(~columns.has_estimate | ((columns.settles_us > 0) & is_early))

    def _refit(
        self, now_us: int, picked: npt.NDArray[np.intp], budgets_bps: npt.NDArray[np.float64]
    ) -> None:
        columns = self._lines.columns
        is_picked = np.zeros(self._lines.capacity, np.bool_)
        is_picked[picked] = True
        rows, wanted = self._table.select(is_picked, self._rates.rates_bps)
        factor = self._states.cost_factor
        found = allocator.allocate(
            now_us,
            budgets_bps[picked],
            wanted,
            self._states.pick_allocator(picked),
            cost_factor=factor[picked],
            proven_bps=np.maximum(columns.proven_bps - self._reserve_bps, 0.0)[picked],
            is_full=columns.is_full[picked],
        )
        self._states.put_allocator(picked, found.state)
        loss = self._states.protection.loss[picked]
        thin = thin_out(self._table, rows, wanted, found, budgets_bps[picked], factor[picked], loss)
        columns.used_bps[picked] = thin.used_bps
        columns.needed_bps[picked] = found.needed_bps
        columns.next_bps[picked] = found.next_bps
        columns.base_bps[picked] = thin.base_bps
        is_settling = self._is_settling(now_us)[picked]
        columns.raw_step[picked] = np.where(is_settling, Step.FULL, thin.step)
        columns.due_us[picked] = found.due_us
        columns.settled_bps[picked] = budgets_bps[picked]
        columns.allocated_us[picked] = now_us
        columns.is_dirty[picked] = False
        for sink, layers, is_thin in self._table.take(rows, found, thin.is_thin):
            if not sink.grant(layers, is_thin=is_thin):
                self._table.refuse_thin(sink)

    def _pace(self, now_us: int, probes: list[ProbeOrder]) -> None:
        columns = self._lines.columns
        needed_bps = columns.needed_bps + self._reserve_bps
        paced_bps = budget.pace(now_us, self._states.belief, needed_bps)
        is_paced = columns.has_estimate & (columns.videos > 0)
        is_calm = budget.find_calm(now_us, self._states.belief, needed_bps)
        watched = self._attention.settle(now_us, is_calm & columns.has_estimate)
        if watched.size:
            self._registry.engine.watch_lines(columns.handle[watched].tolist())
        is_done = self._attention.is_calm & ~columns.is_dirty & (columns.due_us == 0)
        may_wait = bool(is_done[columns.is_open].all())
        self._ticker.calm_interval_s = self._config.fit_calm(self._num_rows) if may_wait else None
        is_wrong = budget.find_released(self._states.belief)  # the engine's own braking
        self._orders.pace(now_us, self._lines, np.where(is_paced, paced_bps, 0.0), is_wrong)
        for order in probes:
            if (transport := self._lines.transports[order.slot]) is not None:
                transport.probe(order.probe, order.rate_bps, order.duration_us)

    def _tell_steps(self, now_us: int) -> None:
        columns = self._lines.columns
        raw = np.where(columns.is_open & (columns.videos > 0), columns.raw_step, Step.FULL)
        # A picture that is still growing is not worth words; none at all is.
        is_new = now_us - columns.settles_us < _NEW_US
        raw = np.where(is_new & (raw < Step.STILLS), Step.FULL, raw)
        before = self._states.ladder.step
        self._states.ladder = ladder.update_ladder(now_us, raw, self._states.ladder)
        for slot in np.flatnonzero((self._states.ladder.step != before) & columns.is_open):
            transport = self._lines.transports[slot]
            if transport is not None:
                self._registry.counters["downlink_steps"] += 1
                reason = "server" if self._ticker.is_late else "downlink"
                self._orders.tell_step(transport, Step(self._states.ladder.step[slot]), reason)

    def _start_bps(self, transport: Transport) -> int:
        took_s = transport.handshake_s or 0.0
        return self._config.guess_bps(is_cellular=transport.is_cellular, handshake_s=took_s)

    def _remember(self, slot: int, now_us: int) -> None:
        transport = self._lines.transports[slot]
        if transport is not None and transport.path and self._lines.columns.has_estimate[slot]:
            network = network_of(transport.path.ip)
            self._memory.remember(transport.person, network, int(self._target_bps[slot]), now_us)

    def _fit_capacity(self) -> None:
        """Let the columns of all parts grow with the lines."""
        if (more := self._lines.capacity - self._states.size) > 0:
            self._states.grow(more)
            self._attention.grow(more)
            self._target_bps = np.concatenate([self._target_bps, np.zeros(more)])
