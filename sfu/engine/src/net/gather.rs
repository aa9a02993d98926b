//! Whether to wait a moment for the rest of a frame.
//!
//! A publisher's packets of one frame follow each other within some tens of microseconds. A media
//! thread that is idle wakes with the first and would send each subscriber two bundles instead of
//! one: sending is most of what it does. A busy one finds whole frames by itself.

use std::time::Duration;

/// How long one wait is; the system adds some 50 µs.
pub const PAUSE: Duration = Duration::from_micros(60);
/// Waits in a row at most: the delay of a first packet stays below half a millisecond.
pub const ROUNDS: u32 = 3;
/// With fewer subscribers waiting costs as much as it saves.
pub const MIN_SINKS: usize = 8;

const SCORE_MAX: u8 = 16;
const PAID: u8 = 4;
const EVERY: u8 = 32;

/// Whether waiting has paid lately: where packets come one by one it does not.
#[derive(Debug, Default)]
pub struct Luck {
    score: u8,
    skipped: u8,
}

impl Luck {
    /// Whether to wait this time; now and then also where it did not pay.
    pub fn may_wait(&mut self) -> bool {
        if self.score > 0 {
            return true;
        }
        self.skipped = (self.skipped + 1) % EVERY;
        self.skipped == 0
    }

    /// Notes whether more media came.
    pub fn note(&mut self, has_paid: bool) {
        self.score = if has_paid {
            (self.score + PAID).min(SCORE_MAX)
        } else {
            self.score.saturating_sub(1)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_waits(luck: &mut Luck, times: u32, has_paid: bool) -> u32 {
        let mut count = 0;
        for _ in 0..times {
            if luck.may_wait() {
                luck.note(has_paid);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn waiting_goes_on_while_it_pays_and_hardly_ever_where_it_does_not() {
        let mut luck = Luck::default();
        assert_eq!(count_waits(&mut luck, 320, false), 10);
        assert!(count_waits(&mut luck, 320, true) > 280);
        // One wait in two that is in vain is no reason to stop.
        for _ in 0..100 {
            assert!(luck.may_wait());
            luck.note(true);
            luck.note(false);
        }
        assert_eq!(count_waits(&mut luck, 320, false), u32::from(SCORE_MAX) - 1 + 9);
    }
}
