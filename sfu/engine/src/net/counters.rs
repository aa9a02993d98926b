//! Counts of the socket side; every drop has a reason and a number.

macro_rules! net_counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Cumulative counts of one media thread.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct NetCounters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl NetCounters {
            /// Every counter with its name, in declaration order.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

net_counters! {
    /// Turns of the media loop.
    net_loops,
    /// Calls that received UDP datagrams.
    net_udp_receives,
    /// Waits for the rest of a frame.
    net_gather_waits,
    /// Those of them in which media came.
    net_gather_hits,
    /// Receive errors other than "nothing there".
    net_udp_receive_errors,
    /// UDP datagrams that carried an impossible source port.
    net_udp_bad_source,
    /// Bundles that left by segmentation offload.
    net_gso_bundles,
    /// Bundles that were sent one by one: no offload here, or segments larger than it can take.
    net_gso_fallbacks,
    /// Datagrams dropped because the socket buffer was full.
    net_udp_dropped_full,
    /// Datagrams that the kernel refused: unreachable, too big, forbidden.
    net_udp_send_errors,
    /// Connections accepted.
    net_tcp_accepted,
    /// Connections open now.
    net_tcp_open,
    /// Connections refused or closed early to keep within the bounds.
    net_tcp_refused,
    /// Connections closed because what they sent first was not STUN.
    net_tcp_garbage,
    /// Connections closed for silence.
    net_tcp_idle,
    /// Datagrams dropped because a connection's send queue was full or stalled.
    net_tcp_dropped_full,
    /// Datagrams dropped because their connection was gone.
    net_tcp_dropped_closed,
    /// Events dropped because Python did not fetch them.
    net_dropped_events,
    /// TWCC rows dropped because Python did not fetch them.
    net_dropped_twcc_rows,
}
