//! Where frames and key frames start, also when packets come out of order.

use crate::media::codec::Facts;
use crate::media::keyframes::KeyMark;

use super::Encoding;

/// Packets of one access unit looked through for its start.
const MAX_WALK: u64 = 64;

impl Encoding {
    /// The packet before `seq_ext` is here and belongs to another frame.
    pub(super) fn follows_frame_end(&self, seq_ext: u64, ts: u32) -> bool {
        let mut before = seq_ext.wrapping_sub(1);
        // Padding between two frames belongs to neither.
        while let Some(view) = self.ring.view(before) {
            if !view.is_padding_only() {
                return view.is_marker || view.ts_rtp != ts;
            }
            before = before.wrapping_sub(1);
        }
        // Nothing is known of what came before a stream's very first packet, also one that started
        // anew: its own start must do.
        self.ring.is_empty()
    }

    /// Finds out whether this packet, or the one it precedes, starts a frame or a key frame.
    pub(super) fn update_frame(&mut self, seq_ext: u64, facts: &Facts) {
        let Some(&view) = self.ring.view(seq_ext) else {
            return;
        };
        if view.is_padding_only() || view.codec.is_audio() {
            return;
        }
        if facts.is_frame_start.is_none() {
            self.correct_next(seq_ext, view.ts_rtp, view.is_marker);
        }
        if facts.is_key {
            self.mark_key(seq_ext);
        } else if view.is_frame_start || !view.is_marker {
            // A late start may complete a key frame whose later parts are here already.
            let later = (seq_ext + 1..seq_ext + MAX_WALK)
                .map_while(|seq| self.ring.view(seq).filter(|later| later.ts_rtp == view.ts_rtp))
                .find(|later| later.is_key)
                .map(|later| later.seq_ext);
            if let Some(later) = later {
                self.mark_key(later);
            }
        }
    }

    /// The packet after a late one may turn out to start a frame, or not to.
    fn correct_next(&mut self, seq_ext: u64, ts: u32, is_marker: bool) {
        if let Some(next) = self.ring.view_mut(seq_ext + 1) {
            next.is_frame_start = !next.is_padding_only() && (is_marker || next.ts_rtp != ts);
            if next.is_frame_start && next.is_key {
                self.mark_key(seq_ext + 1);
            }
        }
    }

    /// Marks the access unit of `seq_ext` as the newest key frame, if its first packet is here.
    fn mark_key(&mut self, seq_ext: u64) {
        let Some(ts) = self.ring.view(seq_ext).map(|view| view.ts_rtp) else {
            return;
        };
        if self.key.is_some_and(|key| key.ts_rtp == ts || key.seq_ext > seq_ext) {
            return;
        }
        let start = (0..MAX_WALK)
            .map_while(|back| self.ring.view(seq_ext.wrapping_sub(back)))
            .take_while(|view| view.ts_rtp == ts)
            .find(|view| view.is_frame_start)
            .copied();
        let Some(start) = start else { return };
        self.key = Some(KeyMark {
            seq_ext: start.seq_ext,
            ts_rtp: ts,
            arrived_us: start.arrived_us,
            pid: start.pid,
            tl0: start.tl0,
        });
        self.key_bytes = u32::from(start.len);
        self.counts.keyframes = self.counts.keyframes.wrapping_add(1);
        self.budget.on_keyframe(start.arrived_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Codec, EncodingConfig};
    use crate::media::encoding::Incoming;

    fn packet(seq: u16, ts_rtp: u32, payload: &[u8]) -> Incoming<'_> {
        Incoming {
            seq,
            ts_rtp,
            is_marker: false,
            codec: Codec::H264,
            is_recovered: false,
            is_healed: false,
            needs_nack: true,
            level: None,
            orientation: None,
            payload,
            dependency: &[],
            capture: &[],
        }
    }

    #[test]
    fn edge_04_a_stream_that_starts_anew_with_a_key_frame_is_entered_there() {
        const SPS: [u8; 4] = [0x67, 0x42, 0xe0, 0x1f];
        let mut encoding = Encoding::new(EncodingConfig::default(), false);
        encoding.insert(1, &packet(100, 5000, &SPS));
        assert_eq!(encoding.key.map(|key| key.ts_rtp), Some(5000));
        encoding.rebind(77);
        encoding.insert(2, &packet(9, 777, &SPS));
        assert_eq!(encoding.key.map(|key| key.ts_rtp), Some(777));
    }
}
