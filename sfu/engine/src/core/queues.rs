//! What waits to be taken out: events, answers, rows of feedback. All bounded, drops counted.

use std::collections::VecDeque;

use crate::api::{Event, Path};
use crate::media::twcc::Reported;

use super::{Counters, Egress};

const MAX_EVENTS: usize = 8192;
const MAX_REPLY_BYTES: usize = 256 * 1024;
/// Two seconds of a hundred thousand packets a second would be more than anybody reads; half a
/// second of a blocked reader must fit.
const MAX_TWCC_ROWS: usize = 65_536;
const TWCC_ROW_BYTES: usize = 29;

/// Events for the caller.
#[derive(Debug, Default)]
pub struct Events {
    queue: VecDeque<Event>,
}

impl Events {
    /// Adds an event. A full queue drops DTLS datagrams, which are sent again anyway; other events
    /// come once per change and may exceed the bound.
    pub fn push(&mut self, event: Event, counters: &mut Counters) {
        if self.queue.len() >= MAX_EVENTS && matches!(event, Event::Dtls { .. }) {
            counters.dropped_events += 1;
            return;
        }
        self.queue.push_back(event);
    }

    /// The oldest.
    pub fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }
}

/// Datagrams to send at the next flush that are no media: STUN answers and DTLS.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
    index: Vec<(Path, u32)>,
}

impl Replies {
    /// Adds what `write` puts at the head of a slice of `room` bytes.
    pub fn push(
        &mut self,
        path: Path,
        room: usize,
        counters: &mut Counters,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) {
        let at = self.bytes.len();
        if at + room > MAX_REPLY_BYTES {
            counters.dropped_replies += 1;
            return;
        }
        self.bytes.resize(at + room, 0);
        let len = write(&mut self.bytes[at..]);
        self.bytes.truncate(at + len.unwrap_or(0));
        match len {
            Some(len) => self.index.push((path, len as u32)),
            None => counters.dropped_replies += 1,
        }
    }

    /// Sends all.
    pub fn flush(&mut self, counters: &mut Counters, egress: &mut dyn Egress) {
        let mut at = 0;
        for (path, len) in self.index.drain(..) {
            let len = len as usize;
            egress.send(path, &self.bytes[at..at + len], None);
            counters.sent_datagrams += 1;
            counters.sent_bytes += len as u64;
            at += len;
        }
        self.bytes.clear();
    }
}

/// Packed rows of `TWCC_DTYPE`.
#[derive(Debug, Default)]
pub struct TwccRows {
    bytes: VecDeque<u8>,
}

impl TwccRows {
    /// Adds a row; the oldest one makes room.
    pub fn push(&mut self, transport: u32, row: &Reported, counters: &mut Counters) {
        if self.bytes.len() >= MAX_TWCC_ROWS * TWCC_ROW_BYTES {
            self.bytes.drain(..TWCC_ROW_BYTES);
            counters.dropped_twcc_rows += 1;
        }
        self.bytes.extend(transport.to_le_bytes());
        self.bytes.extend(row.size_bytes.to_le_bytes());
        self.bytes.extend(row.seq.to_le_bytes());
        self.bytes.extend(row.sent_us.to_le_bytes());
        self.bytes.extend(row.received_us.to_le_bytes());
        self.bytes.extend(row.probe.to_le_bytes());
        self.bytes.extend([row.sort]);
    }

    /// Moves all rows out.
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        let (head, tail) = self.bytes.as_slices();
        out.extend_from_slice(head);
        out.extend_from_slice(tail);
        self.bytes.clear();
    }
}
