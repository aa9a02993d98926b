//! What the brake measures over a while.

use crate::api::Micros;

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

/// What arrived, by feedback.
#[derive(Debug, Default)]
pub struct Acked {
    feedbacks: [(u64, u32); MAX_ACKED],
    count: usize,
}

impl Acked {
    /// A feedback whose newest packet came then, and all its bytes.
    pub fn add(&mut self, received_us: u64, bytes: u32) {
        self.feedbacks[self.count % MAX_ACKED] = (received_us, bytes);
        self.count += 1;
    }

    /// What arrived lately.
    pub fn bps(&self) -> Option<u64> {
        let count = self.count.min(MAX_ACKED);
        let at = |back: usize| self.feedbacks[(self.count - 1 - back) % MAX_ACKED];
        let (last_us, _) = at(0);
        let mut bytes = 0;
        for back in 1..count {
            bytes += u64::from(at(back - 1).1);
            let span_us = last_us.saturating_sub(at(back).0);
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
