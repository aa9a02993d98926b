//! RTP headers (RFC 3550 §5.1), header extensions (RFC 8285), RTX (RFC 4588).

#[cfg(test)]
mod tests;
mod writer;

use std::num::NonZeroU16;
use std::ops::Range;

pub use self::writer::{OutExtensions, RtpHeader, RtpWriter, abs_send_time, append_padding};
use super::{read_u16, read_u32};
use crate::api::ExtMap;

/// Size of a header without CSRCs and extensions.
pub const HEADER_SIZE: usize = 12;

/// Where something lies in a datagram. `Option<Span>` takes four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    off: NonZeroU16,
    len: u8,
}

impl Span {
    fn new(off: usize, len: usize) -> Option<Span> {
        let off = NonZeroU16::new(u16::try_from(off).ok()?)?;
        Some(Span { off, len: u8::try_from(len).ok()? })
    }

    /// As byte range of the datagram.
    #[inline]
    pub fn range(self) -> Range<usize> {
        let off = usize::from(self.off.get());
        off..off + usize::from(self.len)
    }

    /// The bytes, empty if `datagram` is not the one that was parsed.
    #[inline]
    pub fn of(self, datagram: &[u8]) -> &[u8] {
        datagram.get(self.range()).unwrap_or_default()
    }
}

/// The known header extensions of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtpExtensions {
    /// m-section id (RFC 9143).
    pub mid: Option<Span>,
    /// rtp-stream-id (RFC 8852).
    pub rid: Option<Span>,
    /// repaired-rtp-stream-id: the rid of the stream an RTX packet repairs.
    pub repaired_rid: Option<Span>,
    /// (voice activity, level in -dBov 0..=127) (RFC 6464).
    pub audio_level: Option<(bool, u8)>,
    /// Transport-wide sequence number.
    pub twcc: Option<u16>,
    /// 6.18 fixed point seconds, 24 bits.
    pub abs_send_time: Option<u32>,
    /// 8 or 16 bytes: NTP capture time, then optionally the clock offset.
    pub abs_capture_time: Option<Span>,
    /// CVO byte (3GPP TS 26.114 §7.4.5).
    pub video_orientation: Option<u8>,
    /// AV1 dependency descriptor.
    pub dependency: Option<Span>,
}

/// What the engine needs of one RTP packet: fields and offsets, no borrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpView {
    /// Marker bit.
    pub is_marker: bool,
    /// Payload type, 0..=127.
    pub pt: u8,
    /// Sequence number; wraps mod 2^16, compare with `seq_newer`.
    pub seq: u16,
    /// Timestamp in the codec's clock; wraps mod 2^32.
    pub ts_rtp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Offset of the payload in the datagram.
    pub payload_off: u16,
    /// Payload size without padding; 0 = padding only or empty.
    pub payload_len: u16,
    /// Padding after the payload, its count byte included.
    pub padding_len: u8,
    /// Header extensions.
    pub extensions: RtpExtensions,
}

impl RtpView {
    /// Parses a plain (already decrypted) packet. `None` = not RTP or lengths that do not add up.
    #[inline]
    pub fn parse(datagram: &[u8], extensions: &ExtMap) -> Option<RtpView> {
        let mut view = RtpView::parse_protected(datagram, extensions)?;
        if datagram[0] & 0x20 != 0 {
            // RFC 3550 §5.1: the last byte counts the padding, itself included.
            let padding_len = *datagram.last()?;
            if padding_len == 0 {
                return None;
            }
            view.payload_len = view.payload_len.checked_sub(u16::from(padding_len))?;
            view.padding_len = padding_len;
        }
        Some(view)
    }

    /// Parses the clear part of a still protected packet. The payload range then covers ciphertext,
    /// padding and tag; trust nothing in it before authentication.
    #[inline]
    pub fn parse_protected(datagram: &[u8], extensions: &ExtMap) -> Option<RtpView> {
        let payload_off = header_len(datagram)?;
        let payload_len = u16::try_from(datagram.len() - payload_off).ok()?;
        let mut view = RtpView {
            is_marker: datagram[1] & 0x80 != 0,
            pt: datagram[1] & 0x7f,
            seq: read_u16(datagram, 2)?,
            ts_rtp: read_u32(datagram, 4)?,
            ssrc: read_u32(datagram, 8)?,
            payload_off: u16::try_from(payload_off).ok()?,
            payload_len,
            padding_len: 0,
            extensions: RtpExtensions::default(),
        };
        if datagram[0] & 0x10 != 0 {
            let start = HEADER_SIZE + 4 * usize::from(datagram[0] & 0x0f);
            view.extensions = parse_extensions(datagram, start, payload_off, extensions);
        }
        Some(view)
    }

