//! Complete frames on their way from the core to Python, so that a reader never holds up the core.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use super::exchange::{lock, try_lock};
use crate::api::{TapFrame, TapId};

/// Frames moved at once: a full queue is overshot by no more than these.
const BATCH: usize = 8;

struct TapQueue {
    frames: VecDeque<TapFrame>,
    bytes: usize,
    max_bytes: usize,
}

/// What `TapQueues::fill` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The core has no more frames of it.
    Done,
    /// The queue is full; frames wait in the core, which drops by its own rule and counts.
    Full,
    /// The lock was taken.
    Busy,
}

/// The queues of all taps. Only `fill` is for the media thread; it never waits.
#[derive(Default)]
pub struct TapQueues(Mutex<HashMap<TapId, TapQueue>>);

impl TapQueues {
    /// Makes room for a tap's frames, before its command is queued.
    pub fn add(&self, tap: TapId, max_bytes: usize) {
        let queue = TapQueue { frames: VecDeque::new(), bytes: 0, max_bytes };
        lock(&self.0).insert(tap, queue);
    }

    /// Forgets a tap and its frames.
    pub fn remove(&self, tap: TapId) {
        let removed = lock(&self.0).remove(&tap);
        // Megabytes of frames are freed after the lock.
        drop(removed);
    }

    /// Takes up to `max` frames, and whether the queue was full: the core may hold more then.
    pub fn drain(&self, tap: TapId, max: usize) -> (Vec<TapFrame>, bool) {
        let mut queues = lock(&self.0);
        let Some(queue) = queues.get_mut(&tap) else {
            return (Vec::new(), false);
        };
        let was_full = queue.bytes >= queue.max_bytes;
        let count = queue.frames.len().min(max);
        let frames: Vec<TapFrame> = queue.frames.drain(..count).collect();
        queue.bytes -= frames.iter().map(|frame| frame.data.len()).sum::<usize>();
        (frames, was_full)
    }

    /// Moves frames of `tap` by `drain_core(max, into)` while its queue has room. `is_filled` tells
    /// that an empty queue got frames.
    pub fn fill(
        &self,
        tap: TapId,
        batch: &mut Vec<TapFrame>,
        is_filled: &mut bool,
        mut drain_core: impl FnMut(usize, &mut Vec<TapFrame>),
    ) -> Fill {
        let Some(mut queues) = try_lock(&self.0) else {
            return Fill::Busy;
        };
        let Some(queue) = queues.get_mut(&tap) else {
            return Fill::Done;
        };
        let was_empty = queue.frames.is_empty();
        let mut fill = Fill::Full;
        while fill == Fill::Full && queue.bytes < queue.max_bytes {
            drain_core(BATCH, batch);
            if batch.len() < BATCH {
                fill = Fill::Done;
            }
            queue.bytes += batch.iter().map(|frame| frame.data.len()).sum::<usize>();
            queue.frames.extend(batch.drain(..));
        }
        *is_filled = was_empty && !queue.frames.is_empty();
        fill
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Codec;

    const TAP: TapId = TapId(1);

    fn frame(n: u64) -> TapFrame {
        TapFrame {
            ts_rtp_ext: n,
            arrived_us: 0,
            captured_us: 0,
            is_key: true,
            encoding: 0,
            codec: Codec::Vp8,
            lost_before: 0,
            data: vec![0; 100],
        }
    }

    /// A core that holds the frames from `next` to `end`.
    fn fill(queues: &TapQueues, next: &mut u64, end: u64) -> (Fill, bool) {
        let mut is_filled = false;
        let outcome = queues.fill(TAP, &mut Vec::new(), &mut is_filled, |max, into| {
            let until = end.min(*next + max as u64);
            into.extend((*next..until).map(frame));
            *next = until;
        });
        (outcome, is_filled)
    }

    #[test]
    fn a_full_queue_leaves_frames_in_the_core_and_keeps_their_order() {
        let queues = TapQueues::default();
        queues.add(TAP, 1000);
        let mut next = 0;
        assert_eq!(fill(&queues, &mut next, 100), (Fill::Full, true));
        assert!(next < 1000 / 100 + BATCH as u64);
        let mut got = Vec::new();
        while got.len() < 100 {
            let (frames, was_full) = queues.drain(TAP, 5);
            got.extend(frames.iter().map(|frame| frame.ts_rtp_ext));
            if was_full {
                fill(&queues, &mut next, 100);
            }
        }
        assert_eq!(got, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn news_only_when_an_empty_queue_got_frames() {
        let queues = TapQueues::default();
        queues.add(TAP, 100_000);
        let mut next = 0;
        assert_eq!(fill(&queues, &mut next, 0), (Fill::Done, false));
        assert_eq!(fill(&queues, &mut next, 3), (Fill::Done, true));
        assert_eq!(fill(&queues, &mut next, 5), (Fill::Done, false));
        assert_eq!(queues.drain(TAP, 100).0.len(), 5);
        assert_eq!(fill(&queues, &mut next, 6), (Fill::Done, true));
    }

    #[test]
    fn a_removed_tap_takes_nothing() {
        let queues = TapQueues::default();
        queues.add(TAP, 100);
        queues.remove(TAP);
        let mut next = 0;
        assert_eq!(fill(&queues, &mut next, 5), (Fill::Done, false));
        assert_eq!(next, 0);
        assert!(queues.drain(TAP, 9).0.is_empty());
    }
}
