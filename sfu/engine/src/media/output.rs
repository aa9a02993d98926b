//! The stream a subscriber sees: its SSRCs and payload types, what was sent for retransmission, and
//! what the subscriber reports.

mod copies;
mod rules;

use crate::api::{Codec, Micros, Payload, SinkConfig};

use super::encoding::Encoding;
use super::flow::{Content, Flow, Outgoing};
use super::patience::Patience;
use super::redundancy::{MAX_EARLIER, RedFormat};
use super::reported_loss::StreamReports;
use super::rewrite::Epoch;
use copies::Copies;
use rules::worth;
pub use rules::{NotResent, ResendRules};

/// Packets that can be asked for again; as many as the ring holds.
const HISTORY_SLOTS: usize = 512;
/// Packets that carry the mid before it counts as known.
const MID_PACKETS: u64 = 100;
/// Packets per round trip that may always be resent.
const RTX_PACKETS_PER_RTT: u64 = 3;
const PACKET_BYTES: u64 = 1200;
/// Budget that a quiet stream saves up for a burst of losses.
const RTX_MAX_SAVED_BYTES: u64 = 48_000;

/// When a packet leaves, as the history notes it: milliseconds, wrapping.
pub fn sent_ms(now: Micros) -> u16 {
    (now / 1000) as u16
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    out_seq: u16,
    /// Low bits of the source's number.
    seq: u16,
    pid: u16,
    /// Milliseconds, wrapping: long gaps only make a resend possible.
    sent_ms: u16,
    tl0: u8,
    epoch_id: u8,
    /// Kind in the low half, tries in the high one.
    kind: u8,
    /// When it was first sent, in units of 16 ms, wrapping after 4 s.
    first: u8,
}

impl Sent {
    /// What it left as, but for the timestamp.
    fn outgoing(&self, epoch: &Epoch) -> Outgoing {
        let next = epoch.next_seq_ext();
        let seq_ext = next.wrapping_sub(u64::from((next as u16).wrapping_sub(self.seq)));
        let is_media = self.kind & KIND_MEDIA != 0;
        Outgoing {
            content: if is_media { Content::Stored(seq_ext) } else { Content::Params },
            epoch_id: self.epoch_id,
            out_seq_ext: u64::from(self.out_seq),
            out_ts: 0,
            pid: (self.kind & HAS_PID != 0).then_some(self.pid),
            tl0: (self.kind & HAS_TL0 != 0).then_some(self.tl0),
            reach: 0,
        }
    }

    /// Units of 16 ms since it was first sent.
    fn age(&self, now: Micros) -> u8 {
        ((now / FIRST_UNIT_US) as u8).wrapping_sub(self.first)
    }
}

/// Unit of [`Sent::first`].
const FIRST_UNIT_US: Micros = 16_000;
const KIND_NONE: u8 = 0;
const KIND_MEDIA: u8 = 1;
const KIND_PARAMS: u8 = 2;
const HAS_PID: u8 = 4;
const HAS_TL0: u8 = 8;
const ONE_TRY: u8 = 0x10;

/// Cumulative counts and the last reports of one subscription.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputCounts {
    /// Packets sent, first sends only.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets asked for.
    pub nacks_received: u32,
    /// Retransmissions sent.
    pub rtx_sent: u32,
    /// Retransmissions refused.
    pub rtx_missed: u32,
    /// Copies in advance sent.
    pub copies_sent: u32,
    /// Key frames asked for.
    pub plis_received: u32,
    /// Of 256, from the last receiver report.
    pub loss_fraction: u8,
    /// From the last receiver report, codec clock.
    pub jitter_rtp: u32,
}

