//! Media state: what arrives (rings, receive statistics, loss recovery) and what leaves (rewriting,
//! retransmission history, frame taps). Nothing here knows addresses or keys of a peer's path.

pub mod assemble;
pub mod clock;
pub mod codec;
pub mod encoding;
pub mod flow;
pub mod keyframes;
pub mod levels;
pub mod limit;
pub mod line_loss;
pub mod loudness;
pub mod nack;
pub mod output;
pub mod packetize;
pub mod patience;
pub mod receive;
pub mod redundancy;
pub mod reported_loss;
pub mod rewrite;
pub mod ring;
pub mod round_trip;
pub mod sink;
pub mod source;
pub mod tap;
pub mod timestamps;
pub mod twcc;
pub mod uplink_queue;
