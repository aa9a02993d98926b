//! Numbers of a subscriber's stream: sequence, timestamp, picture id and TL0PICIDX.
//!
//! An [`Epoch`] is one uninterrupted stay on one encoding. Within it every number is the source's
//! minus an offset; what is left out on purpose is remembered as a bit, so that a packet that
//! arrives late still gets the number that was kept for it.

#[cfg(test)]
mod tests;

use crate::api::Codec;
use crate::wire::red::TS_OFFSET_MAX;

use super::redundancy::MAX_EARLIER;
use super::ring::View;
use super::timestamps::Timestamps;

/// How far back the bits of left-out packets reach; also the reach of late packets.
const SEQ_WINDOW: u64 = 512;
/// Missing packets that may be taken for part of a left-out picture.
const MAX_LEFT_OUT: u64 = 64;
const PICTURE_WINDOW: u16 = 128;
const PICTURE_MASK: u16 = 0x7fff;

/// Picture numbers of a VP8 epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Pictures {
    offset: u16,
    last: u16,
    is_started: bool,
    dropped: [u64; 2],
}

impl Pictures {
    fn bit(pid: u16) -> (usize, u64) {
        let place = pid % PICTURE_WINDOW;
        ((place / 64) as usize, 1 << (place % 64))
    }

    fn advance(&mut self, pid: u16) {
        if !self.is_started {
            self.is_started = true;
            self.last = pid;
            return;
        }
        let ahead = pid.wrapping_sub(self.last) & PICTURE_MASK;
        if ahead == 0 || ahead > PICTURE_MASK / 2 {
            return;
        }
        for step in 1..=ahead.min(PICTURE_WINDOW) {
            let (word, bit) = Self::bit(self.last.wrapping_add(step) & PICTURE_MASK);
            self.dropped[word] &= !bit;
        }
        self.last = pid;
    }

    fn drop_picture(&mut self, pid: u16) {
        self.advance(pid);
        let (word, bit) = Self::bit(pid);
        if self.dropped[word] & bit == 0 && pid == self.last {
            self.dropped[word] |= bit;
            self.offset = self.offset.wrapping_add(1);
        }
    }

    fn is_left_out(&self, pid: u16) -> bool {
        let (word, bit) = Self::bit(pid);
        let behind = self.last.wrapping_sub(pid) & PICTURE_MASK;
        self.is_started && behind < PICTURE_WINDOW && self.dropped[word] & bit != 0
    }

    fn map(&self, pid: u16) -> u16 {
        let behind = self.last.wrapping_sub(pid) & PICTURE_MASK;
        let mut offset = self.offset;
        if behind < PICTURE_WINDOW {
            for step in 0..behind {
                let (word, bit) = Self::bit(self.last.wrapping_sub(step) & PICTURE_MASK);
                offset = offset.wrapping_sub(u16::from(self.dropped[word] & bit != 0));
            }
        }
        pid.wrapping_sub(offset) & PICTURE_MASK
    }
}

/// What an epoch starts from.
#[derive(Clone, Copy, Debug)]
pub struct EpochStart {
    /// Which encoding of the source.
    pub encoding: u8,
    /// Generation of that encoding's numbers; another one means a restarted stream.
    pub generation: u32,
    /// What it carries.
    pub codec: Codec,
    /// First source packet.
    pub seq_ext: u64,
    /// Number that packet leaves with.
    pub out_seq_ext: u64,
    /// Timestamp rule.
    pub timestamps: Timestamps,
    /// Picture id of the first picture, and the one it leaves with.
    pub pid: (u16, u16),
    /// TL0PICIDX likewise.
    pub tl0: (u8, u8),
}

/// One stay on one encoding.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Tells epochs of one sink apart in its history; wraps.
    pub id: u8,
    /// Which encoding of the source.
    pub encoding: u8,
    /// See [`EpochStart::generation`].
    pub generation: u32,
    /// What it carries.
    pub codec: Codec,
    /// Timestamp rule.
    pub timestamps: Timestamps,
    first: u64,
    next: u64,
    offset: u64,
    dropped: [u64; (SEQ_WINDOW / 64) as usize],
    pictures: Pictures,
    tl0_offset: u8,
}

impl Epoch {
    /// A new epoch with number `id`.
    pub fn new(id: u8, start: EpochStart) -> Epoch {
        Epoch {
            id,
            encoding: start.encoding,
            generation: start.generation,
            codec: start.codec,
            timestamps: start.timestamps,
            first: start.seq_ext,
            next: start.seq_ext,
            offset: start.seq_ext.wrapping_sub(start.out_seq_ext),
            dropped: [0; (SEQ_WINDOW / 64) as usize],
            pictures: Pictures {
                offset: start.pid.0.wrapping_sub(start.pid.1) & PICTURE_MASK,
                ..Pictures::default()
            },
            tl0_offset: start.tl0.0.wrapping_sub(start.tl0.1),
        }
    }

