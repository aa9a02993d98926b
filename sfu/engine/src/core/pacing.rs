//! Serving transports that have a budget: what waits in the rings, probes, and copies in advance.

use crate::api::{Event, Micros, SinkId};
use crate::media::flow::Pace;

use super::fanout::{Step, pull_sink};
use super::pacer::Pacer;
use super::probe::Cluster;
use super::protect::{pad, repeat_newest, send_copies};
use super::{Core, Egress};

/// Transports with something that goes on by itself.
#[derive(Debug)]
pub struct PacedList {
    list: Vec<u32>,
    /// When the first of them is due.
    pub due_us: Micros,
}

impl Default for PacedList {
    fn default() -> PacedList {
        PacedList { list: Vec::new(), due_us: Micros::MAX }
    }
}

impl PacedList {
    /// The transport at `index` goes on at `due_us` at the latest.
    pub fn add(&mut self, index: u32, pacer: &mut Pacer, due_us: Micros) {
        pacer.due_us = if pacer.is_listed { pacer.due_us.min(due_us) } else { due_us };
        if !pacer.is_listed {
            pacer.is_listed = true;
            self.list.push(index);
        }
        self.due_us = self.due_us.min(due_us);
    }

    /// A transport is gone.
    pub fn remove(&mut self, index: u32) {
        self.list.retain(|&at| at != index);
    }
}

/// Rounds over the sinks of one transport per service; each sends at least one packet.
const MAX_ROUNDS: usize = 128;
/// After a longer pause nobody waits for what was asked for before it.
const STALE_HOLD_US: Micros = 300_000;
/// Smaller probes are filled with padding only.
const SMALL_CLUSTER_BYTES: u64 = 7_200;

impl Core {
    /// Takes a new budget.
    pub(super) fn set_budget(&mut self, now: Micros, id: u32, rate_bps: u32) -> Option<()> {
        let index = self.transports.index(id)?;
        let transport = self.transports.get_mut(index)?;
        transport.pacer.set_budget(now, rate_bps);
        transport.early.start();
        if transport.pacer.is_listed {
            self.list_paced(index, now);
        }
        for at in 0..self.transports.get(index)?.sinks.len() {
            let sink = self.transports.get(index)?.sinks[at];
            // Without a budget what waits is caught up with at the pace of a replay.
            if rate_bps == 0 {
                self.mark_busy(sink);
            }
        }
        Some(())
    }

    /// Starts a probe; an earlier one of the same transport ends.
    pub(super) fn start_probe(
        &mut self,
        now: Micros,
        id: u32,
        probe: u32,
        rate_bps: u32,
        duration_us: u32,
    ) -> Option<()> {
        let index = self.transports.index(id)?;
        let transport = self.transports.get_mut(index)?;
        let can_send = transport.media_path().is_some() && !transport.pacer.brake.is_holding(now);
        let cluster = Cluster::new(now, rate_bps, duration_us);
        let Some(cluster) = cluster.filter(|_| can_send && probe != 0) else {
            self.counters.probes_refused += 1;
            return Some(());
        };
        transport.pacer.cluster = Some(cluster);
        transport.pacer.brake.expect(now, cluster.bytes(), Micros::from(duration_us));
        transport.sent.set_probe(probe);
        self.counters.probes += 1;
        self.list_paced(index, now);
        Some(())
    }

    /// Orders copies in advance for a sink.
    pub(super) fn set_protection(&mut self, id: u32, copies: u8) -> Option<()> {
        let index = self.sinks.index(id)?;
        self.sinks.get_mut(index)?.output.set_copies(copies);
        Some(())
    }

    /// A transport has something that goes on by itself at `due`.
    fn list_paced(&mut self, index: u32, due: Micros) {
        if let Some(transport) = self.transports.get_mut(index) {
            self.paced.add(index, &mut transport.pacer, due);
        }
    }

    /// Serves the transports whose time has come.
    pub(super) fn serve_paced(&mut self, now: Micros, out: &mut dyn Egress) {
        if now < self.paced.due_us {
            return;
        }
        let mut due = std::mem::take(&mut self.paced);
        due.list.retain(|&index| {
            let known = self.transports.get(index).filter(|one| one.pacer.is_listed);
            let Some(due_us) = known.map(|one| one.pacer.due_us) else {
                return false;
            };
            let next_us =
                if due_us <= now { self.serve_transport(now, index, out) } else { Some(due_us) };
            if let Some(transport) = self.transports.get_mut(index) {
                transport.pacer.is_listed = next_us.is_some();
                transport.pacer.due_us = next_us.unwrap_or(Micros::MAX);
            }
            self.paced.due_us = self.paced.due_us.min(next_us.unwrap_or(Micros::MAX));
            next_us.is_some()
        });
        // Those that were listed meanwhile.
        due.list.append(&mut self.paced.list);
        self.paced.list = due.list;
    }

