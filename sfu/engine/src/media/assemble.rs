//! Packets of one frame put together: a VP8 frame, an H.264 access unit in Annex B, an Opus packet.

use crate::api::Codec;
use crate::wire::h264::{NAL_IDR, NAL_SPS, NalPiece, nal_pieces};

use super::encoding::Params;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A frame in the making.
#[derive(Debug, Default)]
pub struct Assembly {
    data: Vec<u8>,
    has_sps: bool,
    has_idr: bool,
    /// Type of the NAL unit whose later fragments are awaited.
    open_nal: Option<u8>,
}

impl Assembly {
    /// Nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Adds the next packet's payload; false if it does not fit what came before.
    pub fn add(&mut self, codec: Codec, descriptor_len: u8, payload: &[u8]) -> bool {
        match codec {
            Codec::Opus => self.data.extend_from_slice(payload),
            Codec::Vp8 => match payload.get(usize::from(descriptor_len)..) {
                Some(data) => self.data.extend_from_slice(data),
                None => return false,
            },
            Codec::H264 => return self.add_h264(payload),
            Codec::Red | Codec::Vp9 | Codec::Av1 => return false,
        }
        true
    }

    fn add_h264(&mut self, payload: &[u8]) -> bool {
        for piece in nal_pieces(payload) {
            let kind = piece.kind();
            self.has_sps |= kind == NAL_SPS;
            self.has_idr |= kind == NAL_IDR;
            match piece {
                NalPiece::Whole(nal) => {
                    self.data.extend_from_slice(&START_CODE);
                    self.data.extend_from_slice(nal);
                }
                NalPiece::Start { header, data, is_end } => {
                    self.data.extend_from_slice(&START_CODE);
                    self.data.push(header);
                    self.data.extend_from_slice(data);
                    self.open_nal = (!is_end).then_some(kind);
                }
                NalPiece::Continuation { data, is_end, .. } => {
                    if self.open_nal != Some(kind) {
                        return false;
                    }
                    self.data.extend_from_slice(data);
                    if is_end {
                        self.open_nal = None;
                    }
                }
            }
        }
        true
    }

    /// Takes the finished frame out: its bytes, and whether it is a key frame. A key frame without
    /// parameter sets gets the last ones in front (edge case 14: some encoders send them once).
    pub fn take(&mut self, codec: Codec, params: &Params) -> Option<(Vec<u8>, bool)> {
        let assembly = std::mem::take(self);
        if assembly.data.is_empty() || assembly.open_nal.is_some() {
            return None;
        }
        match codec {
            Codec::Opus => Some((assembly.data, true)),
            // RFC 6386 §9.1: bit 0 of the frame tag is 0 for key frames.
            Codec::Vp8 => {
                let is_key = assembly.data[0] & 1 == 0;
                Some((assembly.data, is_key))
            }
            Codec::H264 if assembly.has_idr && !assembly.has_sps && params.is_complete() => {
                let mut data = Vec::with_capacity(
                    assembly.data.len() + params.sps().len() + params.pps().len() + 8,
                );
                for nal in [params.sps(), params.pps()] {
                    data.extend_from_slice(&START_CODE);
                    data.extend_from_slice(nal);
                }
                data.extend_from_slice(&assembly.data);
                Some((data, true))
            }
            Codec::H264 => Some((assembly.data, assembly.has_idr)),
            Codec::Red | Codec::Vp9 | Codec::Av1 => None,
        }
    }

    /// Forgets what was added.
    pub fn clear(&mut self) {
        *self = Assembly::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp8_is_the_payloads_without_descriptors() {
        let mut assembly = Assembly::default();
        assert!(assembly.add(Codec::Vp8, 1, &[0x10, 0x00, 1]));
        assert!(assembly.add(Codec::Vp8, 1, &[0x00, 2, 3]));
        assert_eq!(assembly.take(Codec::Vp8, &Params::default()), Some((vec![0, 1, 2, 3], true)));
        assert!(assembly.is_empty());
    }

    #[test]
    fn h264_aggregates_and_fragments_become_annex_b() {
        let mut assembly = Assembly::default();
        assert!(assembly.add(Codec::H264, 0, &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2]));
        assert!(assembly.add(Codec::H264, 0, &[0x7c, 0x85, 9]));
        assert!(assembly.add(Codec::H264, 0, &[0x7c, 0x05, 8]));
        assert!(assembly.add(Codec::H264, 0, &[0x7c, 0x45, 7]));
        let (data, is_key) = assembly.take(Codec::H264, &Params::default()).unwrap();
        assert!(is_key);
        assert_eq!(data, [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 9, 8, 7]);
    }

    #[test]
    fn edge_15_a_fragment_without_its_start_spoils_the_frame() {
        let mut assembly = Assembly::default();
        assert!(!assembly.add(Codec::H264, 0, &[0x7c, 0x05, 8]));
        assembly.clear();
        assert!(assembly.add(Codec::H264, 0, &[0x7c, 0x85, 9]));
        assert_eq!(assembly.take(Codec::H264, &Params::default()), None, "never ended");
    }
}
