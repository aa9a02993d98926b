//! The emergency brake of one subscriber: what cannot wait for the next decision of Python.
//!
//! Two signs of a link that fails, both from transport-wide feedback: its queue grows, or nothing is
//! heard any more. The first lowers the rate at once and lets video wait until the queue should have
//! drained, whatever is ordered meanwhile if it came suddenly ([`hold`]); the second stops video until
//! the peer is heard again. Audio goes on in any case.

mod bursts;
mod hold;
mod measures;

use crate::api::Micros;
use crate::media::twcc::{Open, Reported};

use bursts::{Bursts, COMMON_BURST_US};
use hold::{Hold, Seen};
use measures::{Acked, Least, Rows, Sent, Spread};

/// A queue in the link longer than this, and growing, is an emergency.
const QUEUE_US: i64 = 150_000;
/// Growth between two feedbacks that counts.
const GROWTH_US: i64 = 5_000;
/// A shorter one is, too, where the delay of packets grows by more than lies between them: less than
/// half of what is sent arrives, and every further 100 ms cost sound more than that. Added to it is
/// what our own bursts take, to the one above what they take beyond the common.
const STEEP_QUEUE_US: i64 = 22_000;
/// Of a queue that grew slowly this much may stay for the lower rate to drain: sound takes half of a
/// narrow line, and to wait for all of it would stop pictures for three times as long.
const LEFT_US: u64 = 75_000;
/// Rate after braking, in percent of what arrived.
const KEPT_PERCENT: u64 = 85;
/// Two brakings are at least this far apart: the first has to reach the feedback.
const INTERVAL_US: Micros = 100_000;
/// A longer way than this is none.
pub(super) const MAX_WAY_US: Micros = 2_000_000;
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
    base: Least,
    back: Least,
    queue_us: i64,
    rows: Rows,
    spread: Spread,
    bursts: Bursts,
    acked: Acked,
    sent: Sent,
    unreported_us: Option<Micros>,
    silent_us: Option<Micros>,
    heard_us: Micros,
    needs_feedback: bool,
    feedback_us: Micros,
    interval_us: Micros,
    /// When the newest packet left that was ever reported.
    reported_us: Micros,
    /// When the packet before came, by the reporter's clock.
    came_us: u64,
    hold: Hold,
}

