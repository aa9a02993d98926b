//! What one subscriber gets of one source: which encoding, from where, in which order, with which
//! numbers. Decides only; sealing and sending are the caller's.
//!
//! A flow waits for a key frame, replays from it (paced) until it has caught up, and is then live.
//! A switch to another encoding is the same again, after the frame in hand is finished.

mod arrivals;
mod pace;
mod replay;
mod seek;
mod temporal;
#[cfg(test)]
mod tests;

use crate::api::{Layers, Micros};

use super::clock::Timeline;
use super::encoding::Encoding;
use super::keyframes::KeyMark;
use super::rewrite::Epoch;
use super::ring::View;
use arrivals::{late, outgoing};
use pace::Lag;
pub use pace::Pace;

/// A switch away from a running layer replays less than a join does: the viewer already has a
/// picture, and every replayed frame costs the link that the switch may be meant to relieve.
const SWITCH_AGE_US: Micros = 1_000_000;
/// What may leave at once when a replay starts or resumes.
const REPLAY_BURST_BYTES: i64 = 10_000;

/// One packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What it is made of.
    pub content: Content,
    /// Epoch it belongs to.
    pub epoch_id: u8,
    /// Number it leaves with.
    pub out_seq_ext: u64,
    /// Timestamp it leaves with.
    pub out_ts: u32,
    /// VP8 picture id it leaves with.
    pub pid: Option<u16>,
    /// VP8 TL0PICIDX it leaves with.
    pub tl0: Option<u8>,
    /// Audio: how many packets right before it belong to the same unbroken stretch.
    pub reach: u8,
}

impl Outgoing {
    /// A packet without numbers.
    pub fn of(content: Content) -> Outgoing {
        Outgoing { content, epoch_id: 0, out_seq_ext: 0, out_ts: 0, pid: None, tl0: None, reach: 0 }
    }
}

/// Where a packet's payload comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// This packet of the encoding's ring.
    Stored(u64),
    /// The encoding's cached parameter sets.
    Params,
    /// Nothing: fills a number that was kept for a packet which is not to be seen.
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Replaying,
    Live,
}

/// What a pull ran into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// The ring was overwritten before the replay got there.
    pub is_overrun: bool,
    /// A group of pictures was taken from the cache.
    pub is_replay_started: bool,
    /// This encoding has to send a key frame.
    pub needs_key: Option<u8>,
    /// What waited for room was given up for a newer key frame.
    pub has_jumped: bool,
}

/// Numbers that a flow starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowStart {
    /// First sequence number. Random for a fresh SSRC (RFC 3550 §5.1), in the lower half, as SRTP
    /// starts at roll-over 0; after the last one for an SSRC that was in use.
    pub out_seq_ext: u64,
    /// Random, or the last timestamp of an SSRC that was in use.
    pub out_ts: u32,
    /// When that last timestamp left; `None` for a fresh SSRC.
    pub used_us: Option<Micros>,
}

/// State of one subscription's media.
#[derive(Debug)]
pub struct Flow {
    layers: Layers,
    target: u8,
    is_audio: bool,
    phase: Phase,
    epoch: Option<Epoch>,
    /// The epoch before, and until when its late packets are taken.
    tail: Option<(Epoch, Micros)>,
    /// A switch or a jump waits until then for the frame in hand.
    drain_until_us: Option<Micros>,
    /// Timestamp of the frame in hand, `None` when it is complete.
    open_ts: Option<u32>,
    /// Highest temporal layer going out now.
    temporal: u8,
    /// Timestamps of pictures being left out, and of one that goes out although it is filtered.
    left_out_ts: Option<u32>,
    exempt_ts: Option<u32>,
    from: FlowStart,
    base_ts: u32,
    last_out_ts: u32,
    last_out_us: Micros,
    last_pid: u16,
    last_tl0: u8,
    /// Timestamp of the newest key frame that went out, and when its last packet so far did.
    key_ts: Option<u32>,
    key_sent_us: Option<Micros>,
    replayed_us: Micros,
    replay_bytes: i64,
    lag: Lag,
    /// Audio starts with what arrived since then, instead of with the newest packet.
    start_us: Option<Micros>,
}

