//! Probe clusters: a short, evenly spread burst above the rate of the moment, whose arrival tells
//! what the link carries (libwebrtc `bitrate_prober.cc`).

use crate::api::Micros;

/// Longest cluster.
const MAX_DURATION_US: u64 = 250_000;
/// Largest one.
const MAX_BYTES: u64 = 100_000;
/// A cluster that takes longer than planned by this much is over: its rate was not reached.
const GRACE_US: Micros = 50_000;

/// A cluster under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    rate_bps: u32,
    bytes: u64,
    sent: u64,
    started_us: Micros,
    end_us: Micros,
}

impl Cluster {
    /// `None` if there is nothing to send.
    pub fn new(now: Micros, rate_bps: u32, duration_us: u32) -> Option<Cluster> {
        let duration_us = u64::from(duration_us).min(MAX_DURATION_US);
        let bytes = (u64::from(rate_bps) * duration_us / 8_000_000).min(MAX_BYTES);
        let end_us = now + duration_us + GRACE_US;
        (bytes > 0).then_some(Cluster { rate_bps, bytes, sent: 0, started_us: now, end_us })
    }

    /// What it sends in all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that are due.
    pub fn room(&self, now: Micros) -> i64 {
        let elapsed_us = now.saturating_sub(self.started_us).min(MAX_DURATION_US + GRACE_US);
        let due = elapsed_us * u64::from(self.rate_bps) / 8_000_000;
        // The first packet leaves at once.
        (due.min(self.bytes) as i64 - self.sent as i64).max(i64::from(self.sent == 0))
    }

    /// Notes what left, whatever it was.
    pub fn on_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// When the next byte is due.
    pub fn next_us(&self, now: Micros) -> Micros {
        let due_us = (self.sent + 1) * 8_000_000 / u64::from(self.rate_bps.max(1));
        (self.started_us + due_us).clamp(now, self.end_us.max(now))
    }

    /// All has left.
    pub fn is_done(&self) -> bool {
        self.sent >= self.bytes
    }

    /// It took too long.
    pub fn is_late(&self, now: Micros) -> bool {
        now >= self.end_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_evenly_and_bounded() {
        let mut cluster = Cluster::new(0, 1_000_000, 20_000).unwrap();
        let mut sent_at = Vec::new();
        let mut now = 0;
        while !cluster.is_done() {
            assert!(!cluster.is_late(now));
            if cluster.room(now) > 0 {
                cluster.on_sent(250);
                sent_at.push(now);
            }
            now = cluster.next_us(now) + 1;
        }
        assert_eq!(sent_at.len(), 10);
        assert!(sent_at.windows(2).all(|two| (1_900..2_100).contains(&(two[1] - two[0]))));
    }

    #[test]
    fn absurd_orders_are_cut_or_refused() {
        assert_eq!(Cluster::new(0, 0, 1000), None);
        assert_eq!(Cluster::new(0, u32::MAX, 0), None);
        let cluster = Cluster::new(5, u32::MAX, u32::MAX).unwrap();
        assert_eq!(cluster.bytes, MAX_BYTES);
        assert_eq!(cluster.end_us, 5 + MAX_DURATION_US + GRACE_US);
        assert_eq!(cluster.room(u64::MAX), MAX_BYTES as i64);
        assert!(cluster.next_us(u64::MAX) == u64::MAX);
    }
}
