//! Temporal layers of VP8: which pictures are left out, and how their numbers close up.

use crate::api::Codec;
use crate::media::ring::View;

use super::Flow;

impl Flow {
    /// Whether the temporal filter leaves this packet out; if so, its number is closed up.
    pub(super) fn filters(&mut self, view: &View) -> bool {
        if view.codec != Codec::Vp8 {
            return false;
        }
        self.update_temporal(view);
        let Some(epoch) = &mut self.epoch else {
            return false;
        };
        // What is missing right after a left-out picture is the rest of it, if the next picture id
        // says that no other picture is missing.
        if self.left_out_ts.is_some() && view.is_frame_start && epoch.follows_left_out(view) {
            epoch.leave_out_missing(view.seq_ext);
        }
        let is_same_picture = self.left_out_ts == Some(view.ts_rtp);
        if !is_same_picture {
            // Edge cases 6 and 12: after a gap nobody knows what the missing packets belonged to.
            // Their numbers are kept, so the picture that may own them goes out whole.
            // Not so if the picture before was whole or left out as well, and this is the very next:
            // then the missing packets can only be its own.
            let is_before_done = self.open_ts.is_none() || self.left_out_ts.is_some();
            let is_explained = is_before_done && epoch.is_next_picture(view);
            let is_in_order = view.seq_ext == epoch.next_seq_ext() && view.is_frame_start;
            let has_gap = !is_in_order && !is_explained;
            let is_filtered = view.temporal > self.temporal && self.exempt_ts != Some(view.ts_rtp);
            if !is_filtered {
                self.left_out_ts = None;
                return false;
            }
            if has_gap {
                self.left_out_ts = None;
                self.exempt_ts = Some(view.ts_rtp);
                return false;
            }
        }
        // What is missing between two packets of a left-out picture belongs to it as well.
        epoch.leave_out_missing(view.seq_ext);
        epoch.leave_out(view.seq_ext);
        if view.has_pid {
            epoch.leave_out_picture(view.pid);
        }
        self.left_out_ts = Some(view.ts_rtp);
        true
    }

    /// Edge case 13: up only at a picture that needs nothing of its own layer; down at any picture.
    fn update_temporal(&mut self, view: &View) {
        let wanted = self.wanted_temporal();
        if !view.is_frame_start || wanted == self.temporal {
            return;
        }
        if wanted < self.temporal || view.is_key {
            self.temporal = wanted;
        } else if view.is_sync && view.temporal > self.temporal && view.temporal <= wanted {
            self.temporal = view.temporal;
        }
    }
}
