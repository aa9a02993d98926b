//! What one subscriber gets of one source: which encoding, from where, in which order, with which
//! numbers. Decides only; sealing and sending are the caller's.
//!
//! A flow waits for a key frame, replays from it (paced) until it has caught up, and is then live.
//! A switch to another encoding is the same again, after the frame in hand is finished.

use crate::api::{Codec, Layers, Micros};

use super::clock::{StreamClock, Timeline, ticks};
use super::encoding::Encoding;
use super::keyframes::KeyMark;
use super::rewrite::{Epoch, EpochStart, Timestamps};
use super::ring::{MAX_AGE_US, View};

/// A switch away from a running layer replays less than a join does: the viewer already has a
/// picture, and every replayed frame costs the link that the switch may be meant to relieve.
const SWITCH_AGE_US: Micros = 1_000_000;
/// Time that a begun frame of the old layer gets to finish.
const FRAME_GRACE_US: Micros = 15_000;
/// Time that late packets of the old layer still fill their gaps.
const TAIL_US: Micros = 1_000_000;
/// Replay speed: this many times the encoding's bitrate, but at least [`MIN_REPLAY_BPS`].
const REPLAY_FACTOR: u64 = 4;
const MIN_REPLAY_BPS: u64 = 2_000_000;
/// What may leave at once when a replay starts or resumes.
const REPLAY_BURST_BYTES: i64 = 10_000;
/// Timestamps may run this far ahead of the time that passed before they count as broken.
const MAX_AHEAD_S: u32 = 5;
/// Packets of a key frame looked through for its SPS.
const MAX_SPS_WALK: u64 = 32;

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
}

