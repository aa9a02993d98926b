//! The emergency brake of one subscriber: what cannot wait for the next decision of Python.
//!
//! Two signs of a link that fails, both from transport-wide feedback: its queue grows, or nothing is
//! heard any more. The first lowers the rate at once and lets video wait until the queue should have
//! drained; the second stops video until the peer is heard again. Audio goes on in any case.

use crate::api::Micros;
use crate::media::twcc::Reported;

/// A queue in the link longer than this, and growing, is an emergency.
const QUEUE_US: i64 = 150_000;
/// Growth between two feedbacks that counts.
const GROWTH_US: i64 = 5_000;
/// A shorter one is, too, where the delay of packets grows by more than lies between them: less than
/// half of what is sent arrives, and every further 100 ms cost sound more than that.
const STEEP_QUEUE_US: i64 = 60_000;
/// Both are longer by the time that so much takes at the budget, beyond what it takes on a line of
/// 1 Mb/s: on a narrow line every key frame is a queue for a moment, which is gone before an order to
/// send less comes to anything.
const BURST_BYTES: i64 = 4_800;
const COMMON_BURST_US: i64 = 38_000;
const MAX_BURST_US: i64 = 100_000;
/// Rate after braking, in percent of what arrived.
const KEPT_PERCENT: u64 = 85;
/// Two brakings are at least this far apart: the first has to reach the feedback.
const INTERVAL_US: Micros = 100_000;
/// The shortest transit of the last one to two of these is the link's own.
const BASE_US: Micros = 10_000_000;
/// What arrived is measured over this much of the receiver's time, and at least over a third of it.
const ACKED_US: u64 = 240_000;
/// A longer way than this is none.
const MAX_WAY_US: Micros = 2_000_000;
/// Feedbacks in that time.
const MAX_ACKED: usize = 16;
/// What left is remembered in steps of this length, for 1.3 s.
const SENT_STEP_US: Micros = 20_000;
const MAX_SENT: usize = 64;
/// Silence after something was sent: at least this long, or three round trips …
const SILENT_US: Micros = 300_000;
/// … or this long for a peer that sends no transport-wide feedback; its reports come every second.
const SILENT_REPORTS_US: Micros = 3_000_000;
/// After a longer silence what was sent before it is lost, and what waits is stale.
pub const STALE_SILENCE_US: Micros = 1_000_000;
/// A peer that was heard this lately was heard all the while: its link is dead one way only.
const HEARD_US: Micros = 250_000;

/// State of the brake.
#[derive(Debug)]
pub struct Brake {
    limit_bps: u32,
    shed: u8,
    braked_us: Micros,
    base: [i64; 2],
    base_us: Micros,
    queue_us: i64,
    rows: Rows,
    acked: [(u64, u32); MAX_ACKED],
    num_acked: usize,
    sent: [(Micros, u64); MAX_SENT],
    num_sent: usize,
    sent_total: u64,
    unreported_us: Option<Micros>,
    silent_us: Option<Micros>,
    heard_us: Micros,
    needs_feedback: bool,
    feedback_us: Micros,
    interval_us: Micros,
    /// When the newest packet left that was ever reported.
    reported_us: Micros,
}

/// What one feedback says.
#[derive(Clone, Copy, Debug, Default)]
struct Rows {
    last_transits: [i64; 3],
    num_received: usize,
    bytes: u32,
    received_us: u64,
    sent_us: Micros,
    num: usize,
}

/// What the engine does upon a feedback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The queue grew: bytes in the link beyond what is on a way without a queue.
    pub queued_bytes: Option<i64>,
    /// The peer is heard again, after so long.
    pub silent_for_us: Option<Micros>,
}

impl Default for Brake {
    fn default() -> Brake {
        Brake {
            limit_bps: u32::MAX,
            shed: 0,
            braked_us: 0,
            base: [i64::MAX; 2],
            base_us: 0,
            queue_us: 0,
            rows: Rows::default(),
            acked: [(0, 0); MAX_ACKED],
            num_acked: 0,
            sent: [(0, 0); MAX_SENT],
            num_sent: 0,
            sent_total: 0,
            unreported_us: None,
            silent_us: None,
            heard_us: 0,
            needs_feedback: false,
            feedback_us: 0,
            interval_us: 0,
            reported_us: 0,
        }
    }
}

