//! RFC 4571 framing: a 16-bit length before every datagram, on a byte stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};

/// Largest datagram that the length field can announce.
pub const MAX_FRAME: usize = u16::MAX as usize;
/// Bytes that an unsent queue may hold.
const MAX_QUEUED: usize = 512 * 1024;
/// The last part of that is kept for small datagrams: audio, RTCP, STUN and DTLS.
const SMALL_RESERVE: usize = 64 * 1024;
/// What counts as small.
const SMALL: usize = 400;
/// Microseconds after which a queue that never emptied takes small datagrams only: old video in a
/// socket is delay for everything behind it.
const STALLED_US: u64 = 500_000;

/// Room that [`FrameReader::read`] needs: what is left of one frame, and as much again.
pub const SCRATCH_BYTES: usize = 2 * (MAX_FRAME + 2);
/// Reads of one connection before the others get their turn.
const READ_ROUNDS: usize = 4;
/// What a reader keeps of its memory when nothing is left in it.
const KEPT_BYTES: usize = 4096;

/// Range of the first complete frame's payload in `data`.
fn parse_frame(data: &[u8]) -> Option<std::ops::Range<usize>> {
    let header = data.first_chunk::<2>()?;
    let end = 2 + usize::from(u16::from_be_bytes(*header));
    (data.len() >= end).then_some(2..end)
}

/// Whether a stream can still begin with a STUN message (RFC 8489 §5: two zero bits, magic cookie).
/// True while too little has arrived to tell.
fn may_begin_with_stun(data: &[u8]) -> bool {
    const MAGIC_COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
    if data.get(2).is_some_and(|first| first & 0xC0 != 0) {
        return false;
    }
    data.iter().skip(6).zip(MAGIC_COOKIE).all(|(a, b)| *a == b)
}

/// How a round of reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Nothing is left to read for now.
    Drained,
    /// There may be more.
    More,
    /// It is no stream of frames, or one of too large frames.
    Garbage,
    /// The stream is over.
    Closed,
}

/// Takes frames out of a byte stream. Whatever arrives, it holds one unfinished frame at most.
#[derive(Debug, Default)]
pub struct FrameReader {
    partial: Vec<u8>,
    has_begun: bool,
}

impl FrameReader {
    /// Reads a few times, and calls `on_frame` with each frame that is whole and not empty. `scratch`
    /// is memory of [`SCRATCH_BYTES`]; more than `max_partial` bytes of an unfinished frame are not
    /// waited for.
    pub fn read(
        &mut self,
        stream: &mut impl Read,
        scratch: &mut [u8],
        max_partial: usize,
        mut on_frame: impl FnMut(&mut [u8]),
    ) -> ReadOutcome {
        let mut held = self.partial.len();
        scratch[..held].copy_from_slice(&self.partial);
        self.partial.clear();
        let mut outcome = ReadOutcome::More;
        for _ in 0..READ_ROUNDS {
            match stream.read(&mut scratch[held..]) {
                Ok(0) => return ReadOutcome::Closed,
                Ok(count) => held += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    outcome = ReadOutcome::Drained;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return ReadOutcome::Closed,
            }
            if !self.has_begun && !may_begin_with_stun(&scratch[..held]) {
                return ReadOutcome::Garbage;
            }
            let mut start = 0;
            while let Some(range) = parse_frame(&scratch[start..held]) {
                self.has_begun = true;
                let (from, to) = (start + range.start, start + range.end);
                // RFC 4571 §2: a null packet is ignored.
                if from < to {
                    on_frame(&mut scratch[from..to]);
                }
                start = to;
            }
            scratch.copy_within(start..held, 0);
            held -= start;
        }
        if held > max_partial {
            return ReadOutcome::Garbage;
        }
        self.partial.extend_from_slice(&scratch[..held]);
        if held == 0 && self.partial.capacity() > KEPT_BYTES {
            self.partial = Vec::new();
        }
        outcome
    }
}

/// Frames that wait for a slow connection; whole datagrams are refused, never torn.
#[derive(Debug, Default)]
pub struct SendQueue {
    bytes: VecDeque<u8>,
    /// Since when it has not been empty.
    filled_us: u64,
}

