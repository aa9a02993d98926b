//! Transport-wide sequence numbers: arrivals to be reported to publishers, and what was sent to
//! subscribers until they report on it.

use crate::api::Micros;
use crate::wire::seq::SeqUnwrapper;
use crate::wire::twcc_feedback::{Arrival, Feedback, TICK_US};

/// Arrivals held at most; feedback leaves long before.
const MAX_ARRIVALS: usize = 512;
/// Feedback leaves this long after the first unreported arrival …
const FEEDBACK_INTERVAL_US: Micros = 50_000;
/// … or as soon as so many wait.
const FEEDBACK_PACKETS: usize = 100;
/// After such a silence the report starts with what comes then. What was sent into a dead line is
/// neither received nor a sign of congestion: told that thousands were lost, a sender's estimator
/// (libwebrtc's loss-based one) goes down to nothing just when the line is back.
const OUTAGE_US: Micros = 1_000_000;
/// Packets remembered per transport until they are reported.
const SENT_SLOTS: usize = 2048;
/// Of those, looked over upon each feedback: a peer may send many that tell of one packet each.
const MAX_OPEN: usize = 256;
/// The reporter's clock has 24 bits of 64 ms.
const REFERENCE_WRAP: i64 = 1 << 24;

/// Arrivals of one publisher.
#[derive(Debug, Default)]
pub struct ArrivalLog {
    unwrapper: SeqUnwrapper,
    arrivals: Vec<Arrival>,
    due_us: Option<Micros>,
    last_us: Micros,
    /// Counts feedback packets; wraps.
    pub feedback_count: u8,
    /// First number of the next feedback.
    pub base_seq_ext: u64,
}

impl ArrivalLog {
    /// Notes an authenticated packet.
    pub fn on_packet(&mut self, now: Micros, seq: u16) {
        if self.arrivals.capacity() == 0 {
            self.arrivals.reserve_exact(MAX_ARRIVALS);
        }
        let seq_ext = self.unwrapper.unwrap(seq);
        let silence_us = now.saturating_sub(std::mem::replace(&mut self.last_us, now));
        if silence_us > OUTAGE_US && self.arrivals.is_empty() {
            self.base_seq_ext = self.base_seq_ext.max(seq_ext);
        }
        if self.arrivals.len() >= MAX_ARRIVALS {
            return;
        }
        let arrival = Arrival { seq_ext, arrived_us: now };
        match self.arrivals.last() {
            Some(last) if last.seq_ext >= seq_ext => {
                if let Err(at) = self.arrivals.binary_search_by_key(&seq_ext, |known| known.seq_ext)
                {
                    self.arrivals.insert(at, arrival);
                }
            }
            _ => self.arrivals.push(arrival),
        }
        let due_us =
            if self.arrivals.len() >= FEEDBACK_PACKETS { now } else { now + FEEDBACK_INTERVAL_US };
        self.due_us = Some(self.due_us.map_or(due_us, |due| due.min(due_us)));
    }

    /// When feedback has to leave; `None` = nothing to report.
    pub fn next_due_us(&self) -> Option<Micros> {
        self.due_us
    }

    /// Unreported arrivals, sorted. Those that come late, after newer ones were reported, are for a
    /// feedback of their own: one that went on from them would call lost what was reported already.
    pub fn arrivals(&self) -> &[Arrival] {
        let late = self.arrivals.partition_point(|arrival| arrival.seq_ext < self.base_seq_ext);
        match late {
            0 => &self.arrivals,
            _ => &self.arrivals[..late],
        }
    }

    /// The first unbroken row of them.
    pub fn unbroken(&self) -> &[Arrival] {
        let arrivals = self.arrivals();
        let is_next = |pair: &[Arrival]| pair[1].seq_ext == pair[0].seq_ext + 1;
        let num_next = arrivals.windows(2).take_while(|pair| is_next(pair)).count();
        &arrivals[..arrivals.len().min(num_next + 1)]
    }

