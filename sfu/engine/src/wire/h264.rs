//! H.264 RTP payloads (RFC 6184): what a packet holds, its NAL units, and picture size from an SPS.

use super::read_u16;

/// NAL unit type of a non-IDR slice.
pub const NAL_SLICE: u8 = 1;
/// NAL unit type of an IDR slice.
pub const NAL_IDR: u8 = 5;
/// NAL unit type of supplemental enhancement information.
pub const NAL_SEI: u8 = 6;
/// NAL unit type of a sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// NAL unit type of a picture parameter set.
pub const NAL_PPS: u8 = 8;
/// NAL unit type of an access unit delimiter.
pub const NAL_AUD: u8 = 9;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// One NAL unit, or a fragment of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalPiece<'a> {
    /// A whole unit, its header byte first.
    Whole(&'a [u8]),
    /// First fragment: the rebuilt header byte, then the bytes after it.
    Start {
        /// NAL header of the unit.
        header: u8,
        /// Bytes after the header.
        data: &'a [u8],
        /// The unit ends here too (forbidden by RFC 6184 §5.8, but sent).
        is_end: bool,
    },
    /// A later fragment.
    Continuation {
        /// NAL unit type, to match it with its start.
        kind: u8,
        /// Next bytes of the unit.
        data: &'a [u8],
        /// Last fragment.
        is_end: bool,
    },
}

impl<'a> NalPiece<'a> {
    /// NAL unit type, 1..=23.
    pub fn kind(&self) -> u8 {
        match *self {
            NalPiece::Whole(nal) => nal.first().map_or(0, |header| header & 0x1f),
            NalPiece::Start { header, .. } => header & 0x1f,
            NalPiece::Continuation { kind, .. } => kind,
        }
    }

    /// The bytes after the NAL header where the unit starts in this packet.
    fn body(&self) -> Option<&'a [u8]> {
        match *self {
            NalPiece::Whole(nal) => nal.get(1..),
            NalPiece::Start { data, .. } => Some(data),
            NalPiece::Continuation { .. } => None,
        }
    }
}

/// Iterator over the NAL units of one payload, in order. A bad length ends it.
#[derive(Clone, Debug)]
pub struct NalPieces<'a> {
    rest: &'a [u8],
    is_aggregate: bool,
}

/// The NAL units of an RTP payload: single NAL unit, STAP-A or FU-A. Other packet types (MTAP,
/// FU-B, STAP-B: interleaved mode, which nobody negotiates) yield nothing.
pub fn nal_pieces(payload: &[u8]) -> NalPieces<'_> {
    match payload.first().map(|header| header & 0x1f) {
        Some(STAP_A) => NalPieces { rest: &payload[1..], is_aggregate: true },
        Some(1..=23 | FU_A) => NalPieces { rest: payload, is_aggregate: false },
        _ => NalPieces { rest: &[], is_aggregate: false },
    }
}

impl<'a> Iterator for NalPieces<'a> {
    type Item = NalPiece<'a>;

    fn next(&mut self) -> Option<NalPiece<'a>> {
        if self.is_aggregate {
            let len = usize::from(read_u16(self.rest, 0)?);
            let nal = self.rest.get(2..2 + len).filter(|nal| !nal.is_empty());
            self.rest = if nal.is_some() { &self.rest[2 + len..] } else { &[] };
            // An aggregate inside an aggregate is as wrong as an empty unit.
            return nal.filter(|nal| (1..=23).contains(&(nal[0] & 0x1f))).map(NalPiece::Whole);
        }
        let payload = std::mem::take(&mut self.rest);
        let first = *payload.first()?;
        if first & 0x1f != FU_A {
            return Some(NalPiece::Whole(payload));
        }
        let fu_header = *payload.get(1)?;
        let (kind, data, is_end) = (fu_header & 0x1f, &payload[2..], fu_header & 0x40 != 0);
        if fu_header & 0x80 != 0 {
            return Some(NalPiece::Start { header: first & 0xe0 | kind, data, is_end });
        }
        Some(NalPiece::Continuation { kind, data, is_end })
    }
}

/// What one packet says about its access unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct H264Info {
    /// An SPS is in it.
    pub has_sps: bool,
    /// A PPS is in it.
    pub has_pps: bool,
    /// Some part of an IDR slice is in it.
    pub has_idr: bool,
    /// The first slice of an IDR picture starts in it.
    pub has_idr_start: bool,
    /// It can be the first packet of its access unit: starts with a delimiter, SEI, parameter set,
    /// or the slice with first_mb_in_slice 0. Only a hint: the marker and the timestamp decide.
    pub is_frame_start: bool,
    /// (width, height) in pixels from an SPS.
    pub resolution: Option<(u16, u16)>,
}

impl H264Info {
    /// A key frame begins with this packet: with its SPS, or with the IDR itself where the
    /// parameter sets come only once or earlier. With `has_idr_start` and not `has_sps`, a switch
    /// needs the cached parameter sets first.
    pub fn is_keyframe_start(&self) -> bool {
        self.has_sps || self.has_idr_start
    }
}

