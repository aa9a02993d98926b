//! Bytes on the wire: parsing, building, SRTP. No clock, no socket, no room.
//!
//! Rules of every module here:
//! * Parsers take any input, check every length and never panic; rubbish is `None` or an error value
//!   that the caller counts.
//! * Nothing allocates per packet. Views borrow the datagram or hold offsets into it.
//! * Builders write into a slice and return the length, or `None` when it does not fit.

pub mod demux;
pub mod h264;
pub mod red;
pub mod rtcp;
pub mod rtp;
pub mod seq;
pub mod srtp;
pub mod stun;
pub mod twcc_feedback;
pub mod vp8;

#[cfg(test)]
mod fuzz_tests;

/// Big-endian 16 bits at `at`.
#[inline]
pub(crate) fn read_u16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

/// Big-endian 32 bits at `at`.
#[inline]
pub(crate) fn read_u32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

/// Big-endian 64 bits at `at`.
#[inline]
pub(crate) fn read_u64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(data.get(at..at + 8)?.try_into().ok()?))
}

/// Equality whose time does not depend on where the first difference is.
#[inline]
pub(crate) fn is_equal_constant_time(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y));
    // The barrier keeps the optimiser from turning the fold into an early exit.
    std::hint::black_box(difference) == 0
}

/// Appends to a caller's buffer; once something did not fit, nothing more is written.
pub(crate) struct Cursor<'a> {
    out: &'a mut [u8],
    len: usize,
    is_full: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Cursor { out, len: 0, is_full: false }
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if !self.is_full => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.is_full = true,
        }
    }

    #[inline]
    pub(crate) fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    #[inline]
    pub(crate) fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub(crate) fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn written(&self) -> &[u8] {
        &self.out[..self.len]
    }

    /// Overwrites two bytes written before.
    pub(crate) fn patch_u16(&mut self, at: usize, value: u16) {
        if at + 2 <= self.len {
            self.out[at..at + 2].copy_from_slice(&value.to_be_bytes());
        }
    }

    /// The length, or `None` if something did not fit.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.is_full).then_some(self.len)
    }
}
