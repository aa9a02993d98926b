//! Engine-wide counters: every drop has a reason and a number.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Cumulative counts since the core was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name, in declaration order.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams given to `handle_datagram`.
    received_datagrams,
    /// Bytes of those.
    received_bytes,
    /// Datagrams handed to the egress; a bundle counts each of its segments.
    sent_datagrams,
    /// Bytes of those.
    sent_bytes,
    /// Calls of `Egress::send` that carried more than one datagram.
    sent_bundles,
    /// Media packets accepted into a ring.
    received_packets,
    /// Media packets sealed for a subscriber, first sends only.
    forwarded_packets,
    /// First byte in no known range (RFC 7983), or too short.
    dropped_unknown_kind,
    /// SRTP, SRTCP or DTLS from an address without a validated path.
    dropped_unknown_path,
    /// STUN that is not a binding request, or does not parse.
    dropped_stun_malformed,
    /// STUN for a ufrag nobody has.
    dropped_stun_unknown_ufrag,
    /// STUN whose integrity did not verify, or whose remote ufrag was wrong.
    dropped_stun_auth,
    /// Paths forgotten because a transport had too many.
    dropped_paths,
    /// Media before the SRTP keys were there.
    dropped_no_keys,
    /// SRTP or SRTCP authentication failed.
    dropped_auth,
    /// SRTP or SRTCP replayed.
    dropped_replay,
    /// RTP or RTCP that does not parse.
    dropped_malformed,
    /// SSRC nobody declared and no mid or rid told about, or over the bound per transport.
    dropped_unknown_ssrc,
    /// Payload type nobody negotiated.
    dropped_unknown_payload,
    /// Larger than a ring slot.
    dropped_oversized,
    /// A second copy of a packet.
    dropped_duplicate,
    /// Older than what the ring still holds.
    dropped_late,
    /// Media of a muted source.
    dropped_muted,
    /// Packets a sink could not take: its peer does not have the codec.
    dropped_no_payload,
    /// Packets that left the ring before a sink could send them.
    dropped_overrun,
    /// Packets that could not be sealed (a number or a key used up).
    dropped_seal,
    /// Answers and DTLS datagrams that found no room or no path to leave by.
    dropped_replies,
    /// DTLS datagrams dropped because the event queue was full.
    dropped_events,
    /// DTLS datagrams that came inside ICE checks.
    dtls_carried,
    /// DTLS datagrams over the rate that one peer may send.
    dropped_dtls,
    /// Changes of paths and SSRCs that came too fast to be told one by one.
    held_events,
    /// Transport-wide feedback about more packets than one peer is ever sent.
    dropped_feedback,
    /// TWCC rows dropped because nobody drained them.
    dropped_twcc_rows,
    /// Frames dropped by taps: over their byte bound, or incomplete.
    dropped_tap_frames,
    /// Commands that named something gone or never made.
    stale_commands,
    /// Key frames asked of publishers.
    keyframe_requests_sent,
    /// Key-frame wishes of subscribers that asked again too soon after what they got.
    keyframe_requests_refused,
    /// Starts and switches served from a cached group of pictures.
    gop_replays,
    /// Packets asked of publishers.
    nacks_sent,
    /// RTCP datagrams sent a second time, to publishers on lossy lines.
    rtcp_repeated,
    /// Times that a publisher's line fell far below what it had carried.
    uplink_falls,
    /// Packets asked by subscribers.
    nacks_received,
    /// Retransmissions sent.
    rtx_sent,
    /// Packets that feedback showed as lost before they were asked for.
    early_resends,
    /// Retransmissions refused: not held any more, over budget, or asked too often.
    rtx_missed,
    /// Copies in advance sent.
    copies_sent,
    /// Copies in advance for which there was no room in time.
    copies_dropped,
    /// Packets of nothing but padding, sent to fill probes.
    padding_sent,
    /// Probes begun.
    probes,
    /// Probes refused: nothing to send, or nobody to send it to.
    probes_refused,
    /// Probes that did not reach their size.
    probes_unfilled,
    /// Times that a sink gave up what waited for room, for a newer key frame.
    lag_jumps,
    /// Times that a subscriber's rate was cut because the queue in its link grew.
    brakes,
    /// Times that a subscriber's pictures waited because packets came late, or not.
    holds,
    /// For so long, all together.
    held_ms,
    /// Times that a subscriber was heard again after a silence that had stopped its video.
    brake_ends,
    /// Packets recovered by a publisher's retransmission.
    rtx_received,
    /// Audio packets sent with earlier frames in them.
    red_sent,
    /// Audio packets recovered from a publisher's redundancy.
    red_received,
    /// Times that a member of a speaker group took a place.
    speakers_admitted,
}

#[cfg(test)]
mod tests {
    use super::Counters;

    #[test]
    fn names_follow_the_fields() {
        let counters = Counters { rtx_sent: 3, ..Counters::default() };
        assert!(counters.named().any(|(name, value)| name == "rtx_sent" && value == 3));
        assert_eq!(counters.named().next(), Some(("received_datagrams", 0)));
    }
}
