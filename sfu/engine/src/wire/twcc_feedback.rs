//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use super::{Cursor, read_u16, read_u32};

/// Unit of receive deltas and of the times in [`FeedbackIter`], in microseconds.
pub const TICK_US: u64 = 250;
/// Ticks in one unit of the reference time (64 ms).
const TICKS_PER_REFERENCE: i64 = 256;
/// RTCP header, two SSRCs, and the fixed part.
const HEADER_SIZE: usize = 20;
const RUN_MAX: usize = 0x1fff;
/// Statuses that one packet may cover; a longer silence starts a new packet.
const STATUS_COUNT_MAX: u64 = 0x7fff;
/// Receive deltas of one packet that [`write_feedback`] can hold before it splits.
const DELTAS_SIZE_MAX: usize = 1024;

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

/// One received packet to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Unwrapped transport-wide sequence number.
    pub seq_ext: u64,
    /// When it came, in microseconds.
    pub arrived_us: u64,
}

/// Identity of a feedback packet to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackHeader {
    /// Who reports.
    pub sender_ssrc: u32,
    /// Must be a stream that the peer really sends: libwebrtc collapses its rate on 0 (Janus #2908).
    pub media_ssrc: u32,
    /// Raise by one for every packet written; wraps mod 256.
    pub feedback_count: u8,
    /// First number to report, so that losses before the first arrival are seen: one after the last
    /// number of the previous packet. Ignored when it lies after the first arrival or too far back.
    pub base_seq_ext: u64,
}

/// What [`write_feedback`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackWritten {
    /// Bytes at the head of the buffer, a multiple of 4.
    pub len: usize,
    /// Arrivals covered, at least one. Call again with the rest and the next count and base.
    pub num_arrivals: usize,
    /// `base_seq_ext` of the next packet.
    pub next_seq_ext: u64,
}

/// Writes one feedback packet about the head of `arrivals`, which must be sorted by `seq_ext`
/// without duplicates (others are skipped).
///
/// The packet ends early, to be followed by another, where the buffer is full, a gap is longer than
/// a packet can cover, or the time between two arrivals does not fit a delta (8.19 s). `None`: there
/// is nothing to report or `out` has no room for even one arrival.
pub fn write_feedback(
    out: &mut [u8],
    header: &FeedbackHeader,
    arrivals: &[Arrival],
) -> Option<FeedbackWritten> {
    let first = arrivals.first()?;
    let base = if header.base_seq_ext <= first.seq_ext
        && first.seq_ext - header.base_seq_ext < STATUS_COUNT_MAX / 2
    {
        header.base_seq_ext
    } else {
        first.seq_ext
    };
    let reference = first.arrived_us / TICK_US / TICKS_PER_REFERENCE as u64;
    let plan = plan_packet(out.len(), base, reference, arrivals);
    if plan.num_arrivals == 0 {
        return None;
    }
    let covered = &arrivals[..plan.num_arrivals];
    let mut cursor = Cursor::new(out);
    cursor.put(&[0x8f, 205, 0, 0]);
    cursor.put_u32(header.sender_ssrc);
    cursor.put_u32(header.media_ssrc);
    cursor.put_u16(base as u16);
    cursor.put_u16((plan.next_seq_ext - base) as u16);
    cursor.put_u32((reference as u32) << 8 | u32::from(header.feedback_count));
    write_chunks(&mut cursor, Statuses::new(base, reference, covered));
    let mut statuses = Statuses::new(base, reference, covered);
    while let Some((_, delta)) = statuses.next_arrival() {
        match u8::try_from(delta) {
            Ok(small) => cursor.put_u8(small),
            Err(_) => cursor.put_u16(delta as i16 as u16),
        }
    }
    let padding_len = (4 - cursor.len() % 4) % 4;
    cursor.put(&[0u8, 0, 0][..padding_len]);
    let len = cursor.len();
    cursor.patch_u16(2, (len / 4 - 1) as u16);
    cursor.finish()?;
    if padding_len > 0 {
        out[0] |= 0x20;
        out[len - 1] = padding_len as u8;
    }
    Some(FeedbackWritten {
        len,
        num_arrivals: plan.num_arrivals,
        next_seq_ext: plan.next_seq_ext,
    })
}

struct Plan {
    num_arrivals: usize,
    next_seq_ext: u64,
}

