//! Arriving RTCP: clocks of publishers, wishes and reports of subscribers.

use crate::api::{Event, Micros, Path, TransportId};
use crate::media::clock::us_to_ntp;
use crate::media::output::sent_ms;
use crate::media::twcc::Open;
use crate::wire::rtcp::{NackSeqs, ReportBlock, ReportBlocks, RtcpPacket, SenderInfo, packets};
use crate::wire::twcc_feedback::Feedback;

use super::Core;
use super::resend::Asked;

/// Retransmissions waiting for a flush at most.
const MAX_ASKED: usize = 4096;
/// Of those, by one peer: a flood of requests must not take the others' place.
const MAX_ASKED_BY_PEER: u16 = 512;
/// Packets that the feedback in one datagram may tell of. An honest one tells of a few hundred; a
/// few bytes can claim tens of thousands, and all of them would be looked up.
const MAX_STATUSES: usize = 16_384;
/// A picture lost this shortly after a key frame left was lost before it arrived.
const KEY_FLIGHT_US: Micros = 100_000;
/// A line with a longer queue, or more losses, is one that somebody should look at.
const RESTLESS_QUEUE_US: i64 = 50_000;
const RESTLESS_LOSS_PERMILLE: u16 = 30;
/// A subscriber is served from the cache once in this time.
const PLI_SERVE_INTERVAL_US: Micros = 1_000_000;