/// Where a packet's payload comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// This packet of the encoding's ring.
    Stored(u64),
    /// The encoding's cached parameter sets.
    Params,
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
    /// A switch waits until then for the frame in hand.
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
    key_sent_us: Option<Micros>,
    replayed_us: Micros,
    replay_bytes: i64,
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
            key_sent_us: None,
            replayed_us: 0,
            replay_bytes: 0,
        }
    }

    /// Orders in force.
    pub fn layers(&self) -> Layers {
        self.layers
    }

    /// Encoding going out, if any.
    pub fn current(&self) -> Option<u8> {
        self.epoch
            .filter(|_| self.phase != Phase::Waiting)
            .map(|epoch| epoch.encoding)
    }

    /// The running epoch with `id`, or the one before it while its tail is open.
    pub fn epoch(&self, id: u8) -> Option<&Epoch> {
        let tail = self.tail.as_ref().map(|(epoch, _)| epoch);
        self.epoch
            .as_ref()
            .filter(|epoch| epoch.id == id)
            .or(tail.filter(|epoch| epoch.id == id))
    }

    /// The running epoch.
    pub fn running(&self) -> Option<&Epoch> {
        self.epoch.as_ref().filter(|_| self.phase != Phase::Waiting)
    }

    /// When a key frame last began to go out.
    pub fn key_sent_us(&self) -> Option<Micros> {
        self.key_sent_us
    }

    /// Needs attention between arrivals: waits for a start, replays or is about to switch.
    pub fn is_busy(&self) -> bool {
        !self.layers.paused && (self.phase != Phase::Live || self.is_switching())
    }

    fn is_switching(&self) -> bool {
        self.epoch
            .is_some_and(|epoch| epoch.encoding != self.target)
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
        self.running()
            .map(|epoch| ts_rtp.wrapping_add(epoch.timestamps.offset()))
    }

    /// A replay or a switch is under way, which goes on with time and not with arrivals.
    pub fn is_in_motion(&self) -> bool {
        self.phase == Phase::Replaying || self.drain_until_us.is_some()
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

    /// Picks the encoding to aim at: the wanted one if active, else the next lower active one, else
    /// the lowest active one above, else stay.
    pub fn choose_target(&mut self, now: Micros, encodings: &[Encoding]) {
        let top = encodings.len().saturating_sub(1);
        let wanted = usize::from(self.layers.spatial).min(top);
        let is_active = |&index: &usize| encodings[index].is_active(now);
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
        let key = encodings
            .get(usize::from(epoch.encoding))
            .and_then(|encoding| encoding.key);
        if !key.is_some_and(|key| is_young(now, &key, SWITCH_AGE_US)) {
            return false;
        }
        self.phase = Phase::Waiting;
        true
    }

    /// Takes what is to go out now: newly arrived packets, the next stretch of a replay, or the
    /// start of a switch. `emit` gets the packets in order.
    pub fn pull(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        timeline: &mut Timeline,
        mut emit: impl FnMut(&Encoding, Outgoing),
    ) -> Pulled {
        let mut pulled = Pulled::default();
        if self.layers.paused {
            return pulled;
        }
        self.check_restart(encodings);
        self.emit_tail(now, encodings, &mut emit);
        if self.phase == Phase::Waiting || self.is_switching() {
            self.seek(now, encodings, timeline, &mut pulled, &mut emit);
        }
        match self.phase {
            Phase::Waiting => {}
            Phase::Live => self.emit_log(now, encodings, &mut emit),
            Phase::Replaying => {
                self.emit_log(now, encodings, &mut emit);
                pulled.is_overrun = self.replay(now, encodings, &mut emit);
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

    fn seek(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        timeline: &mut Timeline,
        pulled: &mut Pulled,
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) {
        let encoding = &encodings[usize::from(self.target)];
        let max_age_us = if self.phase == Phase::Waiting {
            MAX_AGE_US
        } else {
            SWITCH_AGE_US
        };
        let start = match self.is_audio {
            true => audio_start(encoding),
            false => encoding
                .key
                .filter(|key| is_young(now, key, max_age_us) && is_held(encoding, key)),
        };
        let Some((start, codec)) = start.zip(encoding.codec) else {
            self.drain_until_us = None;
            pulled.needs_key = Some(self.target).filter(|_| !self.is_audio);
            return;
        };
        let needs_params = codec == Codec::H264 && !has_sps(encoding, &start);
        if needs_params && !encoding.params.is_complete() {
            pulled.needs_key = Some(self.target);
            return;
        }
        // Edge case 7: a frame that was begun is finished first, if it finishes soon.
        if self.phase != Phase::Waiting && self.open_ts.is_some() {
            let until = *self.drain_until_us.get_or_insert(now + FRAME_GRACE_US);
            if now < until {
                return;
            }
        }
        self.begin(now, encodings, timeline, &start, codec);
        pulled.is_replay_started = !self.is_audio;
        if needs_params {
            self.emit_params(encoding, &start, emit);
        }
    }

    fn begin(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        timeline: &mut Timeline,
        start: &KeyMark,
        codec: Codec,
    ) {
        let encoding = &encodings[usize::from(self.target)];
        let timestamps = self.start_timestamps(now, encodings, timeline, start, codec);
        // Edge case 1: a frame that was cut short leaves a hole, so that it cannot look complete.
        let hole = u64::from(self.open_ts.is_some());
        let out_seq_ext = match &self.epoch {
            Some(epoch) => epoch.next_out_seq_ext() + hole,
            None => self.from.out_seq_ext,
        };
        let id = self.epoch.map_or(0, |epoch| epoch.id.wrapping_add(1));
        let next = Epoch::new(
            id,
            EpochStart {
                encoding: self.target,
                generation: encoding.generation,
                codec,
                seq_ext: start.seq_ext,
                out_seq_ext,
                timestamps,
                pid: (start.pid, self.last_pid.wrapping_add(1) & 0x7fff),
                tl0: (start.tl0, self.last_tl0.wrapping_add(1)),
            },
        );
        self.tail = self.epoch.replace(next).map(|epoch| (epoch, now + TAIL_US));
        self.phase = Phase::Replaying;
        self.temporal = self.layers.temporal;
        self.drain_until_us = None;
        self.open_ts = None;
        self.left_out_ts = None;
        self.exempt_ts = None;
        self.replayed_us = now;
        self.replay_bytes = REPLAY_BURST_BYTES;
    }

    fn start_timestamps(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        timeline: &mut Timeline,
        start: &KeyMark,
        codec: Codec,
    ) -> Timestamps {
        const MAX_ENCODINGS: usize = 3;
        let mut clocks: [&StreamClock; MAX_ENCODINGS] = [&encodings[0].clock; MAX_ENCODINGS];
        for (clock, encoding) in clocks.iter_mut().zip(encodings) {
            *clock = &encoding.clock;
        }
        let clocks = &clocks[..encodings.len().min(MAX_ENCODINGS)];
        let index = usize::from(self.target);
        let relation = timeline.relate(clocks, index, start.ts_rtp, start.arrived_us);
        let hz = codec.clock_hz();
        if self.epoch.is_none() {
            let first_ts = match self.from.used_us {
                Some(used_us) => ticks(now.saturating_sub(used_us) as i64, hz) as u32 + 1,
                None => 0,
            };
            self.base_ts = self
                .from
                .out_ts
                .wrapping_add(first_ts)
                .wrapping_sub(start.ts_rtp);
            self.base_ts = self.base_ts.wrapping_sub(relation);
            return Timestamps::plain(relation.wrapping_add(self.base_ts));
        }
        let offset = relation.wrapping_add(self.base_ts);
        let elapsed = ticks(now.saturating_sub(self.last_out_us) as i64, hz) as u32;
        let expected = self.last_out_ts.wrapping_add(elapsed);
        let ahead = start.ts_rtp.wrapping_add(offset).wrapping_sub(expected) as i32;
        if ahead > (hz * MAX_AHEAD_S) as i32 {
            return Timestamps::plain(expected.wrapping_sub(start.ts_rtp));
        }
        Timestamps::after(offset, start.ts_rtp, self.last_out_ts, hz)
    }

    fn emit_params(
        &mut self,
        encoding: &Encoding,
        start: &KeyMark,
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) {
        let Some(epoch) = &mut self.epoch else { return };
        let out_seq_ext = epoch.reserve(1);
        let out_ts = epoch.timestamps.map(start.ts_rtp);
        let epoch_id = epoch.id;
        emit(
            encoding,
            Outgoing {
                content: Content::Params,
                epoch_id,
                out_seq_ext,
                out_ts,
                pid: None,
                tl0: None,
            },
        );
    }

    /// Newly arrived packets of the running epoch. While replaying, only those that the replay has
    /// already passed: it will come to the others by itself.
    fn emit_log(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) {
        let Some(epoch) = &self.epoch else { return };
        let encoding = &encodings[usize::from(epoch.encoding)];
        for &seq_ext in &encoding.log {
            let next = self.epoch.as_ref().map_or(0, Epoch::next_seq_ext);
            if self.phase == Phase::Replaying && seq_ext >= next {
                continue;
            }
            if let Some(view) = encoding.ring.view(seq_ext) {
                if let Some(outgoing) = self.offer(now, view) {
                    emit(encoding, outgoing);
                }
            }
        }
    }

    /// Late packets of the encoding that was left lately.
    fn emit_tail(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) {
        let Some((epoch, until)) = &self.tail else {
            return;
        };
        let encoding = &encodings[usize::from(epoch.encoding)];
        if now >= *until || encoding.generation != epoch.generation {
            self.tail = None;
            return;
        }
        for &seq_ext in encoding
            .log
            .iter()
            .filter(|&&seq_ext| seq_ext < epoch.next_seq_ext())
        {
            let out = encoding
                .ring
                .view(seq_ext)
                .and_then(|view| late(epoch, view));
            if let Some(outgoing) = out {
                emit(encoding, outgoing);
            }
        }
    }

    fn replay(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) -> bool {
        let Some(epoch) = &self.epoch else {
            return false;
        };
        let encoding = &encodings[usize::from(epoch.encoding)];
        let rate_bps = (encoding.bitrate_bps(now) * REPLAY_FACTOR).max(MIN_REPLAY_BPS);
        let earned = (now - self.replayed_us) * rate_bps / 8_000_000;
        self.replay_bytes = (self.replay_bytes + earned as i64).min(REPLAY_BURST_BYTES);
        self.replayed_us = now;
        let mut seq_ext = epoch.next_seq_ext();
        if seq_ext < encoding.ring.oldest_seq_ext() {
            self.stop();
            return true;
        }
        while seq_ext < encoding.ring.next_seq_ext() && (self.is_audio || self.replay_bytes > 0) {
            if let Some(view) = encoding.ring.view(seq_ext) {
                self.replay_bytes -= i64::from(view.len);
                if let Some(outgoing) = self.offer(now, view) {
                    emit(encoding, outgoing);
                }
            }
            seq_ext += 1;
        }
        if seq_ext >= encoding.ring.next_seq_ext() {
            self.phase = Phase::Live;
        }
        false
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
        if self.drain_until_us.is_some() && self.open_ts != Some(view.ts_rtp) {
            return None; // the switch takes over from here
        }
        if self.filters(view) {
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
            self.key_sent_us = Some(now);
        }
        Some(outgoing)
    }

    /// Whether the temporal filter leaves this packet out; if so, its number is closed up.
    fn filters(&mut self, view: &View) -> bool {
        if view.codec != Codec::Vp8 {
            return false;
        }
        self.update_temporal(view);
        let Some(epoch) = &mut self.epoch else {
            return false;
        };
        let is_same_picture = self.left_out_ts == Some(view.ts_rtp);
        if !is_same_picture {
            // Edge cases 6 and 12: after a gap nobody knows what the missing packets belonged to.
            // Their numbers are kept, so the picture that may own them goes out whole.
            let has_gap = view.seq_ext > epoch.next_seq_ext() || !view.is_frame_start;
            let is_filtered = view.temporal > self.temporal && self.exempt_ts != Some(view.ts_rtp);
            if !is_filtered {
                self.left_out_ts = None;
                return false;
            }
            if has_gap {
                self.left_out_ts = None;
                self.exempt_ts = Some(view.ts_rtp);
                return false;
            }
        }
        // What is missing between two packets of a left-out picture belongs to it as well.
        for seq_ext in epoch.next_seq_ext().max(view.seq_ext.saturating_sub(64))..=view.seq_ext {
            epoch.leave_out(seq_ext);
        }
        if view.has_pid {
            epoch.leave_out_picture(view.pid);
        }
        self.left_out_ts = Some(view.ts_rtp);
        true
    }

    /// Edge case 13: up only at a picture that needs nothing of its own layer; down at any picture.
    fn update_temporal(&mut self, view: &View) {
        let wanted = self.layers.temporal;
        if !view.is_frame_start || wanted == self.temporal {
            return;
        }
        if wanted < self.temporal || view.is_key {
            self.temporal = wanted;
        } else if view.is_sync && view.temporal > self.temporal && view.temporal <= wanted {
            self.temporal = view.temporal;
        }
    }
}

fn is_young(now: Micros, key: &KeyMark, max_age_us: Micros) -> bool {
    now.saturating_sub(key.arrived_us) <= max_age_us
}

fn is_held(encoding: &Encoding, key: &KeyMark) -> bool {
    encoding.ring.view(key.seq_ext).is_some()
}

/// Audio starts with the newest packet (edge case 4: never with one that was overtaken).
fn audio_start(encoding: &Encoding) -> Option<KeyMark> {
    let newest = encoding.ring.next_seq_ext().checked_sub(1)?;
    if encoding.log.is_empty() {
        return None;
    }
    let view = encoding
        .ring
        .view(newest)
        .filter(|view| !view.is_padding_only())?;
    Some(KeyMark {
        seq_ext: newest,
        ts_rtp: view.ts_rtp,
        arrived_us: view.arrived_us,
        pid: 0,
        tl0: 0,
    })
}

fn has_sps(encoding: &Encoding, key: &KeyMark) -> bool {
    (key.seq_ext..key.seq_ext + MAX_SPS_WALK)
        .filter_map(|seq_ext| encoding.ring.view(seq_ext))
        .take_while(|view| view.ts_rtp == key.ts_rtp)
        .any(|view| view.has_sps)
}

/// A packet that fills the gap that was kept for it.
fn late(epoch: &Epoch, view: &View) -> Option<Outgoing> {
    Some(outgoing(epoch, view, epoch.out_seq_ext(view.seq_ext)?))
}

fn outgoing(epoch: &Epoch, view: &View, out_seq_ext: u64) -> Outgoing {
    Outgoing {
        content: Content::Stored(view.seq_ext),
        epoch_id: epoch.id,
        out_seq_ext,
        out_ts: epoch.timestamps.map(view.ts_rtp),
        pid: view.has_pid.then(|| epoch.out_pid(view.pid)),
        tl0: view.has_tl0.then(|| epoch.out_tl0(view.tl0)),
    }
}
