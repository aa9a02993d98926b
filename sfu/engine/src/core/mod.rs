//! The sans-IO forwarding core.
//!
//! Call order: feed everything that arrived ([`Core::handle_datagram`], [`Core::apply`]), run what
//! is due ([`Core::handle_timeout`]), then [`Core::flush`], then [`Core::poll_event`] until empty.

mod brake;
mod bundle;
mod carriage;
mod commands;
mod compose;
mod counters;
mod dispatch;
mod early;
mod fanout;
mod feedback;
mod ice;
mod ingress;
mod pacer;
mod pacing;
mod probe;
mod protect;
mod queues;
mod repeats;
mod reports;
mod resend;
mod rows;
mod slab;
mod speakers;
mod taps;
mod timers;
mod transport;
mod uplink;

pub use counters::Counters;
pub use rows::TRANSPORT_ROW_BYTES;

use std::collections::HashMap;

use crate::api::{Event, Local, Micros, Path, SourceId, TapFrame, TapId};
use crate::media::sink::Sink;
use crate::media::source::Source;
use crate::media::tap::Tap;

use bundle::Bundle;
use pacing::PacedList;
use queues::{Events, Replies, TwccRows};
use slab::Slab;
use speakers::Speakers;
use timers::Timers;
use transport::Transport;

/// A replay or a switch under way goes on this often.
const MOTION_INTERVAL_US: Micros = 5_000;
/// Waiting sinks, changed activity and taps with gaps are looked after this often.
const TICK_INTERVAL_US: Micros = 50_000;

/// Takes finished datagrams.
pub trait Egress {
    /// Sends `data` to `path`. `segment` is the size of every datagram in `data` but the last,
    /// which may be shorter (a GSO bundle); `None` means that `data` is one datagram.
    fn send(&mut self, path: Path, data: &[u8], segment: Option<usize>);
}

/// All transports, sources, sinks and taps of one media thread.
pub struct Core {
    counters: Counters,
    random: Random,
    transports: Slab<Transport>,
    sources: Slab<Source>,
    sinks: Slab<Sink>,
    taps: Slab<Tap>,
    speakers: Speakers,
    /// Keyed hash (SipHash): remote addresses are chosen by strangers.
    by_path: HashMap<Path, u32>,
    by_ufrag: HashMap<Vec<u8>, u32>,
    events: Events,
    replies: Replies,
    /// ICE-TCP connections that are of no use any more.
    given_up: Vec<u32>,
    twcc_rows: TwccRows,
    timers: Timers,
    /// Sources with packets that arrived since the last flush.
    dirty: Vec<u32>,
    /// Sinks that wait for a start, replay or switch.
    busy: Vec<u32>,
    /// They are to be looked after in the next flush: one joined, or it is time.
    is_busy_due: bool,
    /// Packets that subscribers asked for since the last flush.
    asked: Vec<resend::Asked>,
    /// Transports with a budget that have something waiting.
    paced: PacedList,
    /// Transports whose reports are to be looked at in the next flush.
    reporting: Vec<u32>,
    tick_due_us: Micros,
    motion_due_us: Micros,
    bundle: Bundle,
    scratch: reports::Scratch,
}

impl Core {
    /// An empty core. `seed` drives everything random, so that a run can be repeated.
    pub fn new(seed: u64) -> Core {
        Core {
            counters: Counters::default(),
            random: Random(seed),
            transports: Slab::new(),
            sources: Slab::new(),
            sinks: Slab::new(),
            taps: Slab::new(),
            speakers: Speakers::default(),
            by_path: HashMap::new(),
            by_ufrag: HashMap::new(),
            events: Events::default(),
            replies: Replies::default(),
            given_up: Vec::new(),
            twcc_rows: TwccRows::default(),
            timers: Timers::default(),
            dirty: Vec::new(),
            busy: Vec::new(),
            is_busy_due: false,
            asked: Vec::new(),
            paced: PacedList::default(),
            reporting: Vec::new(),
            tick_due_us: 0,
            motion_due_us: Micros::MAX,
            bundle: Bundle::new(),
            scratch: reports::Scratch::default(),
        }
    }

