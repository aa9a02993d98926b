//! News that media of an SSRC began: told at once, but not as often as a peer may change its SSRC.

use crate::api::{Codec, Micros};
use crate::media::limit::Limit;

/// Two of these events of one encoding are at least this far apart.
const NEWS_INTERVAL_US: Micros = 100_000;

/// What `EncodingStarted` has to say, and when it may.
#[derive(Debug)]
pub struct Started {
    limit: Limit,
    waiting: Option<(u32, Codec)>,
}

impl Default for Started {
    fn default() -> Started {
        Started { limit: Limit::new(NEWS_INTERVAL_US, 1), waiting: None }
    }
}

impl Started {
    /// Media of `ssrc` began; replaces what was not told yet. True if it has to wait.
    pub fn on_start(&mut self, now: Micros, ssrc: u32, codec: Codec) -> bool {
        self.waiting = Some((ssrc, codec));
        self.limit.next_us() > now
    }

    /// What is to be told now.
    pub fn take(&mut self, now: Micros) -> Option<(u32, Codec)> {
        let is_due = self.waiting.is_some() && self.limit.admit(now);
        if is_due { self.waiting.take() } else { None }
    }

    /// When something is to be told.
    pub fn due_us(&self) -> Option<Micros> {
        self.waiting.map(|_| self.limit.next_us())
    }
}
