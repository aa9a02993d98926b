//! Frames out of and into the core: taps, and sources that are fed by frames.

use crate::api::{Codec, Event, Micros, TapId};
use crate::media::encoding::{Incoming, Outcome};
use crate::media::source::Source;
use crate::media::tap::Tap;

use super::{Core, mark_dirty};

impl Core {
    /// Lets the taps of a source read what arrived.
    pub(super) fn feed_taps(&mut self, now: Micros, index: u32) {
        let num_taps = self.sources.get(index).map_or(0, |source| source.taps.len());
        for at in 0..num_taps {
            let Some(source) = self.sources.get_mut(index) else {
                return;
            };
            let tap = source.taps[at];
            self.pull_tap(now, index, tap);
        }
    }

    /// Taps that wait for missing packets look again: time may have run out for them.
    pub(super) fn tick_taps(&mut self, now: Micros) {
        let mut at = 0;
        while let Some(next) = self.taps.next_index(at) {
            at = next + 1;
            let source =
                self.taps.get(next).filter(|tap| tap.is_waiting()).and_then(|tap| tap.source);
            if let Some(source) = source {
                self.pull_tap(now, source, next);
            }
        }
    }

    fn pull_tap(&mut self, now: Micros, source_index: u32, tap: u32) {
        let Some(source) = self.sources.get_mut(source_index) else {
            return;
        };
        let Some(tap): Option<&mut Tap> = self.taps.get_mut(tap) else {
            return;
        };
        let publisher = source.transport.and_then(|transport| self.transports.get(transport));
        let ntp = publisher.map(|publisher| publisher.ntp).unwrap_or_default();
        let step = tap.pull(now, source, &ntp);
        self.counters.dropped_tap_frames += u64::from(step.num_lost);
        if step.is_ready {
            self.events.push(Event::TapReady { tap: TapId(tap.id) }, &mut self.counters);
        }
        if let Some(encoding) = step.needs_key {
            self.want_key(now, source_index, encoding);
        }
    }

    /// Takes a frame of a local source.
    pub(super) fn push_frame(
        &mut self,
        now: Micros,
        id: u32,
        encoding: u8,
        codec: Codec,
        ts_rtp: u32,
        data: &[u8],
    ) -> Option<()> {
        let index = self.sources.index(id)?;
        let source = self.sources.get_mut(index)?;
        let place = usize::from(encoding);
        if source.transport.is_some()
            || place >= source.encodings.len()
            || codec.is_audio() != source.is_audio
        {
            return None;
        }
        if source.is_muted {
            self.counters.dropped_muted += 1;
            return Some(());
        }
        let mut packetizer = std::mem::take(&mut source.packetizers[place]);
        let was_known = source.encodings[place].codec.is_some();
        packetizer.packetize(codec, data, |seq, is_marker, payload| {
            let incoming = local(seq, ts_rtp, is_marker, codec, payload);
            match store_local(now, source, place, &incoming) {
                true => self.counters.received_packets += 1,
                false => self.counters.dropped_malformed += 1,
            }
        });
        source.packetizers[place] = packetizer;
        if !was_known && source.encodings[place].codec.is_some() {
            let source = crate::api::SourceId(source.id);
            let event = Event::EncodingStarted { source, encoding, ssrc: 0, codec };
            self.events.push(event, &mut self.counters);
        }
        let source = self.sources.get_mut(index)?;
        mark_dirty(&mut self.dirty, index, source);
        if source.group != 0 {
            source.loudness.on_packet(now, None, data.len());
            self.contest(now, index);
        }
        Some(())
    }
}

fn store_local(now: Micros, source: &mut Source, place: usize, incoming: &Incoming<'_>) -> bool {
    let encoding = &mut source.encodings[place];
    let generation = encoding.generation;
    let (outcome, _) = encoding.insert(now, incoming);
    if encoding.generation != generation {
        source.timeline.forget(place);
    }
    source.timeline.on_packet(now, place, incoming.ts_rtp);
    matches!(outcome, Outcome::Stored(_))
}

fn local<'a>(
    seq: u16,
    ts_rtp: u32,
    is_marker: bool,
    codec: Codec,
    payload: &'a [u8],
) -> Incoming<'a> {
    Incoming {
        seq,
        ts_rtp,
        is_marker,
        codec,
        is_recovered: false,
        is_healed: false,
        needs_nack: false,
        level: None,
        orientation: None,
        payload,
        dependency: &[],
        capture: &[],
    }
}
