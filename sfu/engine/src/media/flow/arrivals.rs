//! Newly arrived packets: those of the running epoch, and late ones of the one before.

use crate::api::Micros;
use crate::media::encoding::Encoding;
use crate::media::rewrite::Epoch;
use crate::media::ring::View;

use super::{Content, Flow, Outgoing, Phase};

/// Numbers that late packets of the old layer may be behind the newest one.
const MAX_BEHIND: u64 = 500;

impl Flow {
    /// Newly arrived packets of the running epoch. While replaying or paced, only those that were
    /// passed already: the walk along the ring will come to the others by itself.
    pub(super) fn emit_log(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) {
        let Some(epoch) = &self.epoch else { return };
        let encoding = &encodings[usize::from(epoch.encoding)];
        let is_walking = self.phase == Phase::Replaying || self.lag.is_paced;
        for &seq_ext in &encoding.log {
            let next = self.epoch.as_ref().map_or(0, Epoch::next_seq_ext);
            if is_walking && seq_ext >= next {
                continue;
            }
            let view = encoding.ring.view(seq_ext);
            if let Some(outgoing) = view.and_then(|view| self.offer(now, view)) {
                emit(encoding, outgoing);
            }
        }
    }

    /// Late packets of the encoding that was left lately.
    pub(super) fn emit_tail(
        &mut self,
        now: Micros,
        encodings: &[Encoding],
        emit: &mut impl FnMut(&Encoding, Outgoing),
    ) {
        let Some((epoch, until)) = &self.tail else {
            return;
        };
        let newest = self.epoch.as_ref().map_or(0, Epoch::next_out_seq_ext);
        let encoding = &encodings[usize::from(epoch.encoding)];
        if now >= *until || encoding.generation != epoch.generation {
            self.tail = None;
            return;
        }
        for &seq_ext in encoding.log.iter().filter(|&&seq_ext| seq_ext < epoch.next_seq_ext()) {
            let out = encoding.ring.view(seq_ext).and_then(|view| late(epoch, view));
            // SRTP takes no number that is too far behind the newest one.
            if let Some(outgoing) = out.filter(|out| out.out_seq_ext + MAX_BEHIND > newest) {
                emit(encoding, outgoing);
            }
        }
    }
}

/// A packet that fills the gap that was kept for it; an empty one, if it is padding or part of a
/// picture that was left out meanwhile.
pub(super) fn late(epoch: &Epoch, view: &View) -> Option<Outgoing> {
    let mut outgoing = outgoing(epoch, view, epoch.out_seq_ext(view.seq_ext)?);
    if view.is_padding_only() || view.has_pid && epoch.is_picture_left_out(view.pid) {
        outgoing.content = Content::Empty;
    }
    Some(outgoing)
}

pub(super) fn outgoing(epoch: &Epoch, view: &View, out_seq_ext: u64) -> Outgoing {
    Outgoing {
        content: Content::Stored(view.seq_ext),
        epoch_id: epoch.id,
        out_seq_ext,
        out_ts: epoch.timestamps.map(view.ts_rtp),
        pid: view.has_pid.then(|| epoch.out_pid(view.pid)),
        tl0: view.has_tl0.then(|| epoch.out_tl0(view.tl0)),
        reach: if view.codec.is_audio() { epoch.reach(view) } else { 0 },
    }
}
