//! What the brake measures over a while.

use crate::api::Micros;
use crate::media::twcc::Reported;

use super::MAX_WAY_US;

/// The shortest transit of the last one to two of these is the link's own.
const BASE_US: Micros = 10_000_000;
/// What arrived is measured over this much of the receiver's time, and at least over a third of it.
const ACKED_US: u64 = 240_000;
/// Feedbacks in that time.
const MAX_ACKED: usize = 16;
/// What left is remembered in steps of this length, for 1.3 s.
const SENT_STEP_US: Micros = 20_000;
const MAX_SENT: usize = 64;
/// The least of what was measured in the last one to two spans of [`BASE_US`].
#[derive(Debug)]
pub struct Least {
    spans: [i64; 2],
    began_us: Micros,
}

impl Default for Least {
    fn default() -> Least {
        Least { spans: [i64::MAX; 2], began_us: 0 }
    }
}

impl Least {
    /// Takes a value, and returns the least.
    pub fn add(&mut self, now: Micros, value: i64) -> i64 {
        if now.saturating_sub(self.began_us) >= BASE_US {
            self.spans = [self.spans[1], i64::MAX];
            self.began_us = now;
        }
        self.spans[1] = self.spans[1].min(value);
        self.get()
    }

    /// The least, `i64::MAX` before there is any.
    pub fn get(&self) -> i64 {
        self.spans[0].min(self.spans[1])
    }
}

/// What one feedback says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows {
    last_transits: [i64; 3],
    pub num_received: usize,
    pub bytes: u32,
    pub received_us: u64,
    pub sent_us: Micros,
    pub num: usize,
    /// The newest that came: when it left, when it came and how long it took.
    pub newest_us: Micros,
    pub newest_received_us: u64,
    pub newest_transit_us: i64,
    /// Those that waited until the one before them had come, and how far apart they came.
    pub busy_bytes: u64,
    pub busy_us: u64,
    /// Numbers of the first and the last, and when the first that came did.
    first_seq: u16,
    last_seq: u16,
    first_received_us: u64,
    /// Of transits: the first, the least, and how much more than the first all took together.
    first_transit_us: i64,
    least_transit_us: i64,
    more_us: i64,
}

impl Rows {
    /// One packet. `base_us` = the shortest transit of late; `came_us` = when the one before came.
    pub fn add(&mut self, row: &Reported, base_us: i64, came_us: &mut u64) {
        if self.num == 0 {
            self.first_seq = row.seq;
        }
        self.last_seq = row.seq;
        self.num += 1;
        self.sent_us = self.sent_us.max(row.sent_us);
        if row.received_us == 0 {
            return;
        }
        let transit_us = (row.received_us as i64).wrapping_sub(row.sent_us as i64);
        if self.num_received == 0 {
            self.first_received_us = row.received_us;
            (self.first_transit_us, self.least_transit_us) = (transit_us, transit_us);
        }
        self.least_transit_us = self.least_transit_us.min(transit_us);
        let more_us = transit_us.saturating_sub(self.first_transit_us);
        self.more_us = self.more_us.saturating_add(more_us);
        self.last_transits[self.num_received % 3] = transit_us;
        self.num_received += 1;
        if row.sent_us >= self.newest_us {
            self.newest_us = row.sent_us;
            (self.newest_received_us, self.newest_transit_us) = (row.received_us, transit_us);
        }
        let gap_us = row.received_us.saturating_sub(*came_us).min(MAX_WAY_US);
        let has_waited = transit_us.saturating_sub(base_us) >= gap_us as i64;
        if *came_us != 0 && has_waited {
            self.busy_bytes += u64::from(row.size_bytes);
            self.busy_us += gap_us;
        }
        *came_us = row.received_us;
        self.bytes = self.bytes.saturating_add(u32::from(row.size_bytes));
        self.received_us = self.received_us.max(row.received_us);
    }

    /// The shortest of the last three transits, `i64::MAX` where none came.
    pub fn shortest_us(&self) -> i64 {
        let transits = &self.last_transits[..self.num_received.min(3)];
        transits.iter().copied().min().unwrap_or(i64::MAX)
    }

    /// How much more than the least the transits were in the mean.
    fn spread_us(&self) -> Option<i64> {
        let count = i64::try_from(self.num_received).ok().filter(|count| *count > 1)?;
        let mean_us = self.first_transit_us.saturating_add(self.more_us / count);
        Some(mean_us.saturating_sub(self.least_transit_us).clamp(0, MAX_WAY_US as i64))
    }
}

/// How far apart the transits of one feedback lie while nothing waits: the line's jitter.
#[derive(Debug, Default)]
pub struct Spread {
    us: i64,
}

impl Spread {
    /// Takes a feedback.
    pub fn add(&mut self, rows: &Rows) {
        if let Some(spread_us) = rows.spread_us() {
            self.us += (spread_us - self.us) / 8;
        }
    }

    /// Smoothed.
    pub fn us(&self) -> i64 {
        self.us
    }
}

/// What arrived, by feedback.
#[derive(Debug, Default)]
pub struct Acked {
    feedbacks: [Arrived; MAX_ACKED],
    count: usize,
    next_seq: Option<u16>,
}

