//! Numbers of a subscriber's stream: sequence, timestamp, picture id and TL0PICIDX.
//!
//! An [`Epoch`] is one uninterrupted stay on one encoding. Within it every number is the source's
//! minus an offset; what is left out on purpose is remembered as a bit, so that a packet that
//! arrives late still gets the number that was kept for it.

use crate::api::Codec;

/// How far back the bits of left-out packets reach; also the reach of late packets.
const SEQ_WINDOW: u64 = 512;
const PICTURE_WINDOW: u16 = 128;
const PICTURE_MASK: u16 = 0x7fff;

/// Timestamp rule of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    offset: u32,
    squeeze_from: u32,
    squeeze_len: u32,
    squeeze_out: u32,
    squeeze_out_len: u32,
}

impl Timestamps {
    /// `out = ts + offset` from the start.
    pub fn plain(offset: u32) -> Timestamps {
        Timestamps {
            offset,
            ..Timestamps::default()
        }
    }

    /// A start at `ts_start` that must come out after `last_out`.
    ///
    /// Where the plain rule would go backwards (a group of pictures replayed after newer pictures
    /// of another layer), the first stretch is compressed linearly until it has caught up, so that
    /// every frame keeps a timestamp of its own and none goes back.
    pub fn after(offset: u32, ts_start: u32, last_out: u32, clock_hz: u32) -> Timestamps {
        let plain_out = ts_start.wrapping_add(offset);
        let behind = last_out.wrapping_sub(plain_out) as i32;
        if behind < 0 {
            return Timestamps::plain(offset);
        }
        // At most 10 s of overlap can be told from a broken clock; then the stream starts anew.
        let step = clock_hz / 1000;
        let behind = behind as u32;
        if behind > clock_hz * 10 {
            return Timestamps::plain(last_out.wrapping_add(step).wrapping_sub(ts_start));
        }
        let squeeze_len = behind / 3 * 4 + clock_hz / 4;
        Timestamps {
            offset,
            squeeze_from: ts_start,
            squeeze_len,
            squeeze_out: last_out.wrapping_add(step),
            squeeze_out_len: squeeze_len - behind - step,
        }
    }

    /// The timestamp that leaves for `ts`.
    pub fn map(&self, ts: u32) -> u32 {
        let since = ts.wrapping_sub(self.squeeze_from);
        if since < self.squeeze_len {
            let part =
                u64::from(since) * u64::from(self.squeeze_out_len) / u64::from(self.squeeze_len);
            return self.squeeze_out.wrapping_add(part as u32);
        }
        ts.wrapping_add(self.offset)
    }

