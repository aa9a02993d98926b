//! The pause of pictures on a cliff: the link carries a tenth of what it did from one moment to the
//! next, and whatever left before that is noticed stands in front of every word. At 120 kb/s one
//! frame of 6 kB is 400 ms.
//!
//! It begins in doubt, with the first feedback in which packets come much slower than they ever did
//! here while others wait behind them, or that lacks what should have come by now, or that does not
//! come itself. The next feedback ends it again, or proves it by a queue that grows faster than time.
//! Then it ends when what is under way has drained at the rate at which it is seen to arrive, not
//! when Python orders another budget.

use crate::api::Micros;
use crate::media::twcc::Open;

/// Nothing came for so long although something waited in the link, or feedback that should tell of
/// it: more than two threads explain that are not served at once. Beyond that half as much again as
/// is usual on this line. A doubt costs little: mostly what was late is there some milliseconds later.
const MISSING_US: i64 = 6_000;
/// Of packets that did not come, one or two may be lost.
const MIN_OPEN: u32 = 3;
/// What is usual fades with every feedback by this part: some three seconds.
const USUAL_FADES: i64 = 64;
const MAX_MISSING_US: i64 = 1_000_000;
/// Arrivals of packets that waited tell a rate when they lie so far apart in all.
const MIN_SPAN_US: u64 = 20_000;
/// A rate below this part of the lowest of the last seconds is none of this line's moods, if what
/// is under way takes longer at it than any burst of ours does.
const MOOD: u64 = 2;
const LONG_US: Micros = 150_000;
/// Without proof a pause lasts until the next feedback, and no longer than this: a cliff makes
/// feedback rare, too.
const DOUBT_US: Micros = 250_000;
/// It is believed down to this part of what arrived before: jitter sets few packets apart, too.
const MAX_FALL: u64 = 8;
/// After so long in a queue it is what the link carries, and holds after the pause.
const SURE_SPAN_US: u64 = 100_000;
/// A queue shorter than this is none to wait for.
const DONE_US: Micros = 20_000;
/// Of who gets less than this nothing is held in doubt: what leaves in that time is three packets, and
/// where feedback gets lost a doubt is a standing picture. Sound with two earlier frames and a thin
/// picture are 200 kb/s.
const LITTLE_BPS: u64 = 300_000;
/// Further than this nothing is foreseen; every feedback looks again.
const MAX_HOLD_US: Micros = 3_000_000;

/// What one feedback showed.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When the newest packet that came left.
    pub sent_us: Micros,
    /// How long it waited, and how long it would have taken without.
    pub queue_us: i64,
    pub base_us: i64,
    /// How long this feedback came after it, by two clocks: now, and at the least.
    pub back_us: i64,
    pub least_back_us: i64,
    /// Packets that waited until the one before them had come, and how far apart they came.
    pub busy_bytes: u64,
    pub busy_us: u64,
    /// What left since.
    pub open: Open,
    /// The queue grew faster than time.
    pub is_steep: bool,
    /// What arrived per second until now, and the usual time between two feedbacks.
    pub acked_bps: u64,
    pub interval_us: Micros,
}

/// How bad it was.
#[derive(Clone, Copy, Debug)]
struct Usual {
    missing_us: i64,
    overdue_us: i64,
    slowest_bps: u64,
}

impl Usual {
    fn worse(self, other: Usual) -> Usual {
        Usual {
            missing_us: self.missing_us.max(other.missing_us),
            overdue_us: self.overdue_us.max(other.overdue_us),
            slowest_bps: self.slowest_bps.min(other.slowest_bps),
        }
    }
}

/// A pause under way, or what tells that one is due.
#[derive(Debug, Default)]
pub struct Hold {
    until_us: Option<Micros>,
    since_us: Micros,
    is_proven: bool,
    /// Of packets that waited, since the pause began.
    busy_bytes: u64,
    busy_us: u64,
    /// The lowest rate of packets that waited, lately; 0 = unknown.
    slowest_bps: u64,
    /// How long packets were missing, lately.
    missing_us: i64,
    /// How long feedback about a packet was overdue, lately.
    overdue_us: i64,
    /// These three of the doubt under way.
    doubted: Option<Usual>,
    /// When the first packet left that no feedback tells of yet, and when that should have come.
    open_us: Option<Micros>,
    quickest_us: Micros,
    /// When feedback last came.
    told_us: Micros,
    /// What arrived per second, then.
    acked_bps: u64,
}

impl Hold {
    /// Pictures wait.
    pub fn is_on(&self, now: Micros) -> bool {
        self.until_us.is_some_and(|until_us| now < until_us)
    }

    /// They wait, or waited until a moment ago, because a queue was seen.
    pub fn is_proven(&self) -> bool {
        self.until_us.is_some() && self.is_proven
    }

    /// They wait without proof.
    pub fn is_doubting(&self) -> bool {
        self.until_us.is_some() && !self.is_proven
    }

    /// Until when, as far as is known.
    pub fn until_us(&self) -> Option<Micros> {
        self.until_us
    }

    /// The time is over: how long it was, and what the link carried in it if that is sure.
    pub fn take_end(&mut self, now: Micros) -> Option<(Micros, Option<u64>)> {
        self.until_us.filter(|until_us| *until_us <= now)?;
        self.until_us = None;
        if self.told_us <= self.since_us {
            // What was under way is gone, or all that told of it: only a new packet can be told of.
            self.open_us = None;
        }
        if let Some(doubted) = self.doubted.take().filter(|_| !self.is_proven) {
            self.learn(doubted);
        }
        let is_sure = self.is_proven && self.busy_us >= SURE_SPAN_US;
        let rate_bps = self.rate_bps().filter(|_| is_sure);
        Some((now.saturating_sub(self.since_us), rate_bps))
    }

