//! A reader of complete frames: in order, best (or lowest) active encoding, bounded.

use std::collections::VecDeque;

use crate::api::{Codec, Micros, TapFrame};

use super::assemble::Assembly;
use super::clock::{NtpOffset, StreamClock};
use super::encoding::Encoding;
use super::keyframes::KeyMark;
use super::ring::View;
use super::source::{MAX_ENCODINGS, Source};

/// How long a missing packet is waited for.
const MAX_WAIT_US: Micros = 500_000;
/// A tap may start from a key frame as old as this.
const MAX_START_AGE_US: Micros = 2_000_000;
/// Frames handed out at most before they are drained, whatever their size.
const MAX_FRAMES: usize = 4096;

/// What a step of a tap wants of its surroundings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapStep {
    /// The queue went from empty to not empty.
    pub is_ready: bool,
    /// This encoding has to send a key frame.
    pub needs_key: Option<u8>,
    /// Frames lost in this step.
    pub num_lost: u32,
}

/// Reader of one source.
#[derive(Debug)]
pub struct Tap {
    /// Caller's number.
    pub id: u32,
    /// Index of the source; `None` once it ended.
    pub source: Option<u32>,
    max_bytes: usize,
    /// Reads the lowest active encoding instead of the best.
    is_lowest: bool,
    encoding: Option<(u8, u32)>,
    next_seq_ext: u64,
    assembly: Assembly,
    assembly_ts: Option<u32>,
    is_damaged: bool,
    /// Frames are dropped up to the next key frame.
    needs_key: bool,
    last_pid: Option<u16>,
    last_ts: Option<(u32, u64)>,
    lost: u32,
    frames: VecDeque<TapFrame>,
    bytes: usize,
}

