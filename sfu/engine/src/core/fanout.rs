//! Egress: every sink of a source that something arrived for takes its packets.
//!
//! Sink-major: all new packets of one source leave to one subscriber together, so that keys and
//! state stay warm and equal sizes become one bundle.

use crate::api::{Event, Micros, SinkId};
use crate::media::encoding::Encoding;
use crate::media::flow::{Content, Flow, Outgoing, Pace};
use crate::media::sink::Sink;
use crate::media::source::Source;
use crate::media::twcc::Sort;

use super::bundle::{Bundle, Exit};
use super::compose::{Values, Written, write_media, write_rtx};
use super::transport::Transport;
use super::{Core, Counters, Egress, MOTION_INTERVAL_US};

impl Core {
    /// Sends everything that waits: fan-out of what arrived since the last flush, RTCP, STUN replies.
    pub fn flush(&mut self, now: Micros, out: &mut dyn Egress) {
        self.replies.flush(&mut self.counters, out);
        self.resend_asked(now, out);
        let mut dirty = std::mem::take(&mut self.dirty);
        for &index in &dirty {
            self.fan_out(now, index, out);
            self.feed_taps(now, index);
        }
        self.pull_busy(now, out);
        self.serve_paced(now, out);
        for index in dirty.drain(..) {
            if let Some(source) = self.sources.get_mut(index) {
                source.is_dirty = false;
                source.encodings.iter_mut().for_each(|encoding| encoding.log.clear());
            }
        }
        self.dirty = dirty;
        self.send_reports(now, out);
    }

    /// All sinks of one source.
    fn fan_out(&mut self, now: Micros, index: u32, out: &mut dyn Egress) {
        let Some(source) = self.sources.get_mut(index).filter(|source| !source.is_held_back) else {
            return;
        };
        let mut wanted_keys = 0u8;
        for at in 0..source.sinks.len() {
            let Some(sink) = self.sinks.get_mut(source.sinks[at]) else {
                continue;
            };
            let Some(transport) = self.transports.get_mut(sink.transport) else {
                continue;
            };
            let pace = pace_of(now, source, transport);
            let step = Step { now, egress: &mut *out, counters: &mut self.counters };
            let result = pull_sink(step, source, sink, transport, &mut self.bundle, pace);
            wanted_keys |= result.needs_key;
            let is_waiting = pace.is_some_and(|pace| pace.is_held) || sink.flow.is_behind();
            if is_waiting || (sink.output.has_copies() && !transport.pacer.is_listed) {
                let due_us = transport.pacer.on_waiting(now, is_waiting);
                self.paced.add(sink.transport, &mut transport.pacer, due_us);
            }
            if sink.flow.is_busy() && !sink.is_listed_busy {
                sink.is_listed_busy = true;
                self.busy.push(source.sinks[at]);
            }
            if sink.flow.is_in_motion() {
                self.motion_due_us = self.motion_due_us.min(now + MOTION_INTERVAL_US);
            }
            if result.is_started {
                self.events.push(Event::SinkStarted { sink: SinkId(sink.id) }, &mut self.counters);
                self.timers.schedule(sink.transport, now);
            }
        }
        self.want_keys(now, index, wanted_keys);
    }

    pub(super) fn want_keys(&mut self, now: Micros, source: u32, mask: u8) {
        for encoding in 0..8u8 {
            if mask & (1 << encoding) != 0 {
                self.want_key(now, source, encoding);
            }
        }
    }

    /// Sinks that wait, replay or switch, of sources that nothing arrived for. Not at every flush:
    /// a big room has thousands that wait for somebody who sends nothing.
    fn pull_busy(&mut self, now: Micros, out: &mut dyn Egress) {
        if !std::mem::take(&mut self.is_busy_due) && now < self.motion_due_us {
            return;
        }
        let mut busy = std::mem::take(&mut self.busy);
        let mut is_in_motion = false;
        busy.retain(|&index| {
            let is_still_busy = self.pull_busy_sink(now, index, out);
            let Some(sink) = self.sinks.get_mut(index) else {
                return false;
            };
            sink.is_listed_busy = is_still_busy;
            is_in_motion |= sink.flow.is_in_motion();
            is_still_busy
        });
        // Sinks that became busy meanwhile.
        busy.append(&mut self.busy);
        self.busy = busy;
        self.motion_due_us = if is_in_motion { now + MOTION_INTERVAL_US } else { Micros::MAX };
    }

