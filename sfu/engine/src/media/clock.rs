//! Clocks of a publisher: its NTP time against ours, RTP time against its NTP time, and the RTP
//! times of one source's encodings against each other.
//!
//! The offset between two encodings is found once per stream and kept, instead of being chained
//! from switch to switch, so that errors do not add up.

use crate::api::Micros;

/// NTP seconds put on top of the engine's clock in our sender reports. Any constant does: receivers
/// compare our reports with each other only.
const NTP_BASE_S: u64 = 0xe000_0000;
/// An NTP clock that moved this far was set anew.
const NTP_STEP_US: i64 = 5_000_000;
/// A sender report this far from the media is not believed at once.
const MAX_REPORT_ERROR_US: i64 = 5_000_000;

/// 64-bit NTP time as microseconds.
pub fn ntp_to_us(ntp: u64) -> u64 {
    (ntp >> 32) * 1_000_000 + (((ntp & 0xffff_ffff) * 1_000_000) >> 32)
}

/// The engine's clock as 64-bit NTP time.
pub fn us_to_ntp(us: Micros) -> u64 {
    let seconds = NTP_BASE_S + us / 1_000_000;
    (seconds << 32) | (((us % 1_000_000) << 32) / 1_000_000)
}

/// Ticks of an `hz` clock in `us`.
pub fn ticks(us: i64, hz: u32) -> i64 {
    us * i64::from(hz / 1000) / 1000
}

fn ticks_to_us(ticks: i64, hz: u32) -> i64 {
    ticks * 1000 / i64::from(hz / 1000)
}

/// Offset from a peer's NTP clock to ours, as if the fastest report had taken no time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NtpOffset {
    offset_us: Option<i64>,
}

impl NtpOffset {
    /// Takes the NTP time of a report that arrived at `now`.
    pub fn on_report(&mut self, now: Micros, ntp_us: u64) {
        let sample = now.wrapping_sub(ntp_us) as i64;
        self.offset_us = Some(match self.offset_us {
            Some(offset) if (sample - offset).abs() < NTP_STEP_US => {
                // The least delay counts; the slow rise follows a drifting clock.
                if sample < offset { sample } else { offset + (sample - offset) / 64 }
            }
            _ => sample,
        });
    }

    /// Our time at the peer's `ntp_us`, if a report came yet.
    pub fn to_local_us(&self, ntp_us: u64) -> Option<Micros> {
        self.offset_us.map(|offset| ntp_us.wrapping_add_signed(offset))
    }

    /// The peer's NTP time at our `us`.
    pub fn to_ntp_us(&self, us: Micros) -> Option<u64> {
        self.offset_us.map(|offset| us.wrapping_sub(offset as u64))
    }
}

/// RTP time of one encoding against its sender's NTP clock, and against our arrivals.
#[derive(Clone, Copy, Debug)]
pub struct StreamClock {
    hz: u32,
    report: Option<(u64, u32)>,
    doubted: Option<(u64, u32)>,
    last: Option<(Micros, u32)>,
    /// NTP time as middle 32 bits and arrival of the last report, for our receiver reports.
    pub last_report: Option<(u32, Micros)>,
}

impl StreamClock {
    /// A clock of `hz`.
    pub fn new(hz: u32) -> StreamClock {
        StreamClock { hz, report: None, doubted: None, last: None, last_report: None }
    }

    /// Notes the newest media packet.
    pub fn on_packet(&mut self, now: Micros, ts: u32) {
        if self.last.is_none_or(|(_, last)| (ts.wrapping_sub(last) as i32) >= 0) {
            self.last = Some((now, ts));
        }
    }

    /// Takes a sender report; false if it is not believed yet (a jump of its timestamps).
    pub fn on_report(&mut self, now: Micros, ntp: u64, ts: u32) -> bool {
        self.last_report = Some(((ntp >> 16) as u32, now));
        let ntp_us = ntp_to_us(ntp);
        let is_near = |at: Option<i64>| {
            at.is_none_or(|expected| {
                let error = ts.wrapping_sub(expected as u32) as i32;
                ticks_to_us(i64::from(error), self.hz).abs() < MAX_REPORT_ERROR_US
            })
        };
        let by_arrival =
            self.last.map(|(at, last)| i64::from(last) + ticks((now - at) as i64, self.hz));
        let by_doubted = self.doubted.map(|doubted| self.ts_of(doubted, ntp_us));
        if is_near(by_arrival) || (by_doubted.is_some() && is_near(by_doubted)) {
            self.report = Some((ntp_us, ts));
            self.doubted = None;
            return true;
        }
        self.doubted = Some((ntp_us, ts));
        false
    }

