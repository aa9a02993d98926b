//! What a subscriber's receiver reports say of losses on its line (RFC 3550 §6.4.1), all streams
//! weighed by their packets: fifty of sound must not hide what two hundred of a picture tell.

use crate::api::Micros;
use crate::wire::rtcp::ReportBlock;

/// The share covers one to two of these: reports come every half to one and a half seconds.
const WINDOW_US: Micros = 1_000_000;
/// A longer step between two reports of one stream is a new beginning, or rubbish.
const MAX_STEP: u32 = 1 << 16;

/// How far one stream was reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamReports {
    last: Option<(u32, i32)>,
    last_sr: u32,
}

impl StreamReports {
    /// A report came: the peer knows the stream.
    pub fn has_any(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the report answers a sender report that none before it did. While a stream is paused
    /// reports repeat how the last one came, and a queue it met would stay for ever.
    pub fn takes_new_clock(&mut self, report: &ReportBlock) -> bool {
        std::mem::replace(&mut self.last_sr, report.last_sr) != report.last_sr
    }

    /// Packets that `report` tells of and no report before it, and how many of them were lost.
    /// `num_sent` = packets of the stream so far: what the first report is about.
    pub fn advance(&mut self, report: &ReportBlock, num_sent: u64) -> (u32, u32) {
        let before = self.last.replace((report.highest_seq, report.num_lost));
        let Some((highest_seq, num_lost)) = before else {
            let num = num_sent.min(u64::from(MAX_STEP)) as u32;
            return (num, num * u32::from(report.fraction_lost) / 256);
        };
        let step = report.highest_seq.wrapping_sub(highest_seq);
        if step > MAX_STEP {
            return (0, 0);
        }
        let lost = report.num_lost.saturating_sub(num_lost).clamp(0, step as i32);
        (step, lost as u32)
    }
}

/// The sum over all streams of a transport.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReportedLoss {
    /// Packets reported so far, lost ones included.
    pub num_packets: u64,
    /// Of them, lost.
    pub num_lost: u64,
    opened_us: Micros,
    open: (u32, u32),
    before: (u32, u32),
}

impl ReportedLoss {
    /// A report told of `packets`, of which `lost` did not come.
    pub fn add(&mut self, now: Micros, (packets, lost): (u32, u32)) {
        self.num_packets += u64::from(packets);
        self.num_lost += u64::from(lost);
        let open_us = now.saturating_sub(self.opened_us);
        if open_us >= WINDOW_US {
            self.before = if open_us < 2 * WINDOW_US { self.open } else { (0, 0) };
            self.open = (0, 0);
            self.opened_us = now;
        }
        self.open = (self.open.0.saturating_add(packets), self.open.1.saturating_add(lost));
    }

    /// Lost of late, in thousandths.
    pub fn permille(&self) -> u16 {
        let packets = u64::from(self.open.0) + u64::from(self.before.0);
        let lost = u64::from(self.open.1) + u64::from(self.before.1);
        (lost * 1000).checked_div(packets).unwrap_or(0) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::{ReportedLoss, StreamReports};
    use crate::wire::rtcp::ReportBlock;

    fn report(highest_seq: u32, num_lost: i32, fraction_lost: u8) -> ReportBlock {
        ReportBlock { fraction_lost, num_lost, highest_seq, ..ReportBlock::default() }
    }

    #[test]
    fn each_packet_is_told_of_once_although_a_report_was_lost() {
        let mut stream = StreamReports::default();
        assert!(!stream.has_any());
        assert_eq!(stream.advance(&report(1_040, 9, 64), 40), (40, 10), "the first: all so far");
        assert!(stream.has_any());
        assert_eq!(stream.advance(&report(1_240, 59, 0), 240), (200, 50), "two intervals at once");
        assert_eq!(stream.advance(&report(1_240, 59, 0), 240), (0, 0), "the same again");
    }

    #[test]
    fn a_sender_report_is_answered_once() {
        let mut stream = StreamReports::default();
        let answer = |last_sr| ReportBlock { last_sr, ..ReportBlock::default() };
        let is_new = [0, 7, 7, 7, 9, 9].map(|last_sr| stream.takes_new_clock(&answer(last_sr)));
        assert_eq!(is_new, [false, true, false, false, true, false]);
    }

    #[test]
    fn rubbish_stays_a_share() {
        let mut stream = StreamReports::default();
        stream.advance(&report(u32::MAX, 0, 255), u64::MAX);
        assert_eq!(stream.advance(&report(9, -500, 0), 0), (10, 0), "duplicates; a wrap");
        assert_eq!(stream.advance(&report(19, i32::MAX, 0), 0), (10, 10));
        assert_eq!(stream.advance(&report(1, i32::MIN, 0), 0), (0, 0), "back");
        assert_eq!(stream.advance(&report(200_000, 0, 0), 0), (0, 0), "far ahead");
    }

    #[test]
    fn sound_does_not_hide_the_losses_of_a_picture_and_old_ones_are_forgotten() {
        let mut loss = ReportedLoss::default();
        assert_eq!(loss.permille(), 0);
        loss.add(5_000_000, (150, 60));
        loss.add(5_100_000, (50, 0));
        assert_eq!(loss.permille(), 300);
        loss.add(6_100_000, (200, 0));
        assert_eq!(loss.permille(), 150, "both seconds");
        loss.add(7_200_000, (200, 0));
        assert_eq!(loss.permille(), 0);
        loss.add(7_300_000, (10, 10));
        loss.add(60_000_000, (10, 1));
        assert_eq!(loss.permille(), 100, "a minute later");
        assert_eq!((loss.num_packets, loss.num_lost), (620, 71));
    }
}
