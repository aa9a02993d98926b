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
    /// round two bits of [`Sort`] and four of the probe's tag.
    round: u16,
}

const USED: u16 = 0x8000;
const ROUND_MASK: u16 = USED | 0x1f;
const SORT_SHIFT: u16 = 5;
const TAG_SHIFT: u16 = 7;
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

/// What was sent on one transport.
#[derive(Debug, Default)]
pub struct SentHistory {
    next_seq: u16,
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

    /// Joins a feedback with what was sent. Each packet is reported once as received; one reported
    /// lost may still be reported as received later.
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
            let sort = (slot.round >> SORT_SHIFT & 3) as u8;
            let tag = usize::from(slot.round >> TAG_SHIFT & 15);
            let probe = tag.checked_sub(1).map_or(0, |tag| self.probes[tag]);
            let age_us = (now as u32).wrapping_sub(slot.sent_low_us);
            let received_us =
                ticks.map_or(0, |ticks| (ticks * TICK_US as i64 + shift_us).max(1) as u64);
            if ticks.is_some() {
                slot.round = 0;
            }
            let sent_us = now.saturating_sub(u64::from(age_us));
            let size_bytes = slot.size;
            report(Reported { seq, size_bytes, sent_us, received_us, probe, sort });
        }
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
mod tests {
    use super::*;
    use crate::wire::rtcp::{RtcpPacket, RtcpWriter, packets};
    use crate::wire::twcc_feedback::FeedbackHeader;

    fn feedback(base: u64, arrivals: &[(u64, u64)]) -> Vec<u8> {
        let mut buffer = [0; 1200];
        let arrivals: Vec<Arrival> =
            arrivals.iter().map(|&(seq_ext, arrived_us)| Arrival { seq_ext, arrived_us }).collect();
        let header =
            FeedbackHeader { sender_ssrc: 1, media_ssrc: 2, feedback_count: 0, base_seq_ext: base };
        let mut writer = RtcpWriter::new(&mut buffer);
        writer.transport_cc(&header, &arrivals).unwrap();
        let len = writer.len();
        buffer[..len].to_vec()
    }

    fn join(history: &mut SentHistory, now: Micros, raw: &[u8]) -> Vec<Reported> {
        let mut rows = Vec::new();
        for packet in packets(raw) {
            let RtcpPacket::TransportCc(feedback) = packet else { panic!("{packet:?}") };
            history.on_feedback(now, &feedback, |row| rows.push(row));
        }
        rows
    }