/// How the queue in the link grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    None,
    Slow,
    /// By more than time went on.
    Steep,
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
            base: Least::default(),
            back: Least::default(),
            queue_us: 0,
            rows: Rows::default(),
            spread: Spread::default(),
            bursts: Bursts::default(),
            acked: Acked::default(),
            sent: Sent::default(),
            unreported_us: None,
            silent_us: None,
            heard_us: 0,
            needs_feedback: false,
            feedback_us: 0,
            interval_us: 0,
            reported_us: 0,
            came_us: 0,
            hold: Hold::default(),
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

    /// The quickest round trip of late; 0 = not known.
    pub fn least_rtt_us(&self) -> Micros {
        let (base_us, back_us) = (self.base.get(), self.back.get());
        if base_us == i64::MAX || back_us == i64::MAX {
            return 0;
        }
        base_us.saturating_add(back_us).clamp(0, MAX_WAY_US as i64) as Micros
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
            (None, u32::MAX) if !self.hold.is_proven() => 0,
            _ => 1,
        }
    }

    /// Pictures are to leave: may they, or is feedback late?
    pub fn look(&mut self, now: Micros) -> bool {
        self.hold.look(now, self.interval_us);
        self.hold.is_on(now)
    }

    /// Pictures wait for the queue of a cliff to drain, or to hear that there is none.
    pub fn is_holding(&self, now: Micros) -> bool {
        self.hold.is_on(now)
    }

    /// They wait, and it is sure what for: sound takes no more than it must. In doubt it keeps its
    /// earlier frames, as doubts come from losses, too.
    pub fn is_draining(&self, now: Micros) -> bool {
        self.hold.is_on(now) && self.hold.is_proven()
    }

    /// Until when they wait, as far as is known.
    pub fn hold_until_us(&self) -> Option<Micros> {
        self.hold.until_us()
    }

    /// That is over now, after so long. What the link carried in that time is what may leave until
    /// the next order.
    pub fn take_hold_end(&mut self, now: Micros) -> Option<Micros> {
        let (held_us, rate_bps) = self.hold.take_end(now)?;
        if let Some(rate_bps) = rate_bps {
            self.limit_to(rate_bps * KEPT_PERCENT / 100);
        }
        Some(held_us)
    }

    fn limit_to(&mut self, rate_bps: u64) {
        let rate_bps = rate_bps.clamp(1, u64::from(u32::MAX - 1)) as u32;
        self.limit_bps = self.limit_bps.min(rate_bps);
    }

    /// Notes that something left that the peer will tell about. Not every peer tells about audio
    /// while no video comes, so only the rest starts the clock of a silence.
    pub fn on_sent(&mut self, now: Micros, bytes: u64, is_audio: bool) {
        self.hold.on_sent(now);
        if !is_audio {
            self.unreported_us.get_or_insert(now);
        }
        self.sent.add(now, bytes);
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
        self.rows.add(row, self.base.get(), &mut self.came_us);
    }

    /// A probe begins: so many bytes in so long, which may leave a queue that goes by itself.
    pub fn expect(&mut self, now: Micros, bytes: u64, span_us: Micros) {
        self.bursts.on_probe(now, bytes, span_us, self.least_rtt_us());
    }

    /// All packets of a feedback were given. `rtt_us` = there and back, 0 = unknown; `budget_bps` =
    /// what Python has ordered, 0 = nothing; `open` = what left after the newest that came.
    pub fn on_feedback(
        &mut self,
        now: Micros,
        rtt_us: Micros,
        budget_bps: u32,
        open: Open,
    ) -> Verdict {
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
        self.acked.add(&rows);
        let burst_us = self.bursts.take_us(now, budget_bps);
        // Feedbacks may come seldom; what counts is how far apart the packets left.
        let apart_us = rows.sent_us.saturating_sub(self.reported_us).min(gap_us);
        self.reported_us = self.reported_us.max(rows.sent_us);
        let (base_us, growth) = self.update_queue(now, apart_us, &rows, burst_us);
        // After an outage all is late, and nothing stands in the link.
        if silent_for_us.is_some() {
            self.hold.stop(now);
        } else if budget_bps != 0 {
            self.update_hold(now, &rows, base_us, open, growth);
        }
        let is_growing = growth != Growth::None;
        let may_brake =
            silent_for_us.is_none() && now.saturating_sub(self.braked_us) >= INTERVAL_US;
        let queued_bytes =
            (is_growing && may_brake).then(|| self.brake(now, rows.sent_us, rtt_us, growth));
        Verdict { queued_bytes, silent_for_us }
    }

    /// The shortest of the last transits stands for the queue: jitter only ever adds to one, but on
    /// links that keep order it adds to several in a row.
    fn update_queue(
        &mut self,
        now: Micros,
        apart_us: Micros,
        rows: &Rows,
        burst_us: i64,
    ) -> (i64, Growth) {
        let shortest = rows.shortest_us();
        let base_us = self.base.add(now, shortest);
        let before_us = std::mem::replace(&mut self.queue_us, shortest.saturating_sub(base_us));
        let growth_us = self.queue_us.saturating_sub(before_us);
        let queue_us = self.queue_us - 2 * self.spread.us();
        // What was missing at the last feedback comes late: half of the proof is there.
        let part = if self.hold.is_doubting() { 2 } else { 1 };
        let steep_us = STEEP_QUEUE_US / part + burst_us.max(COMMON_BURST_US / part);
        let slow_us = QUEUE_US + (burst_us - COMMON_BURST_US).max(0);
        let growth = if queue_us > steep_us && growth_us > apart_us as i64 {
            Growth::Steep
        } else if queue_us > slow_us && growth_us > GROWTH_US {
            Growth::Slow
        } else {
            Growth::None
        };
        if self.queue_us < COMMON_BURST_US {
            self.spread.add(rows);
        }
        (base_us, growth)
    }

    fn update_hold(&mut self, now: Micros, rows: &Rows, base_us: i64, open: Open, growth: Growth) {
        let back_us = (now as i64).wrapping_sub(rows.newest_received_us as i64);
        let seen = Seen {
            sent_us: rows.newest_us,
            queue_us: rows.newest_transit_us.saturating_sub(base_us),
            base_us,
            least_back_us: self.back.add(now, back_us),
            back_us,
            busy_bytes: rows.busy_bytes,
            busy_us: rows.busy_us,
            open,
            is_steep: growth == Growth::Steep,
            acked_bps: self.acked.bps().unwrap_or(0),
            interval_us: self.interval_us,
        };
        self.hold.on_feedback(now, &seen);
    }

    fn brake(&mut self, now: Micros, sent_us: Micros, rtt_us: Micros, growth: Growth) -> i64 {
        self.braked_us = now;
        self.shed = self.shed.saturating_add(1).min(2);
        let acked_bps = self.acked.bps();
        let kept_bps = acked_bps.map(|acked_bps| acked_bps * KEPT_PERCENT / 100);
        self.limit_to(kept_bps.unwrap_or(u64::from(self.limit_bps / 2)));
        // What is on a long way is no queue: waiting for it, too, would stop the picture for another
        // round trip. Of the round trip the part that is queue counts as queue.
        let way_us = rtt_us.saturating_sub(self.queue_us.max(0) as Micros).min(MAX_WAY_US);
        let left_us = if growth == Growth::Slow { LEFT_US } else { 0 };
        let may_stay = (acked_bps.unwrap_or(0) * (way_us + left_us) / 8_000_000) as i64;
        (self.sent.since(sent_us) - may_stay).max(0)
    }
}

#[cfg(test)]
mod tests;