/// Of one feedback.
#[derive(Clone, Copy, Debug, Default)]
struct Arrived {
    received_us: u64,
    bytes: u32,
    /// Before its first packet: the feedback that told of that time is lost.
    untold_us: u64,
}

impl Acked {
    /// Takes a feedback of which something came.
    pub fn add(&mut self, rows: &Rows) {
        let skipped = self.next_seq.map_or(0, |next| rows.first_seq.wrapping_sub(next));
        let has_gap = (1..1 << 15).contains(&skipped);
        let before_us = self.at(0).received_us;
        let untold_us = if has_gap { rows.first_received_us.saturating_sub(before_us) } else { 0 };
        self.next_seq = Some(rows.last_seq.wrapping_add(1));
        self.feedbacks[self.count % MAX_ACKED] =
            Arrived { received_us: rows.received_us, bytes: rows.bytes, untold_us };
        self.count += 1;
    }

    fn at(&self, back: usize) -> Arrived {
        self.feedbacks[(self.count + MAX_ACKED - 1 - back) % MAX_ACKED]
    }

    /// What arrived lately.
    pub fn bps(&self) -> Option<u64> {
        let count = self.count.min(MAX_ACKED);
        let (mut bytes, mut untold_us) = (0, 0);
        for back in 1..count {
            let newer = self.at(back - 1);
            bytes += u64::from(newer.bytes);
            untold_us += newer.untold_us;
            let span_us = self.at(0).received_us.saturating_sub(self.at(back).received_us);
            let span_us = span_us.saturating_sub(untold_us);
            if span_us >= ACKED_US || (back + 1 == count && span_us >= ACKED_US / 3) {
                return Some(bytes * 8_000_000 / span_us);
            }
        }
        None
    }
}

/// What left, in steps.
#[derive(Debug)]
pub struct Sent {
    steps: [(Micros, u64); MAX_SENT],
    newest: usize,
    total: u64,
}

impl Default for Sent {
    fn default() -> Sent {
        Sent { steps: [(0, 0); MAX_SENT], newest: 0, total: 0 }
    }
}

impl Sent {
    /// Something left.
    pub fn add(&mut self, now: Micros, bytes: u64) {
        self.total += bytes;
        let (at, _) = self.steps[self.newest % MAX_SENT];
        if at + SENT_STEP_US <= now {
            self.newest += 1;
            self.steps[self.newest % MAX_SENT] = (now, self.total);
        } else {
            self.steps[self.newest % MAX_SENT].1 = self.total;
        }
    }

    /// Bytes that left after `reported_us`: they are in the link, or lost.
    pub fn since(&self, reported_us: Micros) -> i64 {
        let newest = self.newest;
        let steps =
            (0..MAX_SENT.min(newest + 1)).map(|back| self.steps[(newest - back) % MAX_SENT]);
        let before = steps.take_while(|(at, _)| *at > reported_us).last();
        // The step in which it left counts in full: at most 20 ms too little.
        before.map_or(0, |(_, total)| (self.total - total) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A feedback about packets of 1000 bytes each 10 ms, as late as given.
    fn rows(first_seq: u16, from_us: Micros, late_us: &[u64]) -> Rows {
        let mut rows = Rows::default();
        let mut came_us = 0;
        for (at, late_us) in late_us.iter().enumerate() {
            let sent_us = from_us + at as u64 * 10_000;
            let received_us = sent_us + 20_000 + late_us;
            let seq = first_seq.wrapping_add(at as u16);
            let row = Reported { seq, size_bytes: 1_000, sent_us, received_us, probe: 0, sort: 0 };
            rows.add(&row, 20_000, &mut came_us);
        }
        rows
    }

    #[test]
    fn a_lost_feedback_makes_nothing_slower() {
        let bps = |lost: &[u16]| {
            let mut acked = Acked::default();
            for at in (0..20u16).filter(|at| !lost.contains(at)) {
                // Numbers wrap meanwhile.
                let first_seq = 65_500u16.wrapping_add(5 * at);
                acked.add(&rows(first_seq, 1_000_000 + u64::from(at) * 50_000, &[0; 5]));
            }
            acked.bps().unwrap()
        };
        assert_eq!(bps(&[]), 800_000);
        for lost in [vec![18], vec![16, 17], vec![12, 15, 17, 18]] {
            assert!((800_000..=950_000).contains(&bps(&lost)), "{lost:?}: {}", bps(&lost));
        }
        let mut acked = Acked::default();
        assert_eq!(acked.bps(), None);
        acked.add(&rows(0, 0, &[0]));
        assert_eq!(acked.bps(), None, "one feedback has no length");
    }

    #[test]
    fn the_spread_is_the_jitter_and_one_packet_has_none() {
        let mut spread = Spread::default();
        spread.add(&rows(0, 0, &[5_000]));
        assert_eq!(spread.us(), 0);
        for _ in 0..100 {
            spread.add(&rows(0, 0, &[30_000, 0, 15_000, 15_000]));
        }
        assert!((14_000..=15_000).contains(&spread.us()), "{}", spread.us());
    }
}
