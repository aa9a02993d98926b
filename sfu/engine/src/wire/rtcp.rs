//! RTCP compounds: reading (RFC 3550 §6, RFC 4585, RFC 5104, REMB, transport-cc) and building.

#[cfg(test)]
mod tests;
mod writer;

pub use self::writer::RtcpWriter;
use super::twcc_feedback::Feedback;
use super::{Cursor, read_u16, read_u32, read_u64};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

const REPORT_BLOCK_SIZE: usize = 24;
const REPORT_BLOCKS_MAX: usize = 31;

/// One packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpPacket<'a> {
    /// SR.
    SenderReport {
        /// The stream and its clock.
        info: SenderInfo,
        /// What its sender receives.
        reports: ReportBlocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// One block a stream.
        reports: ReportBlocks<'a>,
    },
    /// SDES; nothing in it is of use here.
    SourceDescription,
    /// BYE.
    Bye(Ssrcs<'a>),
    /// Generic NACK, RFC 4585 §6.2.1.
    Nack {
        /// Who asks.
        sender_ssrc: u32,
        /// Stream with the losses.
        media_ssrc: u32,
        /// Lost sequence numbers.
        seqs: NackSeqs<'a>,
    },
    /// Picture loss indication, RFC 4585 §6.3.1.
    Pli {
        /// Who asks.
        sender_ssrc: u32,
        /// Stream that shall send a key frame.
        media_ssrc: u32,
    },
    /// Full intra request, RFC 5104 §4.3.1.
    Fir {
        /// Who asks.
        sender_ssrc: u32,
        /// Streams and command numbers.
        entries: FirEntries<'a>,
    },
    /// Receiver estimated maximum bitrate, draft-alvestrand-rmcat-remb-03.
    Remb {
        /// Who reports.
        sender_ssrc: u32,
        /// The estimate.
        rate_bps: u64,
        /// Streams it covers together.
        ssrcs: Ssrcs<'a>,
    },
    /// Transport-wide congestion control feedback.
    TransportCc(Feedback<'a>),
    /// A type that the engine does not use (XR, APP, SLI, RFC 8888 …).
    Other {
        /// Packet type.
        packet_type: u8,
        /// Count or format field.
        format: u8,
    },
    /// A known type whose content does not add up; the rest of the compound is still good.
    Malformed {
        /// Packet type.
        packet_type: u8,
    },
}

/// Sender's part of an SR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// The stream.
    pub ssrc: u32,
    /// Wall clock, NTP 32.32 fixed point.
    pub ntp: u64,
    /// The same instant on the stream's RTP clock.
    pub ts_rtp: u32,
    /// Packets sent; wraps.
    pub num_packets: u32,
    /// Payload bytes sent; wraps.
    pub num_bytes: u32,
}

/// One reception report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Stream reported on.
    pub ssrc: u32,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all, 24 bits signed (duplicates make it negative).
    pub num_lost: i32,
    /// Highest sequence number with 16 bits of cycles above it.
    pub highest_seq: u32,
    /// Interarrival jitter in RTP clock units.
    pub jitter_rtp: u32,
    /// Middle 32 bits of the last SR's NTP time; 0 = none yet.
    pub last_sr: u32,
    /// Time since that SR in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn parse(block: &[u8]) -> Option<ReportBlock> {
        let loss = read_u32(block, 4)?;
        Some(ReportBlock {
            ssrc: read_u32(block, 0)?,
            fraction_lost: (loss >> 24) as u8,
            // Sign-extends 24 bits.
            num_lost: ((loss << 8) as i32) >> 8,
            highest_seq: read_u32(block, 8)?,
            jitter_rtp: read_u32(block, 12)?,
            last_sr: read_u32(block, 16)?,
            delay_since_last_sr: read_u32(block, 20)?,
        })
    }

    fn put(&self, cursor: &mut Cursor<'_>) {
        let num_lost = self.num_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0x00ff_ffff;
        cursor.put_u32(self.ssrc);
        cursor.put_u32(u32::from(self.fraction_lost) << 24 | num_lost);
        cursor.put_u32(self.highest_seq);
        cursor.put_u32(self.jitter_rtp);
        cursor.put_u32(self.last_sr);
        cursor.put_u32(self.delay_since_last_sr);
    }

    /// Round-trip time in microseconds, given when this report arrived as the middle 32 bits of
    /// NTP. `None` without an SR, or when clocks make it negative (edge case 20).
    pub fn rtt_us(&self, now_ntp_mid: u32) -> Option<u64> {
        if self.last_sr == 0 {
            return None;
        }
        let rtt = now_ntp_mid.wrapping_sub(self.last_sr).wrapping_sub(self.delay_since_last_sr);
        ((rtt as i32) >= 0).then_some((u64::from(rtt) * 1_000_000) >> 16)
    }
}

macro_rules! fixed_size_iterator {
    ($(#[$doc:meta])* $name:ident, $item:ty, $size:expr, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a>(&'a [u8]);

        impl Iterator for $name<'_> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                let (head, rest) = self.0.split_at_checked($size)?;
                self.0 = rest;
                let parse: fn(&[u8]) -> Option<$item> = $parse;
                parse(head)
            }
        }
    };
}