    fn pull_busy_sink(&mut self, now: Micros, index: u32, out: &mut dyn Egress) -> bool {
        let Some(sink) = self.sinks.get_mut(index) else {
            return false;
        };
        let Some(source_index) = sink.source else {
            return false;
        };
        let Some(source) = self.sources.get_mut(source_index) else {
            return false;
        };
        if source.is_muted || source.is_held_back {
            return false; // unmuting lists it again, and a packet of who is admitted pulls it
        }
        if !source.is_dirty {
            let Some(transport) = self.transports.get_mut(sink.transport) else {
                return false;
            };
            let pace = pace_of(now, source, transport);
            let step = Step { now, egress: out, counters: &mut self.counters };
            let result = pull_sink(step, source, sink, transport, &mut self.bundle, pace);
            if sink.flow.is_behind() {
                let due_us = transport.pacer.on_waiting(now, true);
                self.paced.add(sink.transport, &mut transport.pacer, due_us);
            }
            if result.is_started {
                self.events.push(Event::SinkStarted { sink: SinkId(sink.id) }, &mut self.counters);
                self.timers.schedule(sink.transport, now);
            }
            self.want_keys(now, source_index, result.needs_key);
        }
        self.sinks.get(index).is_some_and(|sink| sink.flow.is_busy())
    }
}

/// What every step of egress needs.
pub struct Step<'a> {
    /// When.
    pub now: Micros,
    /// Takes the datagrams.
    pub egress: &'a mut dyn Egress,
    /// Engine-wide counts.
    pub counters: &'a mut Counters,
}

/// What came of a pull.
#[derive(Default)]
pub struct PullResult {
    /// Encodings that have to send a key frame, as a bit each.
    pub needs_key: u8,
    /// The very first packet left.
    pub is_started: bool,
}

/// A packet that leaves once more.
pub struct Recalled {
    /// Encoding it is stored in.
    pub at: u8,
    /// What it left as; the timestamp is found anew.
    pub outgoing: Outgoing,
    /// The subscriber misses it.
    pub is_missed: bool,
}

/// What a sink of `source` may send to `transport` now.
fn pace_of(now: Micros, source: &Source, transport: &mut Transport) -> Option<Pace> {
    if source.is_audio {
        return None;
    }
    let mut pace = transport.pacer.pace(now, transport.rtt_us)?;
    // First come, first served: what other sinks have in the ring is older.
    if transport.pacer.has_waiting {
        pace.room = pace.room.min(0);
    }
    Some(pace)
}

/// Sends what one sink is to get now.
pub fn pull_sink(
    step: Step<'_>,
    source: &mut Source,
    sink: &mut Sink,
    transport: &mut Transport,
    bundle: &mut Bundle,
    pace: Option<Pace>,
) -> PullResult {
    let Step { now, egress, counters } = step;
    let Some(path) = transport.media_path() else {
        return PullResult::default();
    };
    let Source { encodings, timeline, is_muted, is_audio, .. } = source;
    if *is_muted || pace.is_some_and(|pace| pace.is_held) {
        return PullResult::default();
    }
    let sort = if *is_audio { Sort::Audio } else { Sort::Video };
    let Sink { id, flow, output, started_us, .. } = sink;
    let target = &encodings[usize::from(flow.target())];
    if target.codec.is_some_and(|codec| output.payload_type(codec).is_none()) {
        counters.dropped_no_payload += target.log.len() as u64;
        return PullResult::default();
    }
    let is_lossy = !*is_audio && transport.has_early_losses();
    let is_plain = transport.pacer.brake.is_draining(now);
    let Transport { sender, writer, sent, early, counts, pacer, .. } = transport;
    let Some(sender) = sender else {
        return PullResult::default();
    };
    let is_reported = writer.extensions.twcc != 0;
    let mut exit = Exit { sender, path, egress, counters };
    let before = output.counts.packets;
    let mut num_red = 0;
    let pulled = flow.pull(now, encodings, timeline, pace, |encoding, outgoing| {
        bundle.push(&mut exit, |room| {
            let values = Values { now, twcc: sent.next_seq(), is_plain };
            let Written { len, payload_len, is_red } =
                write_media(room, writer, output, encoding, &outgoing, &values)?;
            num_red += u64::from(is_red);
            output.on_sent(now, &outgoing, payload_len);
            if is_lossy {
                early.on_sent(values.twcc, *id, outgoing.out_seq_ext as u16);
            }
            counts.sent_packets += 1;
            counts.sent_bytes += len as u64;
            if is_reported {
                sent.on_sent(now, len, sort);
            }
            pacer.on_sent(now, len as u64, sort == Sort::Audio, is_reported);
            Some(len)
        });
    });
    bundle.finish(&mut exit);
    counters.forwarded_packets += output.counts.packets - before;
    counters.red_sent += num_red;
    counters.dropped_overrun += u64::from(pulled.is_overrun);
    counters.gop_replays += u64::from(pulled.is_replay_started);
    counters.lag_jumps += u64::from(pulled.has_jumped);
    let is_started = output.counts.packets > 0 && started_us.is_none();
    if is_started {
        *started_us = Some(now);
    }
    PullResult { needs_key: pulled.needs_key.map_or(0, |encoding| 1 << encoding), is_started }
}