    /// The next source packet in order.
    pub fn next_seq_ext(&self) -> u64 {
        self.next
    }

    /// The number that packet will leave with.
    pub fn next_out_seq_ext(&self) -> u64 {
        self.next.wrapping_sub(self.offset)
    }

    /// Source packets before this one do not belong to the epoch.
    pub fn first_seq_ext(&self) -> u64 {
        self.first
    }

    /// Packets right before `view` that may travel in it again as redundancy: those of this epoch,
    /// as far as its timestamps are the source's plus one offset.
    pub fn reach(&self, view: &View) -> u8 {
        if self.timestamps.is_squeezed_before(view.ts_rtp, TS_OFFSET_MAX) {
            return 0;
        }
        view.seq_ext.saturating_sub(self.first).min(u64::from(MAX_EARLIER)) as u8
    }

    /// Leaves a hole of `count` numbers before the next packet (something of our own goes there).
    pub fn reserve(&mut self, count: u64) -> u64 {
        let out_seq_ext = self.next_out_seq_ext();
        self.offset = self.offset.wrapping_sub(count);
        out_seq_ext
    }

    /// Takes `seq_ext` as forwarded; the numbers of packets missing before it stay kept for them.
    pub fn advance(&mut self, seq_ext: u64) {
        let from = self.next.max((seq_ext + 1).saturating_sub(SEQ_WINDOW));
        for seq in from..=seq_ext {
            self.dropped[Self::word(seq)] &= !Self::bit(seq);
        }
        self.next = self.next.max(seq_ext + 1);
    }

    /// Leaves out `seq_ext`, which must not be before the next packet: the following ones close up.
    pub fn leave_out(&mut self, seq_ext: u64) {
        debug_assert!(seq_ext >= self.next, "a passed number is kept for its packet");
        self.advance(seq_ext);
        self.dropped[Self::word(seq_ext)] |= Self::bit(seq_ext);
        self.offset = self.offset.wrapping_add(1);
    }

    /// Leaves out what is missing before `seq_ext`.
    pub fn leave_out_missing(&mut self, seq_ext: u64) {
        for missing in self.next.max(seq_ext.saturating_sub(MAX_LEFT_OUT))..seq_ext {
            self.leave_out(missing);
        }
    }

    /// The number for `seq_ext`; `None` if it was left out, is older than the bits reach, or does
    /// not belong to the epoch.
    pub fn out_seq_ext(&self, seq_ext: u64) -> Option<u64> {
        if seq_ext >= self.next {
            return Some(seq_ext.wrapping_sub(self.offset));
        }
        if seq_ext < self.first || seq_ext + SEQ_WINDOW < self.next {
            return None;
        }
        if self.dropped[Self::word(seq_ext)] & Self::bit(seq_ext) != 0 {
            return None;
        }
        let left_out = (seq_ext + 1..self.next)
            .filter(|&seq| self.dropped[Self::word(seq)] & Self::bit(seq) != 0)
            .count() as u64;
        Some(seq_ext.wrapping_sub(self.offset.wrapping_sub(left_out)))
    }

    /// Notes that picture `pid` goes out.
    pub fn advance_picture(&mut self, pid: u16) {
        self.pictures.advance(pid);
    }

    /// Leaves out picture `pid`: the following ones close up.
    pub fn leave_out_picture(&mut self, pid: u16) {
        self.pictures.drop_picture(pid);
    }

    /// Picture `pid` was left out.
    pub fn is_picture_left_out(&self, pid: u16) -> bool {
        self.pictures.is_left_out(pid)
    }

    /// `view` belongs to the picture right after the newest one.
    pub fn is_next_picture(&self, view: &View) -> bool {
        let next = self.pictures.last.wrapping_add(1) & PICTURE_MASK;
        view.has_pid && self.pictures.is_started && view.pid == next
    }

    /// `view` belongs to the picture right after a left-out one.
    pub fn follows_left_out(&self, view: &View) -> bool {
        self.is_next_picture(view) && self.pictures.is_left_out(self.pictures.last)
    }

    /// The picture id that leaves for `pid`.
    pub fn out_pid(&self, pid: u16) -> u16 {
        self.pictures.map(pid)
    }

    /// The TL0PICIDX that leaves for `tl0`. Base layers are never left out, so one offset serves.
    pub fn out_tl0(&self, tl0: u8) -> u8 {
        tl0.wrapping_sub(self.tl0_offset)
    }

    fn word(seq_ext: u64) -> usize {
        (seq_ext % SEQ_WINDOW / 64) as usize
    }

    fn bit(seq_ext: u64) -> u64 {
        1 << (seq_ext % 64)
    }
}
