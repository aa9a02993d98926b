//! RTCP compounds: reading (RFC 3550 §6, RFC 4585, RFC 5104, REMB, transport-cc) and building.

use super::twcc_feedback::{self, Arrival, Feedback, FeedbackHeader, FeedbackWritten};
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
        let rtt = now_ntp_mid
            .wrapping_sub(self.last_sr)
            .wrapping_sub(self.delay_since_last_sr);
        ((rtt as i32) >= 0).then_some(u64::from(rtt) * 1_000_000 >> 16)
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
            RtcpPacket::SenderReport {
                info,
                reports: report_blocks(body, 24, count)?,
            }
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
            seqs: NackSeqs {
                entries: body.get(8..)?,
                pid: 0,
                pending: 0,
            },
        },
        (TRANSPORT_FEEDBACK, 15) => RtcpPacket::TransportCc(Feedback::parse(body)?),
        (PAYLOAD_FEEDBACK, 1) => RtcpPacket::Pli {
            sender_ssrc: read_u32(body, 0)?,
            media_ssrc: read_u32(body, 4)?,
        },
        (PAYLOAD_FEEDBACK, 4) => RtcpPacket::Fir {
            sender_ssrc: read_u32(body, 0)?,
            entries: FirEntries(body.get(8..)?),
        },
        (PAYLOAD_FEEDBACK, 15) if body.get(8..12) == Some(b"REMB") => parse_remb(body)?,
        _ => RtcpPacket::Other {
            packet_type,
            format,
        },
    })
}

fn report_blocks(body: &[u8], at: usize, count: u8) -> Option<ReportBlocks<'_>> {
    // What follows the blocks is a profile extension, and skipped.
    Some(ReportBlocks(
        body.get(at..at + REPORT_BLOCK_SIZE * usize::from(count))?,
    ))
}

fn parse_remb(body: &[u8]) -> Option<RtcpPacket<'_>> {
    let word = read_u32(body, 12)?;
    let (count, exponent, mantissa) = (word >> 24, word >> 18 & 0x3f, u64::from(word & 0x3_ffff));
    // The exponent goes up to 63: more than any rate is "no limit".
    let rate_bps = if mantissa.leading_zeros() >= exponent {
        mantissa << exponent
    } else {
        u64::MAX
    };
    let ssrcs = Ssrcs(body.get(16..16 + 4 * count as usize)?);
    Some(RtcpPacket::Remb {
        sender_ssrc: read_u32(body, 0)?,
        rate_bps,
        ssrcs,
    })
}