    /// The rule once any compression is over; sender reports use it.
    pub fn offset(&self) -> u32 {
        self.offset
    }
}

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
        debug_assert!(
            seq_ext >= self.next,
            "a passed number is kept for its packet"
        );
        self.advance(seq_ext);
        self.dropped[Self::word(seq_ext)] |= Self::bit(seq_ext);
        self.offset = self.offset.wrapping_add(1);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(seq_ext: u64, out_seq_ext: u64) -> Epoch {
        Epoch::new(
            0,
            EpochStart {
                encoding: 0,
                generation: 0,
                codec: Codec::Vp8,
                seq_ext,
                out_seq_ext,
                timestamps: Timestamps::plain(0),
                pid: (100, 7),
                tl0: (250, 3),
            },
        )
    }

    #[test]
    fn edge_01_upstream_gaps_stay_gaps_and_no_number_is_used_twice() {
        let mut epoch = epoch(1000, 50);
        epoch.advance(1000);
        epoch.advance(1003);
        assert_eq!(epoch.out_seq_ext(1004), Some(54));
        assert_eq!(epoch.out_seq_ext(1001), Some(51));
        assert_eq!(epoch.out_seq_ext(1002), Some(52));
        assert_eq!(epoch.out_seq_ext(999), None);
    }

    #[test]
    fn edge_06_late_packet_keeps_its_number_whatever_was_left_out_since() {
        let mut epoch = epoch(1000, 50);
        epoch.advance(1000);
        epoch.advance(1002); // 1001 is missing, 51 is kept for it
        epoch.leave_out(1003);
        epoch.leave_out(1004);
        epoch.advance(1005);
        assert_eq!(epoch.out_seq_ext(1005), Some(53));
        assert_eq!(epoch.out_seq_ext(1001), Some(51));
        assert_eq!(epoch.out_seq_ext(1002), Some(52));
        assert_eq!(
            epoch.out_seq_ext(1003),
            None,
            "a late copy of what was left out stays out"
        );
        assert_eq!(epoch.out_seq_ext(1006), Some(54));
    }

    #[test]
    fn edge_06_bits_do_not_leak_into_the_next_round_of_the_window() {
        let mut epoch = epoch(0, 0);
        epoch.leave_out(0);
        for seq in 1..2 * SEQ_WINDOW {
            epoch.advance(seq);
        }
        assert_eq!(epoch.out_seq_ext(SEQ_WINDOW), Some(SEQ_WINDOW - 1));
        assert_eq!(
            epoch.out_seq_ext(2 * SEQ_WINDOW - 2),
            Some(2 * SEQ_WINDOW - 3)
        );
        epoch.advance(10 * SEQ_WINDOW);
        assert_eq!(
            epoch.out_seq_ext(10 * SEQ_WINDOW),
            Some(10 * SEQ_WINDOW - 1)
        );
    }

    #[test]
    fn reserve_makes_room_for_a_packet_of_our_own() {
        let mut epoch = epoch(1000, 50);
        assert_eq!(epoch.reserve(1), 50);
        assert_eq!(epoch.out_seq_ext(1000), Some(51));
    }

    #[test]
    fn edge_10_picture_ids_are_continuous_over_left_out_pictures_and_roll_over() {
        let mut epoch = epoch(0, 0);
        epoch.advance_picture(100);
        assert_eq!(epoch.out_pid(100), 7);
        epoch.leave_out_picture(101);
        epoch.advance_picture(102);
        assert_eq!(epoch.out_pid(102), 8);
        assert_eq!(epoch.out_pid(100), 7, "late packet of an older picture");
        let mut pid = 102;
        for step in 0..40_000u32 {
            pid = (pid + 1) & PICTURE_MASK;
            epoch.advance_picture(pid);
            assert_eq!(
                u32::from(epoch.out_pid(pid)),
                (9 + step) & u32::from(PICTURE_MASK)
            );
        }
    }

    #[test]
    fn edge_11_tl0picidx_is_shifted_for_every_layer_alike() {
        let epoch = epoch(0, 0);
        assert_eq!(epoch.out_tl0(250), 3);
        assert_eq!(epoch.out_tl0(2), 11);
    }

    #[test]
    fn edge_02_timestamps_never_go_back_nor_repeat_when_a_replay_starts_behind() {
        let last_out: u32 = 0xffff_ff00;
        let offset = 1234u32;
        let ts_start = last_out.wrapping_sub(offset).wrapping_sub(90_000); // one second behind
        let rule = Timestamps::after(offset, ts_start, last_out, 90_000);
        let mut previous = last_out;
        for frame in 0..120u32 {
            let out = rule.map(ts_start.wrapping_add(frame * 3000));
            assert!((out.wrapping_sub(previous) as i32) > 0, "frame {frame}");
            previous = out;
        }
        let late = ts_start.wrapping_add(119 * 3000);
        assert_eq!(rule.map(late), late.wrapping_add(offset), "caught up");
    }

    #[test]
    fn edge_02_a_clock_that_jumped_far_back_starts_anew_after_the_last_frame() {
        let rule = Timestamps::after(0, 0, 90_000 * 1000, 90_000);
        assert_eq!(rule.map(0), 90_000 * 1000 + 90);
    }
}