    /// Byte range of the payload, padding excluded.
    #[inline]
    pub fn payload_range(&self) -> Range<usize> {
        let off = usize::from(self.payload_off);
        off..off + usize::from(self.payload_len)
    }

    /// The payload, empty if `datagram` is not the one that was parsed.
    #[inline]
    pub fn payload<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        datagram.get(self.payload_range()).unwrap_or_default()
    }

    /// RFC 4588 §4: the view of the original packet inside this RTX packet. Only offsets change, so
    /// the datagram stays as it is (its header still holds the RTX stream's fields). `None` when the
    /// packet has no original (padding probes).
    #[inline]
    pub fn to_rtx_original(&self, datagram: &[u8], pt: u8, ssrc: u32) -> Option<RtpView> {
        let (seq, _) = parse_osn(self.payload(datagram))?;
        Some(RtpView {
            pt,
            seq,
            ssrc,
            payload_off: self.payload_off + 2,
            payload_len: self.payload_len - 2,
            ..*self
        })
    }
}

/// RFC 4588 §4: the original sequence number leads an RTX payload; (osn, original payload).
#[inline]
pub fn parse_osn(rtx_payload: &[u8]) -> Option<(u16, &[u8])> {
    Some((read_u16(rtx_payload, 0)?, &rtx_payload[2..]))
}

/// Writes the original sequence number at the head of an RTX payload; returns 2.
#[inline]
pub fn write_osn(out: &mut [u8], osn: u16) -> Option<usize> {
    out.get_mut(..2)?.copy_from_slice(&osn.to_be_bytes());
    Some(2)
}

/// Length of header, CSRCs and extension block, or `None` if `datagram` cannot hold them.
#[inline]
pub fn header_len(datagram: &[u8]) -> Option<usize> {
    let first = *datagram.first()?;
    if first >> 6 != 2 {
        return None;
    }
    let mut len = HEADER_SIZE + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        len += 4 + 4 * usize::from(read_u16(datagram, len + 2)?);
    }
    (len <= datagram.len()).then_some(len)
}

/// Walks the extension block at `start..end`; an element that overruns it ends the walk.
fn parse_extensions(datagram: &[u8], start: usize, end: usize, map: &ExtMap) -> RtpExtensions {
    let mut found = RtpExtensions::default();
    let Some(profile) = read_u16(datagram, start) else {
        return found;
    };
    let is_one_byte = profile == 0xbede;
    // RFC 8285 §4.3: the low four bits ("appbits") are to be ignored.
    if !is_one_byte && profile & 0xfff0 != 0x1000 {
        return found;
    }
    let block = &datagram[..end];
    let mut at = start + 4;
    while let Some(&head) = block.get(at) {
        if head == 0 {
            at += 1; // padding between elements
            continue;
        }
        let (id, len) = if is_one_byte {
            (head >> 4, usize::from(head & 0x0f) + 1)
        } else {
            let Some(&len) = block.get(at + 1) else { break };
            at += 1;
            (head, usize::from(len))
        };
        at += 1;
        // RFC 8285 §4.2: id 15 ends one-byte processing. An id of 0 with a length is padding as well.
        if is_one_byte && id == 15 {
            break;
        }
        let Some(value) = block.get(at..at + len) else {
            break;
        };
        if id != 0 {
            found.set(map, id, at, value);
        }
        at += len;
    }
    found
}

impl RtpExtensions {
    #[inline]
    fn set(&mut self, map: &ExtMap, id: u8, at: usize, value: &[u8]) {
        let span = Span::new(at, value.len());
        if id == map.twcc {
            // Two more bytes in its version 2 (feedback request) are not used.
            self.twcc = read_u16(value, 0);
        } else if id == map.abs_send_time {
            if let [a, b, c] = *value {
                self.abs_send_time = Some(u32::from_be_bytes([0, a, b, c]));
            }
        } else if id == map.mid {
            self.mid = span.filter(|_| !value.is_empty());
        } else if id == map.audio_level {
            self.audio_level = value.first().map(|&b| (b & 0x80 != 0, b & 0x7f));
        } else if id == map.rid {
            self.rid = span.filter(|_| !value.is_empty());
        } else if id == map.repaired_rid {
            self.repaired_rid = span.filter(|_| !value.is_empty());
        } else if id == map.abs_capture_time {
            self.abs_capture_time = span.filter(|_| matches!(value.len(), 8 | 16));
        } else if id == map.video_orientation {
            self.video_orientation = value.first().copied();
        } else if id == map.dependency {
            self.dependency = span.filter(|_| !value.is_empty());
        }
    }
}
