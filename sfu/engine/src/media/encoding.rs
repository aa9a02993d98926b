//! One encoding (simulcast layer) as it is received: ring, statistics, recovery, key frames.

mod frames;
mod loss;
mod params;
mod started;
mod temporal;

pub use loss::is_spare;
pub use params::Params;
pub use started::Started;
pub use temporal::TemporalRates;

use crate::api::{Codec, EncodingConfig, Micros};

use super::clock::StreamClock;
use super::codec::{Facts, PictureIds, parse_facts};
use super::keyframes::{KeyMark, KeyframeBudget};
use super::levels::Levels;
use super::nack::{GivenUp, NackList};
use super::receive::{MAX_JUMP, Placed, RateWindow, ReceiveStats, Sequence};
use super::ring::{AUDIO_SLOTS, Refused, Ring, VIDEO_SLOTS, View};

/// Arrivals remembered between two flushes; as many as the ring holds.
const MAX_LOG: usize = VIDEO_SLOTS;
/// An encoding is active while media came within this time. Longer than the least frame rate of a
/// still shared screen.
const ACTIVE_US: Micros = 2_000_000;
/// While another encoding of the same source goes on, one that is silent for this long has been
/// switched off: its viewers see a frozen picture until they are given the other. Twelve pictures of
/// 20 a second; a sender's own queue rarely holds one layer back for longer and not the other.
const BEHIND_US: Micros = 600_000;

/// A packet to be stored, decrypted and parsed.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Sequence number on the wire (the original one for a retransmission).
    pub seq: u16,
    /// Timestamp.
    pub ts_rtp: u32,
    /// Marker bit.
    pub is_marker: bool,
    /// What it carries.
    pub codec: Codec,
    /// It came as a retransmission, or within a later packet.
    pub is_recovered: bool,
    /// It came within a later packet (RED), which may be newer than all that came before.
    pub is_healed: bool,
    /// Missing packets are worth asking for.
    pub needs_nack: bool,
    /// RFC 6464 byte.
    pub level: Option<u8>,
    /// Video orientation byte.
    pub orientation: Option<u8>,
    /// Payload without padding.
    pub payload: &'a [u8],
    /// Dependency descriptor or empty.
    pub dependency: &'a [u8],
    /// abs-capture-time or empty.
    pub capture: &'a [u8],
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the ring.
    Stored(u64),
    /// Not in the ring.
    Refused(Refused),
    /// Its payload is none of its codec.
    Malformed,
    /// Its number is too far off to believe yet.
    Suspect,
}

/// Cumulative counts of an encoding.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncodingCounts {
    /// Packets stored.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets asked for.
    pub nacks_sent: u32,
    /// Key frames asked for.
    pub plis_sent: u32,
    /// Key frames begun.
    pub keyframes: u32,
    /// Frames ended.
    pub frames: u32,
}

/// State of one encoding.
#[derive(Debug)]
pub struct Encoding {
    /// As declared.
    pub config: EncodingConfig,
    /// Bound media SSRC; 0 = none yet.
    pub ssrc: u32,
    /// Bound RTX SSRC; 0 = none yet.
    pub rtx_ssrc: u32,
    /// What it carries, once media came.
    pub codec: Option<Codec>,
    /// Raised whenever sequence numbers start anew.
    pub generation: u32,
    /// Its packets.
    pub ring: Ring,
    /// Newest key frame, if its start is known.
    pub key: Option<KeyMark>,
    /// Requests for key frames.
    pub budget: KeyframeBudget,
    /// Missing packets.
    pub nack: NackList,
    /// Counts for receiver reports.
    pub stats: ReceiveStats,
    /// Bytes over the last second.
    pub rate: RateWindow,
    /// The same by temporal layer.
    pub temporal: TemporalRates,
    /// Loudness.
    pub levels: Levels,
    /// RTP time against NTP and arrivals.
    pub clock: StreamClock,
    /// Parameter sets of H.264.
    pub params: Params,
    /// News of its SSRC.
    pub started: Started,
    /// Cumulative counts.
    pub counts: EncodingCounts,
    /// Last key frame's size in pixels.
    pub resolution: (u16, u16),
    /// When media last came; 0 = never.
    pub last_received_us: Micros,
    /// Packets stored since the last flush, in order of arrival.
    pub log: Vec<u64>,
    sequence: Sequence,
    is_rebound: bool,
    picture_ids: PictureIds,
    key_bytes: u32,
}

