//! Which sent packets leave once more although nobody asked: copies in advance, and fillers of probes.

use crate::api::Micros;
use crate::media::flow::{Flow, Outgoing};

use super::{
    FIRST_UNIT_US, HISTORY_SLOTS, KIND_MEDIA, KIND_NONE, KIND_PARAMS, Output, Sent, sent_ms,
};

/// Copies of a packet at most.
pub const MAX_COPIES: u8 = 3;
/// The first copy leaves 32 to 48 ms after its original, every further one as long after that: a
/// burst of losses must not take both.
const SPACING_UNITS: u8 = 3;
/// A copy later than this by half a round trip or so is overtaken by a request.
const LATE_UNITS: u8 = 6;
/// Packets that fill probes were sent within this time.
const FILLER_UNITS: u8 = 60;
/// Packets gone back for fillers.
const MAX_FILLERS: u64 = 64;

/// Places in the history, as numbers of the subscriber's stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Copies {
    count: u8,
    /// One past the newest packet that was sent; 0 = none.
    end: u64,
    /// Next packet for the first, second and third copy.
    next: [u64; MAX_COPIES as usize],
    /// Next packet to fill a probe with, going backwards.
    filler: u64,
}

impl Copies {
    /// A packet left.
    pub fn on_sent(&mut self, out_seq_ext: u64) {
        self.end = self.end.max(out_seq_ext + 1);
    }
}

impl Output {
    /// Orders copies of what is sent from now on.
    pub fn set_copies(&mut self, count: u8) {
        let count = count.min(MAX_COPIES);
        for at in self.copies.count..count {
            self.copies.next[usize::from(at)] = self.copies.end;
        }
        self.copies.count = count;
    }

    /// Copies are ordered.
    pub fn has_copies(&self) -> bool {
        self.copies.count > 0
    }

    /// When the next copy is due; `None` = all were sent.
    pub fn next_copy_us(&mut self, now: Micros) -> Option<Micros> {
        let units = (0..self.copies.count).filter_map(|at| self.due_units(now, at)).min()?;
        Some(match units {
            0 => now,
            _ => (now / FIRST_UNIT_US + Micros::from(units)) * FIRST_UNIT_US,
        })
    }

    /// Takes the next copy that is due; `None` if it is too late for it.
    pub fn take_copy(&mut self, now: Micros, flow: &Flow) -> Option<(u8, Outgoing)> {
        let at = (0..self.copies.count).find(|&at| self.due_units(now, at) == Some(0))?;
        let number = self.copies.next[usize::from(at)];
        self.copies.next[usize::from(at)] += 1;
        let age = self.slot(number)?.age(now);
        if age > SPACING_UNITS * (at + 1) + LATE_UNITS {
            return None;
        }
        self.recall(now, number, flow)
    }

    /// Takes a recent packet to fill a probe with.
    pub fn take_filler(&mut self, now: Micros, flow: &Flow) -> Option<(u8, Outgoing)> {
        let end = self.copies.end;
        for _ in 0..MAX_FILLERS {
            let is_near = self.copies.filler < end && self.copies.filler + MAX_FILLERS > end;
            let number = if is_near { self.copies.filler } else { end.checked_sub(1)? };
            self.copies.filler = number.saturating_sub(1);
            let Some(slot) = self.slot(number) else {
                continue;
            };
            if slot.age(now) > FILLER_UNITS {
                self.copies.filler = end;
                return None;
            }
            return self.recall(now, number, flow);
        }
        None
    }

    /// Units of 16 ms until copy `at` of its next packet is due; skips what was never sent.
    fn due_units(&mut self, now: Micros, at: u8) -> Option<u8> {
        let mut next = self.copies.next[usize::from(at)];
        next = next.max(self.copies.end.saturating_sub(HISTORY_SLOTS as u64));
        while next < self.copies.end && self.slot(next).is_none() {
            next += 1;
        }
        self.copies.next[usize::from(at)] = next;
        let age = self.slot(next).filter(|_| next < self.copies.end)?.age(now);
        Some((SPACING_UNITS * (at + 1)).saturating_sub(age))
    }

    fn slot(&self, number: u64) -> Option<&Sent> {
        let slot = self.history.get(number as usize % HISTORY_SLOTS)?;
        (slot.kind != KIND_NONE && slot.out_seq == number as u16).then_some(slot)
    }

    fn recall(&mut self, now: Micros, number: u64, flow: &Flow) -> Option<(u8, Outgoing)> {
        let slot = self.history.get_mut(number as usize % HISTORY_SLOTS)?;
        debug_assert!(slot.kind & (KIND_MEDIA | KIND_PARAMS) != 0, "only sent packets are found");
        let epoch = flow.epoch(slot.epoch_id)?;
        // A request that left before this copy arrived is answered by it.
        slot.sent_ms = sent_ms(now);
        Some((epoch.encoding, slot.outgoing(epoch)))
    }
}