/// One stream to one subscriber.
#[derive(Debug)]
pub struct Output {
    /// SSRC of the media.
    pub ssrc: u32,
    /// SSRC of retransmissions, 0 = none.
    pub rtx_ssrc: u32,
    /// Its m-section.
    pub mid: String,
    /// Counts and reports.
    pub counts: OutputCounts,
    /// How far receiver reports told of it.
    pub reports: StreamReports,
    /// When a PLI was last answered from the cache.
    pub pli_served_us: Option<Micros>,
    /// How soon its publisher may be asked for another key frame.
    pub patience: Patience,
    /// Next number of the retransmission stream.
    pub rtx_seq: u16,
    num_red: u8,
    payloads: [(u8, u8); 7],
    history: Vec<Sent>,
    copies: Copies,
    rtx_bytes: u64,
    rtx_refilled_us: Micros,
}

impl Output {
    /// From what the subscriber negotiated.
    pub fn new(config: SinkConfig, rtx_seq: u16) -> Output {
        let mut payloads = [(0, 0); 7];
        for &Payload { pt, codec, rtx_pt } in &config.payloads {
            payloads[codec as usize] = (pt, rtx_pt);
        }
        Output {
            ssrc: config.ssrc,
            rtx_ssrc: config.rtx_ssrc,
            mid: config.mid,
            counts: OutputCounts::default(),
            reports: StreamReports::default(),
            pli_served_us: None,
            patience: Patience::default(),
            rtx_seq,
            num_red: 0,
            payloads,
            history: Vec::new(),
            copies: Copies::default(),
            rtx_bytes: RTX_MAX_SAVED_BYTES,
            rtx_refilled_us: 0,
        }
    }

    /// Payload type for `codec`.
    pub fn payload_type(&self, codec: Codec) -> Option<u8> {
        let pt = self.payloads[codec as usize].0;
        (pt != 0).then_some(pt)
    }

    /// Earlier frames that every audio packet is to carry.
    pub fn set_red(&mut self, num_earlier: u8) {
        self.num_red = num_earlier.min(MAX_EARLIER);
    }

    /// How audio leaves as RED, where that is wanted and negotiated.
    pub fn red(&self) -> Option<RedFormat> {
        let (pt, opus_pt) = (self.payload_type(Codec::Red)?, self.payload_type(Codec::Opus)?);
        (self.num_red > 0).then_some(RedFormat { pt, opus_pt, num_earlier: self.num_red })
    }

    /// Payload type of retransmissions of `codec`.
    pub fn rtx_payload_type(&self, codec: Codec) -> Option<u8> {
        let rtx_pt = self.payloads[codec as usize].1;
        (self.rtx_ssrc != 0 && rtx_pt != 0).then_some(rtx_pt)
    }

    /// Payload type of some retransmission stream, for packets that retransmit nothing.
    pub fn any_rtx_payload_type(&self) -> Option<u8> {
        let known = self.payloads.iter().map(|&(_, rtx_pt)| rtx_pt).find(|&rtx_pt| rtx_pt != 0);
        known.filter(|_| self.rtx_ssrc != 0)
    }

    /// The m-section is still told.
    pub fn needs_mid(&self) -> bool {
        !self.reports.has_any() && self.counts.packets < MID_PACKETS
    }

    /// Bytes of memory taken besides the struct.
    pub fn memory_bytes(&self) -> usize {
        self.history.capacity() * size_of::<Sent>() + self.mid.capacity()
    }

    /// Notes that a packet goes out.
    pub fn on_sent(&mut self, now: Micros, outgoing: &Outgoing, payload_len: usize) {
        self.counts.packets += 1;
        self.counts.bytes += payload_len as u64;
        if self.rtx_ssrc == 0 || outgoing.content == Content::Empty {
            return;
        }
        if self.history.is_empty() {
            self.history = vec![Sent::default(); HISTORY_SLOTS];
        }
        let (kind, seq) = match outgoing.content {
            Content::Stored(seq_ext) => (KIND_MEDIA, seq_ext as u16),
            Content::Params | Content::Empty => (KIND_PARAMS, 0),
        };
        let has_pid = if outgoing.pid.is_some() { HAS_PID } else { 0 };
        let has_tl0 = if outgoing.tl0.is_some() { HAS_TL0 } else { 0 };
        self.history[outgoing.out_seq_ext as usize % HISTORY_SLOTS] = Sent {
            out_seq: outgoing.out_seq_ext as u16,
            seq,
            pid: outgoing.pid.unwrap_or(0),
            sent_ms: sent_ms(now),
            tl0: outgoing.tl0.unwrap_or(0),
            epoch_id: outgoing.epoch_id,
            kind: kind | has_pid | has_tl0,
            first: (now / FIRST_UNIT_US) as u8,
        };
        self.copies.on_sent(outgoing.out_seq_ext);
    }