    /// Pictures wait until then, and so does what makes the queue longer: a probe is over.
    pub(super) fn hold(&mut self, now: Micros, index: u32, until_us: Micros) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        if until_us > now && transport.pacer.cluster.take().is_some() {
            transport.sent.set_probe(0);
            self.counters.probes_unfilled += 1;
        }
        self.list_paced(index, until_us);
    }

    /// Sends what there is room for; returns when to go on, if anything is left to do.
    fn serve_transport(&mut self, now: Micros, index: u32, out: &mut dyn Egress) -> Option<Micros> {
        let transport = self.transports.get_mut(index)?;
        if let Some(held_us) = transport.pacer.brake.take_hold_end(now) {
            self.counters.holds += 1;
            self.counters.held_ms += held_us / 1000;
            if held_us >= STALE_HOLD_US {
                transport.held.clear();
            }
            self.go_on(now, index, held_us);
        }
        let hold_us = self.transports.get(index)?.pacer.brake.hold_until_us();
        let next_us = self.serve_rest(now, index, out);
        next_us.into_iter().chain(hold_us).min()
    }

    fn serve_rest(&mut self, now: Micros, index: u32, out: &mut dyn Egress) -> Option<Micros> {
        if self.transports.get(index)?.pacer.is_trickle_due(now) {
            self.fill_probe(now, index, out);
        }
        let has_waiting = self.serve_waiting(now, index, out);
        let mut next_us = self.serve_probe(now, index, out);
        if !has_waiting {
            let copy_us = self.serve_copies(now, index, out);
            next_us = next_us.into_iter().chain(copy_us).min();
        }
        let pacer = &mut self.transports.get_mut(index)?.pacer;
        pacer.has_waiting = has_waiting;
        let room_us = (has_waiting || pacer.cluster.is_some()).then(|| pacer.next_room_us(now));
        next_us.into_iter().chain(room_us).min()
    }

    /// Sinks that lag behind, oldest packet first. True if some still wait.
    fn serve_waiting(&mut self, now: Micros, index: u32, out: &mut dyn Egress) -> bool {
        let has_held = self.resend_held(now, index, out);
        for _ in 0..MAX_ROUNDS {
            let Some(sink) = self.find_oldest(now, index) else {
                return has_held;
            };
            let Some(transport) = self.transports.get_mut(index) else {
                return false;
            };
            let rtt_us = transport.rtt_us;
            let pace = transport.pacer.pace(now, rtt_us);
            if transport.media_path().is_none() {
                return false;
            }
            match pace {
                None => {
                    // The budget was lifted: the sink goes on as a replay.
                    self.mark_busy(sink);
                    return false;
                }
                Some(pace) if pace.room > 0 => {
                    let pace = Pace { is_rerun: true, ..pace };
                    if !self.pull_waiting(now, sink, pace, out) {
                        return true;
                    }
                }
                Some(_) => return true,
            }
        }
        true
    }

    /// The sink of a transport whose oldest waiting packet is the oldest of all.
    fn find_oldest(&self, now: Micros, index: u32) -> Option<u32> {
        let sinks = &self.transports.get(index)?.sinks;
        let lag_us = |at: u32| {
            let sink = self.sinks.get(at).filter(|sink| sink.flow.is_behind())?;
            let source = self.sources.get(sink.source?).filter(|source| !source.is_muted)?;
            Some(sink.flow.lag_us(now, &source.encodings))
        };
        let waiting = sinks.iter().filter_map(|&at| Some((lag_us(at)?, at)));
        waiting.max().map(|(_, at)| at)
    }

    /// False if nothing left although there was room.
    fn pull_waiting(&mut self, now: Micros, at: u32, pace: Pace, out: &mut dyn Egress) -> bool {
        let Some(sink) = self.sinks.get_mut(at) else {
            return false;
        };
        let source_index = sink.source;
        let source = source_index.and_then(|source| self.sources.get_mut(source));
        let Some((source, transport)) = source.zip(self.transports.get_mut(sink.transport)) else {
            return false;
        };
        let before = sink.output.counts.packets;
        let step = Step { now, egress: out, counters: &mut self.counters };
        let result = pull_sink(step, source, sink, transport, &mut self.bundle, Some(pace));
        let is_sent = sink.output.counts.packets > before || !sink.flow.is_behind();
        if sink.flow.is_busy() {
            self.mark_busy(at);
        }
        if result.is_started {
            let (sink, transport) =
                self.sinks.get(at).map_or((0, 0), |one| (one.id, one.transport));
            self.events.push(Event::SinkStarted { sink: SinkId(sink) }, &mut self.counters);
            self.timers.schedule(transport, now);
        }
        if let Some(source) = source_index {
            self.want_keys(now, source, result.needs_key);
        }
        is_sent
    }

    /// Fills a probe with copies of recent packets, or padding; ends one that is done.
    fn serve_probe(&mut self, now: Micros, index: u32, out: &mut dyn Egress) -> Option<Micros> {
        for _ in 0..MAX_ROUNDS {
            let transport = self.transports.get_mut(index)?;
            let cluster = transport.pacer.cluster?;
            if cluster.is_done() || cluster.is_late(now) || transport.media_path().is_none() {
                self.counters.probes_unfilled += u64::from(!cluster.is_done());
                transport.pacer.cluster = None;
                transport.sent.set_probe(0);
                return None;
            }
            if cluster.room(now) <= 0 {
                return Some(transport.pacer.next_room_us(now));
            }
            if !self.fill_probe(now, index, out) {
                // Nobody here could be sent anything: no retransmission stream was negotiated.
                self.counters.probes_unfilled += 1;
                let transport = self.transports.get_mut(index)?;
                transport.pacer.cluster = None;
                transport.sent.set_probe(0);
                return None;
            }
        }
        Some(now + 1)
    }

    fn fill_probe(&mut self, now: Micros, index: u32, out: &mut dyn Egress) -> bool {
        let num_sinks = self.transports.get(index).map_or(0, |transport| transport.sinks.len());
        // Of a small cluster copies would be two or three packets, which tell nothing: padding is
        // cut small.
        let cluster = self.transports.get(index).and_then(|transport| transport.pacer.cluster);
        let is_small = cluster.is_some_and(|cluster| cluster.bytes() < SMALL_CLUSTER_BYTES);
        for may_pad in [is_small, !is_small] {
            for at in 0..num_sinks {
                let Some(transport) = self.transports.get_mut(index) else {
                    return false;
                };
                let Some(sink) = self.sinks.get_mut(transport.sinks[at]) else {
                    continue;
                };
                let source = sink.source.and_then(|source| self.sources.get(source));
                let step = Step { now, egress: &mut *out, counters: &mut self.counters };
                let is_sent = match (may_pad, source) {
                    (false, Some(source)) => {
                        repeat_newest(step, source, sink, transport, &mut self.bundle)
                    }
                    (false, None) => false,
                    (true, _) => pad(step, sink, transport, &mut self.bundle),
                };
                if is_sent {
                    return true;
                }
            }
        }
        false
    }

    /// Copies in advance, of all sinks of a transport; returns when the next one is due.
    fn serve_copies(&mut self, now: Micros, index: u32, out: &mut dyn Egress) -> Option<Micros> {
        let mut next_us: Option<Micros> = None;
        let num_sinks = self.transports.get(index)?.sinks.len();
        for at in 0..num_sinks {
            let transport = self.transports.get_mut(index)?;
            let Some(sink) = self.sinks.get_mut(transport.sinks[at]) else {
                continue;
            };
            let Some(source) = sink.source.and_then(|source| self.sources.get(source)) else {
                continue;
            };
            let step = Step { now, egress: &mut *out, counters: &mut self.counters };
            let due_us = send_copies(step, source, sink, transport, &mut self.bundle);
            next_us = next_us.into_iter().chain(due_us).min();
        }
        next_us
    }

    /// The peer is heard again after a silence: video starts at once.
    pub(super) fn resume(&mut self, now: Micros, index: u32, silent_for_us: Micros) {
        self.counters.brake_ends += 1;
        self.go_on(now, index, silent_for_us);
    }

    /// Video goes on after it stood still for so long.
    fn go_on(&mut self, now: Micros, index: u32, stood_us: Micros) {
        let num_sinks = self.transports.get(index).map_or(0, |transport| transport.sinks.len());
        for at in 0..num_sinks {
            let Some(transport) = self.transports.get(index) else {
                return;
            };
            let sink_index = transport.sinks[at];
            let Some(sink) = self.sinks.get_mut(sink_index) else {
                continue;
            };
            if stood_us >= super::brake::STALE_SILENCE_US && !sink.flow.is_audio() {
                sink.flow.restart();
            }
            if sink.flow.is_busy() {
                self.mark_busy(sink_index);
            }
        }
        self.list_paced(index, now);
    }
}