/// Builds a compound. Every method appends one whole packet, or returns false and leaves the
/// compound as it was when there is no room.
#[derive(Debug)]
pub struct RtcpWriter<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> RtcpWriter<'a> {
    /// Starts an empty compound at the head of `out`. Leave room behind it for the SRTCP trailer
    /// by passing a shorter slice.
    pub fn new(out: &'a mut [u8]) -> Self {
        RtcpWriter { out, len: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sender report.
    pub fn sender_report(&mut self, info: &SenderInfo, reports: &[ReportBlock]) -> bool {
        if reports.len() > REPORT_BLOCKS_MAX {
            return false;
        }
        self.packet(SENDER_REPORT, reports.len() as u8, |cursor| {
            cursor.put_u32(info.ssrc);
            cursor.put(&info.ntp.to_be_bytes());
            cursor.put_u32(info.ts_rtp);
            cursor.put_u32(info.num_packets);
            cursor.put_u32(info.num_bytes);
            reports.iter().for_each(|report| report.put(cursor));
        })
    }

    /// Receiver report with at most 31 blocks; an empty one may lead a compound.
    pub fn receiver_report(&mut self, ssrc: u32, reports: &[ReportBlock]) -> bool {
        if reports.len() > REPORT_BLOCKS_MAX {
            return false;
        }
        self.packet(RECEIVER_REPORT, reports.len() as u8, |cursor| {
            cursor.put_u32(ssrc);
            reports.iter().for_each(|report| report.put(cursor));
        })
    }

    /// SDES with the canonical name of one SSRC.
    pub fn sdes_cname(&mut self, ssrc: u32, cname: &str) -> bool {
        let Ok(len) = u8::try_from(cname.len()) else {
            return false;
        };
        self.packet(SOURCE_DESCRIPTION, 1, |cursor| {
            cursor.put_u32(ssrc);
            cursor.put(&[1, len]);
            cursor.put(cname.as_bytes());
            // RFC 3550 §6.5: the item list ends with one to four zeros, up to the word.
            cursor.put(&[0u8; 4][..4 - (2 + cname.len()) % 4]);
        })
    }

    /// BYE for at most 31 SSRCs.
    pub fn bye(&mut self, ssrcs: &[u32]) -> bool {
        if ssrcs.len() > 31 {
            return false;
        }
        self.packet(BYE, ssrcs.len() as u8, |cursor| {
            ssrcs.iter().for_each(|&ssrc| cursor.put_u32(ssrc))
        })
    }

    /// Picture loss indication.
    pub fn pli(&mut self, sender_ssrc: u32, media_ssrc: u32) -> bool {
        self.packet(PAYLOAD_FEEDBACK, 1, |cursor| {
            cursor.put_u32(sender_ssrc);
            cursor.put_u32(media_ssrc);
        })
    }

    /// Full intra request to one stream; `command_seq` rises with each new request.
    pub fn fir(&mut self, sender_ssrc: u32, media_ssrc: u32, command_seq: u8) -> bool {
        self.packet(PAYLOAD_FEEDBACK, 4, |cursor| {
            cursor.put_u32(sender_ssrc);
            cursor.put_u32(0);
            cursor.put_u32(media_ssrc);
            cursor.put(&[command_seq, 0, 0, 0]);
        })
    }

    /// NACK for `seqs`, in order (each after the one before it; the circle may wrap). Returns how
    /// many were taken; the rest did not fit.
    pub fn nack(&mut self, sender_ssrc: u32, media_ssrc: u32, seqs: &[u16]) -> usize {
        let room = (self.out.len() - self.len).saturating_sub(12) / 4;
        let (mut num_entries, mut num_taken) = (0, 0);
        while num_taken < seqs.len() && num_entries < room {
            num_taken += nack_entry(&seqs[num_taken..]).1;
            num_entries += 1;
        }
        if num_taken == 0 {
            return 0;
        }
        let is_written = self.packet(TRANSPORT_FEEDBACK, 1, |cursor| {
            cursor.put_u32(sender_ssrc);
            cursor.put_u32(media_ssrc);
            let mut rest = &seqs[..num_taken];
            while let Some(&pid) = rest.first() {
                let (mask, num) = nack_entry(rest);
                cursor.put_u16(pid);
                cursor.put_u16(mask);
                rest = &rest[num..];
            }
        });
        if is_written { num_taken } else { 0 }
    }

    /// REMB over at most 255 streams.
    pub fn remb(&mut self, sender_ssrc: u32, rate_bps: u64, ssrcs: &[u32]) -> bool {
        let Ok(count) = u8::try_from(ssrcs.len()) else {
            return false;
        };
        let exponent = (64 - rate_bps.leading_zeros()).saturating_sub(18);
        let mantissa = (rate_bps >> exponent) as u32;
        self.packet(PAYLOAD_FEEDBACK, 15, |cursor| {
            cursor.put_u32(sender_ssrc);
            cursor.put_u32(0);
            cursor.put(b"REMB");
            cursor.put_u32(u32::from(count) << 24 | exponent << 18 | mantissa);
            ssrcs.iter().for_each(|&ssrc| cursor.put_u32(ssrc));
        })
    }

    /// Transport-wide feedback about the head of `arrivals`; see [`twcc_feedback::write_feedback`].
    pub fn transport_cc(
        &mut self,
        header: &FeedbackHeader,
        arrivals: &[Arrival],
    ) -> Option<FeedbackWritten> {
        let written = twcc_feedback::write_feedback(&mut self.out[self.len..], header, arrivals)?;
        self.len += written.len;
        Some(written)
    }

    /// Frames `body` as one packet and fills in its length.
    fn packet(&mut self, packet_type: u8, format: u8, body: impl FnOnce(&mut Cursor<'_>)) -> bool {
        let mut cursor = Cursor::new(&mut self.out[self.len..]);
        cursor.put(&[0x80 | format, packet_type, 0, 0]);
        body(&mut cursor);
        let words = cursor.len() / 4;
        cursor.patch_u16(2, words.saturating_sub(1) as u16);
        match cursor.finish() {
            Some(len) => {
                self.len += len;
                true
            }
            None => false,
        }
    }
}

/// The bitmask of the entry that starts with `seqs[0]`, and how many numbers it covers.
fn nack_entry(seqs: &[u16]) -> (u16, usize) {
    let mut mask = 0;
    let mut num = 1;
    for &seq in &seqs[1..] {
        let offset = seq.wrapping_sub(seqs[0]);
        if !(1..=16).contains(&offset) {
            break;
        }
        mask |= 1 << (offset - 1);
        num += 1;
    }
    (mask, num)
}