impl Flow {
    /// A flow that waits.
    pub fn new(is_audio: bool, layers: Layers, from: FlowStart) -> Flow {
        Flow {
            layers,
            target: layers.spatial,
            is_audio,
            phase: Phase::Waiting,
            epoch: None,
            tail: None,
            drain_until_us: None,
            open_ts: None,
            temporal: layers.temporal,
            left_out_ts: None,
            exempt_ts: None,
            from,
            base_ts: from.out_ts,
            last_out_ts: from.out_ts,
            last_out_us: 0,
            last_pid: from.out_seq_ext as u16 & 0x7fff,
            last_tl0: from.out_ts as u8,
            key_ts: None,
            key_sent_us: None,
            replayed_us: 0,
            replay_bytes: 0,
            lag: Lag::default(),
            start_us: None,
        }
    }

    /// Orders in force.
    pub fn layers(&self) -> Layers {
        self.layers
    }

    /// Encoding going out, if any.
    pub fn current(&self) -> Option<u8> {
        self.epoch.filter(|_| self.phase != Phase::Waiting).map(|epoch| epoch.encoding)
    }

    /// The running epoch with `id`, or the one before it while its tail is open.
    pub fn epoch(&self, id: u8) -> Option<&Epoch> {
        let tail = self.tail.as_ref().map(|(epoch, _)| epoch);
        self.epoch.as_ref().filter(|epoch| epoch.id == id).or(tail.filter(|epoch| epoch.id == id))
    }

    /// The running epoch.
    pub fn running(&self) -> Option<&Epoch> {
        self.epoch.as_ref().filter(|_| self.phase != Phase::Waiting)
    }

    /// When a packet of a key frame last went out.
    pub fn key_sent_us(&self) -> Option<Micros> {
        self.key_sent_us
    }

    /// Needs attention between arrivals: waits for a start, replays or is about to switch.
    pub fn is_busy(&self) -> bool {
        !self.layers.paused && (self.phase != Phase::Live || self.is_switching())
    }

    fn is_switching(&self) -> bool {
        self.epoch.is_some_and(|epoch| epoch.encoding != self.target)
    }

    /// Where another flow of the same SSRC has to go on.
    pub fn next_start(&self) -> FlowStart {
        match &self.epoch {
            None => self.from,
            Some(epoch) => FlowStart {
                out_seq_ext: epoch.next_out_seq_ext() + 1,
                out_ts: self.last_out_ts,
                used_us: Some(self.last_out_us),
            },
        }
    }

    /// The running clock: timestamp rule of the epoch going out, for sender reports.
    pub fn out_ts_of(&self, ts_rtp: u32) -> Option<u32> {
        self.running().map(|epoch| ts_rtp.wrapping_add(epoch.timestamps.offset()))
    }

    /// The way from a key frame to the newest packet is under way.
    pub fn is_replaying(&self) -> bool {
        self.phase == Phase::Replaying
    }

    /// A replay or a switch is under way, which goes on with time and not with arrivals. A paced
    /// one goes on with its pacer.
    pub fn is_in_motion(&self) -> bool {
        (self.is_replaying() && !self.lag.is_paced) || self.drain_until_us.is_some()
    }

    /// Takes new orders.
    pub fn set_layers(&mut self, layers: Layers) {
        if layers.paused && !self.layers.paused {
            self.stop();
        }
        self.layers = layers;
    }

    /// Stops; numbers go on where they are when media starts again (mute, pause, restart).
    pub fn stop(&mut self) {
        self.phase = Phase::Waiting;
        self.drain_until_us = None;
    }

    /// Starts anew with audio that arrived since `start_us` and did not go out.
    pub fn start_from(&mut self, start_us: Micros) {
        self.stop();
        self.start_us = Some(start_us);
    }

    /// Picks the encoding to aim at: the wanted one if active, else the next lower active one, else
    /// the lowest active one above, else stay.
    pub fn choose_target(&mut self, now: Micros, encodings: &[Encoding]) {
        let top = encodings.len().saturating_sub(1);
        let wanted = usize::from(self.layers.spatial).min(top);
        let mask = Encoding::active_mask(encodings, now);
        let is_active = |&index: &usize| mask & 1 << index != 0;
        let lower = (0..=wanted).rev().find(is_active);
        let higher = (wanted + 1..=top).find(is_active);
        self.target = match lower.or(higher) {
            Some(index) => index as u8,
            None => self.current().unwrap_or(wanted as u8),
        };
    }

    /// Encoding aimed at.
    pub fn target(&self) -> u8 {
        self.target
    }

