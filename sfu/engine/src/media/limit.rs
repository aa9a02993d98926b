//! How often something may happen.

use crate::api::Micros;

/// A token bucket that keeps one number: until when it is spoken for.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    interval_us: Micros,
    slack_us: Micros,
    booked_us: Micros,
}

impl Limit {
    /// One every `interval_us` on average, `burst` at once after a pause.
    pub const fn new(interval_us: Micros, burst: u64) -> Limit {
        Limit { interval_us, slack_us: interval_us * (burst - 1), booked_us: 0 }
    }

    /// When the next one may happen; in the past = now.
    pub fn next_us(&self) -> Micros {
        self.booked_us.saturating_sub(self.slack_us)
    }

    /// One happens now; false if that is too early, and then it must not.
    pub fn admit(&mut self, now: Micros) -> bool {
        self.admit_many(now, 1)
    }

    /// So many happen now, if the first of them may.
    pub fn admit_many(&mut self, now: Micros, count: u64) -> bool {
        let is_admitted = self.next_us() <= now;
        if is_admitted {
            self.booked_us = self.booked_us.max(now) + self.interval_us * count;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::Limit;

    #[test]
    fn a_burst_passes_and_then_one_an_interval() {
        let mut limit = Limit::new(100, 3);
        let admitted: Vec<bool> = [0, 0, 0, 0, 99, 100, 150, 200].map(|at| limit.admit(at)).into();
        assert_eq!(admitted, [true, true, true, false, false, true, false, true]);
        assert_eq!(limit.next_us(), 300);
        assert!((0..3).all(|_| limit.admit(1_000)) && !limit.admit(1_000), "a pause refills it");
        assert!(limit.admit_many(2_000, 5) && !limit.admit(2_200) && limit.admit(2_300));
    }
}
