//! Where a flow starts: the key frame to enter an encoding at, and the numbers it leaves with.

use crate::api::{Codec, Micros};
use crate::media::clock::{StreamClock, Timeline, ticks};
use crate::media::encoding::Encoding;
use crate::media::keyframes::KeyMark;
use crate::media::rewrite::{Epoch, EpochStart};
use crate::media::ring::MAX_AGE_US;
use crate::media::source::MAX_ENCODINGS;
use crate::media::timestamps::Timestamps;

use super::{Content, Flow, Outgoing, Phase, Pulled, REPLAY_BURST_BYTES, SWITCH_AGE_US, is_young};

/// Time that a begun frame of the old layer gets to finish.
const FRAME_GRACE_US: Micros = 15_000;
/// Timestamps may run this far ahead of the time that passed before they count as broken.
const MAX_AHEAD_S: u32 = 5;
/// Packets of a key frame looked through for its SPS.
const MAX_SPS_WALK: u64 = 32;
/// Age of a key frame that a picture goes on with at once; more for who has waited for a newer one.
const RESUME_AGE_US: Micros = 300_000;
/// Time that late packets of the old layer still fill their gaps.
const TAIL_US: Micros = 1_000_000;

impl Flow {
    pub(super) fn seek(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        timeline: &mut Timeline,
        pulled: &mut Pulled,
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) {
        let encoding = &encodings[usize::from(self.target)];
        let max_age_us = match self.phase {
            Phase::Waiting => self.most_age_us(now),
            _ if self.is_switching() => SWITCH_AGE_US,
            _ => MAX_AGE_US, // newer than what waits in any case
        };
        let start = match self.is_audio {
            true => audio_start(encoding, self.earliest(encoding)),
            false => {
                let is_good = |key: &KeyMark| {
                    is_young(now, key, max_age_us)
                        && is_held(encoding, key)
                        && !self.is_below_floor(encoding, key.seq_ext)
                };
                encoding.key.filter(is_good)
            }
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
            let grace_us = now + FRAME_GRACE_US;
            let mut until_us = self.drain_until_us.unwrap_or(grace_us);
            if self.is_switching() {
                until_us = until_us.min(grace_us);
            }
            self.drain_until_us = Some(until_us);
            if now < until_us {
                return;
            }
        }
        self.begin(now, encodings, timeline, &start, codec);
        pulled.is_replay_started = !self.is_audio;
        if needs_params {
            self.emit_params(encoding, &start, emit);
        }
    }

    /// How old a group of pictures may be that this flow starts with. Where the viewer had a picture a
    /// moment ago (of a thin version, on the same SSRC), an old one would show the past again and
    /// flood the line; only if no new key frame comes for a while it is better than none.
    fn most_age_us(&self, now: Micros) -> Micros {
        let used_us = self.from.used_us.filter(|_| self.epoch.is_none() && self.lag.is_paced);
        let waited_us = used_us.map(|used_us| now.saturating_sub(used_us));
        waited_us.map_or(MAX_AGE_US, |waited_us| (RESUME_AGE_US + 2 * waited_us).min(MAX_AGE_US))
    }

    /// Arrival and number from which on audio may be started with before the newest packet.
    fn earliest(&self, encoding: &Encoding) -> Option<(Micros, u64)> {
        let epoch = self.epoch.filter(|epoch| epoch.generation == encoding.generation);
        Some((self.start_us?, epoch.map_or(0, |epoch| epoch.next_seq_ext())))
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
        self.temporal = self.wanted_temporal();
        self.lag.begun_us = now;
        self.drain_until_us = None;
        self.open_ts = None;
        self.start_us = None;
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
            self.base_ts = self.from.out_ts.wrapping_add(first_ts).wrapping_sub(start.ts_rtp);
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
                reach: 0,
            },
        );
    }
}

fn is_held(encoding: &Encoding, key: &KeyMark) -> bool {
    encoding.ring.view(key.seq_ext).is_some()
}

/// Audio starts with the newest packet (edge case 4: never with one that was overtaken), or with the
/// first of an unbroken row up to it that arrived, and has a number, not before `earliest`.
fn audio_start(encoding: &Encoding, earliest: Option<(Micros, u64)>) -> Option<KeyMark> {
    let newest = encoding.ring.next_seq_ext().checked_sub(1)?;
    if encoding.log.is_empty() {
        return None;
    }
    let newest = encoding.ring.view(newest).filter(|view| !view.is_padding_only())?;
    let row = (encoding.ring.oldest_seq_ext()..newest.seq_ext)
        .rev()
        .map_while(|seq_ext| encoding.ring.view(seq_ext));
    let (start_us, start_seq_ext) = earliest.unwrap_or((Micros::MAX, 0));
    let row = row.take_while(|view| {
        let is_new = view.arrived_us >= start_us && view.seq_ext >= start_seq_ext;
        is_new && !view.is_padding_only()
    });
    let view = row.last().unwrap_or(newest);
    Some(KeyMark {
        seq_ext: view.seq_ext,
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
