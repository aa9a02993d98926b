//! How much of what a peer sends gets lost on its way here, as a mean of about a hundred packets.

/// Packets after which a new share weighs half.
const WEIGHT: u64 = 64;
/// From this on a line counts as lossy.
const LOSSY_PERMILLE: u32 = 20;
/// Fractions of a permille that are kept.
const SCALE: u64 = 256;

/// The smoothed share of packets that were lost on the wire, before any recovery.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineLoss {
    scaled: u64,
}

impl LineLoss {
    /// Of `expected` packets `lost` did not come.
    pub fn add(&mut self, expected: u64, lost: u64) {
        if expected == 0 {
            return;
        }
        // A long silence says that the line was gone, not what it is like: it weighs no more than
        // a full window.
        let expected_weight = expected.min(WEIGHT);
        let share = lost.min(expected) * 1000 * SCALE / expected;
        self.scaled = (self.scaled * WEIGHT + share * expected_weight) / (WEIGHT + expected_weight);
    }

    /// In thousandths.
    pub fn permille(&self) -> u32 {
        (self.scaled / SCALE) as u32
    }

    /// What goes the other way is likely to be lost as well.
    pub fn is_lossy(&self) -> bool {
        self.permille() >= LOSSY_PERMILLE
    }
}

#[cfg(test)]
mod tests {
    use super::LineLoss;

    #[test]
    fn follows_the_share_within_a_few_windows_and_forgets_it() {
        let mut loss = LineLoss::default();
        (0..40).for_each(|_| loss.add(10, 3));
        assert!((290..=300).contains(&loss.permille()), "{}", loss.permille());
        assert!(loss.is_lossy());
        (0..60).for_each(|_| loss.add(10, 0));
        assert!(!loss.is_lossy(), "{}", loss.permille());
    }

    #[test]
    fn one_lost_packet_of_a_busy_line_is_nothing() {
        let mut loss = LineLoss::default();
        loss.add(100, 1);
        assert!(!loss.is_lossy());
        loss.add(0, 0);
        loss.add(30_000, 40_000);
        assert!(loss.permille() <= 1000, "rubbish stays a share");
    }
}