    /// Of what is missing before the next arrival nothing will be told.
    /// DEVIATION from draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1, by which feedback is
    /// about every number: a libwebrtc sender sends again at once what is called lost
    /// (`rtp_video_sender.cc`), and does so into the very queue that was too full for it.
    pub fn skip_missing(&mut self) {
        let first = self.arrivals().first().map_or(0, |arrival| arrival.seq_ext);
        self.base_seq_ext = self.base_seq_ext.max(first);
    }

    /// The first `count` arrivals were reported; the next feedback starts at `next_seq_ext`. Returns
    /// how many packets that report was about, and how many of them it called lost.
    pub fn on_reported(&mut self, count: usize, next_seq_ext: u64) -> (u64, u64) {
        let first = self.arrivals.first().map_or(next_seq_ext, |arrival| arrival.seq_ext);
        // The very first report, and one after a long silence, starts with an arrival.
        let is_continued = self.base_seq_ext != 0 && first >= self.base_seq_ext;
        let base = if is_continued { self.base_seq_ext } else { first };
        let is_late = first < self.base_seq_ext;
        let expected = if is_late { 0 } else { next_seq_ext.saturating_sub(base) };
        self.arrivals.drain(..count.min(self.arrivals.len()));
        self.base_seq_ext = self.base_seq_ext.max(next_seq_ext);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        if self.arrivals.is_empty() {
            self.due_us = None;
        }
        (expected, expected.saturating_sub(count as u64))
    }

    /// Gives up on what cannot be written.
    pub fn clear(&mut self) {
        self.arrivals.clear();
        self.due_us = None;
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    sent_low_us: u32,
    size: u16,
    /// Round of the ring the entry belongs to: `seq / SENT_SLOTS`, and the mark of use; above the
    /// round two bits of [`Sort`], four of the probe's tag, and whether it was told to be lost.
    round: u16,
}

const USED: u16 = 0x8000;
const ROUND_MASK: u16 = USED | 0x1f;
const SORT_SHIFT: u16 = 5;
const TAG_SHIFT: u16 = 7;
const TOLD_LOST: u16 = 1 << 11;
/// Probes whose packets may be under way at a time.
const MAX_PROBES: usize = 15;

fn round(seq: u16) -> u16 {
    (seq / SENT_SLOTS as u16) | USED
}

/// What a packet was sent for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Sort {
    /// Video, for the first time.
    #[default]
    Video = 0,
    /// A retransmission, a copy or padding.
    Extra = 1,
    /// Audio.
    Audio = 2,
}

/// One reported packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Transport-wide number.
    pub seq: u16,
    /// Bytes on the wire, without UDP and IP.
    pub size_bytes: u16,
    /// When it left, on our clock.
    pub sent_us: Micros,
    /// When it came, on the reporter's unwrapped clock; 0 = lost.
    pub received_us: Micros,
    /// Probe that it belonged to; 0 = none.
    pub probe: u32,
    /// A [`Sort`] as number.
    pub sort: u8,
}

/// What left after the newest packet that is known to have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Packets.
    pub num: u32,
    /// Their bytes.
    pub bytes: u64,
    /// When the first of them left.
    pub oldest_us: Micros,
}

/// What was sent on one transport.
#[derive(Debug, Default)]
pub struct SentHistory {
    next_seq: u16,
    /// One past the newest that is known to have come; `None` = none is.
    received_end: Option<u16>,
    slots: Vec<Sent>,
    last_reference: Option<i64>,
    reference_base: i64,
    /// Probes by tag; tag 0 is no probe.
    probes: [u32; MAX_PROBES],
    tag: u8,
    num_probes: u8,
}

impl SentHistory {
    /// The number for the next packet.
    pub fn next_seq(&self) -> u16 {
        self.next_seq
    }

    /// What leaves from now on belongs to probe `probe`, or to none (0).
    pub fn set_probe(&mut self, probe: u32) {
        self.tag = 0;
        if probe != 0 {
            self.num_probes = (self.num_probes + 1) % MAX_PROBES as u8;
            self.probes[usize::from(self.num_probes)] = probe;
            self.tag = self.num_probes + 1;
        }
    }