impl Encoding {
    /// An encoding that nothing was heard of yet.
    pub fn new(config: EncodingConfig, is_audio: bool) -> Encoding {
        Encoding {
            ssrc: 0,
            rtx_ssrc: 0,
            config,
            codec: None,
            generation: 0,
            ring: Ring::new(if is_audio { AUDIO_SLOTS } else { VIDEO_SLOTS }),
            key: None,
            budget: KeyframeBudget::default(),
            started: Started::default(),
            nack: NackList::default(),
            stats: ReceiveStats::default(),
            rate: RateWindow::default(),
            temporal: TemporalRates::default(),
            levels: Levels::default(),
            clock: StreamClock::new(if is_audio { 48_000 } else { 90_000 }),
            params: Params::default(),
            counts: EncodingCounts::default(),
            resolution: (0, 0),
            last_received_us: 0,
            log: Vec::new(),
            sequence: Sequence::default(),
            is_rebound: false,
            picture_ids: PictureIds::default(),
            key_bytes: 0,
        }
    }

    /// Media came lately.
    pub fn is_active(&self, now: Micros) -> bool {
        self.last_received_us != 0 && now.saturating_sub(self.last_received_us) < ACTIVE_US
    }

    /// Which of a source's encodings are sent, as a bit each.
    pub fn active_mask(encodings: &[Encoding], now: Micros) -> u8 {
        let newest_us = encodings.iter().map(|one| one.last_received_us).max();
        let is_sent = |one: &Encoding| {
            let behind_us = newest_us.unwrap_or(0) - one.last_received_us;
            one.is_active(now) && behind_us < BEHIND_US
        };
        encodings.iter().enumerate().fold(0, |mask, (at, one)| mask | u8::from(is_sent(one)) << at)
    }

    /// Bits per second over the last second.
    pub fn bitrate_bps(&self, now: Micros) -> u64 {
        self.rate.per_second(now) * 8
    }

    /// Another SSRC took the encoding over: its numbers have nothing to do with the old ones.
    pub fn rebind(&mut self, ssrc: u32) {
        self.ssrc = ssrc;
        if self.sequence.highest().is_some() {
            self.is_rebound = true;
        }
    }

    /// Starts anew: what is stored belongs to another stream than what follows.
    fn restart(&mut self) {
        let next = self.ring.next_seq_ext();
        self.generation += 1;
        self.ring.restart(next);
        self.key = None;
        self.nack.clear();
        self.log.clear();
        self.stats = ReceiveStats::default();
        self.clock = StreamClock::new(self.hz());
        self.picture_ids = PictureIds::default();
    }

    /// Takes one packet.
    pub fn insert(&mut self, now: Micros, incoming: &Incoming<'_>) -> (Outcome, Option<GivenUp>) {
        let codec = incoming.codec;
        let facts = match incoming.payload {
            [] => Some(Facts::default()),
            payload => parse_facts(codec, payload),
        };
        let Some(facts) = facts else {
            return (Outcome::Malformed, None);
        };
        if self.codec.is_some_and(|known| known != codec && !(known.is_audio() && codec.is_audio()))
        {
            // The sender changed its codec in mid-stream: frames of both must not be mixed.
            self.restart();
        }
        let before = self.sequence.highest();
        let Some(seq_ext) = self.place(incoming) else {
            return (Outcome::Suspect, None);
        };
        if self.log.capacity() == 0 {
            self.log.reserve_exact(MAX_LOG);
        }
        let view = self.view(now, incoming, &facts, seq_ext);
        if let Err(refused) =
            self.ring.insert(view, incoming.payload, incoming.dependency, incoming.capture)
        {
            // Replays do not get here: it was recovered before it came itself.
            if refused == Refused::Duplicate && !incoming.is_recovered {
                self.stats.on_overtaken();
            }
            return (Outcome::Refused(refused), None);
        }
        self.codec = Some(codec);
        let given_up = self.update_loss(now, incoming, before, seq_ext, view.is_frame_start);
        self.update_counts(now, incoming, &facts, seq_ext);
        self.update_frame(seq_ext, &facts);
        if self.log.len() < MAX_LOG {
            self.log.push(seq_ext);
        }
        (Outcome::Stored(seq_ext), given_up)
    }

    /// Counts a packet of a muted source without storing it, so that it is not missed afterwards.
    pub fn skip(&mut self, now: Micros, incoming: &Incoming<'_>) {
        if let Some(seq_ext) = self.place(incoming) {
            let hz = incoming.codec.clock_hz();
            self.stats.on_packet(now, seq_ext, incoming.ts_rtp, hz, incoming.is_recovered);
        }
    }

    /// What came before a mute is neither replayed nor asked for after it.
    pub fn on_mute(&mut self) {
        self.key = None;
        self.nack.clear();
        self.log.clear();
    }

    /// The number of a packet of the running stream that is at most `max_ahead` newer than the
    /// newest one.
    pub fn unwrap_near(&self, seq: u16, max_ahead: i16) -> Option<u64> {
        let highest = self.sequence.highest().filter(|_| !self.is_rebound)?;
        let step = i64::from(seq.wrapping_sub(highest as u16) as i16);
        (step <= i64::from(max_ahead)).then(|| highest.wrapping_add_signed(step))
    }

