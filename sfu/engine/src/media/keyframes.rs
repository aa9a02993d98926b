//! Where the last key frame starts, and how often a publisher may be asked for another.

use crate::api::Micros;

/// A request that nothing came of is repeated after a round trip and this: an encoder's next picture,
/// and not sooner than encoders take requests (libwebrtc's `encoder_rtcp_feedback.cc`). Then less and
/// less often: the answer may wait in the sender's own queue, a second and more on a weak line, where
/// every key frame too many makes the wait longer.
const ANSWER_US: Micros = 150_000;
const MIN_RETRY_US: Micros = 300_000;
/// Least time between two requests for one encoding.
const MIN_INTERVAL_US: Micros = 500_000;
/// Longest time that the cost rule may hold a request back: as old as a cached GOP may be, so a
/// joiner is served from the cache or by a request, never by neither.
const MAX_INTERVAL_US: Micros = 2_000_000;
/// Largest share of the bitrate that key frames may take, in percent.
const MAX_SHARE_PERCENT: u64 = 20;
/// Requests without an answer after which the wish is given up until renewed.
const MAX_TRIES: u8 = 10;

/// The newest key frame of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMark {
    /// First packet of its access unit.
    pub seq_ext: u64,
    /// Its timestamp.
    pub ts_rtp: u32,
    /// When it began to arrive.
    pub arrived_us: Micros,
    /// Picture id of a VP8 key frame.
    pub pid: u16,
    /// TL0PICIDX of a VP8 key frame.
    pub tl0: u8,
}

/// Key-frame requests of one encoding, whoever wants them.
#[derive(Debug, Default)]
pub struct KeyframeBudget {
    is_wanted: bool,
    tries: u8,
    asked_us: Option<Micros>,
    key_bytes: u32,
    rtt_us: Micros,
    /// From a wish's first request to its key frame, smoothed; 0 = unknown.
    answer_us: Micros,
    first_asked_us: Micros,
    /// Since the last request: a key frame began, or packets are missing that may be its start.
    is_answered: bool,
    has_gap: bool,
}

impl KeyframeBudget {
    /// Somebody needs a key frame. True if the wish is new.
    pub fn want(&mut self) -> bool {
        let is_new = !self.is_wanted;
        if is_new {
            self.is_wanted = true;
            self.tries = 0;
        }
        is_new
    }

    /// A key frame began to arrive.
    pub fn on_keyframe(&mut self, now: Micros) {
        if self.is_wanted && self.tries > 0 {
            let sample = now.saturating_sub(self.first_asked_us).min(MAX_INTERVAL_US);
            self.answer_us =
                if self.answer_us == 0 { sample } else { (self.answer_us + sample) / 2 };
        }
        self.is_wanted = false;
        self.is_answered = true;
    }

    /// Packets are missing: they may be the start of what was asked for.
    pub fn on_gap(&mut self) {
        self.has_gap = true;
    }

    /// How long an answer takes.
    pub fn set_rtt(&mut self, rtt_us: Micros) {
        self.rtt_us = rtt_us;
    }

    /// The size of the last complete key frame, for the cost rule.
    pub fn on_keyframe_size(&mut self, bytes: u32) {
        self.key_bytes = bytes;
    }

    /// Somebody waits.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// When [`KeyframeBudget::poll`] may say yes; `None` = nobody waits.
    pub fn next_due_us(&self, bitrate_bps: u64) -> Option<Micros> {
        let asked_us = match self.asked_us {
            _ if !self.is_wanted => return None,
            None => return Some(0),
            Some(asked_us) => asked_us,
        };
        Some(asked_us + self.interval_us(bitrate_bps))
    }

    /// Whether to send a request now; true starts the next interval.
    pub fn poll(&mut self, now: Micros, bitrate_bps: u64) -> bool {
        if self.next_due_us(bitrate_bps).is_none_or(|due| due > now) {
            return false;
        }
        if self.tries >= MAX_TRIES {
            self.is_wanted = false;
            return false;
        }
        self.tries += 1;
        if self.tries == 1 {
            self.first_asked_us = now;
        }
        self.asked_us = Some(now);
        (self.is_answered, self.has_gap) = (false, false);
        true
    }

    fn interval_us(&self, bitrate_bps: u64) -> Micros {
        // The cost rule is about key frames that came. A request that was lost costs nothing.
        if !self.is_answered {
            let answer_us = (self.rtt_us + ANSWER_US).max(self.answer_us * 5 / 4);
            let least_us = if self.has_gap { MIN_INTERVAL_US } else { MIN_RETRY_US };
            let doublings = self.tries.saturating_sub(1).min(3);
            return (answer_us.max(least_us) << doublings).min(MAX_INTERVAL_US);
        }
        let budget_bps = bitrate_bps * MAX_SHARE_PERCENT / 100;
        let cost_us =
            (u64::from(self.key_bytes) * 8 * 1_000_000).checked_div(budget_bps).unwrap_or(0);
        cost_us.clamp(MIN_INTERVAL_US, MAX_INTERVAL_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_wishes_is_one_request_per_interval() {
        let mut budget = KeyframeBudget::default();
        let mut sent = 0;
        for step in 0..1000u64 {
            budget.want();
            if budget.poll(step * 10_000, 1_000_000) {
                sent += 1;
            }
            if step % 50 == 5 {
                budget.on_keyframe(1);
            }
        }
        assert!((19..=21).contains(&sent), "{sent} in ten seconds");
    }

    #[test]
    fn costly_key_frames_are_asked_for_less_often() {
        let mut budget = KeyframeBudget::default();
        budget.on_keyframe_size(25_000); // 200 kbit of a 200 kb/s budget = 1 s
        budget.want();
        assert!(budget.poll(1, 1_000_000));
        budget.on_keyframe(1);
        budget.want();
        assert_eq!(budget.next_due_us(1_000_000), Some(1_000_001));
        assert_eq!(budget.next_due_us(100_000), Some(1 + MAX_INTERVAL_US));
        assert!(!budget.poll(1_000_000, 1_000_000));
        assert!(budget.poll(1_000_001, 1_000_000));
    }

    #[test]
    fn a_lost_request_is_repeated_after_a_round_trip_unless_the_answer_may_be_missing() {
        let mut budget = KeyframeBudget::default();
        budget.set_rtt(200_000);
        budget.want();
        assert!(budget.poll(1, 1_000_000));
        assert_eq!(budget.next_due_us(1_000_000), Some(350_001));
        budget.on_gap();
        assert_eq!(budget.next_due_us(1_000_000), Some(1 + MIN_INTERVAL_US));
        assert!(budget.poll(600_000, 1_000_000));
        assert_eq!(budget.next_due_us(1_000_000), Some(1_300_000), "the third waits twice as long");
        budget.on_keyframe(1_200_001);
        budget.want();
        assert!(budget.poll(2_000_000, 1_000_000));
        // This sender answers after 1.2 s: its own queue is long.
        assert_eq!(budget.next_due_us(1_000_000), Some(3_500_000));
    }

    #[test]
    fn an_unanswered_wish_ends() {
        let mut budget = KeyframeBudget::default();
        budget.want();
        let sent = (0..60).filter(|step| budget.poll(step * MAX_INTERVAL_US, 0)).count();
        assert_eq!(sent, usize::from(MAX_TRIES));
        assert!(!budget.is_wanted());
    }
}
