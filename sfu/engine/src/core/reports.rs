//! Leaving RTCP: reports, transport-wide feedback, and requests to publishers, compounded per
//! transport and flush.

use crate::api::{Micros, Path};
use crate::media::clock::us_to_ntp;
use crate::media::encoding::is_spare;
use crate::media::source::Source;
use crate::wire::rtcp::{ReportBlock, RtcpWriter, SenderInfo};
use crate::wire::srtp::RTCP_OVERHEAD_MAX;
use crate::wire::twcc_feedback::FeedbackHeader;

use super::slab::Slab;
use super::transport::{MAX_SSRCS, Transport};
use super::uplink::limit_bps;
use super::{Core, Counters, Egress, mark_dirty};

/// Largest compound before sealing.
const MAX_COMPOUND: usize = 1150;
/// Reports of both directions leave this often.
const REPORT_INTERVAL_US: Micros = 1_000_000;
/// … and this often to a publisher whose packets get lost: its encoder's in-band FEC follows them, and
/// its round trip decides how soon it answers a request again.
const LOSSY_REPORT_INTERVAL_US: Micros = 500_000;
/// The first one leaves early: it brings the round trip.
const FIRST_REPORT_US: Micros = 100_000;
/// Time that a publisher's first sender report is waited for before ours is made up from arrivals.
const REPORT_WAIT_US: Micros = 3_000_000;
const MAX_BLOCKS: usize = 31;

/// Memory used again for every compound.
#[derive(Debug, Default)]
pub struct Scratch {
    compound: Vec<u8>,
    blocks: Vec<ReportBlock>,
    seqs_ext: Vec<u64>,
    seqs: Vec<u16>,
    senders: Vec<(SenderInfo, u32)>,
}

/// A compound that grows until it is full.
struct Compound<'a> {
    buffer: &'a mut Vec<u8>,
    len: usize,
    own_ssrc: u32,
    now: Micros,
    path: Path,
    egress: &'a mut dyn Egress,
    counters: &'a mut Counters,
}

impl Compound<'_> {
    /// Appends what `write` writes; a full compound leaves first.
    fn add(
        &mut self,
        transport: &mut Transport,
        mut write: impl FnMut(&mut RtcpWriter<'_>) -> bool,
    ) {
        for _ in 0..2 {
            // RFC 3550 §6.1: every compound starts with a report, be it an empty one.
            if self.len == 0 {
                let mut writer = RtcpWriter::new(&mut self.buffer[..MAX_COMPOUND]);
                writer.receiver_report(self.own_ssrc, &[]);
                self.len = writer.len();
            }
            let mut writer = RtcpWriter::new(&mut self.buffer[self.len..MAX_COMPOUND]);
            if write(&mut writer) {
                self.len += writer.len();
                return;
            }
            self.send(transport);
        }
    }

    fn send(&mut self, transport: &mut Transport) {
        let len = std::mem::take(&mut self.len);
        let Some(sender) = transport.sender.as_mut().filter(|_| len > 0) else {
            return;
        };
        if let Ok(sealed) = sender.protect_rtcp(self.buffer, len) {
            self.egress.send(self.path, &self.buffer[..sealed], None);
            self.counters.sent_datagrams += 1;
            self.counters.sent_bytes += sealed as u64;
            transport.pacer.on_sent_other(self.now, sealed as u64);
            if transport.uplink_loss.is_lossy() {
                transport.repeats.push(self.now, &self.buffer[..sealed]);
            }
        }
    }
}

impl Core {
    /// Sends the RTCP of all transports that are due, and finds out when they are due again.
    pub(super) fn send_reports(&mut self, now: Micros, out: &mut dyn Egress) {
        let mut reporting = std::mem::take(&mut self.reporting);
        for index in reporting.drain(..) {
            self.send_report(now, index, out);
            self.announce_transport(now, index);
            let num_sources = self.transports.get(index).map_or(0, |one| one.sources.len());
            for at in 0..num_sources {
                let source = self.transports.get(index).map(|one| one.sources[at]);
                source.into_iter().for_each(|source| self.announce_starts(now, source));
            }
            self.schedule_transport(now, index);
        }
        self.reporting = reporting;
    }