    /// A report came and holds.
    pub fn has_report(&self) -> bool {
        self.report.is_some()
    }

    /// Newest media: arrival and timestamp.
    pub fn last_packet(&self) -> Option<(Micros, u32)> {
        self.last
    }

    /// NTP time at `ts`.
    pub fn ntp_us_at(&self, ts: u32) -> Option<u64> {
        let (ntp_us, report_ts) = self.report?;
        let since = i64::from(ts.wrapping_sub(report_ts) as i32);
        Some(ntp_us.wrapping_add_signed(ticks_to_us(since, self.hz)))
    }

    /// Timestamp at `ntp_us`.
    pub fn ts_at_ntp(&self, ntp_us: u64) -> Option<u32> {
        self.report.map(|report| self.ts_of(report, ntp_us) as u32)
    }

    /// Timestamp of what is captured at our time `now`: by report, or else as if transport took no
    /// time. `None` before the first packet.
    pub fn ts_now(&self, now: Micros, offset: &NtpOffset) -> Option<u32> {
        if let Some(ts) = offset.to_ntp_us(now).and_then(|ntp_us| self.ts_at_ntp(ntp_us)) {
            return Some(ts);
        }
        let (arrived_us, ts) = self.last?;
        Some(ts.wrapping_add(ticks(now.wrapping_sub(arrived_us) as i64, self.hz) as u32))
    }

    fn ts_of(&self, report: (u64, u32), ntp_us: u64) -> i64 {
        i64::from(report.1) + ticks(ntp_us.wrapping_sub(report.0) as i64, self.hz)
    }
}

#[derive(Clone, Copy, Debug)]
struct Relation {
    to_timeline: u32,
    is_by_report: bool,
}

/// One timeline for all encodings of a source: `ts + relation = time on the source's timeline`.
#[derive(Debug, Default)]
pub struct Timeline {
    relations: [Option<Relation>; 3],
    last: Option<(Micros, u32)>,
}

impl Timeline {
    /// What to add to timestamps of `encoding`, whose frame `ts` arrived at `arrived_us`.
    ///
    /// By sender reports where both streams have one, else by arrival. An estimate is replaced at
    /// the next call that can do better; a relation by report stays.
    pub fn relate(
        &mut self,
        clocks: &[&StreamClock],
        encoding: usize,
        ts: u32,
        arrived_us: Micros,
    ) -> u32 {
        let known = self.relations[encoding];
        if let Some(relation) = known.filter(|relation| relation.is_by_report) {
            return relation.to_timeline;
        }
        let own = clocks[encoding];
        let by_report = (0..clocks.len()).filter(|&other| other != encoding).find_map(|other| {
            let relation = self.relations[other]?;
            let other_ts = clocks[other].ts_at_ntp(own.ntp_us_at(ts)?)?;
            Some(other_ts.wrapping_add(relation.to_timeline).wrapping_sub(ts))
        });
        let relation = match (by_report, known) {
            (Some(to_timeline), _) => Relation { to_timeline, is_by_report: true },
            (None, Some(relation)) => relation,
            (None, None) => self.by_arrival(own.hz, ts, arrived_us),
        };
        self.relations[encoding] = Some(relation);
        self.last.get_or_insert((arrived_us, ts.wrapping_add(relation.to_timeline)));
        relation.to_timeline
    }

    fn by_arrival(&self, hz: u32, ts: u32, arrived_us: Micros) -> Relation {
        let Some((last_us, last)) = self.last else {
            // The first stream is the timeline.
            return Relation { to_timeline: 0, is_by_report: true };
        };
        let elapsed = ticks(arrived_us.wrapping_sub(last_us) as i64, hz) as u32;
        let to_timeline = last.wrapping_add(elapsed).wrapping_sub(ts);
        Relation { to_timeline, is_by_report: false }
    }

    /// Notes the newest packet of `encoding`.
    pub fn on_packet(&mut self, now: Micros, encoding: usize, ts: u32) {
        if let Some(relation) = self.relations[encoding] {
            self.last = Some((now, ts.wrapping_add(relation.to_timeline)));
        }
    }

