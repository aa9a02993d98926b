//! How much somebody is to be heard, from one packet to the next.

use crate::api::Micros;

/// Steps of a score per decibel.
const SCALE: i32 = 16;
/// Levels are told in -dBov; a score counts up from the quietest.
const QUIETEST: i32 = 127;
/// Anything quieter (-65 dBov) is nobody speaking.
pub const FLOOR: i32 = (QUIETEST - 65) * SCALE;
/// By so much somebody has to be louder to be heard instead of another: 8 dB.
pub const MARGIN: i32 = 8 * SCALE;
/// A sender that does not tell its level is taken for one that speaks at -40 dBov …
const UNTOLD_LEVEL: u8 = 40;
/// … while its packets are larger than the comfort noise of DTX.
const NOISE_BYTES: usize = 20;
/// Time in which a score follows a voice that ceased. With the margin, a pause of a quarter of a
/// second, as between words, costs nobody the place.
const DECAY_US: Micros = 1_000_000;
/// Packets that fail to come for so long are a pause of DTX, not jitter.
const PAUSE_US: Micros = 200_000;

/// Smoothed loudness: up within two packets, down within a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loudness {
    score: i32,
    heard_us: Micros,
}

impl Loudness {
    /// A packet came, with its RFC 6464 byte if it had one.
    pub fn on_packet(&mut self, now: Micros, level: Option<u8>, size: usize) {
        let level = level.map(|byte| byte & 0x7f);
        let untold = if size > NOISE_BYTES { UNTOLD_LEVEL } else { QUIETEST as u8 };
        let told = (QUIETEST - i32::from(level.unwrap_or(untold))) * SCALE;
        let elapsed_us = now.saturating_sub(self.heard_us);
        self.score = match told > self.score {
            true => (self.score + told + 1) / 2,
            false => toward(self.score, told, elapsed_us),
        };
        self.heard_us = now;
    }

    /// How much it is to be heard now: `SCALE` times the decibels above silence.
    pub fn score(&self, now: Micros) -> i32 {
        match now.saturating_sub(self.heard_us).checked_sub(PAUSE_US) {
            Some(paused_us) => toward(self.score, 0, paused_us),
            None => self.score,
        }
    }
}

fn toward(from: i32, to: i32, elapsed_us: Micros) -> i32 {
    let part = elapsed_us.min(DECAY_US) as i64;
    from + (i64::from(to - from) * part / DECAY_US as i64) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(loudness: &mut Loudness, from: Micros, level: Option<u8>, count: u64) -> Micros {
        (0..count).for_each(|at| loudness.on_packet(from + at * 20_000, level, 80));
        from + count * 20_000
    }

    #[test]
    fn a_voice_is_there_at_once_and_outlasts_the_pauses_between_words() {
        let mut loudness = Loudness::default();
        let at = packets(&mut loudness, 0, Some(70), 50);
        assert!(loudness.score(at) < FLOOR);
        let at = packets(&mut loudness, at, Some(25), 2);
        assert!(loudness.score(at) > FLOOR + MARGIN);
        let at = packets(&mut loudness, at, Some(25), 20);
        let speaking = loudness.score(at);
        let at = packets(&mut loudness, at, Some(70), 10);
        assert!(loudness.score(at) > FLOOR, "200 ms");
        let at = packets(&mut loudness, at, Some(70), 150);
        assert!(loudness.score(at) < FLOOR && loudness.score(at) < speaking);
    }

    #[test]
    fn a_pause_of_dtx_is_silence() {
        let mut loudness = Loudness::default();
        let at = packets(&mut loudness, 0, Some(20), 50);
        assert!(loudness.score(at + 100_000) > FLOOR, "jitter");
        assert_eq!(loudness.score(at + 2_000_000), 0);
    }

    #[test]
    fn who_does_not_tell_speaks_while_packets_are_larger_than_comfort_noise() {
        let mut loudness = Loudness::default();
        let at = packets(&mut loudness, 0, None, 10);
        assert!(loudness.score(at) > FLOOR);
        (0..100).for_each(|step| loudness.on_packet(at + step * 20_000, None, 3));
        assert!(loudness.score(at + 2_000_000) < FLOOR);
    }

    #[test]
    fn the_voice_bit_is_no_part_of_the_level() {
        let (mut with, mut without) = (Loudness::default(), Loudness::default());
        packets(&mut with, 0, Some(0x80 | 30), 9);
        packets(&mut without, 0, Some(30), 9);
        assert_eq!(with.score(0), without.score(0));
    }
}
