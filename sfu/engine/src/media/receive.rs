//! Receive statistics of one RTP stream: unwrapped numbers, loss, jitter, rates (RFC 3550 §6.4, A).

use crate::api::Micros;

/// Jumps beyond this are a restart once a second packet confirms them (RFC 3550 A.1).
pub const MAX_JUMP: i16 = 3000;
/// Bins of the one-second rate window.
const BINS: usize = 10;
const BIN_US: Micros = 100_000;

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Unwrapped number of a packet of the running stream.
    At(u64),
    /// The stream started anew at this number, far above all earlier ones.
    Restart(u64),
    /// Too far off to believe before another packet confirms it.
    Suspect,
}

/// Unwraps sequence numbers and notices restarted streams.
#[derive(Debug, Default)]
pub struct Sequence {
    highest: Option<u64>,
    suspect: Option<u16>,
}

impl Sequence {
    /// Places `seq`; only authenticated packets may be given.
    pub fn place(&mut self, seq: u16) -> Placed {
        let Some(highest) = self.highest else {
            // Two cycles of room, so that packets overtaken by the first one stay positive.
            let first = (2 << 16) + u64::from(seq);
            self.highest = Some(first);
            return Placed::At(first);
        };
        let step = seq.wrapping_sub(highest as u16) as i16;
        if step.unsigned_abs() <= MAX_JUMP.unsigned_abs() {
            self.suspect = None;
            let placed = highest.wrapping_add_signed(i64::from(step));
            self.highest = Some(highest.max(placed));
            return Placed::At(placed);
        }
        if self.suspect != Some(seq) {
            self.suspect = Some(seq.wrapping_add(1));
            return Placed::Suspect;
        }
        Placed::Restart(self.restart(seq))
    }

    /// Starts anew at `seq` (another SSRC took the encoding over).
    pub fn restart(&mut self, seq: u16) -> u64 {
        self.suspect = None;
        let base = self.highest.map_or(2, |highest| (highest >> 16) + 2);
        let first = (base << 16) + u64::from(seq);
        self.highest = Some(first);
        first
    }

    /// The highest number so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Counts for one receiver report block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportCounts {
    /// Of 256, since the last report.
    pub fraction_lost: u8,
    /// Since the start, saturated to 24 bits signed.
    pub cumulative_lost: i32,
    /// Extended highest sequence number.
    pub highest_seq: u32,
    /// In timestamp units.
    pub jitter: u32,
}

/// What came, what should have come, and how regularly.
#[derive(Debug, Default)]
pub struct ReceiveStats {
    first: u64,
    highest: u64,
    is_started: bool,
    /// Packets on the wire, without retransmissions.
    received: u64,
    /// Packets brought back by retransmission.
    recovered: u64,
    expected_before: u64,
    received_before: u64,
    jitter_16: u32,
    transit: Option<u32>,
}

impl ReceiveStats {
    /// Notes a packet; `is_recovered` = it came as a retransmission.
    pub fn on_packet(&mut self, now: Micros, seq_ext: u64, ts: u32, hz: u32, is_recovered: bool) {
        if !self.is_started {
            *self = ReceiveStats {
                first: seq_ext,
                highest: seq_ext,
                is_started: true,
                ..Self::default()
            };
        }
        let is_newest = seq_ext >= self.highest;
        self.first = self.first.min(seq_ext);
        self.highest = self.highest.max(seq_ext);
        if is_recovered {
            self.recovered += 1;
            return;
        }
        self.received += 1;
        if is_newest {
            self.update_jitter(now, ts, hz);
        }
    }

    /// A packet came that had been recovered before: it was late, not lost.
    pub fn on_overtaken(&mut self) {
        if self.recovered > 0 {
            self.recovered -= 1;
            self.received += 1;
        }
    }

    fn update_jitter(&mut self, now: Micros, ts: u32, hz: u32) {
        let arrival = (now * u64::from(hz / 1000) / 1000) as u32;
        let transit = arrival.wrapping_sub(ts);
        if let Some(before) = self.transit {
            let delta = (transit.wrapping_sub(before) as i32).unsigned_abs();
            // A stream that paused or jumped says nothing about jitter.
            if delta < hz * 5 {
                let gain = (self.jitter_16 + 8) >> 4;
                self.jitter_16 = self.jitter_16.saturating_add(delta).saturating_sub(gain);
            }
        }
        self.transit = Some(transit);
    }

    /// Packets that never came, not even by retransmission.
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received + self.recovered)
    }

    /// RFC 3550 interarrival jitter in timestamp units.
    pub fn jitter(&self) -> u32 {
        self.jitter_16 >> 4
    }

    /// Counts for the next receiver report; starts a new interval. `None` before the first packet.
    pub fn take_report(&mut self) -> Option<ReportCounts> {
        if !self.is_started {
            return None;
        }
        let expected = self.expected() - self.expected_before.min(self.expected());
        let received = self.received - self.received_before;
        self.expected_before = self.expected();
        self.received_before = self.received;
        let lost = expected.saturating_sub(received);
        let fraction_lost = (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8;
        let cumulative = self.expected() as i64 - self.received as i64;
        Some(ReportCounts {
            fraction_lost,
            cumulative_lost: cumulative.clamp(-0x80_0000, 0x7f_ffff) as i32,
            // The unwrapping starts at cycle 2; the wire counts cycles from the first packet.
            highest_seq: self.highest.wrapping_sub(2 << 16) as u32,
            jitter: self.jitter(),
        })
    }

    fn expected(&self) -> u64 {
        if self.is_started { self.highest - self.first + 1 } else { 0 }
    }
}

