//! A subscriber that is sent to by a budget: how far it lags behind in the ring, and what it leaves
//! out by itself to catch up.

use crate::api::Micros;
use crate::media::encoding::Encoding;
use crate::media::ring::View;

use super::{Flow, Phase, Pulled};

/// Header, extensions and descriptor beyond the stored payload, about.
pub(super) const HEAD_BYTES: i64 = 40;
/// A lag above this leaves out temporal layers, or jumps to a newer key frame.
const SHED_US: Micros = 250_000;
/// A lag below this, for [`CALM_TIME_US`], takes them in again.
const CALM_US: Micros = 80_000;
const CALM_TIME_US: Micros = 500_000;
/// Time that leaving out one layer gets to show.
const SHED_INTERVAL_US: Micros = 100_000;
/// A lag above this asks for a key frame to jump to.
const ASK_US: Micros = 800_000;
/// A jump waits so long for the frame in hand. Where each frame stands alone and takes longer than
/// the next is away, none would be seen if each were given up for the next; and what was sent of it
/// would be for nothing.
const FINISH_US: Micros = 800_000;
/// Nothing that waited longer is sent: the viewer has long been shown something else.
const MAX_LAG_US: Micros = 2_500_000;
/// Missing packets looked over for the oldest one that waits.
const MAX_MISSING: u64 = 64;
/// No limit on temporal layers.
const ALL_TEMPORAL: u8 = 7;

/// What a paced subscriber may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes.
    pub room: i64,
    /// Temporal layers to leave out, of those there are.
    pub shed: u8,
    /// What was left out may be taken in again.
    pub may_rise: bool,
    /// Nothing is heard of the peer: video stops.
    pub is_held: bool,
    /// The newly arrived packets of this flush were looked at already.
    pub is_rerun: bool,
}

/// Where a flow stands with its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lag {
    /// The last pull was paced.
    pub is_paced: bool,
    /// It left something in the ring.
    pub is_behind: bool,
    /// Highest temporal layer by the lag, and when that last changed or was last questioned.
    pub cap: u8,
    changed_us: Micros,
    /// Key frames before this number of an encoding are of no use: too much waited behind them.
    floor: Option<(u8, u32, u64)>,
    /// When the running epoch began.
    pub begun_us: Micros,
    /// Packets left out.
    pub num_left_out: u32,
}

impl Default for Lag {
    fn default() -> Lag {
        Lag {
            is_paced: false,
            is_behind: false,
            cap: ALL_TEMPORAL,
            changed_us: 0,
            floor: None,
            begun_us: 0,
            num_left_out: 0,
        }
    }
}

impl Flow {
    /// Waits for room, or for a place on the link.
    pub fn is_behind(&self) -> bool {
        self.lag.is_paced && self.phase != Phase::Waiting && self.lag.is_behind
    }

    /// Packets left out because the budget was too small.
    pub fn num_left_out(&self) -> u32 {
        self.lag.num_left_out
    }

    /// The source is audio, which never waits.
    pub fn is_audio(&self) -> bool {
        self.is_audio
    }

    /// Timestamp of what left last.
    pub fn last_out_ts(&self) -> u32 {
        self.last_out_ts
    }

    /// Highest temporal layer going out.
    pub fn temporal(&self) -> u8 {
        self.temporal
    }

    /// Age of the oldest packet that waits to be sent; 0 = none.
    pub fn lag_us(&self, now: Micros, encodings: &[Encoding]) -> Micros {
        let Some(epoch) = self.epoch.as_ref().filter(|_| !self.is_audio && !self.layers.paused)
        else {
            return 0;
        };
        if self.phase == Phase::Waiting {
            return 0;
        }
        let encoding = &encodings[usize::from(epoch.encoding)];
        let (from, next) = (epoch.next_seq_ext(), encoding.ring.next_seq_ext());
        let until = next.min(from.saturating_add(MAX_MISSING));
        let oldest = (from.max(encoding.ring.oldest_seq_ext())..until)
            .find_map(|seq_ext| encoding.ring.view(seq_ext));
        oldest.map_or(0, |view| now.saturating_sub(view.arrived_us).max(1))
    }

