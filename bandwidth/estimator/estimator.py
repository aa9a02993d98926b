"""The estimator: feedback of all lines in, what each may be sent out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import aimd, loss, probing, queueing, reports, silence, trendline
from .api import Estimates, Feedback, Lines, ProbeOrder
from .arrival_rate import Arrivals, measure_arrivals
from .columns import Bools, Columns, Floats
from .constants import DEFAULTS, Constants
from .gaps import Gaps, find_missing
from .grouping import Groups, group_rows
from .rows import Batch, sort_rows
from .sanity import fit_flags, fit_lines, sane_rtt

_LARGEST_BLOCK_BYTES = 16 << 20


class Estimator:
    """Rates of many lines, each in a slot; call `update` some ten times a second.

    Attributes:
        dropped_rows: rows left out so far because they cannot be true.
    """

    def __init__(self, capacity: int = 64, constants: Constants = DEFAULTS) -> None:
        """Make room for slots 0 … capacity-1; it grows when a higher one is opened."""
        # glibc gives blocks above a threshold back to the kernel at once, and each update asks for
        # dozens of them again: page by page, a quarter of its time. Freeing a bigger one raises the
        # threshold to its size (mallopt(3), M_MMAP_THRESHOLD).
        np.empty(_LARGEST_BLOCK_BYTES, np.uint8)
        self.dropped_rows = 0
        self._constants = constants
        self._is_open = np.zeros(capacity, np.bool_)
        self._groups = Groups(capacity)
        self._trends = trendline.Trends(capacity)
        self._queues = queueing.Queues(capacity)
        self._gaps = Gaps(capacity)
        self._arrivals = Arrivals(capacity)
        self._rates = aimd.Rates(capacity)
        self._losses = loss.Losses(capacity)
        self._probes = probing.Probes(capacity)
        self._silences = silence.Silences(capacity)
        self._reports = reports.Reports(capacity)
        self._is_guess = np.zeros(capacity, np.bool_)
        self._next_probe = 1
        self._updated_us: int | None = None

    @property
    def _columns(self) -> tuple[Columns, ...]:
        return (
            self._groups,
            self._trends,
            self._queues,
            self._gaps,
            self._arrivals,
            self._rates,
            self._losses,
            self._probes,
            self._silences,
            self._reports,
        )

    def open(self, slot: int, now_us: int, *, start_bps: int, good_bps: int = 0) -> None:
        """Begin with a line that nothing has been heard of.

        Args:
            slot: where; what was there is forgotten.
            now_us: the clock of `update`.
            start_bps: what to believe at first.
            good_bps: the best that this network carried of late, 0 = nothing is known. Beyond it
                nothing is tried at once; far above `start_bps`, the way back to it is.
        """
        if slot < 0:
            raise ValueError(f"slot {slot} is negative")
        if slot >= len(self._is_open):
            self._grow(max(slot + 1, 2 * len(self._is_open)))
        for columns in self._columns:
            columns.reset(slot)
        self._is_open[slot] = True
        self._is_guess[slot] = good_bps <= 0
        start = float(np.clip(start_bps, self._constants.min_bps, self._constants.max_bps))
        self._rates.target_bps[slot] = start
        self._rates.changed_us[slot] = now_us
        self._silences.waiting_since_us[slot] = now_us
        if good_bps > 0:
            self._probes.good_bps[slot] = max(start, good_bps)
            self._probes.is_first[slot] = False
            self._probes.ordered_us[slot] = now_us
            has_fallen = start < self._constants.recovery_below * good_bps
            pause_us = 0 if has_fallen else int(self._constants.recovery_interval_us)
            self._probes.next_us[slot] = now_us + pause_us

    def close(self, slot: int) -> None:
        """Forget a line."""
        if 0 <= slot < len(self._is_open):
            self._is_open[slot] = False

    def _grow(self, capacity: int) -> None:
        more = np.zeros(capacity - len(self._is_open), np.bool_)
        self._is_open = np.concatenate([self._is_open, more])
        self._is_guess = np.concatenate([self._is_guess, more])
        for columns in self._columns:
            columns.grow(capacity)

    def update(
        self,
        now_us: int,
        feedback: Feedback,
        lines: Lines,
        *,
        is_calm: Bools | None = None,
        has_calm: bool = True,
    ) -> tuple[Estimates, list[ProbeOrder]]:
        """Take in what was reported since the last update.

        Args:
            now_us: the sender's monotonic clock, that of `Feedback.sent_us`.
            feedback: rows of all lines, mixed as they came.
            lines: arrays at least as long as the highest open slot.
            is_calm: by slot, lines that are strong: their delay is looked at in longer groups of
                packets, which costs a tenth. Queues show all the same.
            has_calm: `feedback` has their rows. Else nothing is concluded of them: the rows are
                kept for a later update.

        Returns:
            The estimates, and probes to be sent now.
        """
        constants, is_open = self._constants, self._is_open
        # A clock that stands still or goes back stands still here.
        now_us = max(now_us, self._updated_us or 0)
        elapsed_us = now_us - (now_us if self._updated_us is None else self._updated_us)
        self._updated_us = now_us
        lines = fit_lines(lines, len(is_open))
        calm = fit_flags(() if is_calm is None else is_calm, len(is_open))
        is_away = calm & (not has_calm)
        rtt_us = sane_rtt(lines.rtt_us)
        batch, dropped = sort_rows(feedback, now_us, is_open, constants)
        self.dropped_rows += dropped

        got = batch.where(batch.received_us > 0)
        returned = silence.hear(self._silences, got.slots, now_us)
        self._restart(returned, now_us)
        silence.watch(self._silences, is_open, is_away, lines, rtt_us, now_us, constants)

        is_fresh = batch.sent_us >= self._silences.fresh_from_us[batch.slots][batch.owner]
        fresh = batch.where(is_fresh)
        missing_us = find_missing(self._gaps, fresh, constants)
        self._take_loss(fresh, missing_us, now_us)
        got = got if fresh is batch else fresh.where(fresh.received_us > 0)
        self._take_delay(got, missing_us, calm, lines, rtt_us, now_us)
        by_report = np.flatnonzero(is_open & ~lines.has_twcc)
        target = self._rates.target_bps
        if len(by_report):
            reports.adapt_by_reports(self._reports, target, by_report, lines, now_us, constants)
            has_remb = by_report[lines.remb_bps[by_report] > 0]
            target[has_remb] = np.minimum(target[has_remb], self._remb_limit(lines, has_remb))
        orders = self._probe(batch, lines, now_us, elapsed_us)
        np.clip(target, constants.min_bps, constants.max_bps, out=target)
        return self._estimates(lines, got.slots, now_us), orders

    def _remb_limit(self, lines: Lines, slots: NDArray[np.intp]) -> Floats:
        """What receivers estimate; but one who sees little sent estimates little, and a line that
        loses nothing of it must be able to show more."""
        constants = self._constants
        is_calm = ~(lines.loss[slots] >= constants.report_low_loss)
        more_bps = constants.remb_headroom * lines.sent_bps[slots] + constants.remb_headroom_bps
        more_bps = np.maximum(more_bps, constants.report_step * lines.next_bps[slots])
        limit: Floats = np.maximum(lines.remb_bps[slots], np.where(is_calm, more_bps, 0.0))
        return limit

    def _restart(self, returned: silence.Returned, now_us: int) -> None:
        """Go on after a silence with a share of what there was, and learn the delay anew."""
        slots, constants = returned.slots, self._constants
        if len(slots) == 0:
            return
        self._groups.reset(slots)
        self._queues.reset(slots)
        self._gaps.reset(slots)
        self._arrivals.reset(
            slots, "has_window", "window_bytes", "missing_us", "full_since_us", "full_bps"
        )
        self._trends.reset(
            slots, "num_deltas", "accumulated_ms", "smoothed_ms", "held", "previous_trend",
            "over_us", "over_count", "updated_ms",
        )  # fmt: skip
        self._losses.reset(
            slots, "has_open", "open_packets", "open_lost", "open_bytes", "open_missing_us"
        )
        share = np.where(returned.silent_us > constants.long_stall_us, constants.return_share, 1.0)
        self._rates.target_bps[slots] *= share
        self._rates.is_holding[slots] = True
        self._probes.number[slots] = 0
        self._probes.next_us[slots] = now_us
        self._probes.interval_us[slots] = 0

    def _take_loss(self, fresh: Batch, missing_us: Floats, now_us: int) -> None:
        # Probes may lose packets because they are probes.
        plain = fresh.where(fresh.probe == 0)
        new = loss.observe(self._losses, plain, missing_us, self._constants)
        if len(new):
            loss.limit_by_loss(
                self._losses,
                new,
                self._rates.target_bps,
                self._arrivals.smooth_bps,
                self._queues.queue_us,
                now_us,
                self._constants,
            )

    def _passing(self, arriving_bps: Floats, slots: NDArray[np.intp]) -> Floats:
        """What the line would deliver if it lost nothing by nature."""
        passing: Floats = arriving_bps / (1.0 - self._losses.inherent[slots])
        return passing

    def _take_delay(
        self, got: Batch, missing_us: Floats, calm: Bools, lines: Lines, rtt_us: Floats, now_us: int
    ) -> None:
        constants = self._constants
        slots = got.slots
        if len(slots) == 0:
            return
        measured = self._queues.queue_us[slots]
        is_under_way = self._probes.number != 0
        queueing.measure_queues(self._queues, got, is_under_way, now_us, constants)
        queue = self._queues.queue_us[slots]
        jitter = self._queues.jitter_us[slots]
        waits = queue > constants.quiet_queue_us + jitter
        measure_arrivals(self._arrivals, got, missing_us, waits, constants)
        is_overused, is_underused = self._signals(got, slots, calm)
        queue = self._queues.queue_us[slots]
        target = self._rates.target_bps[slots]
        rise = queue - np.nan_to_num(measured)
        # Delay that grows while the quickest packets do not wait is jitter; who sends less than the
        # line is believed to carry needs to be surer.
        usual_bps = self._passing(self._arrivals.smooth_bps[slots], slots)
        is_eager = (lines.sent_bps[slots] >= constants.eager_share * target) & (
            usual_bps >= constants.eager_usual_share * target
        )
        is_overused &= waits | (is_eager & (queue > constants.quiet_queue_us))
        # On a narrow line each key frame is a queue for a moment.
        burst_us = np.minimum(constants.burst_bytes * 8e6 / target, constants.burst_most_us)
        jitters = constants.jump_jitters * jitter + burst_us
        is_sudden = (queue > constants.jump_queue_us + jitters) & (
            rise > constants.jump_rise_us + jitters
        )
        # A probe leaves a queue that drains by itself.
        is_probing = self._probes.number[slots] != 0
        is_probing |= now_us - self._probes.ended_us[slots] < constants.probe_settle_us
        is_sudden &= ~is_probing
        is_overused = is_sudden | (is_overused & ~is_probing)
        is_urgent = queueing.find_standing(self._queues, slots, now_us, constants) & ~is_probing
        brake_queue_us = constants.brake_queue_us + burst_us
        is_urgent |= (queue > brake_queue_us) & (rise > constants.brake_rise_us)
        is_overused |= is_urgent
        seen = aimd.Seen(
            is_overused=is_overused,
            is_underused=is_underused,
            is_sudden=is_sudden | is_urgent,
            is_urgent=is_urgent,
            sent_bps=lines.sent_bps[slots],
            is_idle=(lines.sent_bps[slots] < constants.idle_share * target)
            & (queue < brake_queue_us),
            may_grow=(queue < constants.hold_queue_us + jitter) & ~lines.is_braking[slots],
            passing_bps=self._passing(
                self._arrivals.current_bps(slots, is_eager, constants), slots
            ),
            is_eager=is_eager,
            is_measured=self._arrivals.full_bps[slots] > 0,
            queue_us=queue,
            rtt_us=rtt_us[slots],
        )
        aimd.adapt(self._rates, slots, seen, now_us, constants)

    def _signals(self, got: Batch, slots: NDArray[np.intp], calm: Bools) -> tuple[Bools, Bools]:
        plain, constants = got.where(got.probe == 0), self._constants
        burst_us = np.where(calm[plain.slots], constants.coarse_burst_us, constants.burst_us)
        deltas = group_rows(self._groups, plain, burst_us, constants)
        broken = plain.slots[deltas.is_broken]
        self._trends.reset(broken)
        self._queues.reset(broken)
        over, under = trendline.find_signals(self._trends, plain.slots, deltas, constants)
        is_over = np.zeros(len(self._is_open), np.bool_)
        is_under = np.zeros(len(self._is_open), np.bool_)
        is_over[plain.slots] = over & ~deltas.is_broken
        is_under[plain.slots] = under
        return is_over[slots], is_under[slots]

    def _probe(self, batch: Batch, lines: Lines, now_us: int, elapsed_us: int) -> list[ProbeOrder]:
        constants, rates, probes = self._constants, self._rates, self._probes
        queue = self._queues.queue_us
        is_clear = lines.has_twcc & ~self._silences.is_stalled & ~lines.is_braking
        # Of a line on which nothing is sent nothing is heard either; only a probe ends that.
        is_idle = lines.sent_bps < constants.stall_min_sent_bps
        is_clear &= (now_us - self._silences.heard_us < constants.stall_us) | is_idle
        # A queue that nothing has been added to for its own length is gone.
        queue[is_idle & (now_us - self._silences.heard_us > queue)] = 0.0
        is_clear &= (self._silences.heard_us > 0) & (now_us - rates.overused_us > 300_000)
        is_clear &= ~(queue > constants.quiet_queue_us + self._queues.jitter_us)
        is_clear &= ~self._losses.is_decreasing
        situation = probing.Situation(
            target_bps=np.minimum(rates.target_bps, self._losses.limit_bps),
            needed_bps=lines.needed_bps,
            next_bps=lines.next_bps,
            cost_factor=lines.cost_factor,
            capacity_bps=rates.capacity_bps,
            is_clear=is_clear,
            jitter_us=self._queues.jitter_us,
            inherent=self._losses.inherent,
        )
        if len(batch.slots):
            probing.collect(probes, batch)
        slots, shown = probing.finish(probes, situation, now_us, constants)
        self._correct_guesses(slots, shown)
        up = slots[shown > situation.target_bps[slots]]
        rates.target_bps[slots] = np.maximum(rates.target_bps[slots], shown)
        beyond = up[rates.target_bps[up] > constants.probe_beyond * rates.capacity_bps[up]]
        rates.capacity_bps[beyond] = np.nan
        self._take_ends(slots, shown)
        self._losses.limit_bps[up] = np.inf
        self._remember_good(now_us, elapsed_us)
        situation = situation._replace(
            target_bps=np.minimum(rates.target_bps, self._losses.limit_bps)
        )
        proven_bps = self._proven(now_us)
        orders = probing.order(
            probes, self._is_open, situation, proven_bps, now_us, self._next_probe, constants
        )
        self._next_probe += len(orders)
        return orders

    def _proven(self, now_us: int) -> Floats:
        """What the last probe of each line showed, while nothing has told otherwise."""
        probes = self._probes
        is_old = now_us - probes.ended_us > self._constants.probe_proof_us
        is_old |= (self._rates.decreased_us > probes.ended_us) | self._losses.is_decreasing
        return np.where(is_old, 0.0, probes.shown_bps)

    def _take_ends(self, slots: NDArray[np.intp], shown_bps: Floats) -> None:
        """A long probe that comes slower than it went shows where a line ends, if no queue did. The
        estimate must not grow beyond while little is sent, or the next key frame is a queue."""
        constants, probes = self._constants, self._probes
        enough_us = constants.probe_end_jitters * self._queues.jitter_us[slots]
        is_long = probes.duration_us[slots] >= np.maximum(enough_us, constants.probe_end_us)
        is_end = probes.is_full[slots] & is_long & np.isnan(self._rates.capacity_bps[slots])
        end_bps = constants.probe_end * shown_bps / constants.probe_saturated_share
        self._rates.capacity_bps[slots[is_end]] = end_bps[is_end]

    def _correct_guesses(self, slots: NDArray[np.intp], shown_bps: Floats) -> None:
        """The first probe of an unknown line that shows something replaces the guess it began with,
        downwards, too: a line narrower than the guess would fill before it is measured."""
        has_shown = shown_bps > 0
        told = slots[has_shown & self._is_guess[slots]]
        shown = np.zeros(len(self._is_open))
        shown[slots] = shown_bps
        target = self._rates.target_bps
        target[told] = np.minimum(target[told], shown[told] / self._constants.probe_saturated_share)
        self._is_guess[slots[has_shown]] = False

    def _remember_good(self, now_us: int, elapsed_us: int) -> None:
        constants, probes, rates = self._constants, self._probes, self._rates
        passing = self._arrivals.smooth_bps / (1.0 - self._losses.inherent)
        proven = np.minimum(rates.target_bps, passing)
        has_fallen = rates.target_bps < constants.broken_share * probes.good_bps
        is_broken = (rates.decreased_us > probes.promised_us) & has_fallen
        is_broken |= self._losses.is_decreasing
        probing.remember_good(
            probes, rates.target_bps, proven, is_broken, now_us, elapsed_us, constants
        )

    def _estimates(self, lines: Lines, heard: NDArray[np.intp], now_us: int) -> Estimates:
        constants, losses = self._constants, self._losses
        target = np.minimum(self._rates.target_bps, losses.limit_bps)
        reported = np.clip(np.nan_to_num(lines.loss), 0.0, 1.0)
        is_heard = np.zeros(len(self._is_open), np.bool_)
        is_heard[heard] = True
        # Without transport feedback nothing tells one loss from another.
        is_losing = losses.limit_bps < self._rates.target_bps
        is_losing |= ~lines.has_twcc & (reported > constants.report_low_loss)
        return Estimates(
            target_bps=np.clip(target, constants.min_bps, constants.max_bps),
            proven_bps=self._proven(now_us),
            is_full=self._probes.is_full.copy(),
            acked_bps=self._arrivals.smooth_bps.copy(),
            loss=np.where(losses.num_held > 0, losses.average, reported),
            queue_us=self._queues.queue_us.copy(),
            jitter_us=self._queues.jitter_us.copy(),
            is_heard=is_heard,
            is_losing=is_losing,
            is_stalled=self._silences.is_stalled.copy(),
        )