/// How many arrivals one packet takes, by an upper bound of its size: a chunk covers at least one
/// arrival, or the whole of a gap up to 8191.
fn plan_packet(room: usize, base: u64, reference: u64, arrivals: &[Arrival]) -> Plan {
    let mut plan = Plan {
        num_arrivals: 0,
        next_seq_ext: base,
    };
    let mut statuses = Statuses::new(base, reference, arrivals);
    let (mut size, mut deltas_size) = (HEADER_SIZE + 3, 0);
    while let Some((seq_ext, delta)) = statuses.next_arrival() {
        let delta_size = if u8::try_from(delta).is_ok() { 1 } else { 2 };
        let gap = (seq_ext - plan.next_seq_ext) as usize;
        size += delta_size + 2 + 2 * gap.div_ceil(RUN_MAX);
        deltas_size += delta_size;
        let is_too_far = seq_ext - base >= STATUS_COUNT_MAX || i16::try_from(delta).is_err();
        if is_too_far || size > room || deltas_size > DELTAS_SIZE_MAX {
            break;
        }
        plan = Plan {
            num_arrivals: statuses.at,
            next_seq_ext: seq_ext + 1,
        };
    }
    plan
}

/// Walks statuses and deltas of sorted arrivals from a base.
struct Statuses<'a> {
    arrivals: &'a [Arrival],
    at: usize,
    next_seq_ext: u64,
    last_ticks: i64,
}

impl<'a> Statuses<'a> {
    fn new(base: u64, reference: u64, arrivals: &'a [Arrival]) -> Self {
        let last_ticks = reference as i64 * TICKS_PER_REFERENCE;
        Statuses {
            arrivals,
            at: 0,
            next_seq_ext: base,
            last_ticks,
        }
    }

    /// The next arrival in order and its delta in ticks.
    fn next_arrival(&mut self) -> Option<(u64, i64)> {
        while let Some(arrival) = self.arrivals.get(self.at) {
            self.at += 1;
            if arrival.seq_ext >= self.next_seq_ext {
                let ticks = (arrival.arrived_us / TICK_US) as i64;
                let delta = ticks - self.last_ticks;
                self.last_ticks = ticks;
                self.next_seq_ext = arrival.seq_ext + 1;
                return Some((arrival.seq_ext, delta));
            }
        }
        None
    }
}

/// The same walk as one symbol for every number covered, gaps included.
struct Symbols<'a> {
    statuses: Statuses<'a>,
    next_seq_ext: u64,
    /// The arrival at or after the cursor: (number, delta).
    pending: Option<(u64, i64)>,
}

impl Symbols<'_> {
    fn next_symbol(&mut self) -> Option<u16> {
        if self.pending.is_none() {
            self.pending = self.statuses.next_arrival();
        }
        let (seq_ext, delta) = self.pending?;
        let symbol = if seq_ext > self.next_seq_ext {
            0
        } else {
            self.pending = None;
            if u8::try_from(delta).is_ok() { 1 } else { 2 }
        };
        self.next_seq_ext += 1;
        Some(symbol)
    }
}

/// Collects symbols and writes a chunk whenever no more can join it.
#[derive(Default)]
struct ChunkBuilder {
    symbols: [u16; 14],
    len: usize,
    is_run: bool,
    has_large: bool,
}

fn write_chunks(cursor: &mut Cursor<'_>, statuses: Statuses<'_>) {
    let mut symbols = Symbols {
        next_seq_ext: statuses.next_seq_ext,
        statuses,
        pending: None,
    };
    let mut builder = ChunkBuilder::default();
    while let Some(symbol) = symbols.next_symbol() {
        if !builder.can_take(symbol) {
            builder.write(cursor, false);
        }
        builder.take(symbol);
    }
    while builder.len > 0 {
        builder.write(cursor, true);
    }
}

impl ChunkBuilder {
    fn can_take(&self, symbol: u16) -> bool {
        if self.len == 0 {
            return true;
        }
        let extends_run = self.is_run && self.symbols[0] == symbol && self.len < RUN_MAX;
        let fits_one_bit = self.len < 14 && !self.has_large && symbol != 2;
        extends_run || fits_one_bit || self.len < 7
    }

    fn take(&mut self, symbol: u16) {
        if self.len < 14 {
            self.symbols[self.len] = symbol;
        }
        self.is_run = self.len == 0 || self.is_run && self.symbols[0] == symbol;
        self.has_large |= symbol == 2;
        self.len += 1;
    }

    /// Writes the fullest chunk of what is held and keeps the symbols that it leaves over. Only the
    /// last chunk may hold fewer symbols than its form has room for.
    fn write(&mut self, cursor: &mut Cursor<'_>, is_last: bool) {
        let written = if self.is_run {
            cursor.put_u16(self.symbols[0] << 13 | self.len as u16);
            self.len
        } else if !self.has_large && (is_last || self.len == 14) {
            let bits = (0..self.len).fold(0, |bits, at| bits | self.symbols[at] << (13 - at));
            cursor.put_u16(0x8000 | bits);
            self.len
        } else {
            let written = self.len.min(7);
            let bits = (0..written).fold(0, |bits, at| bits | self.symbols[at] << (12 - 2 * at));
            cursor.put_u16(0xc000 | bits);
            written
        };
        let left = std::mem::take(self);
        if written < left.len {
            left.symbols[written..left.len]
                .iter()
                .for_each(|&symbol| self.take(symbol));
        }
    }
}
