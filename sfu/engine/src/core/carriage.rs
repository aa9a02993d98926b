//! DTLS inside ICE checks (draft SPED, libwebrtc p2p/dtls/dtls_stun_piggyback_controller.cc).
//!
//! A peer that does it puts into each check one datagram of its flight that we have not
//! acknowledged, and repeats those by the round trip instead of a timer that doubles: on a line
//! that loses a third, the handshake is what it waits for. We acknowledge, and send our own flights
//! as ever: they are repeated soon anyway (`sfu/flight.py`).

use crate::wire::stun::{Carried, crc32};

/// What libwebrtc acknowledges at a time (`kMaxAckSize`).
const MAX_RECEIPTS: usize = 4;
const RECEIPT_SIZE: usize = 4;

/// What came of the peer's handshake, as its checks ask for.
#[derive(Debug, Default)]
pub struct Carriage {
    /// Newest last; at most `MAX_RECEIPTS`.
    receipts: [[u8; RECEIPT_SIZE]; MAX_RECEIPTS],
    len: usize,
    is_used: bool,
}

impl Carriage {
    /// Takes note of whether the peer's last check had to do with it.
    pub fn on_check(&mut self, carried: &Carried<'_>) {
        self.is_used = carried.is_used();
        if !self.is_used {
            self.len = 0;
        }
    }

    /// Takes note of a DTLS datagram, however it came; false if it is one of the last few again.
    pub fn on_dtls(&mut self, data: &[u8]) -> bool {
        if !self.is_used {
            return true;
        }
        let receipt = crc32(data).to_be_bytes();
        if self.receipts[..self.len].contains(&receipt) {
            return false;
        }
        if self.len == MAX_RECEIPTS {
            self.receipts.rotate_left(1);
            self.len -= 1;
        }
        self.receipts[self.len] = receipt;
        self.len += 1;
        true
    }

    /// What the answer to that check says. An empty datagram tells that the handshake goes on;
    /// without one the peer may take a receipt for the end.
    pub fn answer(&self, is_over: bool) -> Carried<'_> {
        if !self.is_used {
            return Carried::default();
        }
        let receipts = self.receipts[..self.len].as_flattened();
        Carried { dtls: (!is_over).then_some(&[]), receipts: Some(receipts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: Carried<'static> = Carried { dtls: None, receipts: Some(&[]) };

    #[test]
    fn who_does_not_ask_is_told_nothing() {
        let mut carriage = Carriage::default();
        carriage.on_check(&Carried::default());
        assert!(carriage.on_dtls(b"flight") && carriage.on_dtls(b"flight"));
        assert_eq!(carriage.answer(false), Carried::default());
    }

    #[test]
    fn the_last_four_are_acknowledged_once_each() {
        let mut carriage = Carriage::default();
        carriage.on_check(&USED);
        assert_eq!(carriage.answer(false), Carried { dtls: Some(&[]), receipts: Some(&[]) });
        for number in 0..6u8 {
            assert!(carriage.on_dtls(&[22, number]));
            assert!(!carriage.on_dtls(&[22, number]));
        }
        let wanted: Vec<u8> = (2..6u8).flat_map(|n| crc32(&[22, n]).to_be_bytes()).collect();
        assert_eq!(carriage.answer(true), Carried { dtls: None, receipts: Some(&wanted) });
        // The same bytes may mean something new once they are forgotten.
        assert!(carriage.on_dtls(&[22, 0]));
    }

    #[test]
    fn a_check_without_it_ends_it() {
        let mut carriage = Carriage::default();
        carriage.on_check(&USED);
        carriage.on_dtls(b"flight");
        carriage.on_check(&Carried::default());
        assert_eq!(carriage.answer(true), Carried::default());
        carriage.on_check(&USED);
        assert_eq!(carriage.answer(true).receipts, Some(&[][..]));
    }
}