    fn send_report(&mut self, now: Micros, index: u32, out: &mut dyn Egress) {
        self.collect_senders(now, index);
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        transport.ice.on_time(now);
        let Some(path) = transport.media_path() else {
            return;
        };
        while let Some(copy) = transport.repeats.take_due(now) {
            out.send(path, copy, None);
            transport.pacer.on_sent_other(now, copy.len() as u64);
            self.counters.sent_datagrams += 1;
            self.counters.sent_bytes += copy.len() as u64;
            self.counters.rtcp_repeated += 1;
        }
        let Scratch { compound, blocks, seqs_ext, seqs, senders } = &mut self.scratch;
        compound.resize(MAX_COMPOUND + RTCP_OVERHEAD_MAX, 0);
        let mut compound = Compound {
            buffer: compound,
            len: 0,
            own_ssrc: transport.own_ssrc,
            now,
            path,
            egress: out,
            counters: &mut self.counters,
        };
        if transport.report_due_us <= now {
            let is_lossy = transport.uplink_loss.is_lossy();
            let interval_us = if is_lossy { LOSSY_REPORT_INTERVAL_US } else { REPORT_INTERVAL_US };
            transport.report_due_us = now + interval_us;
            add_receiver_reports(now, &mut compound, transport, &mut self.sources, blocks);
            add_limit(&mut compound, transport);
            for (info, source) in senders.iter() {
                let Some(source) = self.sources.get(*source) else {
                    continue;
                };
                compound.add(transport, |writer| writer.sender_report(info, &[]));
                compound.add(transport, |writer| writer.sdes_cname(info.ssrc, &source.cname));
            }
        }
        add_transport_cc(now, &mut compound, transport);
        let is_held = transport.uplink_queue.holds_requests(now);
        for at in 0..if is_held { 0 } else { transport.sources.len() } {
            let index = transport.sources[at];
            let Some(source) = self.sources.get_mut(index) else {
                continue;
            };
            if add_requests(now, &mut compound, transport, source, seqs_ext, seqs) {
                mark_dirty(&mut self.dirty, index, source);
            }
        }
        compound.send(transport);
    }

    /// What our sender reports to a transport will say.
    fn collect_senders(&mut self, now: Micros, index: u32) {
        let senders = &mut self.scratch.senders;
        senders.clear();
        let Some(transport) = self.transports.get(index) else {
            return;
        };
        if transport.report_due_us > now {
            return;
        }
        for sink in transport.sinks.iter().filter_map(|&at| self.sinks.get(at)) {
            let Some((started_us, at)) = sink.started_us.zip(sink.source) else {
                continue;
            };
            let Some(source) = self.sources.get(at) else {
                continue;
            };
            let Some(encoding) = sink.flow.current() else {
                continue;
            };
            let clock = &source.encodings[usize::from(encoding)].clock;
            let publisher = source.transport.and_then(|publisher| self.transports.get(publisher));
            let is_early = now.saturating_sub(started_us) < REPORT_WAIT_US;
            if publisher.is_some() && !clock.has_report() && is_early {
                continue;
            }
            let ntp = publisher.map(|publisher| publisher.ntp).unwrap_or_default();
            let ts_rtp = clock.ts_now(now, &ntp).and_then(|ts| sink.flow.out_ts_of(ts));
            let Some(ts_rtp) = ts_rtp else { continue };
            let info = SenderInfo {
                ssrc: sink.output.ssrc,
                ntp: us_to_ntp(now),
                ts_rtp,
                num_packets: sink.output.counts.packets as u32,
                num_bytes: sink.output.counts.bytes as u32,
            };
            senders.push((info, at));
        }
    }

    /// Finds out when a transport wants attention next.
    pub(super) fn schedule_transport(&mut self, now: Micros, index: u32) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let has_media = !transport.bindings.is_empty() || !transport.sinks.is_empty();
        let may_report = has_media && transport.media_path().is_some();
        if !may_report {
            transport.report_due_us = Micros::MAX;
        } else if transport.report_due_us == Micros::MAX {
            transport.report_due_us = now + FIRST_REPORT_US;
        }
        let mut due =
            transport.ice.on_time(now).unwrap_or(Micros::MAX).min(transport.report_due_us);
        if may_report {
            due = due.min(transport.arrivals.next_due_us().unwrap_or(Micros::MAX));
            due = due.min(transport.repeats.next_due_us().unwrap_or(Micros::MAX));
            if transport.uplink_queue.holds_requests(now) {
                due = due.min(transport.uplink_queue.hold_ends_us().unwrap_or(Micros::MAX));
            } else {
                for source in transport.sources.iter().filter_map(|&at| self.sources.get(at)) {
                    due = due.min(source.next_request_us(now).unwrap_or(Micros::MAX));
                }
            }
        }
        if due != Micros::MAX {
            self.timers.schedule(index, due.max(now + 1));
        }
    }
}

fn add_receiver_reports(
    now: Micros,
    compound: &mut Compound<'_>,
    transport: &mut Transport,
    sources: &mut Slab<Source>,
    blocks: &mut Vec<ReportBlock>,
) {
    blocks.clear();
    for binding in transport.bindings.iter().filter(|binding| !binding.is_rtx) {
        let Some(source) = sources.get_mut(binding.source) else {
            continue;
        };
        let encoding = &mut source.encodings[usize::from(binding.encoding)];
        let Some(counts) = encoding.stats.take_report() else {
            continue;
        };
        if transport.extensions.twcc == 0 {
            transport.uplink_loss.add(256, u64::from(counts.fraction_lost));
        }
        let (last_sr, delay) = match encoding.clock.last_report {
            Some((ntp_mid, arrived_us)) => {
                (ntp_mid, (now.saturating_sub(arrived_us) << 16) / 1_000_000)
            }
            None => (0, 0),
        };
        blocks.push(ReportBlock {
            ssrc: binding.ssrc,
            fraction_lost: counts.fraction_lost,
            num_lost: counts.cumulative_lost,
            highest_seq: counts.highest_seq,
            jitter_rtp: counts.jitter,
            last_sr,
            delay_since_last_sr: delay.min(u64::from(u32::MAX)) as u32,
        });
    }
    let own_ssrc = transport.own_ssrc;
    for chunk in blocks.chunks(MAX_BLOCKS) {
        compound.add(transport, |writer| writer.receiver_report(own_ssrc, chunk));
    }
}

