//! The narrow place of a link: a rate with a queue before it, and outages.

use aislecast_engine::api::Micros;

/// UDP and IP headers, which take their part of the rate.
const HEADERS: u64 = 28;

/// What the downlink of one peer goes through.
#[derive(Clone, Copy, Debug)]
pub struct Bottleneck {
    /// Bits per second.
    pub rate_bps: u64,
    /// Datagrams that would wait longer are dropped.
    pub queue_us: Micros,
    /// Nothing passes.
    pub is_dead: bool,
    /// Longest wait so far.
    pub longest_us: Micros,
    /// Dropped for want of room.
    pub num_dropped: usize,
    busy_until_us: Micros,
}

impl Bottleneck {
    pub fn new(rate_bps: u64, queue_us: Micros) -> Bottleneck {
        Bottleneck {
            rate_bps,
            queue_us,
            is_dead: false,
            longest_us: 0,
            num_dropped: 0,
            busy_until_us: 0,
        }
    }

    /// How long a datagram takes to get through; `None` = it does not.
    pub fn pass(&mut self, now: Micros, len: usize) -> Option<Micros> {
        let free_us = self.busy_until_us.max(now);
        if self.is_dead || free_us - now > self.queue_us {
            self.num_dropped += usize::from(!self.is_dead);
            return None;
        }
        self.busy_until_us = free_us + (len as u64 + HEADERS) * 8_000_000 / self.rate_bps;
        self.longest_us = self.longest_us.max(self.busy_until_us - now);
        Some(self.busy_until_us - now)
    }

    /// How long a datagram would wait now.
    pub fn wait_us(&self, now: Micros) -> Micros {
        self.busy_until_us.saturating_sub(now)
    }
}
