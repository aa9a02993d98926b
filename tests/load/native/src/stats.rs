//! What all subscribers together received, and how late.

use std::collections::HashMap;

/// Delays kept for percentiles; beyond it every second one is thinned out.
const DELAYS_MAX: usize = 2_000_000;
/// Sequence numbers remembered per stream to tell a late packet from a repeated one.
const WINDOW: u64 = 1024;

/// Sums over every received stream since the last reset.
#[derive(Default)]
pub struct Stats {
    pub packets: u64,
    pub bytes: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub undecryptable: u64,
    pub delays_us: Vec<u32>,
    thinning: u32,
    seen: u32,
}

impl Stats {
    /// One packet's age.
    pub fn add_delay(&mut self, delay_us: u64) {
        self.seen = self.seen.wrapping_add(1);
        if self.thinning > 0 && !self.seen.is_multiple_of(1 << self.thinning) {
            return;
        }
        self.delays_us.push(delay_us.min(u64::from(u32::MAX)) as u32);
        if self.delays_us.len() >= DELAYS_MAX {
            let mut keep = false;
            self.delays_us.retain(|_| {
                keep = !keep;
                keep
            });
            self.thinning += 1;
        }
    }
}

/// One received SSRC: counts gaps, repeats and disorder.
pub struct Stream {
    first: u64,
    highest: u64,
    received: u64,
    window: [u64; (WINDOW / 64) as usize],
}

impl Stream {
    /// Starts at the first packet.
    pub fn new(seq_ext: u64) -> Self {
        let mut stream = Self { first: seq_ext, highest: seq_ext, received: 0, window: [0; 16] };
        stream.mark(seq_ext);
        stream.received = 1;
        stream
    }

    /// Counts one packet into `stats`.
    pub fn receive(&mut self, seq_ext: u64, stats: &mut Stats) {
        if seq_ext > self.highest {
            for skipped in (self.highest + 1..=seq_ext).take(WINDOW as usize) {
                self.clear(skipped);
            }
            self.highest = seq_ext;
        } else if self.highest - seq_ext >= WINDOW || self.is_marked(seq_ext) {
            stats.duplicated += 1;
            return;
        } else {
            stats.reordered += 1;
        }
        self.mark(seq_ext);
        self.received += 1;
    }

    /// Packets that never came, and a fresh start from the newest.
    pub fn take_lost(&mut self) -> u64 {
        let lost = (self.highest + 1).saturating_sub(self.first).saturating_sub(self.received);
        self.first = self.highest + 1;
        self.received = 0;
        lost
    }

    fn slot(seq_ext: u64) -> (usize, u64) {
        let at = seq_ext % WINDOW;
        ((at / 64) as usize, 1 << (at % 64))
    }

    fn mark(&mut self, seq_ext: u64) {
        let (word, bit) = Self::slot(seq_ext);
        self.window[word] |= bit;
    }

    fn clear(&mut self, seq_ext: u64) {
        let (word, bit) = Self::slot(seq_ext);
        self.window[word] &= !bit;
    }

    fn is_marked(&self, seq_ext: u64) -> bool {
        let (word, bit) = Self::slot(seq_ext);
        self.window[word] & bit != 0
    }
}

/// When each payload was last sent, recognised by its last bytes, so that the server needs no help.
#[derive(Default)]
pub struct SentTimes {
    times_us: HashMap<u64, u64>,
}

impl SentTimes {
    /// Remembers a payload as it leaves.
    pub fn sent(&mut self, payload: &[u8], now_us: u64) {
        if let Some(key) = Self::key(payload) {
            self.times_us.insert(key, now_us);
        }
    }

    /// Age of a payload in microseconds, if it is ours.
    pub fn age_us(&self, payload: &[u8], now_us: u64) -> Option<u64> {
        let sent_us = *self.times_us.get(&Self::key(payload)?)?;
        Some(now_us.saturating_sub(sent_us))
    }

    fn key(payload: &[u8]) -> Option<u64> {
        let tail = payload.len().checked_sub(16)?;
        let low = u64::from_le_bytes(payload[tail..tail + 8].try_into().ok()?);
        let high = u64::from_le_bytes(payload[tail + 8..].try_into().ok()?);
        Some(low.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high)
    }
}