    /// Whether packet `out_seq` is to be sent again now, and as what. `lost_ms` = when one left that
    /// is known to be lost, by the clock of [`sent_ms`].
    pub fn resend(
        &mut self,
        now: Micros,
        (out_seq, lost_ms): (u16, Option<u16>),
        flow: &Flow,
        encodings: &[Encoding],
        rules: &ResendRules,
    ) -> Result<(u8, Outgoing), NotResent> {
        let slot =
            self.history.get_mut(usize::from(out_seq) % HISTORY_SLOTS).ok_or(NotResent::Unknown)?;
        if slot.kind == KIND_NONE || slot.out_seq != out_seq {
            return Err(NotResent::Unknown);
        }
        let epoch = flow.epoch(slot.epoch_id).ok_or(NotResent::Unknown)?;
        // Edge case of str0m #1918: the wait counts from the first send as well.
        let since_ms = sent_ms(now).wrapping_sub(slot.sent_ms);
        let tries = slot.kind / ONE_TRY;
        let is_lost = lost_ms == Some(slot.sent_ms);
        if !is_lost && u64::from(since_ms) < rules.wait_us(tries) / 1000 {
            return Err(NotResent::TooSoon);
        }
        let outgoing = slot.outgoing(epoch);
        let is_last = tries >= rules.max_tries();
        if rules.is_paced {
            worth(now, slot, &outgoing, flow, encodings, is_last)?;
        } else if is_last {
            return Err(NotResent::TooSoon);
        }
        if self.rtx_bytes < PACKET_BYTES {
            return Err(NotResent::OverBudget);
        }
        self.rtx_bytes -= PACKET_BYTES;
        slot.kind += ONE_TRY;
        slot.sent_ms = sent_ms(now);
        Ok((epoch.encoding, outgoing))
    }

