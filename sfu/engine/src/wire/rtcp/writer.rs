//! Building of RTCP compounds.

use super::{
    BYE, PAYLOAD_FEEDBACK, RECEIVER_REPORT, REPORT_BLOCKS_MAX, ReportBlock, SENDER_REPORT,
    SOURCE_DESCRIPTION, SenderInfo, TRANSPORT_FEEDBACK,
};
use crate::wire::Cursor;
use crate::wire::twcc_feedback::{self, Arrival, FeedbackHeader, FeedbackWritten};

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
