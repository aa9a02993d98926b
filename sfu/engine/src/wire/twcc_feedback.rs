//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

#[cfg(test)]
mod tests;
mod writer;

pub use self::writer::{Arrival, FeedbackHeader, FeedbackWritten, write_feedback};
use super::{read_u16, read_u32};

/// Unit of receive deltas and of the times in [`FeedbackIter`], in microseconds.
pub const TICK_US: u64 = 250;
/// Ticks in one unit of the reference time (64 ms).
const TICKS_PER_REFERENCE: i64 = 256;

/// A received feedback packet whose chunks and deltas add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// Who reports.
    pub sender_ssrc: u32,
    /// Some stream of the reported sender.
    pub media_ssrc: u32,
    /// First sequence number covered; wraps mod 2^16.
    pub base_seq: u16,
    /// How many numbers are covered.
    pub status_count: u16,
    /// Time base in 64 ms, 24 bits, wraps after 12.4 days; signed as libwebrtc reads it.
    pub reference_time: i32,
    /// Counts the feedback packets of this reporter; wraps mod 256.
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Feedback<'a> {
    /// Parses the body after the 4-byte RTCP header, padding removed.
    pub(crate) fn parse(body: &'a [u8]) -> Option<Feedback<'a>> {
        let rest = body.get(16..)?;
        let time_and_count = read_u32(body, 12)?;
        let status_count = read_u16(body, 10)?;
        let mut chunks_len = 0;
        let mut deltas_len = 0;
        let mut num_left = usize::from(status_count);
        while num_left > 0 {
            let chunk = Chunk(read_u16(rest, chunks_len)?);
            chunks_len += 2;
            let covered = chunk.len().min(num_left);
            deltas_len += chunk.deltas_len(covered)?;
            num_left -= covered;
        }
        let deltas = rest.get(chunks_len..chunks_len + deltas_len)?;
        Some(Feedback {
            sender_ssrc: read_u32(body, 0)?,
            media_ssrc: read_u32(body, 4)?,
            base_seq: read_u16(body, 8)?,
            status_count,
            // Sign-extends 24 bits.
            reference_time: (time_and_count as i32) >> 8,
            feedback_count: time_and_count as u8,
            chunks: &rest[..chunks_len],
            deltas,
        })
    }

    /// Every covered sequence number with its arrival, oldest first.
    pub fn iter(&self) -> FeedbackIter<'a> {
        FeedbackIter {
            chunks: self.chunks,
            deltas: self.deltas,
            chunk: Chunk(0),
            at: 0,
            num_in_chunk: 0,
            seq: self.base_seq,
            num_left: self.status_count,
            time_ticks: i64::from(self.reference_time) * TICKS_PER_REFERENCE,
        }
    }
}

/// Iterator over (sequence number, arrival in ticks of 250 µs on the reporter's clock; `None` = not
/// received). Ticks may go backwards where packets were reordered.
#[derive(Clone, Debug)]
pub struct FeedbackIter<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
    at: usize,
    num_in_chunk: usize,
    seq: u16,
    num_left: u16,
    time_ticks: i64,
}

impl Iterator for FeedbackIter<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        self.num_left = self.num_left.checked_sub(1)?;
        if self.at == self.num_in_chunk {
            self.chunk = Chunk(read_u16(self.chunks, 0)?);
            self.chunks = &self.chunks[2..];
            self.at = 0;
            self.num_in_chunk = self.chunk.len();
        }
        let delta = match self.chunk.symbol(self.at) {
            1 => {
                let (&delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i64::from(delta))
            }
            2 => {
                let delta = read_u16(self.deltas, 0)? as i16;
                self.deltas = &self.deltas[2..];
                Some(i64::from(delta))
            }
            _ => None,
        };
        self.at += 1;
        let seq = self.seq;
        self.seq = self.seq.wrapping_add(1);
        Some((
            seq,
            delta.map(|delta| {
                self.time_ticks += delta;
                self.time_ticks
            }),
        ))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.num_left)))
    }
}

/// A packet status chunk. Symbols: 0 not received, 1 small delta, 2 large or negative delta.
#[derive(Clone, Copy, Debug)]
struct Chunk(u16);

impl Chunk {
    /// Statuses it holds, at least one.
    fn len(self) -> usize {
        match self.0 >> 14 {
            // A run of zero would never end the walk.
            0 | 1 => usize::from(self.0 & 0x1fff).max(1),
            2 => 14,
            _ => 7,
        }
    }

    fn symbol(self, at: usize) -> u16 {
        match self.0 >> 14 {
            0 | 1 if self.0 & 0x1fff == 0 => 0,
            0 | 1 => self.0 >> 13 & 0x03,
            2 => self.0 >> (13 - at.min(13)) & 0x01,
            _ => self.0 >> (12 - 2 * at.min(6)) & 0x03,
        }
    }

    /// Bytes of deltas of its first `count` statuses; `None` for the reserved symbol.
    fn deltas_len(self, count: usize) -> Option<usize> {
        if self.0 >> 15 == 0 {
            let symbol = usize::from(self.symbol(0));
            return (symbol < 3).then_some(symbol * count);
        }
        (0..count).try_fold(0, |sum, at| {
            let symbol = usize::from(self.symbol(at));
            (symbol < 3).then_some(sum + symbol)
        })
    }
}