impl Tap {
    /// A reader of the source at `source` that holds at most `max_bytes`; of the lowest active
    /// encoding instead of the best where `is_lowest`.
    pub fn new(id: u32, source: u32, max_bytes: u32, is_lowest: bool) -> Tap {
        Tap {
            id,
            source: Some(source),
            max_bytes: max_bytes as usize,
            is_lowest,
            encoding: None,
            next_seq_ext: 0,
            assembly: Assembly::default(),
            assembly_ts: None,
            is_damaged: false,
            needs_key: false,
            last_pid: None,
            last_ts: None,
            lost: 0,
            frames: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Moves up to `max` frames to the end of `out`.
    pub fn drain(&mut self, max: usize, out: &mut Vec<TapFrame>) {
        let count = max.min(self.frames.len());
        for frame in self.frames.drain(..count) {
            self.bytes -= frame.data.len();
            out.push(frame);
        }
    }

    /// Waits for packets that are missing, so time alone may bring it on.
    pub fn is_waiting(&self) -> bool {
        self.encoding.is_some()
    }

    /// Reads what is there.
    pub fn pull(&mut self, now: Micros, source: &mut Source, ntp: &NtpOffset) -> TapStep {
        let mut step = TapStep::default();
        // VP9 and AV1 are forwarded only.
        let is_readable = !matches!(source.codec(), Some(Codec::Vp9 | Codec::Av1));
        if source.is_muted || !is_readable {
            return step;
        }
        let was_empty = self.frames.is_empty();
        self.choose(now, source, &mut step);
        while let Some((at, generation)) = self.encoding {
            let encoding = &source.encodings[usize::from(at)];
            if encoding.generation != generation {
                self.leave();
                self.choose(now, source, &mut step);
                if self.encoding == Some((at, generation)) {
                    break;
                }
                continue;
            }
            if !self.read_next(now, source, at, ntp, &mut step) {
                break;
            }
        }
        step.is_ready = was_empty && !self.frames.is_empty();
        step
    }

    /// Enters an encoding, or switches to the wanted one at its key frame.
    fn choose(&mut self, now: Micros, source: &mut Source, step: &mut TapStep) {
        let mask = Encoding::active_mask(&source.encodings, now);
        let mut places = 0..source.encodings.len();
        let is_active = |&at: &usize| mask & 1 << at != 0;
        let wanted = match self.is_lowest {
            true => places.find(is_active),
            false => places.rev().find(is_active),
        };
        let Some(wanted) = wanted else { return };
        let current = self
            .encoding
            .filter(|&(at, generation)| source.encodings[usize::from(at)].generation == generation);
        if current.is_some_and(|(at, _)| usize::from(at) == wanted) {
            return;
        }
        let encoding = &source.encodings[wanted];
        let start = match source.is_audio {
            true => oldest(encoding),
            false => {
                encoding.key.filter(|key| now.saturating_sub(key.arrived_us) <= MAX_START_AGE_US)
            }
        };
        let Some(start) = start else {
            step.needs_key = Some(wanted as u8);
            return;
        };
        let relation = relate(source, wanted, &start);
        // A switch must not go back in time: what is older than the last frame is not read.
        let is_behind = self.last_ts.is_some_and(|(last, _)| {
            (start.ts_rtp.wrapping_add(relation).wrapping_sub(last) as i32) <= 0
        });
        if is_behind && !source.is_audio {
            step.needs_key = Some(wanted as u8);
            return;
        }
        self.leave();
        self.encoding = Some((wanted as u8, source.encodings[wanted].generation));
        self.next_seq_ext = start.seq_ext;
    }

    fn leave(&mut self) {
        self.encoding = None;
        self.assembly.clear();
        self.assembly_ts = None;
        self.is_damaged = false;
        self.last_pid = None;
    }

    /// Reads one packet; false if there is none to read now.
    fn read_next(
        &mut self,
        now: Micros,
        source: &mut Source,
        at: u8,
        ntp: &NtpOffset,
        step: &mut TapStep,
    ) -> bool {
        let encoding = &source.encodings[usize::from(at)];
        if self.next_seq_ext >= encoding.ring.next_seq_ext() {
            return false;
        }
        let Some(&view) = encoding.ring.view(self.next_seq_ext) else {
            return self.skip_missing(now, source, at, step);
        };
        self.next_seq_ext += 1;
        if view.is_padding_only() {
            return true;
        }
        if self.assembly_ts != Some(view.ts_rtp) {
            if self.assembly_ts.is_some() {
                // Without a marker the next timestamp ends the frame.
                self.finish(now, source, at, ntp, step);
            }
            self.assembly_ts = Some(view.ts_rtp);
            self.is_damaged = !view.is_frame_start && !view.codec.is_audio();
        }
        let encoding = &source.encodings[usize::from(at)];
        let payload = encoding.ring.get(view.seq_ext).map_or(&[][..], |stored| stored.payload);
        if !self.assembly.add(view.codec, view.descriptor_len, payload) {
            self.is_damaged = true;
        }
        if view.is_marker || view.codec.is_audio() {
            self.finish(now, source, at, ntp, step);
        }
        true
    }

    /// Waits for a missing packet, or goes on behind it.
    fn skip_missing(&mut self, now: Micros, source: &Source, at: u8, step: &mut TapStep) -> bool {
        let encoding = &source.encodings[usize::from(at)];
        let next = (self.next_seq_ext.max(encoding.ring.oldest_seq_ext())
            ..encoding.ring.next_seq_ext())
            .find_map(|seq_ext| encoding.ring.view(seq_ext));
        let Some(next) = next else { return false };
        let is_overwritten = self.next_seq_ext < encoding.ring.oldest_seq_ext();
        if !is_overwritten && now.saturating_sub(next.arrived_us) < MAX_WAIT_US {
            return false;
        }
        // The frame in hand is torn unless the gap lies between two frames.
        let is_between = self.assembly_ts.is_none() && next.is_frame_start;
        if self.assembly_ts.is_some() && self.assembly_ts != Some(next.ts_rtp) {
            self.drop_assembly(step);
        }
        self.is_damaged = self.assembly_ts.is_some();
        if is_between && !source.is_audio {
            // Whole frames are missing; how many, their picture ids may tell.
            let missing = frames_between(self.last_pid, next);
            self.lost += missing;
            step.num_lost += missing;
        } else if source.is_audio {
            let missing = (next.seq_ext - self.next_seq_ext) as u32;
            self.lost += missing;
            step.num_lost += missing;
        }
        if !source.is_audio {
            step.needs_key = Some(at);
        }
        self.next_seq_ext = next.seq_ext;
        true
    }

    fn drop_assembly(&mut self, step: &mut TapStep) {
        self.assembly.clear();
        self.assembly_ts = None;
        self.is_damaged = false;
        self.lost += 1;
        step.num_lost += 1;
    }

    /// Ends the frame in hand and queues it, if it is whole.
    fn finish(
        &mut self,
        now: Micros,
        source: &mut Source,
        at: u8,
        ntp: &NtpOffset,
        step: &mut TapStep,
    ) {
        let Some(ts) = self.assembly_ts else { return };
        let encoding = &source.encodings[usize::from(at)];
        let last = encoding.ring.view(self.next_seq_ext - 1).copied();
        let codec = encoding.codec.unwrap_or(Codec::Opus);
        let taken = match self.is_damaged {
            true => None,
            false => self.assembly.take(codec, &encoding.params),
        };
        let Some((data, is_key)) = taken else {
            return self.drop_assembly(step);
        };
        self.assembly_ts = None;
        if let Some(view) = last.filter(|view| view.has_pid) {
            self.last_pid = Some(view.pid);
        }
        if self.needs_key && !is_key {
            return self.lose(step);
        }
        let is_full = self.bytes + data.len() > self.max_bytes || self.frames.len() >= MAX_FRAMES;
        if is_full {
            self.needs_key = !source.is_audio;
            return self.lose(step);
        }
        self.needs_key = false;
        let captured_us = captured_us(&encoding.clock, ntp, ts);
        let arrived_us = last.map_or(now, |view| view.arrived_us);
        let key = KeyMark { seq_ext: 0, ts_rtp: ts, arrived_us, pid: 0, tl0: 0 };
        let relation = relate(source, usize::from(at), &key);
        let ts_rtp_ext = self.unwrap_ts(ts.wrapping_add(relation));
        self.bytes += data.len();
        self.frames.push_back(TapFrame {
            ts_rtp_ext,
            arrived_us,
            captured_us: captured_us.unwrap_or(arrived_us),
            is_key,
            encoding: at,
            codec,
            lost_before: std::mem::take(&mut self.lost),
            data,
        });
    }

    fn lose(&mut self, step: &mut TapStep) {
        self.lost += 1;
        step.num_lost += 1;
    }

    /// Unwraps timestamps; never goes back.
    fn unwrap_ts(&mut self, ts: u32) -> u64 {
        let ext = match self.last_ts {
            None => u64::from(ts),
            Some((last, last_ext)) => {
                let step = ts.wrapping_sub(last) as i32;
                if step < 0 {
                    return last_ext;
                }
                last_ext + step as u64
            }
        };
        self.last_ts = Some((ts, ext));
        ext
    }
}

fn relate(source: &mut Source, at: usize, start: &KeyMark) -> u32 {
    let mut clocks: [&StreamClock; MAX_ENCODINGS] = [&source.encodings[0].clock; MAX_ENCODINGS];
    for (clock, encoding) in clocks.iter_mut().zip(&source.encodings) {
        *clock = &encoding.clock;
    }
    let clocks = &clocks[..source.encodings.len()];
    source.timeline.relate(clocks, at, start.ts_rtp, start.arrived_us)
}

fn captured_us(clock: &StreamClock, ntp: &NtpOffset, ts: u32) -> Option<Micros> {
    ntp.to_local_us(clock.ntp_us_at(ts)?)
}

/// Audio starts with the oldest packet that is still held and was just received.
fn oldest(encoding: &Encoding) -> Option<KeyMark> {
    let first = encoding.log.iter().copied().min()?;
    let view = encoding.ring.view(first)?;
    Some(KeyMark {
        seq_ext: first,
        ts_rtp: view.ts_rtp,
        arrived_us: view.arrived_us,
        pid: 0,
        tl0: 0,
    })
}

/// Frames missing between two, at least one.
fn frames_between(last_pid: Option<u16>, next: &View) -> u32 {
    match last_pid.filter(|_| next.has_pid) {
        Some(last) => {
            u32::from((next.pid.wrapping_sub(last) & 0x7fff).saturating_sub(1)).clamp(1, 1000)
        }
        None => 1,
    }
}
