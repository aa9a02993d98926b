//! What a payload says about its frame, whatever the codec.

use crate::api::Codec;
use crate::wire::{h264, vp8};

/// Facts of one payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The codec says that a frame starts here; `None` = it cannot tell.
    pub is_frame_start: Option<bool>,
    /// A key frame starts here, or (H.264) a part of one is here.
    pub is_key: bool,
    /// H.264: an SPS is here.
    pub has_sps: bool,
    /// H.264: an SPS or a PPS is here.
    pub has_params: bool,
    /// Frame size, from key frames.
    pub resolution: Option<(u16, u16)>,
    /// Temporal layer.
    pub temporal: u8,
    /// VP8 Y bit.
    pub is_sync: bool,
    /// VP8 picture id: value, and whether it has 15 bits.
    pub pid: Option<(u16, bool)>,
    /// VP8 TL0PICIDX.
    pub tl0: Option<u8>,
    /// Bytes of a VP8 payload descriptor.
    pub descriptor_len: u8,
}

/// Reads the facts; `None` if the payload is no payload of `codec`.
pub fn parse_facts(codec: Codec, payload: &[u8]) -> Option<Facts> {
    match codec {
        Codec::Opus => Some(Facts { is_frame_start: Some(true), is_key: true, ..Facts::default() }),
        // Taken apart before it gets here: rings hold plain Opus.
        Codec::Red => None,
        Codec::Vp8 => parse_vp8(payload),
        Codec::H264 => parse_h264(payload),
        Codec::Vp9 => parse_vp9(payload),
        Codec::Av1 => parse_av1(payload),
    }
}

fn parse_vp8(payload: &[u8]) -> Option<Facts> {
    let descriptor = vp8::Vp8Descriptor::parse(payload)?;
    Some(Facts {
        is_frame_start: Some(descriptor.is_frame_start),
        is_key: descriptor.is_keyframe,
        has_sps: false,
        has_params: false,
        resolution: descriptor.resolution,
        temporal: descriptor.temporal.unwrap_or(0),
        is_sync: descriptor.is_layer_sync,
        pid: descriptor.picture_id.map(|pid| (pid, descriptor.is_long_picture_id)),
        tl0: descriptor.tl0_pic_idx,
        descriptor_len: descriptor.header_len,
    })
}

fn parse_h264(payload: &[u8]) -> Option<Facts> {
    let info = h264::parse_info(payload)?;
    Some(Facts {
        // The packet itself is only a hint; timestamps and markers decide.
        is_frame_start: None,
        is_key: info.has_sps || info.has_idr,
        has_sps: info.has_sps,
        has_params: info.has_sps || info.has_pps,
        resolution: info.resolution,
        ..Facts::default()
    })
}

/// RFC 9628 §4.2: `I P L F B E V Z`, then picture id, then layer indices.
fn parse_vp9(payload: &[u8]) -> Option<Facts> {
    let first = *payload.first()?;
    let (has_pid, is_inter, has_layers) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x20 != 0);
    let is_start = first & 0x08 != 0;
    let mut at = 1;
    if has_pid {
        at += if *payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let (temporal, spatial) = match has_layers {
        true => payload.get(at).map(|byte| (byte >> 5, byte >> 1 & 7))?,
        false => (0, 0),
    };
    Some(Facts {
        is_frame_start: Some(is_start && spatial == 0),
        is_key: is_start && !is_inter && spatial == 0,
        temporal,
        ..Facts::default()
    })
}

/// AV1 aggregation header: `Z Y W W N - - -`; N marks the first packet of a coded video sequence.
fn parse_av1(payload: &[u8]) -> Option<Facts> {
    let first = *payload.first()?;
    let is_continuation = first & 0x80 != 0;
    Some(Facts {
        is_frame_start: if is_continuation { Some(false) } else { None },
        is_key: first & 0x08 != 0 && !is_continuation,
        ..Facts::default()
    })
}

/// Unwraps 7-bit picture ids to 15 bits; 15-bit ones pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct PictureIds {
    last: Option<u16>,
}

impl PictureIds {
    /// The picture id in 15 bits.
    pub fn unwrap(&mut self, pid: u16, is_long: bool) -> u16 {
        let pid = match self.last {
            Some(last) if !is_long => {
                let ahead = pid.wrapping_sub(last) & 0x7f;
                let step = if ahead < 64 { i32::from(ahead) } else { i32::from(ahead) - 128 };
                (i32::from(last) + step) as u16 & 0x7fff
            }
            _ => pid,
        };
        let ahead = pid.wrapping_sub(self.last.unwrap_or(pid)) & 0x7fff;
        if ahead < 0x4000 {
            self.last = Some(pid);
        }
        pid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_10_seven_bit_picture_ids_roll_over_into_fifteen() {
        let mut ids = PictureIds::default();
        assert_eq!(ids.unwrap(126, false), 126);
        assert_eq!(ids.unwrap(1, false), 129);
        assert_eq!(ids.unwrap(127, false), 127, "a late packet");
        assert_eq!(ids.unwrap(2, false), 130);
        // The sender changes to 15 bits.
        assert_eq!(ids.unwrap(131, true), 131);
        assert_eq!(ids.unwrap(0x7fff, true), 0x7fff, "jumps back are taken as late");
        assert_eq!(ids.unwrap(132, true), 132);
    }

    #[test]
    fn edge_13_only_the_first_packet_of_partition_0_is_a_key_start() {
        let first = parse_facts(Codec::Vp8, &[0x10, 0x00, 0, 0]).unwrap();
        assert!(first.is_key && first.is_frame_start == Some(true));
        let second_partition = parse_facts(Codec::Vp8, &[0x11, 0x00]).unwrap();
        assert!(!second_partition.is_key && second_partition.is_frame_start == Some(false));
        let continuation = parse_facts(Codec::Vp8, &[0x00, 0x00]).unwrap();
        assert!(!continuation.is_key);
        assert!(!parse_facts(Codec::Vp8, &[0x10, 0x01]).unwrap().is_key, "inter frame");
        assert_eq!(parse_facts(Codec::Vp8, &[0x90, 0xe0]), None, "ends inside the descriptor");
    }

    #[test]
    fn edge_17_vp9_key_start_is_told_without_the_spatial_layer_of_simulcast() {
        assert!(parse_facts(Codec::Vp9, &[0x08, 1]).unwrap().is_key);
        assert!(!parse_facts(Codec::Vp9, &[0x48, 1]).unwrap().is_key, "P bit");
        let layered = parse_facts(Codec::Vp9, &[0xa8, 0x05, 0b0100_0010, 0]).unwrap();
        assert_eq!((layered.temporal, layered.is_key), (2, false));
    }

    #[test]
    fn edge_18_av1_key_start_is_the_new_sequence_bit() {
        assert!(parse_facts(Codec::Av1, &[0x18, 1]).unwrap().is_key);
        assert!(!parse_facts(Codec::Av1, &[0x10, 1]).unwrap().is_key);
        assert_eq!(parse_facts(Codec::Av1, &[]), None);
    }
}