impl Core {
    /// Takes one SRTCP compound.
    pub(super) fn handle_rtcp(&mut self, now: Micros, path: Path, index: u32, data: &mut [u8]) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let Some(receiver) = &mut transport.receiver else {
            self.counters.dropped_no_keys += 1;
            return;
        };
        let len = match receiver.unprotect_rtcp(data) {
            Ok(len) => len,
            Err(error) => return self.count_srtp_error(index, error),
        };
        self.on_heard(now, path, index);
        let mut num_statuses = 0;
        for packet in packets(&data[..len]) {
            if let RtcpPacket::TransportCc(feedback) = &packet {
                num_statuses += usize::from(feedback.status_count);
                if num_statuses > MAX_STATUSES {
                    self.counters.dropped_malformed += 1;
                    continue;
                }
            }
            self.handle_rtcp_packet(now, index, packet);
        }
    }

    fn handle_rtcp_packet(&mut self, now: Micros, index: u32, packet: RtcpPacket<'_>) {
        match packet {
            RtcpPacket::SenderReport { info, reports } => {
                self.on_sender_report(now, index, &info);
                self.on_reports(now, index, reports);
            }
            RtcpPacket::ReceiverReport { reports, .. } => self.on_reports(now, index, reports),
            RtcpPacket::Nack { media_ssrc, seqs, .. } => self.on_nack(index, media_ssrc, seqs),
            RtcpPacket::Pli { media_ssrc, .. } => self.on_pli(now, index, media_ssrc),
            RtcpPacket::Fir { entries, .. } => {
                for (ssrc, _) in entries {
                    self.on_pli(now, index, ssrc);
                }
            }
            RtcpPacket::Remb { rate_bps, .. } => {
                if let Some(transport) = self.transports.get_mut(index) {
                    transport.remb_bps = rate_bps.min(u64::from(u32::MAX)) as u32;
                }
            }
            RtcpPacket::TransportCc(feedback) => self.on_transport_cc(now, index, &feedback),
            RtcpPacket::Malformed { .. } => {
                self.counters.dropped_malformed += 1;
                if let Some(transport) = self.transports.get_mut(index) {
                    transport.counts.dropped_malformed += 1;
                }
            }
            // A stream that says goodbye may come back under the same SSRC; RemoveSource ends it.
            RtcpPacket::Bye(_) | RtcpPacket::SourceDescription | RtcpPacket::Other { .. } => {}
        }
    }

    fn on_sender_report(&mut self, now: Micros, index: u32, info: &SenderInfo) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let Some(at) = transport.binding(info.ssrc) else {
            return;
        };
        let binding = transport.bindings[at];
        let Some(source) = self.sources.get_mut(binding.source) else {
            return;
        };
        if binding.is_rtx {
            return;
        }
        let clock = &mut source.encodings[usize::from(binding.encoding)].clock;
        // A report that is not believed says nothing about the peer's wall clock either.
        if clock.on_report(now, info.ntp, info.ts_rtp) {
            transport.ntp.on_report(now, crate::media::clock::ntp_to_us(info.ntp));
        }
    }

    fn on_reports(&mut self, now: Micros, index: u32, reports: ReportBlocks<'_>) {
        let now_mid = (us_to_ntp(now) >> 16) as u32;
        for report in reports {
            self.on_report(now, index, now_mid, &report);
        }
    }

    fn on_report(&mut self, now: Micros, index: u32, now_mid: u32, report: &ReportBlock) {
        let Some(sink) = self.find_sink(index, report.ssrc) else {
            return;
        };
        let Some(sink) = self.sinks.get_mut(sink) else {
            return;
        };
        // Reports on the retransmission stream tell nothing that the others do not.
        if sink.output.ssrc != report.ssrc {
            return;
        }
        let news = sink.output.reports.advance(report, sink.output.counts.packets);
        let is_new_clock = sink.output.reports.takes_new_clock(report);
        sink.output.counts.loss_fraction = report.fraction_lost;
        sink.output.counts.jitter_rtp = report.jitter_rtp;
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let rtt_us = report.rtt_us(now_mid).filter(|&us| is_new_clock && us < 10_000_000);
        if let Some(rtt_us) = rtt_us {
            let rtt_us = rtt_us.max(1);
            transport.rtt_us = match transport.has_rtt {
                true => (7 * transport.rtt_us + rtt_us) / 8,
                false => rtt_us,
            };
            transport.has_rtt = true;
            transport.newest_rtt_us = rtt_us;
        }
        transport.reported.add(now, news);
        // Feedback about every packet says more, but only once it comes.
        if transport.pacer.brake.feedback_us() == 0 {
            transport.loss_permille = transport.reported.permille();
        }
    }

    fn on_nack(&mut self, index: u32, ssrc: u32, seqs: NackSeqs<'_>) {
        let Some(at) = self.find_sink(index, ssrc) else {
            return;
        };
        let sink = self.sinks.get_mut(at);
        let Some((sink, transport)) = sink.zip(self.transports.get_mut(index)) else {
            return;
        };
        if sink.output.ssrc != ssrc {
            return;
        }
        for seq in seqs {
            self.counters.nacks_received += 1;
            sink.output.counts.nacks_received += 1;
            match self.asked.len() < MAX_ASKED && transport.num_asked < MAX_ASKED_BY_PEER {
                true => {
                    transport.num_asked += 1;
                    self.asked.push(Asked { sink: at, out_seq: seq, lost_ms: None });
                }
                false => {
                    sink.output.counts.rtx_missed += 1;
                    self.counters.rtx_missed += 1;
                }
            }
        }
    }

    /// A subscriber lost its picture. Never passed on as such: a running start serves it, or the
    /// cached key frame, or the source's budget for key frames, as far as its own patience goes.
    fn on_pli(&mut self, now: Micros, index: u32, ssrc: u32) {
        let Some(at) = self.find_sink(index, ssrc) else {
            return;
        };
        if let Some(sink) = self.sinks.get_mut(at) {
            sink.output.counts.plis_received += 1;
        }
        self.serve_picture(now, index, at);
    }

    /// The subscriber of a sink has no picture any more, and cannot get one from what it asks for.
    pub(super) fn serve_picture(&mut self, now: Micros, index: u32, at: u32) {
        let rtt_us = self.transports.get(index).map_or(0, |transport| transport.rtt_us);
        let Some(sink) = self.sinks.get_mut(at) else {
            return;
        };
        let flight_us = rtt_us.max(KEY_FLIGHT_US);
        let is_on_its_way =
            sink.flow.key_sent_us().is_some_and(|sent_us| now.saturating_sub(sent_us) < flight_us);
        // A start that is on its way, or replaying, serves it: also one that takes long on a narrow
        // line, which would never arrive if it were cut short for itself.
        let is_moving = sink.flow.is_replaying() || sink.flow.is_in_motion();
        let is_served = is_on_its_way || sink.flow.current().is_none() || is_moving;
        let Some(source_index) = sink.source.filter(|_| !is_served) else {
            return;
        };
        let Some(source) = self.sources.get(source_index) else {
            return;
        };
        let served_us = sink.output.pli_served_us;
        let may_serve = served_us
            .is_none_or(|served_us| now.saturating_sub(served_us) >= PLI_SERVE_INTERVAL_US);
        // One that waits for another layer would go dark if it were started anew: until that layer
        // has a key frame, the running one has to have its own.
        let is_switching = sink.flow.is_busy();
        if may_serve && !is_switching && sink.flow.restart_from_cache(now, &source.encodings) {
            sink.output.pli_served_us = Some(now);
            self.mark_busy(at);
            return;
        }
        let Some(encoding) = sink.flow.current() else {
            return;
        };
        let key = source.encodings.get(usize::from(encoding)).and_then(|one| one.key);
        if !sink.output.patience.may_ask(now, key.map_or(0, |key| key.arrived_us)) {
            self.counters.keyframe_requests_refused += 1;
            return;
        }
        self.want_key(now, source_index, encoding);
    }

    fn on_transport_cc(&mut self, now: Micros, index: u32, feedback: &Feedback<'_>) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        if !transport.statuses.admit_many(now, u64::from(feedback.status_count)) {
            self.counters.dropped_feedback += 1;
            return;
        }
        let (id, rows, counters) = (transport.id, &mut self.twcc_rows, &mut self.counters);
        let (sinks, asked) = (&self.sinks, &mut self.asked);
        let (early, num_asked) = (&mut transport.early, &mut transport.num_asked);
        let (mut num, mut num_lost) = (0u32, 0u32);
        let brake = &mut transport.pacer.brake;
        transport.sent.on_feedback(now, feedback, |row| {
            brake.on_row(&row);
            num += 1;
            num_lost += u32::from(row.received_us == 0);
            let missed = if row.received_us == 0 { early.take(row.seq) } else { None };
            let known = missed.and_then(|(sink, out_seq)| {
                let lost_ms = Some(sent_ms(row.sent_us));
                sinks.index(sink).map(|sink| Asked { sink, out_seq, lost_ms })
            });
            let may_ask = asked.len() < MAX_ASKED && *num_asked < MAX_ASKED_BY_PEER;
            if let Some(known) = known.filter(|_| may_ask) {
                *num_asked += 1;
                counters.early_resends += 1;
                asked.push(known);
            }
            rows.push(id, &row, counters);
        });
        if let Some(sample) = (num_lost * 1000).checked_div(num) {
            // Feedback comes every 50-100 ms: an eighth each is about a second.
            let before = u32::from(transport.loss_permille);
            transport.loss_permille = ((7 * before + sample) / 8) as u16;
        }
        let budget_bps = transport.pacer.budget_bps();
        let is_on = transport.pacer.is_on();
        let open = if is_on { transport.sent.open(now) } else { Open::default() };
        let verdict = transport.pacer.brake.on_feedback(now, transport.rtt_us, budget_bps, open);
        // The first report comes seconds later than the first loss.
        if !transport.has_rtt {
            transport.rtt_us = transport.pacer.brake.least_rtt_us();
        }
        let hold_until_us = transport.pacer.brake.hold_until_us();
        let is_restless = verdict.queued_bytes.is_some()
            || hold_until_us.is_some()
            || transport.pacer.brake.queue_us() > RESTLESS_QUEUE_US
            || transport.loss_permille >= RESTLESS_LOSS_PERMILLE;
        if transport.is_watched && is_on && is_restless {
            transport.is_watched = false;
            let transport = TransportId(id);
            self.events.push(Event::LineRestless { transport }, &mut self.counters);
        }
        match verdict.queued_bytes {
            Some(queued_bytes) if is_on => {
                self.counters.brakes += 1;
                transport.pacer.repay(now, queued_bytes);
            }
            // Without a budget there is nothing to cut.
            Some(_) => transport.pacer.brake.on_order(),
            None => {}
        }
        if let Some(silent_for_us) = verdict.silent_for_us {
            self.resume(now, index, silent_for_us);
        }
        if let Some(until_us) = hold_until_us {
            self.hold(now, index, until_us);
        }
    }

    /// Index of the sink that a transport knows by this SSRC.
    fn find_sink(&self, index: u32, ssrc: u32) -> Option<u32> {
        let transport = self.transports.get(index)?;
        transport.sinks.iter().copied().find(|&at| {
            self.sinks.get(at).is_some_and(|sink| {
                ssrc != 0 && (sink.output.ssrc == ssrc || sink.output.rtx_ssrc == ssrc)
            })
        })
    }
}
