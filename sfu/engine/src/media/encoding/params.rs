//! Parameter sets of an H.264 encoding.

use crate::wire::h264::{NAL_PPS, NAL_SPS, NalPiece, nal_pieces};

/// Largest parameter set kept.
const MAX_PARAMS: usize = 512;

/// SPS and PPS of an H.264 encoding.
#[derive(Debug, Default)]
pub struct Params {
    sps: Vec<u8>,
    pps: Vec<u8>,
}

impl Params {
    /// Both were seen.
    pub fn is_complete(&self) -> bool {
        !self.sps.is_empty() && !self.pps.is_empty()
    }

    /// SPS NAL unit.
    pub fn sps(&self) -> &[u8] {
        &self.sps
    }

    /// PPS NAL unit.
    pub fn pps(&self) -> &[u8] {
        &self.pps
    }

    /// Keeps the parameter sets of a payload.
    pub(super) fn take(&mut self, payload: &[u8]) {
        for piece in nal_pieces(payload) {
            let NalPiece::Whole(nal) = piece else {
                continue;
            };
            let kept = match piece.kind() {
                NAL_SPS => &mut self.sps,
                NAL_PPS => &mut self.pps,
                _ => continue,
            };
            if nal.len() <= MAX_PARAMS && kept != nal {
                kept.clear();
                kept.extend_from_slice(nal);
            }
        }
    }
}
