//! The packet engine of Aislecast: a sans-IO selective-forwarding core, and the sockets around it.
//!
//! The contract of [`core::Core`]: give it everything that arrived (`handle_datagram`, `apply`),
//! run what is due (`handle_timeout`), then `flush`, then drain events. Nothing in the core reads a
//! clock, opens a socket or allocates per packet once a path is established.

pub mod api;
pub mod core;
pub mod media;
pub mod net;
#[cfg(feature = "python")]
mod python;
pub mod wire;