    /// A packet left that the peer will tell about.
    pub fn on_sent(&mut self, now: Micros) {
        self.open_us.get_or_insert(now);
    }

    /// A picture is to leave, and feedback comes at this interval: begins a pause if it should have
    /// told by now about what left before.
    pub fn look(&mut self, now: Micros, interval_us: Micros) {
        let overdue_us = self.overdue_of(now, interval_us);
        let limit_us = MISSING_US + self.overdue_us * 3 / 2;
        let is_little = self.acked_bps < LITTLE_BPS;
        if self.until_us.is_none() && overdue_us > limit_us && !is_little {
            self.begin(now);
            self.until_us = Some(now + DOUBT_US);
        }
    }

    /// How late the feedback is that should tell of what left first since the last one.
    fn overdue_of(&self, now: Micros, interval_us: Micros) -> i64 {
        let Some(open_us) = self.open_us.filter(|_| self.told_us != 0) else {
            return 0;
        };
        let told_us = self.told_us.saturating_add(interval_us);
        let due_us = open_us.saturating_add(self.quickest_us).max(told_us);
        now.saturating_sub(due_us).min(MAX_MISSING_US as Micros) as i64
    }

    /// All that was thought of the link is over.
    pub fn stop(&mut self, now: Micros) {
        self.begin(now);
        (self.open_us, self.told_us) = (None, now);
        self.until_us = self.until_us.map(|_| now);
    }

    fn begin(&mut self, now: Micros) {
        (self.busy_bytes, self.busy_us, self.since_us) = (0, 0, now);
        self.is_proven = false;
        self.doubted = None;
    }

    /// Begins a pause, makes it longer or shorter, or ends it.
    pub fn on_feedback(&mut self, now: Micros, seen: &Seen) {
        if self.until_us.is_none() {
            self.begin(now);
        }
        let now_is = Usual {
            missing_us: missing_us(now, seen),
            overdue_us: self.overdue_of(now, seen.interval_us),
            slowest_bps: rate_bps(seen.busy_bytes, seen.busy_us).unwrap_or(u64::MAX),
        };
        self.told_us = now;
        self.acked_bps = seen.acked_bps;
        self.quickest_us = seen.base_us.saturating_add(seen.least_back_us).max(1) as Micros;
        self.open_us = (seen.open.num > 0).then_some(seen.open.oldest_us);
        self.busy_bytes = self.busy_bytes.saturating_add(seen.busy_bytes);
        self.busy_us = self.busy_us.saturating_add(seen.busy_us);
        self.is_proven |= seen.is_steep;
        if self.is_proven {
            self.until_us = Some(self.drained_us(now, seen).min(now + MAX_HOLD_US));
            return;
        }
        let slowest_bps = if self.slowest_bps == 0 { seen.acked_bps } else { self.slowest_bps };
        let is_missing = now_is.missing_us > MISSING_US + self.missing_us * 3 / 2;
        let is_slow =
            now_is.slowest_bps < slowest_bps / MOOD && self.drained_us(now, seen) > now + LONG_US;
        if (is_missing || is_slow) && seen.acked_bps >= LITTLE_BPS {
            self.until_us = Some(now + DOUBT_US);
            self.doubted = Some(self.doubted.map_or(now_is, |before| before.worse(now_is)));
            return;
        }
        self.missing_us -= self.missing_us / USUAL_FADES;
        self.overdue_us -= self.overdue_us / USUAL_FADES;
        self.slowest_bps = slowest_bps.saturating_add(slowest_bps / USUAL_FADES as u64);
        self.learn(now_is);
        if self.until_us.is_some() {
            self.until_us = Some(now);
        }
    }

    /// It was nothing: that much is usual here.
    fn learn(&mut self, now_is: Usual) {
        let worst = self.doubted.take().map_or(now_is, |before| before.worse(now_is));
        self.missing_us = self.missing_us.max(worst.missing_us);
        self.overdue_us = self.overdue_us.max(worst.overdue_us);
        self.slowest_bps = self.slowest_bps.min(worst.slowest_bps).max(1);
    }

    /// When what is under way will have left the queue; `now` = it has.
    fn drained_us(&self, now: Micros, seen: &Seen) -> Micros {
        let rate_bps = self.rate_bps().unwrap_or(0).max(seen.acked_bps / MAX_FALL).max(1);
        let open_us = seen.open.bytes.saturating_mul(8_000_000) / rate_bps;
        let waited_us = seen.queue_us.max(0) as Micros;
        let drained_us = seen.sent_us.saturating_add(waited_us).saturating_add(open_us);
        if drained_us <= now + DONE_US { now } else { drained_us }
    }

    fn rate_bps(&self) -> Option<u64> {
        rate_bps(self.busy_bytes, self.busy_us)
    }
}

/// How long nothing came although something had been sent that should have.
fn missing_us(now: Micros, seen: &Seen) -> i64 {
    if seen.open.num < MIN_OPEN {
        return 0;
    }
    let quickest_us = seen.base_us.saturating_add(seen.least_back_us);
    let open_us = now.saturating_sub(seen.open.oldest_us) as i64;
    let idle_us = seen.back_us.saturating_sub(seen.least_back_us);
    open_us.saturating_sub(quickest_us).min(idle_us).clamp(0, MAX_MISSING_US)
}

fn rate_bps(bytes: u64, span_us: u64) -> Option<u64> {
    (span_us >= MIN_SPAN_US).then(|| bytes.saturating_mul(8_000_000) / span_us)
}

#[cfg(test)]
mod tests;