    /// `encoding` started anew with other timestamps.
    pub fn forget(&mut self, encoding: usize) {
        self.relations[encoding] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ntp(us: u64) -> u64 {
        ((us / 1_000_000) << 32) | (((us % 1_000_000) << 32) / 1_000_000)
    }

    #[test]
    fn ntp_time_converts_both_ways() {
        let us = 123_456_789;
        assert!(ntp_to_us(us_to_ntp(us)).abs_diff(NTP_BASE_S * 1_000_000 + us) <= 1);
    }

    #[test]
    fn offset_follows_the_fastest_report_and_a_set_clock() {
        let mut offset = NtpOffset::default();
        assert_eq!(offset.to_local_us(0), None);
        offset.on_report(1_050_000, 9_000_000);
        offset.on_report(2_020_000, 10_000_000);
        offset.on_report(3_300_000, 11_000_000);
        let local = offset.to_local_us(11_000_000).unwrap();
        assert!((3_020_000..3_030_000).contains(&local), "{local}");
        offset.on_report(4_000_000, 99_000_000);
        assert_eq!(offset.to_local_us(99_000_000), Some(4_000_000));
        assert_eq!(offset.to_ntp_us(4_000_000), Some(99_000_000));
    }

    #[test]
    fn edge_03_layers_are_related_by_their_sender_reports() {
        let (mut low, mut high) = (StreamClock::new(90_000), StreamClock::new(90_000));
        let mut timeline = Timeline::default();
        low.on_packet(0, 5000);
        assert_eq!(timeline.relate(&[&low, &high], 0, 5000, 0), 0);
        timeline.on_packet(0, 0, 5000);
        assert!(low.on_report(10_000, ntp(50_000_000), 5000));
        high.on_packet(40_000, 777_000);
        assert!(high.on_report(50_000, ntp(50_100_000), 777_000));
        // 777000 is 100 ms after 5000 by NTP, whatever the arrivals say.
        let relation = timeline.relate(&[&low, &high], 1, 777_000, 40_000);
        assert!(777_000u32.wrapping_add(relation).abs_diff(14_000) <= 1);
    }

    #[test]
    fn edge_03_without_reports_arrivals_relate_layers_and_nothing_is_blocked() {
        let (mut low, mut high) = (StreamClock::new(90_000), StreamClock::new(90_000));
        let mut timeline = Timeline::default();
        low.on_packet(0, 5000);
        timeline.relate(&[&low, &high], 0, 5000, 0);
        timeline.on_packet(0, 0, 5000);
        high.on_packet(100_000, 777_000);
        let relation = timeline.relate(&[&low, &high], 1, 777_000, 100_000);
        assert_eq!(777_000u32.wrapping_add(relation), 14_000);
        assert_eq!(timeline.relate(&[&low, &high], 1, 780_000, 140_000), relation, "kept");
    }

    #[test]
    fn edge_03_a_vanished_reference_layer_blocks_nothing() {
        let (mut low, high) = (StreamClock::new(90_000), StreamClock::new(90_000));
        let mut timeline = Timeline::default();
        low.on_packet(0, 5000);
        timeline.relate(&[&low, &high], 0, 5000, 0);
        timeline.on_packet(0, 0, 5000);
        timeline.forget(0);
        let relation = timeline.relate(&[&low, &high], 1, 100, 1_000_000);
        assert_eq!(100u32.wrapping_add(relation), 95_000);
    }

    #[test]
    fn edge_02_a_restarted_stream_continues_the_timeline() {
        let clock = StreamClock::new(48_000);
        let mut timeline = Timeline::default();
        timeline.relate(&[&clock], 0, 4_000_000_000, 0);
        timeline.on_packet(0, 0, 4_000_000_000);
        timeline.forget(0);
        let relation = timeline.relate(&[&clock], 0, 10, 20_000);
        assert_eq!(10u32.wrapping_add(relation), 4_000_000_960);
    }

    #[test]
    fn a_report_far_from_the_media_needs_a_second_one() {
        let mut clock = StreamClock::new(90_000);
        clock.on_packet(0, 1000);
        assert!(!clock.on_report(1000, ntp(1_000_000), 2_000_000_000));
        assert!(!clock.has_report());
        assert!(clock.on_report(1_001_000, ntp(2_000_000), 2_000_090_000));
        assert!(clock.ts_at_ntp(2_000_000).unwrap().abs_diff(2_000_090_000) <= 1);
    }

    #[test]
    fn time_now_by_report_and_before_one_by_arrival() {
        let mut clock = StreamClock::new(90_000);
        let mut offset = NtpOffset::default();
        assert_eq!(clock.ts_now(5, &offset), None);
        clock.on_packet(1_000_000, 9000);
        assert_eq!(clock.ts_now(1_100_000, &offset), Some(18_000));
        offset.on_report(1_100_000, 50_000_000);
        clock.on_report(1_100_000, ntp(50_000_000), 13_500);
        let ts = clock.ts_now(1_200_000, &offset).unwrap();
        assert!(ts.abs_diff(22_500) <= 1, "{ts}");
    }
}
