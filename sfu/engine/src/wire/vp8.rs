//! VP8 payload descriptor (RFC 7741 §4.2): reading, and writing with our own picture numbers.

/// Most bytes that `Vp8Descriptor::write` produces.
pub const DESCRIPTOR_SIZE_MAX: usize = 6;

/// A parsed payload descriptor, and what the first bytes of the frame say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp8Descriptor {
    /// Bytes before the VP8 data.
    pub header_len: u8,
    /// N: no other frame refers to this one.
    pub is_non_reference: bool,
    /// S: this packet starts a partition.
    pub is_partition_start: bool,
    /// PID: partition number, 0..=7.
    pub partition: u8,
    /// PictureID, 7 or 15 bits as `is_long_picture_id` says.
    pub picture_id: Option<u16>,
    /// The PictureID came in its 15-bit form.
    pub is_long_picture_id: bool,
    /// TL0PICIDX: counts base-layer frames.
    pub tl0_pic_idx: Option<u8>,
    /// TID: temporal layer, 0..=3.
    pub temporal: Option<u8>,
    /// Y: depends on the base layer only, so switching up here is safe. False without a TID.
    pub is_layer_sync: bool,
    /// KEYIDX, 0..=31.
    pub key_idx: Option<u8>,
    /// First packet of a frame (partition 0 starts here).
    pub is_frame_start: bool,
    /// First packet of a key frame. Later packets of the same frame say false.
    pub is_keyframe: bool,
    /// (width, height) in pixels, in the first packet of a key frame.
    pub resolution: Option<(u16, u16)>,
}

impl Vp8Descriptor {
    /// Parses an RTP payload. `None` when it ends inside the descriptor or holds no VP8 data.
    pub fn parse(payload: &[u8]) -> Option<Vp8Descriptor> {
        let mut bytes = payload.iter().copied();
        let first = bytes.next()?;
        let mut parsed = Vp8Descriptor {
            is_non_reference: first & 0x20 != 0,
            is_partition_start: first & 0x10 != 0,
            partition: first & 0x07,
            ..Vp8Descriptor::default()
        };
        let flags = if first & 0x80 != 0 { bytes.next()? } else { 0 };
        if flags & 0x80 != 0 {
            let high = bytes.next()?;
            parsed.is_long_picture_id = high & 0x80 != 0;
            parsed.picture_id = Some(if parsed.is_long_picture_id {
                u16::from_be_bytes([high & 0x7f, bytes.next()?])
            } else {
                u16::from(high)
            });
        }
        if flags & 0x40 != 0 {
            parsed.tl0_pic_idx = Some(bytes.next()?);
        }
        if flags & 0x30 != 0 {
            // One byte serves T and K; each half counts only if its flag is set.
            let byte = bytes.next()?;
            if flags & 0x20 != 0 {
                parsed.temporal = Some(byte >> 6);
                parsed.is_layer_sync = byte & 0x20 != 0;
            }
            parsed.key_idx = (flags & 0x10 != 0).then_some(byte & 0x1f);
        }
        let data = bytes.as_slice_of(payload);
        parsed.header_len = (payload.len() - data.len()) as u8;
        let frame_tag = *data.first()?;
        parsed.is_frame_start = parsed.is_partition_start && parsed.partition == 0;
        // RFC 7741 §4.3: the P bit is there only at the start of partition 0.
        parsed.is_keyframe = parsed.is_frame_start && frame_tag & 0x01 == 0;
        if parsed.is_keyframe {
            parsed.resolution = parse_resolution(data);
        }
        Some(parsed)
    }

    /// Writes this descriptor with other picture numbers, and returns its length.
    ///
    /// A PictureID is always written in 15 bits, so the size may differ from the one parsed.
    /// `None` leaves a field out; `temporal`, sync and KEYIDX go out as they came in.
    pub fn write(
        &self,
        out: &mut [u8],
        picture_id: Option<u16>,
        tl0_pic_idx: Option<u8>,
    ) -> Option<usize> {
        let has_layer_byte = self.temporal.is_some() || self.key_idx.is_some();
        let flags = u8::from(picture_id.is_some()) << 7
            | u8::from(tl0_pic_idx.is_some()) << 6
            | u8::from(self.temporal.is_some()) << 5
            | u8::from(self.key_idx.is_some()) << 4;
        let mut cursor = super::Cursor::new(out);
        cursor.put_u8(
            u8::from(flags != 0) << 7
                | u8::from(self.is_non_reference) << 5
                | u8::from(self.is_partition_start) << 4
                | (self.partition & 0x07),
        );
        if flags != 0 {
            cursor.put_u8(flags);
        }
        if let Some(picture_id) = picture_id {
            cursor.put_u16(picture_id | 0x8000);
        }
        if let Some(tl0_pic_idx) = tl0_pic_idx {
            cursor.put_u8(tl0_pic_idx);
        }
        if has_layer_byte {
            let temporal = self
                .temporal
                .map_or(0, |tid| (tid & 0x03) << 6 | u8::from(self.is_layer_sync) << 5);
            cursor.put_u8(temporal | self.key_idx.map_or(0, |idx| idx & 0x1f));
        }
        cursor.finish()
    }
}

/// What is left of an iterator over `payload`.
trait Rest {
    fn as_slice_of<'a>(&self, payload: &'a [u8]) -> &'a [u8];
}

impl<I: ExactSizeIterator> Rest for I {
    fn as_slice_of<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        &payload[payload.len() - self.len()..]
    }
}

/// RFC 6386 §9.1: three bytes of frame tag, the start code, then 14-bit sizes.
fn parse_resolution(data: &[u8]) -> Option<(u16, u16)> {
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = data else {
        return None;
    };
    Some((u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff))
}

#[cfg(test)]
mod tests;
