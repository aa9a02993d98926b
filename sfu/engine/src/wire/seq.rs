//! Unwrapping of wire counters: 16-bit sequence numbers and 32-bit RTP timestamps to 64 bits.

/// Whether `a` comes after `b` on the 16-bit circle (at most half of it ahead).
#[inline]
pub fn seq_newer(a: u16, b: u16) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000
}

/// Turns 16-bit sequence numbers into 64-bit ones that never wrap.
///
/// The first number gets cycle 1 (`65536 + seq`), so that packets older than the first still have a
/// number. The low 16 bits of a result are always the wire number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeqUnwrapper {
    highest: Option<u64>,
}

impl SeqUnwrapper {
    /// Nothing seen yet.
    pub const fn new() -> Self {
        SeqUnwrapper { highest: None }
    }

    /// The extended number of `seq`; a newer one becomes the reference.
    #[inline]
    pub fn unwrap(&mut self, seq: u16) -> u64 {
        let seq_ext = self.peek(seq);
        if self.highest.is_none_or(|highest| seq_ext > highest) {
            self.highest = Some(seq_ext);
        }
        seq_ext
    }

    /// What `unwrap` would return, without moving the reference.
    #[inline]
    pub fn peek(&self, seq: u16) -> u64 {
        match self.highest {
            None => (1 << 16) + u64::from(seq),
            Some(highest) => {
                let delta = seq.wrapping_sub(highest as u16) as i16;
                highest.wrapping_add_signed(i64::from(delta))
            }
        }
    }

    /// The highest extended number so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Turns 32-bit RTP timestamps into 64-bit ones that never wrap; the first gets cycle 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TsUnwrapper {
    highest: Option<u64>,
}

impl TsUnwrapper {
    /// Nothing seen yet.
    pub const fn new() -> Self {
        TsUnwrapper { highest: None }
    }

    /// The extended timestamp of `ts_rtp`; a newer one becomes the reference.
    #[inline]
    pub fn unwrap(&mut self, ts_rtp: u32) -> u64 {
        let ts_rtp_ext = self.peek(ts_rtp);
        if self.highest.is_none_or(|highest| ts_rtp_ext > highest) {
            self.highest = Some(ts_rtp_ext);
        }
        ts_rtp_ext
    }

    /// What `unwrap` would return, without moving the reference.
    #[inline]
    pub fn peek(&self, ts_rtp: u32) -> u64 {
        match self.highest {
            None => (1 << 32) + u64::from(ts_rtp),
            Some(highest) => {
                let delta = ts_rtp.wrapping_sub(highest as u32) as i32;
                highest.wrapping_add_signed(i64::from(delta))
            }
        }
    }

    /// The highest extended timestamp so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wrap_forwards_and_backwards() {
        let mut seqs = SeqUnwrapper::new();
        assert_eq!(seqs.unwrap(65_534), 65_536 + 65_534);
        assert_eq!(seqs.unwrap(1), 2 * 65_536 + 1);
        assert_eq!(seqs.unwrap(65_535), 65_536 + 65_535);
        assert_eq!(seqs.highest(), Some(2 * 65_536 + 1));
    }

    #[test]
    fn older_than_the_first_has_a_number() {
        let mut seqs = SeqUnwrapper::new();
        assert_eq!(seqs.unwrap(2), 65_538);
        assert_eq!(seqs.unwrap(65_000), 65_000);
    }

    #[test]
    fn timestamps_wrap() {
        let mut stamps = TsUnwrapper::new();
        let first = stamps.unwrap(u32::MAX - 10);
        assert_eq!(stamps.unwrap(2_989), first + 3_000);
        assert_eq!(stamps.unwrap(u32::MAX - 10), first);
    }

    proptest! {
        #[test]
        fn follows_a_true_counter(start in 0u64..65_536, steps in prop::collection::vec(-3_000i64..20_000, 1..200)) {
            let mut seqs = SeqUnwrapper::new();
            let mut truth = start + 65_536;
            prop_assert_eq!(seqs.unwrap(truth as u16), truth);
            let mut highest = truth;
            for step in steps {
                // Never further back than half the circle from the highest.
                truth = highest.saturating_add_signed(step).max(1);
                prop_assert_eq!(seqs.unwrap(truth as u16), truth);
                highest = highest.max(truth);
            }
        }

        #[test]
        fn newer_is_antisymmetric(a: u16, b: u16) {
            prop_assume!(a != b && a.wrapping_sub(b) != 0x8000);
            prop_assert_ne!(seq_newer(a, b), seq_newer(b, a));
        }

        #[test]
        fn any_input_keeps_the_wire_bits(values in prop::collection::vec(any::<(u16, u32)>(), 0..300)) {
            let (mut seqs, mut stamps) = (SeqUnwrapper::new(), TsUnwrapper::new());
            for (seq, ts_rtp) in values {
                prop_assert_eq!(seqs.unwrap(seq) as u16, seq);
                prop_assert_eq!(stamps.unwrap(ts_rtp) as u32, ts_rtp);
            }
        }
    }
}