/// libwebrtc's send-side estimate stays below the receiver's, if it is told one
/// (`send_side_bandwidth_estimation.cc`).
fn add_limit(compound: &mut Compound<'_>, transport: &mut Transport) {
    let Some(rate_bps) = limit_bps(transport) else {
        return;
    };
    let mut ssrcs = [0; MAX_SSRCS];
    let media = transport.bindings.iter().filter(|binding| !binding.is_rtx);
    let num_ssrcs = media.zip(&mut ssrcs).map(|(binding, ssrc)| *ssrc = binding.ssrc).count();
    let own_ssrc = transport.own_ssrc;
    compound.add(transport, |writer| writer.remb(own_ssrc, rate_bps, &ssrcs[..num_ssrcs]));
}

fn add_transport_cc(now: Micros, compound: &mut Compound<'_>, transport: &mut Transport) {
    // libwebrtc collapses its rate on feedback about SSRC 0 (Janus #2908).
    let media_ssrc = transport.bindings.first().map_or(0, |binding| binding.ssrc);
    let sender_ssrc = transport.own_ssrc;
    let is_held = transport.uplink_queue.holds_requests(now);
    while transport.arrivals.next_due_us().is_some_and(|due| due <= now) {
        // Taken out so that the compound may use the transport's keys meanwhile.
        let mut arrivals = std::mem::take(&mut transport.arrivals);
        if is_held {
            arrivals.skip_missing();
        }
        let header = FeedbackHeader {
            sender_ssrc,
            media_ssrc,
            feedback_count: arrivals.feedback_count,
            base_seq_ext: arrivals.base_seq_ext,
        };
        let mut written = None;
        compound.add(transport, |writer| {
            let told = if is_held { arrivals.unbroken() } else { arrivals.arrivals() };
            written = writer.transport_cc(&header, told);
            written.is_some()
        });
        match written.filter(|_| media_ssrc != 0) {
            Some(written) => {
                let (expected, lost) =
                    arrivals.on_reported(written.num_arrivals, written.next_seq_ext);
                transport.uplink_loss.add(expected, lost);
            }
            None => arrivals.clear(),
        }
        transport.arrivals = arrivals;
    }
}

/// NACK and PLI of one source; returns whether gaps turned out to be padding, which is to leave.
fn add_requests(
    now: Micros,
    compound: &mut Compound<'_>,
    transport: &mut Transport,
    source: &mut Source,
    seqs_ext: &mut Vec<u64>,
    seqs: &mut Vec<u16>,
) -> bool {
    let own_ssrc = transport.own_ssrc;
    let mut is_filled = false;
    for encoding in source.encodings.iter_mut().filter(|encoding| encoding.ssrc != 0) {
        let ssrc = encoding.ssrc;
        if encoding.nack.next_due_us().is_some_and(|due| due <= now) {
            seqs_ext.clear();
            if let Some(key) = encoding.whole_key() {
                encoding.nack.forget_before(key.seq_ext);
            }
            is_filled |= encoding.fill_padding(now);
            let ring = &encoding.ring;
            let given_up =
                encoding.nack.drain_due(now, seqs_ext, |seq_ext| is_spare(ring, seq_ext));
            let is_picture_lost = given_up.is_some_and(|given_up| {
                encoding.key.is_none_or(|key| key.seq_ext <= given_up.newest_seq_ext)
            });
            if is_picture_lost && !source.is_audio {
                encoding.budget.want();
            }
            seqs.clear();
            seqs.extend(seqs_ext.iter().map(|&seq_ext| seq_ext as u16));
            let mut rest = &seqs[..];
            compound.counters.nacks_sent += seqs.len() as u64;
            encoding.counts.nacks_sent = encoding.counts.nacks_sent.wrapping_add(seqs.len() as u32);
            while !rest.is_empty() {
                let mut taken = 0;
                compound.add(transport, |writer| {
                    taken = writer.nack(own_ssrc, ssrc, rest);
                    taken > 0
                });
                rest = &rest[taken.max(1)..];
            }
        }
        let bitrate_bps = encoding.bitrate_bps(now);
        encoding.budget.set_rtt(encoding.nack.rtt_us());
        if encoding.budget.poll(now, bitrate_bps) {
            encoding.counts.plis_sent = encoding.counts.plis_sent.wrapping_add(1);
            compound.counters.keyframe_requests_sent += 1;
            compound.add(transport, |writer| writer.pli(own_ssrc, ssrc));
        }
    }
    is_filled
}
