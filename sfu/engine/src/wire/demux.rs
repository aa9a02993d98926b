//! Which protocol a datagram on the shared port speaks (RFC 7983, RFC 5761 §4).

/// The protocol of a datagram, by its first two bytes and least length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// First byte 0..=3 and room for a STUN header.
    Stun,
    /// First byte 20..=63 and room for a DTLS record header.
    Dtls,
    /// First byte 128..=191, payload type outside 64..=95.
    Rtp,
    /// First byte 128..=191, packet type 192..=223.
    Rtcp,
    /// Anything else, or too short for what it claims.
    Unknown,
}

/// Classifies one datagram. Constant time, looks at no more than two bytes.
#[inline]
pub fn classify(data: &[u8]) -> PacketKind {
    let (Some(&first), Some(&second)) = (data.first(), data.get(1)) else {
        return PacketKind::Unknown;
    };
    match first {
        0..=3 if data.len() >= 20 => PacketKind::Stun,
        20..=63 if data.len() >= 13 => PacketKind::Dtls,
        // RFC 5761 §4: RTCP packet types 192..=223 are RTP payload types 64..=95 with the marker.
        128..=191 if (192..=223).contains(&second) && data.len() >= 8 => PacketKind::Rtcp,
        128..=191 if !(192..=223).contains(&second) && data.len() >= 12 => PacketKind::Rtp,
        _ => PacketKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(first: u8, second: u8, len: usize) -> Vec<u8> {
        let mut data = vec![0u8; len];
        data[0] = first;
        data[1] = second;
        data
    }

    #[test]
    fn every_first_byte_goes_where_rfc_7983_says() {
        for first in 0..=255u8 {
            let expected = match first {
                0..=3 => PacketKind::Stun,
                20..=63 => PacketKind::Dtls,
                128..=191 => PacketKind::Rtp,
                _ => PacketKind::Unknown,
            };
            assert_eq!(classify(&datagram(first, 96, 40)), expected, "first byte {first}");
        }
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_packet_type() {
        for (second, expected) in [
            (191, PacketKind::Rtp),
            (192, PacketKind::Rtcp),
            (200, PacketKind::Rtcp),
            (207, PacketKind::Rtcp),
            (223, PacketKind::Rtcp),
            (224, PacketKind::Rtp),
        ] {
            assert_eq!(classify(&datagram(0x80, second, 40)), expected);
        }
    }

    #[test]
    fn short_datagrams_are_unknown() {
        assert_eq!(classify(&[]), PacketKind::Unknown);
        assert_eq!(classify(&[0x80]), PacketKind::Unknown);
        assert_eq!(classify(&datagram(0, 1, 19)), PacketKind::Unknown);
        assert_eq!(classify(&datagram(22, 254, 12)), PacketKind::Unknown);
        assert_eq!(classify(&datagram(0x80, 96, 11)), PacketKind::Unknown);
        assert_eq!(classify(&datagram(0x80, 200, 7)), PacketKind::Unknown);
    }
}
