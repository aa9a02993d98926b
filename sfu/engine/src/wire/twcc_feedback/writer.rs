//! Building of transport-wide feedback.

use super::{TICK_US, TICKS_PER_REFERENCE};
use crate::wire::Cursor;

/// RTCP header, two SSRCs, and the fixed part.
const HEADER_SIZE: usize = 20;
const RUN_MAX: usize = 0x1fff;
/// Statuses that one packet may cover; a longer silence starts a new packet.
const STATUS_COUNT_MAX: u64 = 0x7fff;
/// Receive deltas of one packet that [`write_feedback`] can hold before it splits.
const DELTAS_SIZE_MAX: usize = 1024;

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
    cursor.patch_u16(2, (len / 4).saturating_sub(1) as u16);
    cursor.finish()?;
    if padding_len > 0 {
        out[0] |= 0x20;
        out[len - 1] = padding_len as u8;
    }
    Some(FeedbackWritten { len, num_arrivals: plan.num_arrivals, next_seq_ext: plan.next_seq_ext })
}

struct Plan {
    num_arrivals: usize,
    next_seq_ext: u64,
}

/// How many arrivals one packet takes, by an upper bound of its size: a chunk covers at least one
/// arrival, or the whole of a gap up to 8191.
fn plan_packet(room: usize, base: u64, reference: u64, arrivals: &[Arrival]) -> Plan {
    let mut plan = Plan { num_arrivals: 0, next_seq_ext: base };
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
        plan = Plan { num_arrivals: statuses.at, next_seq_ext: seq_ext + 1 };
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
        Statuses { arrivals, at: 0, next_seq_ext: base, last_ticks }
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
    let mut symbols = Symbols { next_seq_ext: statuses.next_seq_ext, statuses, pending: None };
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
            left.symbols[written..left.len].iter().for_each(|&symbol| self.take(symbol));
        }
    }
}