fixed_size_iterator!(
    /// Iterator over reception reports.
    ReportBlocks, ReportBlock, REPORT_BLOCK_SIZE, ReportBlock::parse
);
fixed_size_iterator!(
    /// Iterator over SSRCs.
    Ssrcs, u32, 4, |entry| read_u32(entry, 0)
);
fixed_size_iterator!(
    /// Iterator over (ssrc, command sequence number) of a FIR.
    FirEntries, (u32, u8), 8, |entry| Some((read_u32(entry, 0)?, *entry.get(4)?))
);

/// Iterator over the sequence numbers of a NACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NackSeqs<'a> {
    entries: &'a [u8],
    pid: u16,
    /// Bit 0 = the pid itself, bit n = pid + n.
    pending: u32,
}

impl Iterator for NackSeqs<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.pending == 0 {
            let (entry, rest) = self.entries.split_at_checked(4)?;
            self.entries = rest;
            self.pid = read_u16(entry, 0)?;
            self.pending = u32::from(read_u16(entry, 2)?) << 1 | 1;
        }
        let offset = self.pending.trailing_zeros();
        self.pending &= self.pending - 1;
        Some(self.pid.wrapping_add(offset as u16))
    }
}

/// The packets of a compound, plain. Ends at the first header that does not add up.
pub fn packets(compound: &[u8]) -> RtcpPackets<'_> {
    RtcpPackets { rest: compound }
}

/// Iterator over the packets of a compound; see [`packets`].
#[derive(Clone, Copy, Debug)]
pub struct RtcpPackets<'a> {
    rest: &'a [u8],
}

impl RtcpPackets<'_> {
    /// After the last packet: bytes were left that are no RTCP packet.
    pub fn has_trailing_garbage(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl<'a> Iterator for RtcpPackets<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<RtcpPacket<'a>> {
        let &[first, packet_type, ..] = self.rest else {
            return None;
        };
        let len = 4 + 4 * usize::from(read_u16(self.rest, 2)?);
        if first >> 6 != 2 {
            return None;
        }
        let (packet, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        let mut body = &packet[4..];
        if first & 0x20 != 0 {
            let padding_len = usize::from(body.last().copied().unwrap_or(0));
            if padding_len == 0 || padding_len > body.len() {
                return Some(RtcpPacket::Malformed { packet_type });
            }
            body = &body[..body.len() - padding_len];
        }
        let format = first & 0x1f;
        let malformed = RtcpPacket::Malformed { packet_type };
        Some(parse_packet(packet_type, format, body).unwrap_or(malformed))
    }
}

fn parse_packet(packet_type: u8, format: u8, body: &[u8]) -> Option<RtcpPacket<'_>> {
    Some(match (packet_type, format) {
        (SENDER_REPORT, count) => {
            let info = SenderInfo {
                ssrc: read_u32(body, 0)?,
                ntp: read_u64(body, 4)?,
                ts_rtp: read_u32(body, 12)?,
                num_packets: read_u32(body, 16)?,
                num_bytes: read_u32(body, 20)?,
            };
            RtcpPacket::SenderReport { info, reports: report_blocks(body, 24, count)? }
        }
        (RECEIVER_REPORT, count) => RtcpPacket::ReceiverReport {
            ssrc: read_u32(body, 0)?,
            reports: report_blocks(body, 4, count)?,
        },
        (SOURCE_DESCRIPTION, _) => RtcpPacket::SourceDescription,
        (BYE, count) => RtcpPacket::Bye(Ssrcs(body.get(..4 * usize::from(count))?)),
        (TRANSPORT_FEEDBACK, 1) => RtcpPacket::Nack {
            sender_ssrc: read_u32(body, 0)?,
            media_ssrc: read_u32(body, 4)?,
            seqs: NackSeqs { entries: body.get(8..)?, pid: 0, pending: 0 },
        },
        (TRANSPORT_FEEDBACK, 15) => RtcpPacket::TransportCc(Feedback::parse(body)?),
        (PAYLOAD_FEEDBACK, 1) => {
            RtcpPacket::Pli { sender_ssrc: read_u32(body, 0)?, media_ssrc: read_u32(body, 4)? }
        }
        (PAYLOAD_FEEDBACK, 4) => {
            RtcpPacket::Fir { sender_ssrc: read_u32(body, 0)?, entries: FirEntries(body.get(8..)?) }
        }
        (PAYLOAD_FEEDBACK, 15) if body.get(8..12) == Some(b"REMB") => parse_remb(body)?,
        _ => RtcpPacket::Other { packet_type, format },
    })
}

fn report_blocks(body: &[u8], at: usize, count: u8) -> Option<ReportBlocks<'_>> {
    // What follows the blocks is a profile extension, and skipped.
    Some(ReportBlocks(body.get(at..at + REPORT_BLOCK_SIZE * usize::from(count))?))
}

fn parse_remb(body: &[u8]) -> Option<RtcpPacket<'_>> {
    let word = read_u32(body, 12)?;
    let (count, exponent, mantissa) = (word >> 24, word >> 18 & 0x3f, u64::from(word & 0x3_ffff));
    // The exponent goes up to 63: more than any rate is "no limit".
    let rate_bps =
        if mantissa.leading_zeros() >= exponent { mantissa << exponent } else { u64::MAX };
    let ssrcs = Ssrcs(body.get(16..16 + 4 * count as usize)?);
    Some(RtcpPacket::Remb { sender_ssrc: read_u32(body, 0)?, rate_bps, ssrcs })
}