    /// Fills the retransmission budget up to now: the larger of a share of the rate and a few
    /// packets per round trip.
    pub fn refill_rtx(&mut self, now: Micros, bitrate_bps: u64, rules: &ResendRules) {
        // A long way loses no less.
        let rtt_us = match rules.rtt_us {
            0 => rules::USUAL_WAIT_US,
            rtt_us => rtt_us.clamp(10_000, rules::USUAL_WAIT_US),
        };
        let by_share = bitrate_bps / 8 * rules.share_percent() / 100;
        let by_rtt = RTX_PACKETS_PER_RTT * PACKET_BYTES * 1_000_000 / rtt_us;
        let elapsed_us = now.saturating_sub(self.rtx_refilled_us).min(1_000_000);
        let earned = elapsed_us * by_share.max(by_rtt) / 1_000_000;
        if earned > 0 {
            self.rtx_bytes = (self.rtx_bytes + earned).min(RTX_MAX_SAVED_BYTES);
            self.rtx_refilled_us = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Layers;
    use crate::media::flow::FlowStart;
    use crate::media::sink::Sink;

    fn config() -> SinkConfig {
        let payloads = vec![
            Payload { pt: 111, codec: Codec::Opus, rtx_pt: 0 },
            Payload { pt: 96, codec: Codec::Vp8, rtx_pt: 97 },
        ];
        SinkConfig { ssrc: 1, rtx_ssrc: 2, mid: "0".into(), payloads }
    }

    fn sink() -> Sink {
        let layers = Layers { spatial: 0, temporal: 7, paused: false };
        let from = FlowStart { out_seq_ext: 0, out_ts: 0, used_us: None };
        Sink {
            id: 1,
            source_id: 1,
            source: None,
            transport: 0,
            flow: Flow::new(false, layers, from),
            output: Output::new(config(), 0),
            is_listed_busy: false,
            started_us: None,
        }
    }

    fn outgoing(out_seq_ext: u64) -> Outgoing {
        let content = Content::Stored(1000 + out_seq_ext);
        Outgoing { out_seq_ext, pid: Some(3), ..Outgoing::of(content) }
    }

    #[test]
    fn a_sink_takes_little_memory() {
        let mut sink = sink();
        sink.output.on_sent(0, &outgoing(1), 100);
        assert!(sink.memory_bytes() < 8 * 1024, "{}", sink.memory_bytes());
    }

    #[test]
    fn red_leaves_only_where_it_is_wanted_and_negotiated() {
        let mut output = Output::new(config(), 0);
        output.set_red(9);
        assert_eq!((output.payload_type(Codec::Red), output.red()), (None, None));
        let mut config = config();
        config.payloads.push(Payload { pt: 63, codec: Codec::Red, rtx_pt: 0 });
        let mut output = Output::new(config, 0);
        assert_eq!(output.red(), None);
        output.set_red(9);
        let format = RedFormat { pt: 63, opus_pt: 111, num_earlier: MAX_EARLIER };
        assert_eq!(output.red(), Some(format));
    }

    #[test]
    fn payload_types_are_those_that_were_negotiated() {
        let output = Output::new(config(), 0);
        assert_eq!(output.payload_type(Codec::Opus), Some(111));
        assert_eq!(output.payload_type(Codec::H264), None);
        assert_eq!(output.rtx_payload_type(Codec::Vp8), Some(97));
        assert_eq!(output.rtx_payload_type(Codec::Opus), None);
    }

    #[test]
    fn what_was_never_sent_or_is_of_another_time_is_not_resent() {
        let mut sink = sink();
        let rules = ResendRules::default();
        let asked = |sink: &mut Sink, seq| {
            sink.output.resend(1_000_000, (seq, None), &sink.flow, &[], &rules)
        };
        assert_eq!(asked(&mut sink, 1), Err(NotResent::Unknown));
        sink.output.on_sent(0, &outgoing(1), 100);
        assert_eq!(asked(&mut sink, 513), Err(NotResent::Unknown), "the same slot");
        assert_eq!(asked(&mut sink, 1), Err(NotResent::Unknown), "no epoch runs");
    }

    #[test]
    fn copies_are_due_one_after_the_other_and_what_was_never_sent_has_none() {
        let mut sink = sink();
        let output = &mut sink.output;
        assert_eq!(output.next_copy_us(0), None);
        output.set_copies(200);
        assert_eq!((output.has_copies(), output.next_copy_us(0)), (true, None));
        output.on_sent(16_000, &outgoing(40_000), 100);
        output.on_sent(16_000, &outgoing(40_002), 100);
        assert_eq!(output.next_copy_us(16_000), Some(64_000));
        assert_eq!(output.next_copy_us(64_000), Some(64_000));
        // No epoch runs, so nothing can be sent; but the places are passed one by one.
        for _ in 0..2 {
            assert_eq!(output.next_copy_us(64_000), Some(64_000));
            assert_eq!(output.take_copy(64_000, &sink.flow), None);
        }
        assert_eq!(output.next_copy_us(64_000), Some(112_000), "the second ones");
        output.set_copies(1);
        assert_eq!(output.next_copy_us(64_000), None);
        output.set_copies(0);
        assert_eq!(output.take_copy(64_000, &sink.flow), None);
        assert_eq!(output.take_filler(64_000, &sink.flow), None);
    }

    #[test]
    fn the_mid_is_told_until_the_peer_reports() {
        let mut output = Output::new(config(), 0);
        assert!(output.needs_mid());
        output.reports.advance(&Default::default(), 1);
        assert!(!output.needs_mid());
    }
}
