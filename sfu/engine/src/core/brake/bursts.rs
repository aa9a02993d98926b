//! Queues that we make ourselves and that go by themselves: a picture that leaves at once, a probe.

use crate::api::Micros;

/// A picture of a narrow line.
const BURST_BYTES: i64 = 4_800;
/// What it takes on a line of 1 Mb/s; the brake's limits hold with that much.
pub const COMMON_BURST_US: i64 = 38_000;
/// It may take this much longer: on a narrow line every key frame is a queue for a moment, which is
/// gone before an order to send less comes to anything.
const MAX_MORE_US: i64 = 100_000;
/// A probe leaves a queue no longer than this, for so long after it and a round trip.
const MAX_PROBE_US: i64 = 150_000;
const PROBE_GONE_US: Micros = 300_000;

/// What may be in the link's queue without harm.
#[derive(Debug, Default)]
pub struct Bursts {
    probe_bytes: u64,
    probe_us: Micros,
    until_us: Micros,
}

impl Bursts {
    /// A probe begins: so many bytes in so long, over a way of this round trip.
    pub fn on_probe(&mut self, now: Micros, bytes: u64, span_us: Micros, rtt_us: Micros) {
        (self.probe_bytes, self.probe_us) = (bytes, span_us);
        self.until_us = now + span_us + rtt_us + PROBE_GONE_US;
    }

    /// How long all this takes at a rate; without one as on a line of 1 Mb/s.
    pub fn take_us(&self, now: Micros, rate_bps: u32) -> i64 {
        let rate_bps = i64::from(rate_bps);
        if rate_bps == 0 {
            return COMMON_BURST_US;
        }
        let picture_us = BURST_BYTES * 8_000_000 / rate_bps;
        let probe_us = self.probe_bytes.min(1 << 20) as i64 * 8_000_000 / rate_bps;
        let probe_us = match now < self.until_us {
            true => (probe_us - self.probe_us as i64).clamp(0, MAX_PROBE_US),
            false => 0,
        };
        picture_us.min(COMMON_BURST_US + MAX_MORE_US) + probe_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_takes_longer_on_a_narrow_line() {
        let bursts = Bursts::default();
        let taken = [0, 10_000_000, 1_000_000, 300_000, 1].map(|rate| bursts.take_us(0, rate));
        assert_eq!(taken, [38_000, 3_840, 38_400, 128_000, 138_000]);
    }

    #[test]
    fn a_probe_is_waited_for_and_no_longer() {
        let mut bursts = Bursts::default();
        bursts.on_probe(1_000_000, 6_000, 70_000, 250_000);
        assert_eq!(bursts.take_us(1_600_000, 300_000), 128_000 + 90_000);
        assert_eq!(bursts.take_us(1_620_000, 300_000), 128_000);
        bursts.on_probe(2_000_000, u64::MAX, 0, 0);
        assert_eq!(bursts.take_us(2_000_000, 1), 138_000 + MAX_PROBE_US);
    }
}