impl Brake {
    /// A budget is set for the first time: what went before does not count.
    pub fn start(&mut self, now: Micros) {
        self.unreported_us = None;
        self.silent_us = None;
        self.heard_us = now;
    }

    /// An order from outside ends what was done by itself. Silence goes on until it ends.
    pub fn on_order(&mut self) {
        self.limit_bps = u32::MAX;
        self.shed = 0;
    }

    /// Highest rate until the next order.
    pub fn limit_bps(&self) -> u32 {
        self.limit_bps
    }

    /// Temporal layers to leave out until the next order.
    pub fn shed(&self) -> u8 {
        self.shed
    }

    /// How long the quickest of the last packets waited.
    pub fn queue_us(&self) -> i64 {
        self.queue_us
    }

    /// When feedback last came; 0 = never.
    pub fn feedback_us(&self) -> Micros {
        self.feedback_us
    }

    /// Since when nothing is heard.
    pub fn silent_since_us(&self) -> Option<Micros> {
        self.silent_us
    }

    /// 0 = not braking, 1 = the queue grew, 2 = silence.
    pub fn code(&self) -> u8 {
        match (self.silent_us, self.limit_bps) {
            (Some(_), _) => 2,
            (None, u32::MAX) => 0,
            _ => 1,
        }
    }

    /// Notes that something left that the peer will tell about. Not every peer tells about audio
    /// while no video comes, so only the rest starts the clock of a silence.
    pub fn on_sent(&mut self, now: Micros, bytes: u64, is_audio: bool) {
        self.sent_total += bytes;
        if !is_audio {
            self.unreported_us.get_or_insert(now);
        }
        let (at, _) = self.sent[self.num_sent % MAX_SENT];
        if at + SENT_STEP_US <= now {
            self.num_sent += 1;
            self.sent[self.num_sent % MAX_SENT] = (now, self.sent_total);
        } else {
            self.sent[self.num_sent % MAX_SENT].1 = self.sent_total;
        }
    }

    /// Nothing was heard for too long after something was sent.
    pub fn is_silent(&mut self, now: Micros, rtt_us: Micros) -> bool {
        if self.silent_us.is_none() && self.is_overdue(now, rtt_us) {
            self.silent_us = Some(now);
        }
        self.silent_us.is_some()
    }

    fn is_overdue(&self, now: Micros, rtt_us: Micros) -> bool {
        // A peer that reports seldom, or over a long way, is not silent in between.
        let limit_us = match self.feedback_us {
            0 => SILENT_REPORTS_US,
            _ => SILENT_US.max(3 * rtt_us).max(rtt_us + 2 * self.interval_us),
        };
        self.unreported_us.is_some_and(|sent_us| now.saturating_sub(sent_us) > limit_us)
    }

    /// Something authenticated came that is no feedback. Some(how long) if it ends a silence.
    pub fn on_heard(&mut self, now: Micros) -> Option<Micros> {
        let heard_us = std::mem::replace(&mut self.heard_us, now);
        if self.feedback_us == 0 {
            self.unreported_us = None;
        }
        let was_heard = now.saturating_sub(heard_us) < HEARD_US;
        // Where that was no proof before, only feedback is.
        if self.feedback_us != 0 && (was_heard || self.needs_feedback) {
            return None;
        }
        self.needs_feedback = self.silent_us.is_some();
        self.end_silence(now)
    }

    fn end_silence(&mut self, now: Micros) -> Option<Micros> {
        let since_us = self.silent_us.take()?;
        self.unreported_us = None;
        Some(now.saturating_sub(since_us))
    }

    /// One packet of a feedback, joined with what was sent.
    pub fn on_row(&mut self, row: &Reported) {
        let rows = &mut self.rows;
        rows.num += 1;
        rows.sent_us = rows.sent_us.max(row.sent_us);
        if row.received_us == 0 {
            return;
        }
        rows.last_transits[rows.num_received % 3] =
            (row.received_us as i64).wrapping_sub(row.sent_us as i64);
        rows.num_received += 1;
        rows.bytes = rows.bytes.saturating_add(u32::from(row.size_bytes));
        rows.received_us = rows.received_us.max(row.received_us);
    }

