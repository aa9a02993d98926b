//! The way from a cached key frame to the newest packet, at a pace that links can take.

use crate::api::Micros;
use crate::media::encoding::Encoding;

use super::{Flow, Outgoing, Phase, REPLAY_BURST_BYTES};

/// Replay speed: this many times the encoding's bitrate, but at least [`MIN_REPLAY_BPS`].
const REPLAY_FACTOR: u64 = 4;
const MIN_REPLAY_BPS: u64 = 2_000_000;

impl Flow {
    /// Takes the next stretch; true if the ring was overwritten before the replay got there.
    pub(super) fn replay(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) -> bool {
        let Some(epoch) = &self.epoch else {
            return false;
        };
        let encoding = &encodings[usize::from(epoch.encoding)];
        let rate_bps = (encoding.bitrate_bps(now) * REPLAY_FACTOR).max(MIN_REPLAY_BPS);
        let earned = (now - self.replayed_us) * rate_bps / 8_000_000;
        self.replay_bytes = (self.replay_bytes + earned as i64).min(REPLAY_BURST_BYTES);
        self.replayed_us = now;
        let mut seq_ext = epoch.next_seq_ext();
        if seq_ext < encoding.ring.oldest_seq_ext() {
            self.stop();
            return true;
        }
        while seq_ext < encoding.ring.next_seq_ext() && (self.is_audio || self.replay_bytes > 0) {
            if let Some(view) = encoding.ring.view(seq_ext) {
                self.replay_bytes -= i64::from(view.len);
                if let Some(outgoing) = self.offer(now, view) {
                    emit(encoding, outgoing);
                }
            }
            seq_ext += 1;
        }
        if seq_ext >= encoding.ring.next_seq_ext() {
            self.phase = Phase::Live;
        }
        false
    }
}
