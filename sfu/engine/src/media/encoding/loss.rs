//! What a lost packet means for the picture.

use crate::media::keyframes::KeyMark;
use crate::media::ring::{Ring, View};

use super::Encoding;

/// Packets looked through beside a gap, and of a key frame.
const MAX_WALK: u64 = 128;

impl Encoding {
    /// The newest key frame, once all its packets are here.
    pub fn whole_key(&self) -> Option<KeyMark> {
        let key = self.key?;
        let views = (key.seq_ext..key.seq_ext + MAX_WALK).map_while(|seq| self.ring.view(seq));
        let mut own = views.take_while(|view| view.ts_rtp == key.ts_rtp || view.is_padding_only());
        own.any(|view| view.is_marker).then_some(key)
    }
}

/// Nobody needs packet `seq_ext` to go on: it belonged to pictures of higher temporal layers, which
/// the next base picture does without (VP8's TL0PICIDX says so, RFC 7741 §4.2).
pub fn is_spare(ring: &Ring, seq_ext: u64) -> bool {
    let media = |seq: u64| ring.view(seq).filter(|view| !view.is_padding_only());
    let before = (1..=MAX_WALK).find_map(|step| media(seq_ext.checked_sub(step)?));
    let after = (1..=MAX_WALK).find_map(|step| media(seq_ext + step));
    let Some((before, after)) = before.zip(after) else {
        return false;
    };
    let has_base = |view: &View| view.has_tl0 && view.has_pid;
    // Both pictures stand on the same base picture, so none was lost between them; and what is
    // missing is not the rest of that base picture itself.
    has_base(before)
        && has_base(after)
        && before.tl0 == after.tl0
        && after.temporal > 0
        && (before.temporal > 0 || before.is_marker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Codec;

    /// (number, TL0PICIDX, temporal layer, marker)
    fn ring(packets: &[(u64, u8, u8, bool)]) -> Ring {
        let mut ring = Ring::new(64);
        for &(seq_ext, tl0, temporal, is_marker) in packets {
            let mut view = View::new(seq_ext, 0, Codec::Vp8, 0);
            (view.has_tl0, view.tl0, view.has_pid) = (true, tl0, true);
            (view.temporal, view.is_marker) = (temporal, is_marker);
            ring.insert(view, &[1], &[], &[]).unwrap();
        }
        ring
    }

    #[test]
    fn only_what_no_base_picture_needs_is_spare() {
        assert!(is_spare(&ring(&[(1, 7, 0, true), (3, 7, 1, true)]), 2));
        assert!(is_spare(&ring(&[(1, 7, 2, false), (4, 7, 1, true)]), 2));
        assert!(!is_spare(&ring(&[(1, 7, 0, true), (3, 8, 0, true)]), 2), "may be of picture 8");
        assert!(!is_spare(&ring(&[(1, 7, 0, false), (3, 7, 1, true)]), 2), "the rest of 7");
        assert!(!is_spare(&ring(&[(1, 7, 0, false), (3, 7, 0, true)]), 2), "the middle of 7");
        assert!(!is_spare(&ring(&[(1, 7, 0, true)]), 2), "nobody knows yet");
    }

    #[test]
    fn pictures_without_layers_are_all_needed() {
        let mut ring = Ring::new(64);
        for seq_ext in [1, 3] {
            ring.insert(View::new(seq_ext, 0, Codec::Vp8, 0), &[1], &[], &[]).unwrap();
        }
        assert!(!is_spare(&ring, 2));
    }
}