    /// Starts anew from a cached key frame if it is young enough (the viewer lost its picture).
    pub fn restart_from_cache(&mut self, now: Micros, encodings: &[Encoding]) -> bool {
        let Some(epoch) = self.epoch.filter(|_| self.phase == Phase::Live) else {
            return false;
        };
        let key = encodings.get(usize::from(epoch.encoding)).and_then(|encoding| encoding.key);
        if !key.is_some_and(|key| is_young(now, &key, SWITCH_AGE_US)) {
            return false;
        }
        self.phase = Phase::Waiting;
        true
    }

    /// Takes what is to go out now: newly arrived packets, the next stretch of a replay, or the
    /// start of a switch. `emit` gets the packets in order; with a `pace` what there is no room for
    /// stays in the ring.
    pub fn pull(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        timeline: &mut Timeline,
        pace: Option<Pace>,
        mut emit: impl FnMut(&Encoding, Outgoing),
    ) -> Pulled {
        let mut pulled = Pulled::default();
        if self.layers.paused {
            return pulled;
        }
        self.check_restart(encodings);
        let is_rerun = pace.is_some_and(|pace| pace.is_rerun);
        if !is_rerun {
            self.emit_tail(now, encodings, &mut emit);
        }
        self.follow_pace(now, encodings, pace.as_ref(), &mut pulled);
        if self.phase == Phase::Waiting || self.is_switching() || self.drain_until_us.is_some() {
            self.seek(now, encodings, timeline, &mut pulled, &mut emit);
        }
        match self.phase {
            Phase::Waiting => {}
            Phase::Live if pace.is_none() => self.emit_log(now, encodings, &mut emit),
            Phase::Live | Phase::Replaying => {
                if !is_rerun {
                    self.emit_log(now, encodings, &mut emit);
                }
                pulled.is_overrun = self.replay(now, encodings, pace.as_ref(), &mut emit);
            }
        }
        pulled
    }

    /// A stream whose numbers started anew has to be entered anew (edge case 4).
    fn check_restart(&mut self, encodings: &[Encoding]) {
        let Some(epoch) = self.epoch.filter(|_| self.phase != Phase::Waiting) else {
            return;
        };
        if encodings[usize::from(epoch.encoding)].generation != epoch.generation {
            self.stop();
        }
    }

    /// The frame in hand is the last of this epoch, and `view` is not of it.
    fn is_leaving_at(&self, view: &View) -> bool {
        self.drain_until_us.is_some() && self.open_ts != Some(view.ts_rtp)
    }

    /// Decides on one packet of the running epoch.
    fn offer(&mut self, now: Micros, view: &View) -> Option<Outgoing> {
        let epoch = self.epoch.as_mut()?;
        let seq_ext = view.seq_ext;
        if seq_ext < epoch.next_seq_ext() {
            return late(epoch, view);
        }
        if view.is_padding_only() {
            epoch.leave_out(seq_ext);
            return None;
        }
        if self.is_leaving_at(view) {
            return None; // the switch or the jump takes over from here
        }
        if self.filters(view) {
            self.count_left_out(view);
            return None;
        }
        let epoch = self.epoch.as_mut()?;
        let out_seq_ext = epoch.out_seq_ext(seq_ext)?;
        epoch.advance(seq_ext);
        if view.has_pid {
            epoch.advance_picture(view.pid);
            let pid = epoch.out_pid(view.pid);
            if pid.wrapping_sub(self.last_pid) & 0x7fff < 0x4000 {
                self.last_pid = pid;
            }
        }
        if view.has_tl0 {
            self.last_tl0 = epoch.out_tl0(view.tl0);
        }
        let outgoing = outgoing(epoch, view, out_seq_ext);
        self.open_ts = (!view.is_marker && !self.is_audio).then_some(view.ts_rtp);
        if (outgoing.out_ts.wrapping_sub(self.last_out_ts) as i32) > 0 || self.last_out_us == 0 {
            self.last_out_ts = outgoing.out_ts;
        }
        self.last_out_us = now;
        if view.is_key && view.is_frame_start {
            self.key_ts = Some(view.ts_rtp);
        }
        if self.key_ts == Some(view.ts_rtp) {
            self.key_sent_us = Some(now);
        }
        Some(outgoing)
    }
}

fn is_young(now: Micros, key: &KeyMark, max_age_us: Micros) -> bool {
    now.saturating_sub(key.arrived_us) <= max_age_us
}
