//! The way from a cached key frame to the newest packet, at a pace that links can take.

use crate::api::Micros;
use crate::media::encoding::Encoding;

use super::pace::{HEAD_BYTES, Pace};
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
        pace: Option<&Pace>,
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) -> bool {
        let Some(epoch) = &self.epoch else {
            return false;
        };
        let encoding = &encodings[usize::from(epoch.encoding)];
        let mut seq_ext = epoch.next_seq_ext();
        if seq_ext < encoding.ring.oldest_seq_ext() {
            self.stop();
            return true;
        }
        let mut room = match pace {
            _ if self.is_audio => i64::MAX,
            Some(pace) => pace.room,
            None => self.earn(now, encoding.bitrate_bps(now)),
        };
        let end = encoding.ring.next_seq_ext();
        while seq_ext < end && room > 0 {
            if let Some(view) = encoding.ring.view(seq_ext) {
                if pace.is_some() && self.is_leaving_at(view) {
                    // Finished, or without the rest of it: that would be waited for in vain.
                    self.drain_until_us = Some(now);
                    break;
                }
                let outgoing = self.offer(now, view);
                // A budget pays for what leaves, a replay for what it goes over.
                if outgoing.is_some() || pace.is_none() {
                    room -= i64::from(view.len) + if pace.is_some() { HEAD_BYTES } else { 0 };
                }
                if let Some(outgoing) = outgoing {
                    emit(encoding, outgoing);
                }
            }
            seq_ext += 1;
        }
        self.lag.is_behind = seq_ext < end;
        self.replay_bytes = room.min(REPLAY_BURST_BYTES);
        if !self.lag.is_behind {
            self.phase = Phase::Live;
        }
        false
    }

    /// Bytes that a replay at its own pace may take.
    fn earn(&mut self, now: Micros, bitrate_bps: u64) -> i64 {
        let rate_bps = (bitrate_bps * REPLAY_FACTOR).max(MIN_REPLAY_BPS);
        let earned = now.saturating_sub(self.replayed_us) * rate_bps / 8_000_000;
        self.replayed_us = now;
        (self.replay_bytes + earned as i64).min(REPLAY_BURST_BYTES)
    }
}
