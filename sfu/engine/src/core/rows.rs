//! Packed little-endian rows for numpy; the layouts are those of `sfu/engine/__init__.py`.

use crate::api::{Local, Micros};
use crate::media::encoding::Encoding;
use crate::media::sink::Sink;

use super::Core;
use super::transport::Transport;

/// An encoding counts as active while media came within this time.
const ACTIVE_US: Micros = 1_000_000;

/// Size of a row of `TRANSPORT_DTYPE`.
pub const TRANSPORT_ROW_BYTES: usize = 118;

impl Core {
    /// Appends rows of `TRANSPORT_DTYPE`.
    pub fn snapshot_transports(&self, now: Micros, out: &mut Vec<u8>) {
        for transport in self.transports.iter() {
            let sinks = transport.sinks.iter().filter_map(|&at| self.sinks.get(at));
            let lag_us = |sink: &Sink| {
                let source = self.sources.get(sink.source?).filter(|source| !source.is_muted)?;
                Some(sink.flow.lag_us(now, &source.encodings))
            };
            let waiting_us = match transport.pacer.is_on() {
                true => sinks.filter_map(lag_us).max().unwrap_or(0),
                false => 0,
            };
            put_transport(out, now, transport, waiting_us);
        }
    }

    /// Appends rows of `ENCODING_DTYPE`.
    pub fn snapshot_encodings(&self, now: Micros, out: &mut Vec<u8>) {
        for source in self.sources.iter() {
            for (at, encoding) in source.encodings.iter().enumerate() {
                put_encoding(out, now, source.id, at as u8, encoding);
            }
        }
    }

    /// Appends rows of `SINK_DTYPE`.
    pub fn snapshot_sinks(&self, _now: Micros, out: &mut Vec<u8>) {
        for sink in self.sinks.iter() {
            let transport = self.transports.get(sink.transport).map_or(0, |transport| transport.id);
            let source = sink.source.and_then(|source| self.sources.get(source));
            let encoding = source.zip(sink.flow.current());
            let encoding = encoding.map(|(source, at)| &source.encodings[usize::from(at)]);
            let top = encoding.map(|encoding| encoding.temporal.count() - 1);
            put_sink(out, transport, top, sink);
        }
    }
}

fn narrow(value: u64) -> u32 {
    value.min(u64::from(u32::MAX)) as u32
}

fn put_transport(out: &mut Vec<u8>, now: Micros, transport: &Transport, waiting_us: Micros) {
    let counts = &transport.counts;
    let is_tcp = transport.ice.selected().is_some_and(|path| matches!(path.local, Local::Tcp(_)));
    out.extend(transport.id.to_le_bytes());
    out.extend([transport.ice.state() as u8, u8::from(is_tcp)]);
    out.extend(transport.loss_permille.to_le_bytes());
    out.extend((transport.rtt_us.min(u64::from(u32::MAX)) as u32).to_le_bytes());
    out.extend(transport.remb_bps.to_le_bytes());
    for count in
        [counts.received_packets, counts.received_bytes, counts.sent_packets, counts.sent_bytes]
    {
        out.extend(count.to_le_bytes());
    }
    let dropped = [
        counts.dropped_auth,
        counts.dropped_replay,
        counts.dropped_unknown,
        counts.dropped_malformed,
    ];
    for count in dropped {
        out.extend(count.to_le_bytes());
    }
    out.extend(transport.ice.heard_us().to_le_bytes());
    let pacer = &transport.pacer;
    let feedback_us = pacer.brake.feedback_us();
    let (audio_bps, sent_bps) = pacer.sent_bps(now);
    out.extend([u8::from(feedback_us != 0), pacer.brake.code()]);
    out.extend(pacer.rate_bps().to_le_bytes());
    out.extend(narrow(waiting_us).to_le_bytes());
    out.extend(feedback_us.to_le_bytes());
    out.extend(narrow(audio_bps).to_le_bytes());
    out.extend(narrow(sent_bps).to_le_bytes());
    out.extend(transport.reported.num_packets.to_le_bytes());
    out.extend(transport.reported.num_lost.to_le_bytes());
    out.extend(narrow(transport.newest_rtt_us).to_le_bytes());
}

fn put_encoding(out: &mut Vec<u8>, now: Micros, source: u32, at: u8, encoding: &Encoding) {
    let counts = &encoding.counts;
    let last_us = encoding.last_received_us;
    let is_active = last_us != 0 && now.saturating_sub(last_us) < ACTIVE_US;
    let bitrate_bps = encoding.bitrate_bps(now).min(u64::from(u32::MAX)) as u32;
    out.extend(source.to_le_bytes());
    out.extend([
        at,
        encoding.codec.map_or(0, |codec| codec as u8),
        u8::from(is_active),
        encoding.levels.last,
    ]);
    out.extend(encoding.ssrc.to_le_bytes());
    out.extend(bitrate_bps.to_le_bytes());
    for count in [counts.packets, counts.bytes, encoding.stats.lost()] {
        out.extend(count.to_le_bytes());
    }
    out.extend(encoding.levels.loud_packets.to_le_bytes());
    out.extend(encoding.levels.leveled_packets.to_le_bytes());
    out.extend(encoding.levels.level_sum.to_le_bytes());
    let jitter = encoding.stats.jitter();
    for count in [counts.nacks_sent, counts.plis_sent, counts.keyframes, counts.frames, jitter] {
        out.extend(count.to_le_bytes());
    }
    out.extend(encoding.resolution.0.to_le_bytes());
    out.extend(encoding.resolution.1.to_le_bytes());
    out.extend(last_us.to_le_bytes());
    for rate_bps in encoding.temporal.bitrates_bps(now) {
        out.extend(narrow(rate_bps).to_le_bytes());
    }
    out.extend([encoding.temporal.count()]);
}

fn put_sink(out: &mut Vec<u8>, transport: u32, top: Option<u8>, sink: &Sink) {
    let counts = &sink.output.counts;
    let layers = sink.flow.layers();
    out.extend(sink.id.to_le_bytes());
    out.extend(sink.source_id.to_le_bytes());
    out.extend(transport.to_le_bytes());
    let spatial = sink.flow.current().map_or(-1, |encoding| encoding as i8);
    out.extend(spatial.to_le_bytes());
    out.extend((layers.spatial as i8).to_le_bytes());
    out.extend([u8::from(layers.paused), counts.loss_fraction]);
    out.extend(counts.packets.to_le_bytes());
    out.extend(counts.bytes.to_le_bytes());
    let rest = [
        counts.nacks_received,
        counts.rtx_sent,
        counts.rtx_missed,
        counts.plis_received,
        counts.jitter_rtp,
    ];
    for count in rest {
        out.extend(count.to_le_bytes());
    }
    let temporal = match top {
        Some(top) => sink.flow.temporal().min(top) as i8,
        None => -1,
    };
    out.extend(temporal.to_le_bytes());
    out.extend(counts.copies_sent.to_le_bytes());
    out.extend(sink.flow.num_left_out().to_le_bytes());
}