/// Looks into one RTP payload. `None` when it holds no NAL unit of a kind we know how to find.
pub fn parse_info(payload: &[u8]) -> Option<H264Info> {
    let mut info = H264Info::default();
    let mut is_first = true;
    for piece in nal_pieces(payload) {
        // first_mb_in_slice is ue(v): a leading 1 bit says zero.
        let is_first_slice =
            piece.body().and_then(|body| body.first()).is_some_and(|byte| byte & 0x80 != 0);
        let starts = piece.body().is_some();
        match piece.kind() {
            NAL_SPS => {
                info.has_sps |= starts;
                if let NalPiece::Whole(nal) = piece {
                    info.resolution =
                        parse_sps(nal).map(|sps| (sps.width, sps.height)).or(info.resolution);
                }
            }
            NAL_PPS => info.has_pps |= starts,
            NAL_IDR => {
                info.has_idr = true;
                info.has_idr_start |= is_first_slice;
            }
            _ => {}
        }
        if is_first {
            info.is_frame_start = match piece.kind() {
                1 | 2 | NAL_IDR => is_first_slice,
                NAL_SEI..=NAL_AUD => starts,
                _ => false,
            };
            is_first = false;
        }
    }
    (!is_first).then_some(info)
}

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// profile_idc.
    pub profile: u8,
    /// Constraint flags, as in `profile-level-id`.
    pub constraints: u8,
    /// level_idc.
    pub level: u8,
    /// Cropped width in pixels.
    pub width: u16,
    /// Cropped height in pixels.
    pub height: u16,
}

/// Parses an SPS NAL unit, header byte included (H.264 §7.3.2.1.1). `None` when it ends early or
/// its size is absurd.
pub fn parse_sps(nal: &[u8]) -> Option<Sps> {
    if nal.first()? & 0x1f != NAL_SPS {
        return None;
    }
    let &[profile, constraints, level] = nal.get(1..4)?.first_chunk::<3>()?;
    let mut bits = Bits::new(&nal[4..]);
    bits.ue()?; // seq_parameter_set_id
    let (mut chroma_format, mut has_separate_planes) = (1, false);
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = bits.ue()?;
        if chroma_format == 3 {
            has_separate_planes = bits.bit()?;
        }
        bits.ue()?; // bit_depth_luma_minus8
        bits.ue()?; // bit_depth_chroma_minus8
        bits.bit()?; // qpprime_y_zero_transform_bypass_flag
        if bits.bit()? {
            skip_scaling_matrix(&mut bits, if chroma_format == 3 { 12 } else { 8 })?;
        }
    }
    bits.ue()?; // log2_max_frame_num_minus4
    skip_picture_order_count(&mut bits)?;
    bits.ue()?; // max_num_ref_frames
    bits.bit()?; // gaps_in_frame_num_value_allowed_flag
    let width = 16 * (u64::from(bits.ue()?) + 1);
    let map_units = u64::from(bits.ue()?) + 1;
    let is_frame_mbs_only = bits.bit()?;
    if !is_frame_mbs_only {
        bits.bit()?; // mb_adaptive_frame_field_flag
    }
    let fields = if is_frame_mbs_only { 1 } else { 2 };
    let height = 16 * map_units * fields;
    bits.bit()?; // direct_8x8_inference_flag
    let mut crop = [0u64; 4]; // left, right, top, bottom in crop units
    if bits.bit()? {
        for side in &mut crop {
            *side = u64::from(bits.ue()?);
        }
    }
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let (unit_x, unit_y) = if has_separate_planes { (1, 1) } else { (unit_x, unit_y) };
    let width = width.checked_sub(unit_x * (crop[0] + crop[1]))?;
    let height = height.checked_sub(unit_y * fields * (crop[2] + crop[3]))?;
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    (width > 0 && height > 0).then_some(Sps { profile, constraints, level, width, height })
}

fn skip_scaling_matrix(bits: &mut Bits<'_>, num_lists: usize) -> Option<()> {
    for list in 0..num_lists {
        if !bits.bit()? {
            continue;
        }
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.se()?).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Some(())
}

fn skip_picture_order_count(bits: &mut Bits<'_>) -> Option<()> {
    match bits.ue()? {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.bit()?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            let num_offsets = bits.ue()?;
            if num_offsets > 255 {
                return None;
            }
            for _ in 0..num_offsets {
                bits.se()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Bits of a raw byte sequence payload; drops emulation prevention bytes on the way.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    num_zeros: u8,
    current: u8,
    num_left: u8,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Bits { data, at: 0, num_zeros: 0, current: 0, num_left: 0 }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let mut byte = *self.data.get(self.at)?;
        self.at += 1;
        if self.num_zeros >= 2 && byte == 3 {
            self.num_zeros = 0;
            byte = *self.data.get(self.at)?;
            self.at += 1;
        }
        self.num_zeros = if byte == 0 { self.num_zeros.saturating_add(1) } else { 0 };
        Some(byte)
    }

    fn bit(&mut self) -> Option<bool> {
        if self.num_left == 0 {
            self.current = self.next_byte()?;
            self.num_left = 8;
        }
        self.num_left -= 1;
        Some(self.current >> self.num_left & 1 != 0)
    }

    /// Exp-Golomb, H.264 §9.1; at most 32 bits.
    fn ue(&mut self) -> Option<u32> {
        let mut num_zeros = 0;
        while !self.bit()? {
            num_zeros += 1;
            if num_zeros > 31 {
                return None;
            }
        }
        let mut suffix = 0u32;
        for _ in 0..num_zeros {
            suffix = suffix << 1 | u32::from(self.bit()?);
        }
        Some(((1u64 << num_zeros) - 1 + u64::from(suffix)) as u32)
    }

    fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }
}

#[cfg(test)]
mod tests;