    /// All packets of a feedback were given. `rtt_us` = there and back, 0 = unknown; `budget_bps` =
    /// what Python has ordered, 0 = nothing.
    pub fn on_feedback(&mut self, now: Micros, rtt_us: Micros, budget_bps: u32) -> Verdict {
        let rows = std::mem::take(&mut self.rows);
        // A feedback about nothing that was sent is none.
        if rows.num == 0 {
            return Verdict::default();
        }
        let gap_us = now.saturating_sub(self.feedback_us).min(1_000_000);
        self.interval_us =
            if self.feedback_us == 0 { gap_us } else { (3 * self.interval_us + gap_us) / 4 };
        self.feedback_us = now;
        self.unreported_us = None;
        self.needs_feedback = false;
        let silent_for_us = self.end_silence(now);
        if rows.num_received == 0 {
            return Verdict { queued_bytes: None, silent_for_us };
        }
        self.acked[self.num_acked % MAX_ACKED] = (rows.received_us, rows.bytes);
        self.num_acked += 1;
        let burst_us = match i64::from(budget_bps) {
            0 => 0,
            rate_bps => {
                (BURST_BYTES * 8_000_000 / rate_bps - COMMON_BURST_US).clamp(0, MAX_BURST_US)
            }
        };
        // Feedbacks may come seldom; what counts is how far apart the packets left.
        let apart_us = rows.sent_us.saturating_sub(self.reported_us).min(gap_us);
        self.reported_us = self.reported_us.max(rows.sent_us);
        let is_growing = self.update_queue(now, apart_us, &rows, burst_us);
        let may_brake =
            silent_for_us.is_none() && now.saturating_sub(self.braked_us) >= INTERVAL_US;
        let queued_bytes = (is_growing && may_brake).then(|| self.brake(now, rows.sent_us, rtt_us));
        Verdict { queued_bytes, silent_for_us }
    }

    /// The shortest of the last transits stands for the queue: jitter only ever adds to one.
    fn update_queue(&mut self, now: Micros, apart_us: Micros, rows: &Rows, burst_us: i64) -> bool {
        let transits = &rows.last_transits[..rows.num_received.min(3)];
        let shortest = transits.iter().copied().min().unwrap_or(i64::MAX);
        if now.saturating_sub(self.base_us) >= BASE_US {
            self.base = [self.base[1], i64::MAX];
            self.base_us = now;
        }
        self.base[1] = self.base[1].min(shortest);
        let base = self.base[0].min(self.base[1]);
        let before_us = std::mem::replace(&mut self.queue_us, shortest.saturating_sub(base));
        let growth_us = self.queue_us.saturating_sub(before_us);
        let queue_us = self.queue_us - burst_us;
        let is_steep = queue_us > STEEP_QUEUE_US && growth_us > apart_us as i64;
        is_steep || (queue_us > QUEUE_US && growth_us > GROWTH_US)
    }

    fn brake(&mut self, now: Micros, reported_us: Micros, rtt_us: Micros) -> i64 {
        self.braked_us = now;
        self.shed = self.shed.saturating_add(1).min(2);
        let acked_bps = self.acked_bps();
        let kept_bps = acked_bps.map(|acked_bps| acked_bps * KEPT_PERCENT / 100);
        let kept_bps = kept_bps.unwrap_or(u64::from(self.limit_bps / 2)).max(1);
        self.limit_bps = self.limit_bps.min(kept_bps.min(u64::from(u32::MAX - 1)) as u32);
        // What is on a long way is no queue: waiting for it, too, would stop the picture for another
        // round trip. Of the round trip the part that is queue counts as queue.
        let way_us = rtt_us.saturating_sub(self.queue_us.max(0) as Micros).min(MAX_WAY_US);
        let on_its_way = (acked_bps.unwrap_or(0) * way_us / 8_000_000) as i64;
        (self.in_flight(reported_us) - on_its_way).max(0)
    }

    /// What arrived lately.
    fn acked_bps(&self) -> Option<u64> {
        let count = self.num_acked.min(MAX_ACKED);
        let at = |back: usize| self.acked[(self.num_acked - 1 - back) % MAX_ACKED];
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

    /// Bytes that left after `reported_us`: they are in the link, or lost.
    fn in_flight(&self, reported_us: Micros) -> i64 {
        let newest = self.num_sent;
        let steps = (0..MAX_SENT.min(newest + 1)).map(|back| self.sent[(newest - back) % MAX_SENT]);
        let before = steps.take_while(|(at, _)| *at > reported_us).last();
        // The step in which it left counts in full: at most 20 ms too little.
        before.map_or(0, |(_, total)| (self.sent_total - total) as i64)
    }
}

#[cfg(test)]
mod tests;