    /// An ICE-TCP connection ended: its path is forgotten.
    pub fn handle_closed(&mut self, now: Micros, local: Local) {
        let gone: Vec<(Path, u32)> = self
            .by_path
            .iter()
            .filter(|(path, _)| path.local == local)
            .map(|(&path, &index)| (path, index))
            .collect();
        for (path, index) in gone {
            self.by_path.remove(&path);
            if let Some(transport) = self.transports.get_mut(index) {
                transport.ice.forget(path);
            }
            self.announce_transport(now, index);
            self.timers.schedule(index, now);
        }
    }

    /// Runs what is due at `now`.
    pub fn handle_timeout(&mut self, now: Micros) {
        while let Some(index) = self.timers.pop_due(now) {
            self.reporting.push(index);
        }
        if self.tick_due_us <= now {
            self.tick_due_us = now + TICK_INTERVAL_US;
            self.tick(now);
        }
    }

    /// When `handle_timeout` should be called next at the latest; `Micros::MAX` = nothing waits.
    pub fn next_timeout(&self) -> Micros {
        let tick = if self.needs_tick() { self.tick_due_us } else { Micros::MAX };
        self.timers.next_due().min(tick).min(self.motion_due_us).min(self.paced.due_us)
    }

    /// How many subscribers wait for the rest of a frame of which the next flush would send the
    /// beginning; of the source that has most of them.
    pub fn mid_frame_sinks(&self) -> usize {
        let sources = self.dirty.iter().filter_map(|&index| self.sources.get(index));
        let waiting = sources.filter(|source| !source.is_held_back && source.is_mid_frame());
        waiting.map(|source| source.sinks.len()).max().unwrap_or(0)
    }

    /// The oldest waiting event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// An ICE-TCP connection that should be closed: its transport has newer ones, or is gone. To be
    /// asked after `flush`, which still sends on it.
    pub fn poll_given_up(&mut self) -> Option<u32> {
        self.given_up.pop()
    }

    /// Moves up to `max` complete frames of `tap` to the end of `out`.
    pub fn drain_tap(&mut self, tap: TapId, max: usize, out: &mut Vec<TapFrame>) {
        match self.taps.by_id_mut(tap.0) {
            Some(tap) => tap.drain(max, out),
            None => self.counters.stale_commands += 1,
        }
    }

    /// Moves the collected rows of `TWCC_DTYPE` to the end of `out`, oldest first.
    pub fn drain_twcc(&mut self, out: &mut Vec<u8>) {
        self.twcc_rows.drain(out);
    }

    /// Engine-wide counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn needs_tick(&self) -> bool {
        !self.sources.is_empty()
    }

    /// Sends news of a transport's state or path, if there are any and it is time for them.
    fn announce_transport(&mut self, now: Micros, index: u32) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        if let Some((state, path)) = transport.ice.take_news(now, &mut self.counters.held_events) {
            let transport = crate::api::TransportId(transport.id);
            self.events.push(Event::Transport { transport, state, path }, &mut self.counters);
        } else if let Some(due) = transport.ice.news_due_us() {
            self.timers.schedule(index, due);
        }
    }

    /// Somebody needs a key frame of an encoding.
    fn want_key(&mut self, now: Micros, source: u32, encoding: u8) {
        let Some(source) = self.sources.get_mut(source) else {
            return;
        };
        source.want_key(now, encoding);
        let Some(transport) = source.transport else {
            // Its encoder is in this process. Who waits asks again, so nothing is lost in between.
            let (id, mask) = (SourceId(source.id), source.poll_own_keys(now));
            for encoding in (0..8).filter(|at| mask & (1 << at) != 0) {
                self.events.push(Event::KeyWanted { source: id, encoding }, &mut self.counters);
            }
            return;
        };
        if let Some(due) = source.next_request_us(now) {
            self.timers.schedule(transport, due.max(now));
        }
    }

    fn mark_busy(&mut self, sink: u32) {
        self.is_busy_due = true;
        let unlisted = self.sinks.get_mut(sink).filter(|one| !one.is_listed_busy);
        if let Some(one) = unlisted {
            one.is_listed_busy = true;
            self.busy.push(sink);
        }
    }
}

/// Lists a source for the next flush: its log has something that subscribers are to get, and only
/// that flush clears it.
fn mark_dirty(dirty: &mut Vec<u32>, index: u32, source: &mut Source) {
    if !source.is_dirty {
        source.is_dirty = true;
        dirty.push(index);
    }
}

/// SplitMix64: enough for numbers that only have to differ from run to run.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u16(&mut self) -> u16 {
        (self.next_u64() >> 48) as u16
    }
}