    /// Notes that the packet with [`SentHistory::next_seq`] leaves.
    pub fn on_sent(&mut self, now: Micros, size: usize, sort: Sort) {
        if self.slots.is_empty() {
            self.slots = vec![Sent::default(); SENT_SLOTS];
        }
        let seq = self.next_seq;
        self.slots[usize::from(seq) % SENT_SLOTS] = Sent {
            sent_low_us: now as u32,
            size: size.min(usize::from(u16::MAX)) as u16,
            round: round(seq) | (sort as u16) << SORT_SHIFT | u16::from(self.tag) << TAG_SHIFT,
        };
        self.next_seq = seq.wrapping_add(1);
    }

    /// Joins a feedback with what was sent. Each packet is reported once as received, and once as
    /// lost before that, however often it is told: others wait for the same room in the queues.
    pub fn on_feedback(
        &mut self,
        now: Micros,
        feedback: &Feedback<'_>,
        mut report: impl FnMut(Reported),
    ) {
        if self.slots.is_empty() {
            return;
        }
        let shift_us = self.unwrap_reference(i64::from(feedback.reference_time));
        for (seq, ticks) in feedback.iter() {
            let slot = &mut self.slots[usize::from(seq) % SENT_SLOTS];
            if slot.round & ROUND_MASK != round(seq) {
                continue;
            }
            if ticks.is_none() && slot.round & TOLD_LOST != 0 {
                continue;
            }
            let sort = (slot.round >> SORT_SHIFT & 3) as u8;
            let tag = usize::from(slot.round >> TAG_SHIFT & 15);
            let probe = tag.checked_sub(1).map_or(0, |tag| self.probes[tag]);
            let age_us = (now as u32).wrapping_sub(slot.sent_low_us);
            let received_us =
                ticks.map_or(0, |ticks| (ticks * TICK_US as i64 + shift_us).max(1) as u64);
            if ticks.is_none() {
                slot.round |= TOLD_LOST;
            } else {
                slot.round = 0;
                let end = seq.wrapping_add(1);
                // Counted back from the next: all that is remembered is near.
                let back = |end: u16| self.next_seq.wrapping_sub(end);
                self.received_end =
                    Some(self.received_end.filter(|&old| back(old) < back(end)).unwrap_or(end));
            }
            let sent_us = now.saturating_sub(u64::from(age_us));
            let size_bytes = slot.size;
            report(Reported { seq, size_bytes, sent_us, received_us, probe, sort });
        }
    }

    /// What is under way, or lost behind the newest packet that came: the first [`MAX_OPEN`] of it.
    pub fn open(&self, now: Micros) -> Open {
        let mut open = Open::default();
        let Some(end) = self.received_end else {
            return open;
        };
        let num = self.next_seq.wrapping_sub(end).min(SENT_SLOTS as u16);
        for back in (1..=num).rev().take(MAX_OPEN) {
            let seq = self.next_seq.wrapping_sub(back);
            let slot = &self.slots[usize::from(seq) % SENT_SLOTS];
            if slot.round & ROUND_MASK != round(seq) {
                continue;
            }
            if open.num == 0 {
                let age_us = (now as u32).wrapping_sub(slot.sent_low_us);
                open.oldest_us = now.saturating_sub(u64::from(age_us));
            }
            open.num += 1;
            open.bytes += u64::from(slot.size);
        }
        open
    }

    /// Microseconds to add to the reporter's times so that they never wrap and are positive.
    fn unwrap_reference(&mut self, reference: i64) -> i64 {
        // A first time near the wrap, or a negative one, must not go below zero later.
        let base = *self.last_reference.get_or_insert(reference);
        let mut step = (reference - base).rem_euclid(REFERENCE_WRAP);
        if step > REFERENCE_WRAP / 2 {
            step -= REFERENCE_WRAP;
        }
        self.last_reference = Some(reference);
        self.reference_base += step;
        let unwrapped = REFERENCE_WRAP + self.reference_base;
        (unwrapped - reference) * 64_000
    }
}

#[cfg(test)]
mod tests;