impl SendQueue {
    /// Appends a datagram with its length; false = refused.
    pub fn push(&mut self, now_us: u64, datagram: &[u8]) -> bool {
        let Ok(len) = u16::try_from(datagram.len()) else {
            return false;
        };
        if self.bytes.is_empty() {
            self.filled_us = now_us;
        }
        let is_small = datagram.len() <= SMALL;
        let limit = if is_small { MAX_QUEUED } else { MAX_QUEUED - SMALL_RESERVE };
        let is_stalled = now_us.saturating_sub(self.filled_us) > STALLED_US;
        if self.bytes.len() + 2 + datagram.len() > limit || (is_stalled && !is_small) {
            return false;
        }
        self.bytes.extend(len.to_be_bytes());
        self.bytes.extend(datagram);
        true
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes as much as `stream` takes. `WouldBlock` is not an error.
    pub fn write_to(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while !self.bytes.is_empty() {
            let (head, tail) = self.bytes.as_slices();
            match stream.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.bytes.drain(..n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // One burst must not keep half a megabyte for the rest of a long call.
        if self.bytes.capacity() > SMALL_RESERVE {
            self.bytes.shrink_to(SMALL_RESERVE);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes `step` bytes a call, then blocks, like a full socket.
    struct Slow {
        taken: Vec<u8>,
        step: usize,
        budget: usize,
    }

    impl Write for Slow {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            let n = data.len().min(self.step).min(self.budget);
            if n == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.budget -= n;
            self.taken.extend(&data[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A stream that brings so many bytes at a time; 0 = nothing now.
    struct Cut<'a> {
        data: &'a [u8],
        steps: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl Read for Cut<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let step = *self.steps.next().unwrap();
            if step == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = step.min(room.len()).min(self.data.len());
            let (head, tail) = self.data.split_at(count);
            room[..count].copy_from_slice(head);
            self.data = tail;
            Ok(count)
        }
    }

    fn read_all(data: &[u8], steps: &[usize], most: usize) -> (Vec<Vec<u8>>, ReadOutcome) {
        let (mut reader, mut scratch) = (FrameReader::default(), vec![0; SCRATCH_BYTES]);
        let mut stream = Cut { data, steps: steps.iter().cycle() };
        let mut frames = Vec::new();
        loop {
            let outcome =
                reader.read(&mut stream, &mut scratch, most, |frame| frames.push(frame.to_vec()));
            assert!(reader.partial.len() <= most);
            if matches!(outcome, ReadOutcome::Garbage | ReadOutcome::Closed) {
                return (frames, outcome);
            }
        }
    }

    fn split(mut data: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(range) = parse_frame(data) {
            frames.push(data[range.clone()].to_vec());
            data = &data[range.end..];
        }
        assert!(data.is_empty(), "a torn frame");
        frames
    }

    const STUN: [u8; 12] = [0, 10, 0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 9, 9];

    proptest! {
        #[test]
        fn however_a_stream_is_cut_the_same_frames_come_out(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..600), 1..40),
            steps in proptest::collection::vec(0usize..2000, 1..20),
        ) {
            prop_assume!(steps.iter().any(|&step| step > 0));
            let mut data = STUN.to_vec();
            for frame in &frames {
                // An empty one before each.
                data.extend([0, 0]);
                data.extend((frame.len() as u16).to_be_bytes());
                data.extend(frame);
            }
            let (found, outcome) = read_all(&data, &steps, MAX_FRAME + 2);
            prop_assert_eq!(outcome, ReadOutcome::Closed);
            prop_assert_eq!(&found[0], &STUN[2..]);
            prop_assert_eq!(&found[1..], &frames);
        }

        #[test]
        fn partial_writes_never_tear_frames(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 1..40),
            step in 1usize..300,
        ) {
            let mut queue = SendQueue::default();
            let mut slow = Slow { taken: Vec::new(), step, budget: 0 };
            for frame in &frames {
                prop_assert!(queue.push(0, frame));
                slow.budget = step;
                queue.write_to(&mut slow).unwrap();
            }
            slow.budget = usize::MAX;
            queue.write_to(&mut slow).unwrap();
            prop_assert_eq!(split(&slow.taken), frames);
        }
    }

    #[test]
    fn a_full_queue_refuses_video_before_audio() {
        let mut queue = SendQueue::default();
        while queue.push(0, &[0; 1200]) {}
        assert!(queue.push(0, &[0; 120]));
        while queue.push(0, &[0; 120]) {}
        assert!(queue.bytes.len() <= MAX_QUEUED);
        assert!(queue.bytes.len() > MAX_QUEUED - 200);
    }

    #[test]
    fn a_stalled_queue_refuses_video_only() {
        let mut queue = SendQueue::default();
        assert!(queue.push(0, &[0; 1200]));
        assert!(!queue.push(STALLED_US + 1, &[0; 1200]));
        assert!(queue.push(STALLED_US + 1, &[0; 120]));
        let mut open = Slow { taken: Vec::new(), step: 4096, budget: usize::MAX };
        queue.write_to(&mut open).unwrap();
        assert!(queue.push(STALLED_US + 2, &[0; 1200]));
    }

    #[test]
    fn what_a_stranger_does_not_finish_is_not_kept() {
        let mut data = STUN.to_vec();
        data.extend([0x40, 0x00]);
        data.extend([0; 0x4000]);
        assert_eq!(read_all(&data, &[100], 0x4002).1, ReadOutcome::Closed);
        data.extend([0xff, 0xff]);
        data.extend([0; 0x4000]);
        let (frames, outcome) = read_all(&data, &[100], 0x4000);
        assert_eq!((frames.len(), outcome), (2, ReadOutcome::Garbage), "the next was too large");
        assert_eq!(read_all(b"GET / HTTP/1.1\r\n", &[5], 0x4000).1, ReadOutcome::Garbage);
    }

    #[test]
    fn only_stun_may_come_first() {
        for end in 0..STUN.len() {
            assert!(may_begin_with_stun(&STUN[..end]));
        }
        assert!(!may_begin_with_stun(b"GET / HTTP/1.1\r\n"));
        assert!(!may_begin_with_stun(&[0, 20, 0x80]));
        assert!(!may_begin_with_stun(&[0, 20, 0, 1, 0, 0, 0x21, 0x13]));
    }

    #[test]
    fn empty_frames_are_frames() {
        assert_eq!(parse_frame(&[0]), None);
        assert_eq!(parse_frame(&[0, 0]), Some(2..2));
        assert_eq!(parse_frame(&[0, 2, 1]), None);
        assert_eq!(parse_frame(&[0, 2, 1, 2, 3]), Some(2..4));
    }
}
