//! Bitrates of the temporal layers of one encoding.

use crate::api::Micros;
use crate::media::receive::RateWindow;

/// A layer not seen for this long is gone.
const SEEN_US: Micros = 2_000_000;
const MAX_LAYERS: usize = 3;

/// What the temporal layers of one encoding take.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemporalRates {
    /// Of the lowest layer, and of the next one alone.
    rates: [RateWindow; MAX_LAYERS - 1],
    /// When the layers above the lowest were last seen.
    seen_us: [Micros; MAX_LAYERS],
    count: u8,
}

impl TemporalRates {
    /// Adds a packet.
    pub fn add(&mut self, now: Micros, temporal: u8, bytes: u32) {
        let layer = usize::from(temporal).min(MAX_LAYERS - 1);
        if let Some(rate) = self.rates.get_mut(layer) {
            rate.add(now, bytes);
        }
        self.seen_us[layer] = now;
        let is_seen = |layer: &usize| {
            let seen_us = self.seen_us[*layer];
            seen_us != 0 && now.saturating_sub(seen_us) < SEEN_US
        };
        self.count = (1..MAX_LAYERS).rev().find(is_seen).map_or(1, |layer| layer as u8 + 1);
    }

    /// Layers seen lately, at least one.
    pub fn count(&self) -> u8 {
        self.count.max(1)
    }

    /// Bits per second over the last second: of the lowest layer, and of the two lowest together.
    pub fn bitrates_bps(&self, now: Micros) -> [u64; 2] {
        let [lowest, next] = [0, 1].map(|layer| self.rates[layer].per_second(now) * 8);
        [lowest, lowest + next]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_cumulative_and_forgotten_when_they_end() {
        let mut rates = TemporalRates::default();
        assert_eq!((rates.count(), rates.bitrates_bps(0)), (1, [0, 0]));
        for step in 0..100 {
            rates.add(1_000_000 + step * 10_000, [0, 2, 1, 2][step as usize % 4], 100);
        }
        assert_eq!((rates.count(), rates.bitrates_bps(2_000_000)), (3, [20_000, 40_000]));
        for step in 0..100 {
            rates.add(2_000_000 + step * 50_000, 0, 100);
        }
        assert_eq!((rates.count(), rates.bitrates_bps(6_950_000)), (1, [16_000, 16_000]));
        rates.add(6_950_000, 200, 1);
        assert_eq!(rates.count(), 3, "more than three are taken for the third");
    }
}