    /// The highest temporal layer that may go out, of those ordered.
    pub(super) fn wanted_temporal(&self) -> u8 {
        self.layers.temporal.min(self.lag.cap)
    }

    /// A packet was filtered: by the orders, or for want of room?
    pub(super) fn count_left_out(&mut self, view: &View) {
        let is_ordered = view.temporal <= self.layers.temporal;
        self.lag.num_left_out =
            self.lag.num_left_out.wrapping_add(u32::from(is_ordered && self.lag.is_paced));
    }

    /// Whether a key frame is too old to start at.
    pub(super) fn is_below_floor(&self, encoding: &Encoding, seq_ext: u64) -> bool {
        self.lag.floor.is_some_and(|(index, generation, floor)| {
            index == self.target && generation == encoding.generation && seq_ext < floor
        })
    }

    /// The peer was away for long: what waits for it is stale.
    pub fn restart(&mut self) {
        self.stop();
        self.lag.floor = None;
    }

    /// Leaves out what the budget has no room for.
    pub(super) fn follow_pace(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        pace: Option<&Pace>,
        pulled: &mut Pulled,
    ) {
        let was_paced = std::mem::replace(&mut self.lag.is_paced, pace.is_some());
        let Some(pace) = pace else {
            if was_paced {
                self.lag.cap = ALL_TEMPORAL;
                // What is left in the ring is caught up with at the pace of a replay.
                if self.phase == Phase::Live {
                    (self.phase, self.replayed_us) = (Phase::Replaying, now);
                }
            }
            return;
        };
        let Some(epoch) = self.epoch.filter(|_| self.phase != Phase::Waiting) else {
            return;
        };
        let encoding = &encodings[usize::from(epoch.encoding)];
        let lag_us = self.lag_us(now, encodings);
        let top = encoding.temporal.count() - 1;
        self.update_cap(now, lag_us, top, pace);
        if lag_us <= SHED_US {
            return;
        }
        let next = epoch.next_seq_ext();
        let has_newer = encoding.key.is_some_and(|key| key.seq_ext > next);
        let is_falling = self.target < epoch.encoding;
        if has_newer && !self.is_switching() && lag_us <= MAX_LAG_US {
            if self.drain_until_us.is_some() {
                return;
            }
            let skipped = encoding.key.map_or(0, |key| key.seq_ext - next);
            self.lag.num_left_out = self.lag.num_left_out.wrapping_add(skipped as u32);
            pulled.has_jumped = true;
            self.drain_until_us = Some(now + FINISH_US);
        } else if is_falling || lag_us > MAX_LAG_US {
            let waiting = encoding.ring.next_seq_ext().saturating_sub(next);
            self.lag.num_left_out = self.lag.num_left_out.wrapping_add(waiting as u32);
            self.lag.floor = Some((epoch.encoding, epoch.generation, encoding.ring.next_seq_ext()));
            pulled.has_jumped = true;
            self.stop();
        } else if lag_us > ASK_US && now.saturating_sub(self.lag.begun_us) > ASK_US {
            pulled.needs_key = Some(self.target);
        }
    }

    fn update_cap(&mut self, now: Micros, lag_us: Micros, top: u8, pace: &Pace) {
        let lag = &mut self.lag;
        let since_us = now.saturating_sub(lag.changed_us);
        if lag_us > SHED_US {
            if top > 0 && lag.cap > 0 && since_us >= SHED_INTERVAL_US {
                lag.cap = lag.cap.min(top) - 1;
                lag.changed_us = now;
            }
        } else if lag.cap < ALL_TEMPORAL && (lag_us > CALM_US || !pace.may_rise) {
            lag.changed_us = now;
        } else if lag.cap < ALL_TEMPORAL && since_us >= CALM_TIME_US {
            lag.cap = if lag.cap + 1 < top { lag.cap + 1 } else { ALL_TEMPORAL };
            lag.changed_us = now;
        }
        if pace.shed > 0 {
            lag.cap = lag.cap.min(top.saturating_sub(pace.shed));
            lag.changed_us = now;
        }
    }
}
