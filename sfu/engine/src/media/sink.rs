//! One subscription: the flow that decides, the output that is seen.

use crate::api::Micros;

use super::flow::Flow;
use super::output::Output;

/// One subscription of one transport to one source.
#[derive(Debug)]
pub struct Sink {
    /// Caller's number.
    pub id: u32,
    /// Caller's number of the source.
    pub source_id: u32,
    /// Index of the source; `None` once it ended.
    pub source: Option<u32>,
    /// Index of the transport.
    pub transport: u32,
    /// Decides what goes out.
    pub flow: Flow,
    /// What goes out.
    pub output: Output,
    /// Is in the core's list of busy sinks.
    pub is_listed_busy: bool,
    /// When its first packet left.
    pub started_us: Option<Micros>,
}

impl Sink {
    /// Bytes of memory taken.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Sink>() + self.output.memory_bytes()
    }
}
