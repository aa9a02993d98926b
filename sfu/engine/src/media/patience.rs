//! How long a subscriber that keeps asking for pictures has to wait for its next key frame.
//!
//! A key frame costs every viewer of the source bits, and its publisher too. The source's budget
//! bounds what all wishes together may cost, but one subscriber that never ceases to ask would use
//! that budget up for good, and its friends would pay. So each wish that led to a key frame makes
//! the next one of the same subscriber wait longer, and time makes up for it.

use crate::api::Micros;

/// From a wish that was granted to the next one, by how many were granted lately. Three are as soon
/// as the source's budget has them: a line that loses a third of its packets breaks key frames, and
/// asks again with good reason.
const WAITS_US: [Micros; 7] = [0, 500_000, 500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000];
/// After so long one of them is forgotten, so who loses its picture less often than this never
/// waits, and who never ceases to ask has one key frame in eight seconds.
const FORGET_US: Micros = 5_000_000;

/// What one subscriber has asked for lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    num_granted: usize,
    granted_us: Micros,
}

impl Patience {
    /// Whether the publisher may be asked for this subscriber's sake. `key_us` says when the last key
    /// frame of the encoding came: as long as nothing came of its last wish, this is still that one.
    pub fn may_ask(&mut self, now: Micros, key_us: Micros) -> bool {
        if self.num_granted > 0 && key_us <= self.granted_us {
            return true;
        }
        let since_us = now.saturating_sub(self.granted_us);
        if since_us < WAITS_US[self.num_granted] {
            return false;
        }
        let num_forgotten = (since_us / FORGET_US).min(WAITS_US.len() as Micros) as usize;
        let num_left = self.num_granted.saturating_sub(num_forgotten);
        self.num_granted = (num_left + 1).min(WAITS_US.len() - 1);
        self.granted_us = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: Micros = 1_000_000;

    /// When wishes were granted, each answered after 100 ms, of one every `step_us`.
    fn granted(
        patience: &mut Patience,
        from: Micros,
        until: Micros,
        step_us: Micros,
    ) -> Vec<Micros> {
        let mut times: Vec<Micros> = Vec::new();
        for now in (from..until).step_by(step_us as usize) {
            let key_us = times.last().map_or(from, |at| at + 100_000);
            if key_us <= now && patience.may_ask(now, key_us) {
                times.push(now);
            }
        }
        times
    }

    #[test]
    fn who_asks_all_the_time_waits_longer_and_longer() {
        let times = granted(&mut Patience::default(), 1, 60 * SECOND_US, 10_000);
        let waits: Vec<Micros> =
            times.windows(2).map(|pair| (pair[1] - pair[0]) / 10_000).collect();
        assert_eq!(waits[..6], [50, 50, 100, 200, 400, 800]);
        assert!(waits[6..].iter().all(|&wait| wait == 800), "{waits:?}");
    }

    #[test]
    fn who_loses_a_picture_now_and_then_never_waits() {
        let times = granted(&mut Patience::default(), 1, 600 * SECOND_US, FORGET_US);
        assert_eq!(times.len(), 120);
    }

    #[test]
    fn a_storm_is_forgotten_after_half_a_minute() {
        let mut patience = Patience::default();
        let last = *granted(&mut patience, 1, 60 * SECOND_US, 10_000).last().unwrap();
        let later = last + 30 * SECOND_US;
        let times = granted(&mut patience, later, later + 2 * SECOND_US, 10_000);
        assert_eq!(times[..3], [later, later + 500_000, later + 1_000_000]);
    }

    #[test]
    fn a_wish_that_nothing_came_of_is_still_the_same() {
        let mut patience = Patience::default();
        let key_us = SECOND_US;
        for step in 0..100 {
            assert!(patience.may_ask(2 * SECOND_US + step * 100_000, key_us), "step {step}");
        }
        assert!(patience.may_ask(13 * SECOND_US, 12 * SECOND_US));
        assert!(!patience.may_ask(13 * SECOND_US + 200_000, 13 * SECOND_US + 100_000));
    }

    #[test]
    fn a_clock_that_goes_back_ends_nothing() {
        let mut patience = Patience::default();
        assert!(patience.may_ask(100 * SECOND_US, 1));
        assert!(!patience.may_ask(50 * SECOND_US, 101 * SECOND_US));
        assert!(patience.may_ask(102 * SECOND_US, 101 * SECOND_US));
    }
}