    #[test]
    fn arrivals_are_sorted_and_due_after_50_ms_or_100_packets() {
        let mut log = ArrivalLog::default();
        for seq in [5, 7, 6, 6] {
            log.on_packet(1000, seq);
        }
        assert_eq!(log.arrivals().iter().map(|a| a.seq_ext as u16).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(log.next_due_us(), Some(51_000));
        for seq in 8..105 {
            log.on_packet(2000, seq);
        }
        assert_eq!(log.next_due_us(), Some(2000));
        log.on_reported(100, log.arrivals()[99].seq_ext + 1);
        assert_eq!((log.next_due_us(), log.feedback_count), (None, 1));
    }

    #[test]
    fn a_late_arrival_is_reported_alone_and_takes_nothing_back() {
        let mut log = ArrivalLog::default();
        [1, 2, 4, 5].iter().for_each(|&seq| log.on_packet(1000, seq));
        let base = log.arrivals()[0].seq_ext;
        log.on_reported(4, base + 5);
        [6, 3].iter().for_each(|&seq| log.on_packet(2000, seq));
        let seqs = |log: &ArrivalLog| -> Vec<u64> {
            log.arrivals().iter().map(|one| one.seq_ext - base).collect()
        };
        assert_eq!(seqs(&log), [2]);
        log.on_reported(1, base + 3);
        assert_eq!(log.base_seq_ext, base + 5);
        assert_eq!(seqs(&log), [5]);
    }

    #[test]
    fn what_was_sent_into_an_outage_is_not_called_lost() {
        let mut log = ArrivalLog::default();
        [1, 2, 4].iter().for_each(|&seq| log.on_packet(1000, seq));
        let base = log.arrivals()[0].seq_ext;
        assert_eq!(log.on_reported(3, base + 4), (4, 1), "the first report starts with an arrival");
        log.on_packet(900_000, 7);
        assert_eq!(log.base_seq_ext, base + 4, "half a second is a gap like any other");
        assert_eq!(log.on_reported(1, base + 7), (3, 2));
        log.on_packet(9_000_000, 2000);
        assert_eq!(log.base_seq_ext, base + 1999);
        assert_eq!(log.on_reported(1, base + 2000), (1, 0));
        // One that comes late is neither expected nor lost anew.
        log.on_packet(9_010_000, 1500);
        assert_eq!(log.on_reported(1, base + 1500), (0, 0));
    }

    #[test]
    fn joins_what_was_sent_with_what_was_reported() {
        let mut history = SentHistory::default();
        for step in 0..5 {
            history.on_sent(1_000_000 + step * 1000, 100 + step as usize, Sort::Video);
        }
        let raw = feedback(65_536, &[(65_536, 64_000), (65_538, 64_500)]);
        let rows = join(&mut history, 1_100_000, &raw);
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].seq, rows[0].size_bytes, rows[0].sent_us), (0, 100, 1_000_000));
        assert_eq!((rows[1].seq, rows[1].received_us), (1, 0));
        assert_eq!(rows[2].received_us - rows[0].received_us, 500);
        let again = join(&mut history, 1_100_000, &raw);
        assert_eq!(again.len(), 1, "only the lost one is still open");
    }

    #[test]
    fn edge_20_numbers_above_32768_and_the_wrap_are_joined() {
        let mut history = SentHistory::default();
        for step in 0..65_540u64 {
            history.on_sent(step * 1000, 1, Sort::Video);
        }
        // 65534, 65535, 0, 1
        let raw = feedback(
            131_070,
            &[(131_070, 64_000), (131_071, 64_250), (131_072, 65_000), (131_073, 65_000)],
        );
        let rows = join(&mut history, 65_540_000, &raw);
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [65_534, 65_535, 0, 1]);
        assert_eq!(rows[3].sent_us, 65_537_000);
    }

    #[test]
    fn rows_say_what_a_packet_was_sent_for() {
        let mut history = SentHistory::default();
        history.on_sent(0, 1, Sort::Audio);
        for probe in 100..120 {
            history.set_probe(probe);
            history.on_sent(0, 1, Sort::Extra);
        }
        history.set_probe(0);
        history.on_sent(0, 1, Sort::Video);
        let arrivals: Vec<(u64, u64)> = (65_536..65_558).map(|seq| (seq, 64_000)).collect();
        let rows = join(&mut history, 0, &feedback(65_536, &arrivals));
        assert_eq!(rows.iter().map(|row| row.sort).collect::<Vec<_>>()[..2], [2, 1]);
        assert_eq!((rows[0].probe, rows[20].probe, rows[21].probe), (0, 119, 0));
        assert_eq!((rows[19].probe, rows[21].sort), (118, 0));
    }

    #[test]
    fn the_reporters_clock_is_unwrapped() {
        let mut history = SentHistory::default();
        for _ in 0..4 {
            history.on_sent(0, 1, Sort::Video);
        }
        let wrap_us = (1u64 << 24) * 64_000;
        let first = join(&mut history, 0, &feedback(65_536, &[(65_536, wrap_us - 64_000)]));
        let second = join(&mut history, 0, &feedback(65_537, &[(65_537, wrap_us + 64_000)]));
        assert_eq!(second[0].received_us - first[0].received_us, 128_000);
    }
}
