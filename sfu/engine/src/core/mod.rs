//! The sans-IO forwarding core.
//!
//! Call order: feed everything that arrived ([`Core::handle_datagram`], [`Core::apply`]), run what
//! is due ([`Core::handle_timeout`]), then [`Core::flush`], then [`Core::poll_event`] until empty.

mod counters;

pub use counters::Counters;

use crate::api::{Command, Event, Local, Micros, Path, TapFrame, TapId};

/// Takes finished datagrams.
pub trait Egress {
    /// Sends `data` to `path`. `segment` is the size of every datagram in `data` but the last,
    /// which may be shorter (a GSO bundle); `None` means that `data` is one datagram.
    fn send(&mut self, path: Path, data: &[u8], segment: Option<usize>);
}

/// All transports, sources, sinks and taps of one media thread.
pub struct Core {
    counters: Counters,
}

#[allow(unused_variables)]
impl Core {
    /// An empty core. `seed` drives everything random, so that a run can be repeated.
    pub fn new(seed: u64) -> Core {
        Core { counters: Counters::default() }
    }

    /// Takes one datagram; media is decrypted in place.
    pub fn handle_datagram(&mut self, now: Micros, path: Path, data: &mut [u8]) {}

    /// An ICE-TCP connection ended: its path is forgotten.
    pub fn handle_closed(&mut self, now: Micros, local: Local) {}

    /// Carries out one command.
    pub fn apply(&mut self, now: Micros, command: Command) {}

    /// Runs what is due at `now`.
    pub fn handle_timeout(&mut self, now: Micros) {}

    /// Sends everything that waits: fan-out of what arrived since the last flush, RTCP, STUN replies.
    pub fn flush(&mut self, now: Micros, out: &mut dyn Egress) {}

    /// When `handle_timeout` should be called next at the latest; `Micros::MAX` = nothing waits.
    pub fn next_timeout(&self) -> Micros {
        Micros::MAX
    }

    /// The oldest waiting event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Moves up to `max` complete frames of `tap` to the end of `out`.
    pub fn drain_tap(&mut self, tap: TapId, max: usize, out: &mut Vec<TapFrame>) {}

    /// Appends rows of `TRANSPORT_DTYPE`.
    pub fn snapshot_transports(&self, now: Micros, out: &mut Vec<u8>) {}

    /// Appends rows of `ENCODING_DTYPE`.
    pub fn snapshot_encodings(&self, now: Micros, out: &mut Vec<u8>) {}

    /// Appends rows of `SINK_DTYPE`.
    pub fn snapshot_sinks(&self, now: Micros, out: &mut Vec<u8>) {}

    /// Moves the collected rows of `TWCC_DTYPE` to the end of `out`, oldest first.
    pub fn drain_twcc(&mut self, out: &mut Vec<u8>) {}

    /// Engine-wide counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