/// Bytes and events a second, counted in bins of 100 ms.
///
/// Only full bins are told of, so that it is a whole second that is summed: with the part of a bin
/// that has begun the window was 0.9 to 1 s long, and everything read 5 % too little in the mean.
/// And a whole second holds the same number of pictures or voice packets wherever it begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateWindow {
    bins: [u32; BINS],
    /// The one that has begun, and what is in it.
    bin: u64,
    newest: u32,
    /// Of the full ones.
    sum: u64,
}

impl RateWindow {
    /// Adds `amount` at `now`.
    pub fn add(&mut self, now: Micros, amount: u32) {
        self.roll(now);
        self.newest = self.newest.saturating_add(amount);
    }

    /// Sum over a second that ended less than 100 ms ago.
    pub fn per_second(&self, now: Micros) -> u64 {
        let mut copy = *self;
        copy.roll(now);
        copy.sum
    }

    fn roll(&mut self, now: Micros) {
        let bin = now / BIN_US;
        let steps = bin.saturating_sub(self.bin);
        if steps > BINS as u64 {
            *self = RateWindow { bin, ..RateWindow::default() };
            return;
        }
        for step in 0..steps.min(BINS as u64) {
            let full = &mut self.bins[((self.bin + step) % BINS as u64) as usize];
            self.sum = self.sum - u64::from(*full) + u64::from(self.newest);
            *full = std::mem::take(&mut self.newest);
        }
        self.bin = self.bin.max(bin);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unwraps_over_the_end_and_back() {
        let mut sequence = Sequence::default();
        let Placed::At(first) = sequence.place(65_534) else { panic!() };
        assert_eq!(sequence.place(1), Placed::At(first + 3));
        assert_eq!(sequence.place(65_535), Placed::At(first + 1));
        assert_eq!(sequence.place(65_533), Placed::At(first - 1));
        assert_eq!(sequence.highest(), Some(first + 3));
    }

    #[test]
    fn edge_04_a_jump_is_believed_only_when_a_second_packet_confirms_it() {
        let mut sequence = Sequence::default();
        let Placed::At(first) = sequence.place(100) else { panic!() };
        assert_eq!(sequence.place(40_000), Placed::Suspect);
        assert_eq!(sequence.place(101), Placed::At(first + 1));
        assert_eq!(sequence.place(40_000), Placed::Suspect);
        let Placed::Restart(at) = sequence.place(40_001) else { panic!() };
        assert!(at > first + 65_536 && at as u16 == 40_001);
        assert_eq!(sequence.place(40_002), Placed::At(at + 1));
    }

    #[test]
    fn edge_20_report_counts_loss_before_recovery_and_keeps_the_rest_for_us() {
        let mut stats = ReceiveStats::default();
        let base = 2 << 16;
        assert_eq!(stats.take_report(), None);
        for seq in [0u64, 1, 2, 5] {
            stats.on_packet(seq * 20_000, base + seq, (seq * 960) as u32, 48_000, false);
        }
        stats.on_packet(110_000, base + 3, 3 * 960, 48_000, true);
        let report = stats.take_report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), ((2 * 256 / 6) as u8, 2));
        assert_eq!((report.highest_seq, report.jitter), (5, 0));
        assert_eq!(stats.lost(), 1);
        assert_eq!(stats.take_report().unwrap().fraction_lost, 0);
    }

    #[test]
    fn jitter_follows_the_arrivals() {
        let mut stats = ReceiveStats::default();
        for seq in 0..200u64 {
            let late = if seq % 2 == 0 { 0 } else { 5_000 };
            stats.on_packet(seq * 20_000 + late, seq, (seq * 960) as u32, 48_000, false);
        }
        assert!((200..260).contains(&stats.jitter()), "{}", stats.jitter()); // 5 ms = 240 ticks
    }

    #[test]
    fn rate_forgets_after_a_second() {
        let mut window = RateWindow::default();
        for step in 0..20 {
            window.add(step * 100_000, 10);
        }
        assert_eq!(window.per_second(1_950_000), 100);
        assert_eq!(window.per_second(2_500_000), 50);
        assert_eq!(window.per_second(9_000_000), 0);
        window.add(9_000_000, 10);
        window.add(3_000_000, 10);
        assert_eq!(window.per_second(9_000_000), 0, "the bin has only begun");
        assert_eq!(window.per_second(9_100_000), 20, "time that goes back is none");
    }

    proptest! {
        #[test]
        fn a_constant_rate_is_read_to_one_packet_whatever_their_spacing(
            spacing_us in 500u64..150_000,
            from_us in 0u64..1_000_000,
            look_us in 2_200_000u64..3_000_000,
        ) {
            let mut window = RateWindow::default();
            let mut at_us = from_us;
            while at_us < look_us {
                window.add(at_us, 1000);
                at_us += spacing_us;
            }
            let apart = window.per_second(look_us).abs_diff(1_000_000_000 / spacing_us);
            prop_assert!(apart <= 1_000, "{apart} of {}", 1_000_000_000 / spacing_us);
        }

        #[test]
        fn pictures_a_second_are_counted_whenever_one_looks(
            per_s in 1u64..=60,
            from_us in 0u64..1_000_000,
            look_us in 2_200_000u64..3_000_000,
        ) {
            let mut window = RateWindow::default();
            for number in 0.. {
                let at_us = from_us + number * 1_000_000 / per_s;
                if at_us >= look_us {
                    break;
                }
                window.add(at_us, 1);
            }
            prop_assert_eq!(window.per_second(look_us), per_s);
        }
    }
}
