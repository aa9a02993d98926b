//! Redundant audio (RFC 2198).

use super::Cursor;

/// Blocks that a payload may hold; real senders use at most three.
pub const BLOCKS_MAX: usize = 16;
/// Largest redundant block: its length field has ten bits.
pub const BLOCK_SIZE_MAX: usize = 1023;
/// Largest timestamp offset: its field has fourteen bits.
pub const TS_OFFSET_MAX: u32 = 0x3fff;

/// One block of a RED payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedBlock<'a> {
    /// Payload type of the block.
    pub pt: u8,
    /// How far its timestamp lies before the packet's; 0 for the primary.
    pub ts_offset: u16,
    /// The encoded audio; may be empty.
    pub data: &'a [u8],
}

/// A RED payload whose lengths add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Red<'a> {
    headers: &'a [u8],
    data: &'a [u8],
    primary_off: usize,
    primary_pt: u8,
}

impl<'a> Red<'a> {
    /// Parses an RTP payload. `None` when headers or blocks overrun it, or there are too many.
    pub fn parse(payload: &'a [u8]) -> Option<Red<'a>> {
        let mut at = 0;
        let mut redundant_len = 0;
        while *payload.get(at)? & 0x80 != 0 {
            if at / 4 + 1 >= BLOCKS_MAX {
                return None;
            }
            redundant_len += block_len(payload.get(at..at + 4)?)?;
            at += 4;
        }
        let primary_pt = payload[at];
        let data = &payload[at + 1..];
        if redundant_len > data.len() {
            return None;
        }
        Some(Red { headers: &payload[..at], data, primary_off: redundant_len, primary_pt })
    }

    /// The newest block: what a receiver without RED wants.
    pub fn primary(&self) -> RedBlock<'a> {
        RedBlock { pt: self.primary_pt, ts_offset: 0, data: &self.data[self.primary_off..] }
    }

    /// Bytes of the payload before the primary block.
    pub fn primary_start(&self) -> usize {
        self.headers.len() + 1 + self.primary_off
    }

    /// Redundant blocks, oldest first as they come on the wire.
    pub fn redundant(&self) -> RedBlocks<'a> {
        RedBlocks { headers: self.headers, data: self.data }
    }
}

/// Iterator over the redundant blocks.
#[derive(Clone, Debug)]
pub struct RedBlocks<'a> {
    headers: &'a [u8],
    data: &'a [u8],
}

impl<'a> Iterator for RedBlocks<'a> {
    type Item = RedBlock<'a>;

    fn next(&mut self) -> Option<RedBlock<'a>> {
        let (header, headers) = self.headers.split_at_checked(4)?;
        let (data, rest) = self.data.split_at_checked(block_len(header)?)?;
        self.headers = headers;
        self.data = rest;
        let ts_offset = u16::from_be_bytes([header[1], header[2]]) >> 2;
        Some(RedBlock { pt: header[0] & 0x7f, ts_offset, data })
    }
}

fn block_len(header: &[u8]) -> Option<usize> {
    let &[_, _, high, low] = header else {
        return None;
    };
    Some(usize::from(u16::from_be_bytes([high & 0x03, low])))
}

/// Writes a RED payload: redundant blocks (oldest first), then the primary. Returns its length.
///
/// `None` when it does not fit, or a redundant block is larger than 1023 bytes or further back than
/// its field can say: the caller then sends the primary with fewer blocks.
pub fn write_red(
    out: &mut [u8],
    redundant: &[RedBlock<'_>],
    primary_pt: u8,
    primary: &[u8],
) -> Option<usize> {
    if redundant.len() >= BLOCKS_MAX {
        return None;
    }
    let mut cursor = Cursor::new(out);
    for block in redundant {
        if block.data.len() > BLOCK_SIZE_MAX || u32::from(block.ts_offset) > TS_OFFSET_MAX {
            return None;
        }
        let word = u32::from(block.ts_offset) << 10 | block.data.len() as u32;
        cursor.put_u32(u32::from(block.pt | 0x80) << 24 | word);
    }
    cursor.put_u8(primary_pt & 0x7f);
    redundant.iter().for_each(|block| cursor.put(block.data));
    cursor.put(primary);
    cursor.finish()
}

#[cfg(test)]
mod tests;
