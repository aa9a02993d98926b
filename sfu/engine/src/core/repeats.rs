//! RTCP that leaves a second time, byte for byte, on lines that lose packets.
//!
//! Feedback, requests and reports are small, and each that is lost costs its sender a round trip or
//! an interval of blindness. The copy has the same SRTCP index, so a peer that got the first one
//! drops it as a replay (RFC 3711 §3.3.2): nothing is counted or answered twice.

use crate::api::Micros;

/// A burst of losses on a radio line is mostly over by then.
const DELAY_US: Micros = 20_000;
/// Datagrams that wait at most; another one takes the place of the oldest.
const MAX_WAITING: usize = 4;

#[derive(Debug, Default)]
struct Copy {
    due_us: Micros,
    data: Vec<u8>,
}

/// Copies that wait for their time.
#[derive(Debug, Default)]
pub struct Repeats {
    copies: [Copy; MAX_WAITING],
}

impl Repeats {
    /// Keeps a sealed datagram that leaves now.
    pub fn push(&mut self, now: Micros, data: &[u8]) {
        // An empty slot has due time 0.
        if let Some(copy) = self.copies.iter_mut().min_by_key(|copy| copy.due_us) {
            copy.due_us = now + DELAY_US;
            copy.data.clear();
            copy.data.extend_from_slice(data);
        }
    }

    /// When the next one leaves.
    pub fn next_due_us(&self) -> Option<Micros> {
        self.copies.iter().map(|copy| copy.due_us).filter(|&due_us| due_us != 0).min()
    }

    /// The next one that leaves now.
    pub fn take_due(&mut self, now: Micros) -> Option<&[u8]> {
        let due = self.copies.iter_mut().filter(|copy| copy.due_us != 0 && copy.due_us <= now);
        let copy = due.min_by_key(|copy| copy.due_us)?;
        copy.due_us = 0;
        Some(&copy.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leaves_once_more_in_order_after_20_ms() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.next_due_us(), None);
        repeats.push(1_000, b"a");
        repeats.push(2_000, b"b");
        assert_eq!((repeats.next_due_us(), repeats.take_due(20_999)), (Some(21_000), None));
        assert_eq!(repeats.take_due(22_000), Some(&b"a"[..]));
        assert_eq!(repeats.take_due(22_000), Some(&b"b"[..]));
        assert_eq!((repeats.next_due_us(), repeats.take_due(22_000)), (None, None));
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut repeats = Repeats::default();
        for at in 1..=5u8 {
            repeats.push(u64::from(at), &[at]);
        }
        assert_eq!(repeats.take_due(1_000_000), Some(&[2][..]));
    }
}