/// Sends a packet once more on the sink's retransmission stream (RFC 4588).
pub fn send_recalled(
    step: Step<'_>,
    source: &Source,
    sink: &mut Sink,
    transport: &mut Transport,
    bundle: &mut Bundle,
    recalled: Recalled,
) -> bool {
    let Step { now, egress, counters } = step;
    let Some(path) = transport.media_path() else {
        return false;
    };
    let Recalled { at, mut outgoing, is_missed } = recalled;
    let Sink { id, flow, output, .. } = sink;
    let encoding = &source.encodings[usize::from(at)];
    let Some(ts_rtp) = stored_ts(flow, encoding, &outgoing) else {
        return false;
    };
    let Some(epoch) = flow.epoch(outgoing.epoch_id) else {
        return false;
    };
    outgoing.out_ts = epoch.timestamps.map(ts_rtp);
    let is_lossy = is_missed && transport.has_early_losses();
    let Transport { sender, writer, sent, early, counts, pacer, .. } = transport;
    let Some(sender) = sender else { return false };
    let is_reported = writer.extensions.twcc != 0;
    let mut exit = Exit { sender, path, egress, counters };
    let mut is_sent = false;
    bundle.push(&mut exit, |room| {
        let values = Values { now, twcc: sent.next_seq(), is_plain: true };
        if is_lossy {
            early.on_sent(values.twcc, *id, outgoing.out_seq_ext as u16);
        }
        let len = write_rtx(room, writer, output, encoding, &outgoing, &values)?;
        counts.sent_packets += 1;
        counts.sent_bytes += len as u64;
        if is_reported {
            sent.on_sent(now, len, Sort::Extra);
        }
        pacer.on_sent(now, len as u64, false, is_reported);
        is_sent = true;
        Some(len)
    });
    bundle.finish(&mut exit);
    is_sent
}

/// The source's timestamp of a packet that went out, if it is still held.
fn stored_ts(flow: &Flow, encoding: &Encoding, outgoing: &Outgoing) -> Option<u32> {
    let epoch = flow.epoch(outgoing.epoch_id)?;
    if encoding.generation != epoch.generation {
        return None;
    }
    let seq_ext = match outgoing.content {
        Content::Stored(seq_ext) => seq_ext,
        Content::Params => epoch.first_seq_ext(),
        Content::Empty => return None,
    };
    encoding.ring.view(seq_ext).map(|view| view.ts_rtp)
}

#[cfg(test)]
mod tests {
    use crate::api::{
        Command, EncodingConfig, Layers, Path, SinkConfig, SinkId, SourceConfig, SourceId,
        TransportId,
    };
    use crate::core::{Core, Egress};

    struct Null;

    impl Egress for Null {
        fn send(&mut self, _: Path, _: &[u8], _: Option<usize>) {}
    }

    /// A core in which `count` sinks wait for a source that sends nothing.
    fn waiting(count: u32) -> Core {
        let mut core = Core::new(1);
        let transport = TransportId(1);
        let (local_ufrag, local_pwd) = ("u".to_owned(), "p".to_owned());
        core.apply(0, Command::AddTransport { transport, local_ufrag, local_pwd });
        let encodings = vec![EncodingConfig::default()];
        let config = SourceConfig { mid: "0".into(), is_audio: true, encodings };
        core.apply(0, Command::AddSource { source: SourceId(1), transport: None, config });
        for sink in 1..=count {
            let (ssrc, rtx_ssrc, mid, payloads) = (sink, 0, "0".into(), Vec::new());
            let config = SinkConfig { ssrc, rtx_ssrc, mid, payloads };
            let layers = Layers { spatial: 0, temporal: 7, paused: false };
            let (sink, source) = (SinkId(sink), SourceId(1));
            core.apply(0, Command::AddSink { sink, transport, source, config, layers });
        }
        core
    }

    #[test]
    fn sinks_that_wait_are_looked_after_by_the_tick_and_not_by_every_flush() {
        let mut core = waiting(3);
        core.flush(0, &mut Null);
        assert_eq!((core.busy.len(), core.is_busy_due), (3, false));
        core.handle_timeout(0);
        assert!(core.is_busy_due, "a tick");
        core.flush(0, &mut Null);
        core.handle_timeout(10_000);
        assert!(!core.is_busy_due, "not yet the next one");
    }

    #[test]
    fn sinks_of_a_muted_source_are_not_looked_after_at_all() {
        let mut core = waiting(3);
        let mute = |muted| Command::MuteSource { source: SourceId(1), muted };
        core.apply(0, mute(true));
        core.flush(0, &mut Null);
        assert!(core.busy.is_empty());
        core.apply(0, mute(false));
        core.flush(0, &mut Null);
        assert_eq!(core.busy.len(), 3);
    }
}
