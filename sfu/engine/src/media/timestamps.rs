//! Timestamps of a subscriber's stream: one rule per epoch.

/// Timestamp rule of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    offset: u32,
    squeeze_from: u32,
    squeeze_len: u32,
    squeeze_out: u32,
    squeeze_out_len: u32,
}

impl Timestamps {
    /// `out = ts + offset` from the start.
    pub fn plain(offset: u32) -> Timestamps {
        Timestamps { offset, ..Timestamps::default() }
    }

    /// A start at `ts_start` that must come out after `last_out`.
    ///
    /// Where the plain rule would go backwards (a group of pictures replayed after newer pictures
    /// of another layer), the first stretch is compressed linearly until it has caught up, so that
    /// every frame keeps a timestamp of its own and none goes back.
    pub fn after(offset: u32, ts_start: u32, last_out: u32, clock_hz: u32) -> Timestamps {
        let plain_out = ts_start.wrapping_add(offset);
        let behind = last_out.wrapping_sub(plain_out) as i32;
        if behind < 0 {
            return Timestamps::plain(offset);
        }
        // At most 10 s of overlap can be told from a broken clock; then the stream starts anew.
        let step = clock_hz / 1000;
        let behind = behind as u32;
        if behind > clock_hz * 10 {
            return Timestamps::plain(last_out.wrapping_add(step).wrapping_sub(ts_start));
        }
        let squeeze_len = behind / 3 * 4 + clock_hz / 4;
        Timestamps {
            offset,
            squeeze_from: ts_start,
            squeeze_len,
            squeeze_out: last_out.wrapping_add(step),
            squeeze_out_len: squeeze_len - behind - step,
        }
    }

    /// The timestamp that leaves for `ts`.
    pub fn map(&self, ts: u32) -> u32 {
        let since = ts.wrapping_sub(self.squeeze_from);
        if since < self.squeeze_len {
            let part =
                u64::from(since) * u64::from(self.squeeze_out_len) / u64::from(self.squeeze_len);
            return self.squeeze_out.wrapping_add(part as u32);
        }
        ts.wrapping_add(self.offset)
    }

    /// Whether a timestamp up to `reach` before `ts` is compressed.
    pub fn is_squeezed_before(&self, ts: u32, reach: u32) -> bool {
        self.squeeze_len > 0 && ts.wrapping_sub(self.squeeze_from) < self.squeeze_len + reach
    }

    /// The rule once any compression is over; sender reports use it.
    pub fn offset(&self) -> u32 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_02_timestamps_never_go_back_nor_repeat_when_a_replay_starts_behind() {
        let last_out: u32 = 0xffff_ff00;
        let offset = 1234u32;
        let ts_start = last_out.wrapping_sub(offset).wrapping_sub(90_000); // one second behind
        let rule = Timestamps::after(offset, ts_start, last_out, 90_000);
        let mut previous = last_out;
        for frame in 0..120u32 {
            let out = rule.map(ts_start.wrapping_add(frame * 3000));
            assert!((out.wrapping_sub(previous) as i32) > 0, "frame {frame}");
            previous = out;
        }
        let late = ts_start.wrapping_add(119 * 3000);
        assert_eq!(rule.map(late), late.wrapping_add(offset), "caught up");
    }

    #[test]
    fn edge_02_a_clock_that_jumped_far_back_starts_anew_after_the_last_frame() {
        let rule = Timestamps::after(0, 0, 90_000 * 1000, 90_000);
        assert_eq!(rule.map(0), 90_000 * 1000 + 90);
    }
}
