//! Building of RTP headers.

use super::HEADER_SIZE;
use crate::api::ExtMap;
use crate::wire::Cursor;

/// Fixed header fields of a packet to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit.
    pub is_marker: bool,
    /// Payload type, 0..=127.
    pub pt: u8,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp in the codec's clock.
    pub ts_rtp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Header extensions of a packet to be written; those without an id in the `ExtMap` are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutExtensions<'a> {
    /// m-section id.
    pub mid: Option<&'a [u8]>,
    /// rtp-stream-id.
    pub rid: Option<&'a [u8]>,
    /// repaired-rtp-stream-id.
    pub repaired_rid: Option<&'a [u8]>,
    /// (voice activity, level in -dBov).
    pub audio_level: Option<(bool, u8)>,
    /// Transport-wide sequence number.
    pub twcc: Option<u16>,
    /// 24 bits of 6.18 fixed point seconds; see [`abs_send_time`].
    pub abs_send_time: Option<u32>,
    /// 8 or 16 bytes.
    pub abs_capture_time: Option<&'a [u8]>,
    /// CVO byte.
    pub video_orientation: Option<u8>,
    /// AV1 dependency descriptor.
    pub dependency: Option<&'a [u8]>,
}

/// The abs-send-time value (6.18 fixed point seconds, wraps every 64 s) of a clock in microseconds.
#[inline]
pub fn abs_send_time(now_us: u64) -> u32 {
    (((now_us % 64_000_000) << 18) / 1_000_000) as u32 & 0x00ff_ffff
}

/// Writes RTP headers for one transport.
#[derive(Clone, Copy, Debug, Default)]
pub struct RtpWriter {
    /// Extension ids that the transport negotiated.
    pub extensions: ExtMap,
}

impl RtpWriter {
    /// For a transport with these extension ids.
    pub const fn new(extensions: ExtMap) -> Self {
        RtpWriter { extensions }
    }

    /// Writes header and extensions to the head of `out` and returns their length; `None` = no room.
    ///
    /// The one-byte form is used unless an element needs the two-byte form (id > 14, or a size
    /// outside 1..=16 as large dependency descriptors have).
    #[inline]
    pub fn write_header(
        &self,
        out: &mut [u8],
        header: &RtpHeader,
        values: &OutExtensions<'_>,
    ) -> Option<usize> {
        let (mut cell_level, mut cell_orientation) = ([0u8; 1], [0u8; 1]);
        let (mut cell_twcc, mut cell_send_time) = ([0u8; 2], [0u8; 4]);
        let map = &self.extensions;
        let elements: [(u8, &[u8]); 9] = [
            (map.mid, values.mid.unwrap_or_default()),
            (map.rid, values.rid.unwrap_or_default()),
            (map.repaired_rid, values.repaired_rid.unwrap_or_default()),
            (
                map.audio_level,
                values.audio_level.map_or(&[], |(is_voice, level)| {
                    cell_level[0] = u8::from(is_voice) << 7 | (level & 0x7f);
                    &cell_level
                }),
            ),
            (
                map.twcc,
                values.twcc.map_or(&[], |seq| {
                    cell_twcc = seq.to_be_bytes();
                    &cell_twcc
                }),
            ),
            (
                map.abs_send_time,
                values.abs_send_time.map_or(&[], |time| {
                    cell_send_time = time.to_be_bytes();
                    &cell_send_time[1..]
                }),
            ),
            (map.abs_capture_time, values.abs_capture_time.unwrap_or_default()),
            (
                map.video_orientation,
                values.video_orientation.map_or(&[], |byte| {
                    cell_orientation[0] = byte;
                    &cell_orientation
                }),
            ),
            (map.dependency, values.dependency.unwrap_or_default()),
        ];
        write_elements(out, header, &elements)
    }
}

/// Writes the header and the elements that have an id and a value.
#[inline]
fn write_elements(out: &mut [u8], header: &RtpHeader, elements: &[(u8, &[u8])]) -> Option<usize> {
    let present = || elements.iter().filter(|(id, value)| *id != 0 && !value.is_empty());
    let has_extensions = present().next().is_some();
    let mut cursor = Cursor::new(out);
    cursor.put_u8(if has_extensions { 0x90 } else { 0x80 });
    cursor.put_u8(u8::from(header.is_marker) << 7 | (header.pt & 0x7f));
    cursor.put_u16(header.seq);
    cursor.put_u32(header.ts_rtp);
    cursor.put_u32(header.ssrc);
    if !has_extensions {
        return cursor.finish();
    }
    let needs_two_bytes = present().any(|(id, value)| *id > 14 || value.len() > 16);
    cursor.put_u16(if needs_two_bytes { 0x1000 } else { 0xbede });
    cursor.put_u16(0);
    for (id, value) in present() {
        let len = u8::try_from(value.len()).ok()?;
        if needs_two_bytes {
            cursor.put(&[*id, len]);
        } else {
            cursor.put_u8(*id << 4 | (len - 1));
        }
        cursor.put(value);
    }
    while !cursor.len().is_multiple_of(4) && !cursor.is_full {
        cursor.put_u8(0);
    }
    let words = cursor.len().saturating_sub(HEADER_SIZE + 4) / 4;
    cursor.patch_u16(HEADER_SIZE + 2, words as u16);
    cursor.finish()
}

/// Adds `padding_len` bytes of RTP padding to the packet in `buffer[..len]` and returns the new
/// length. The packet must have no padding yet; `None` = no room.
#[inline]
pub fn append_padding(buffer: &mut [u8], len: usize, padding_len: u8) -> Option<usize> {
    if padding_len == 0 {
        return Some(len);
    }
    let end = len + usize::from(padding_len);
    let padding = buffer.get_mut(len..end)?;
    padding.fill(0);
    *padding.last_mut()? = padding_len;
    *buffer.first_mut()? |= 0x20;
    Some(end)
}