    fn place(&mut self, incoming: &Incoming<'_>) -> Option<u64> {
        if incoming.is_recovered {
            // A retransmission cannot start or move a stream.
            let seq_ext = self.unwrap_near(incoming.seq, 0);
            if !incoming.is_healed || seq_ext.is_some() {
                return seq_ext;
            }
            // A frame that a newer packet brings along comes right before that packet.
            let seq_ext = self.unwrap_near(incoming.seq, MAX_JUMP)?;
            self.sequence.place(incoming.seq);
            return Some(seq_ext);
        }
        let placed = match std::mem::take(&mut self.is_rebound) {
            true => Placed::Restart(self.sequence.restart(incoming.seq)),
            false => self.sequence.place(incoming.seq),
        };
        match placed {
            Placed::At(seq_ext) => Some(seq_ext),
            Placed::Suspect => None,
            Placed::Restart(seq_ext) => {
                self.restart();
                self.ring.restart(seq_ext);
                Some(seq_ext)
            }
        }
    }

    fn view(&mut self, now: Micros, incoming: &Incoming<'_>, facts: &Facts, seq_ext: u64) -> View {
        let mut view = View::new(seq_ext, incoming.ts_rtp, incoming.codec, now);
        view.is_marker = incoming.is_marker;
        view.temporal = facts.temporal;
        view.is_sync = facts.is_sync;
        view.is_key = facts.is_key;
        view.descriptor_len = facts.descriptor_len;
        view.has_sps = facts.has_sps;
        if let Some((pid, is_long)) = facts.pid {
            view.pid = self.picture_ids.unwrap(pid, is_long);
            view.has_pid = true;
        }
        (view.tl0, view.has_tl0) = (facts.tl0.unwrap_or(0), facts.tl0.is_some());
        (view.level, view.has_level) = (incoming.level.unwrap_or(0), incoming.level.is_some());
        (view.orientation, view.has_orientation) =
            (incoming.orientation.unwrap_or(0), incoming.orientation.is_some());
        view.is_frame_start = !incoming.payload.is_empty()
            && facts
                .is_frame_start
                .unwrap_or_else(|| self.follows_frame_end(seq_ext, incoming.ts_rtp));
        view
    }

    fn update_loss(
        &mut self,
        now: Micros,
        incoming: &Incoming<'_>,
        before: Option<u64>,
        seq_ext: u64,
        is_frame_start: bool,
    ) -> Option<GivenUp> {
        let hz = self.hz();
        self.stats.on_packet(now, seq_ext, incoming.ts_rtp, hz, incoming.is_recovered);
        let Some(before) = before else {
            // The stream begins in mid-frame: its head was lost or overtaken, and can be asked for.
            if incoming.needs_nack && !incoming.codec.is_audio() && !is_frame_start {
                self.nack.on_headless(now, seq_ext);
            }
            return None;
        };
        if seq_ext <= before {
            self.nack.on_arrival(now, seq_ext, incoming.is_recovered && !incoming.is_healed);
            self.nack.on_head(now, seq_ext, is_frame_start);
            return None;
        }
        let is_gap = seq_ext > before + 1 && seq_ext - before < u64::from(u16::MAX);
        if is_gap && incoming.needs_nack {
            self.budget.on_gap();
            return self.nack.on_gap(now, before + 1, seq_ext);
        }
        None
    }

    fn update_counts(&mut self, now: Micros, incoming: &Incoming<'_>, facts: &Facts, seq_ext: u64) {
        // Edge case 5: padding starts no stream and moves no timestamp.
        if incoming.payload.is_empty() {
            return;
        }
        self.last_received_us = now;
        self.counts.packets += 1;
        self.counts.bytes += incoming.payload.len() as u64;
        self.rate.add(now, incoming.payload.len() as u32);
        // Of the other codecs no layer can be left out.
        let temporal = if incoming.codec == Codec::Vp8 { facts.temporal } else { 0 };
        self.temporal.add(now, temporal, incoming.payload.len() as u32);
        if let Some(level) = incoming.level {
            self.levels.on_level(level);
        }
        if !incoming.is_recovered {
            self.clock.on_packet(now, incoming.ts_rtp);
        }
        if let Some(resolution) = facts.resolution {
            self.resolution = resolution;
        }
        if facts.has_params {
            self.params.take(incoming.payload);
        }
        if incoming.is_marker || incoming.codec.is_audio() {
            self.counts.frames = self.counts.frames.wrapping_add(1);
        }
        if self.key.is_some_and(|key| key.ts_rtp == incoming.ts_rtp && seq_ext >= key.seq_ext) {
            self.key_bytes += incoming.payload.len() as u32;
            if incoming.is_marker {
                self.budget.on_keyframe_size(self.key_bytes);
            }
        }
    }

    fn hz(&self) -> u32 {
        self.codec.map_or(90_000, Codec::clock_hz)
    }
}
