//! Arriving media: unprotect, find the encoding, store, note what is missing.

use crate::api::{Codec, Event, Micros, Path, SourceId};
use crate::media::encoding::{Incoming, Outcome};
use crate::media::redundancy::{Healed, healed};
use crate::media::ring::Refused;
use crate::media::source::Source;
use crate::wire::red::Red;
use crate::wire::rtp::{RtpView, Span};
use crate::wire::srtp::SrtpError;

use super::slab::Slab;
use super::transport::{Binding, PayloadKind, Transport};
use super::{Core, mark_dirty};

/// Where a packet belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    source: u32,
    encoding: u8,
    is_rtx: bool,
}

impl Core {
    /// Takes one SRTP packet.
    pub(super) fn handle_rtp(&mut self, now: Micros, path: Path, index: u32, data: &mut [u8]) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let Some(receiver) = &mut transport.receiver else {
            self.counters.dropped_no_keys += 1;
            return;
        };
        let size = data.len();
        let len = match receiver.unprotect_rtp(data) {
            Ok(unprotected) => unprotected.len,
            Err(error) => return self.count_srtp_error(index, error),
        };
        transport.counts.received_packets += 1;
        transport.counts.received_bytes += size as u64;
        self.on_heard(now, path, index);
        let data = &data[..len];
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let Some(view) = RtpView::parse(data, &transport.extensions) else {
            transport.counts.dropped_malformed += 1;
            self.counters.dropped_malformed += 1;
            let ssrc = data.get(8..12).and_then(|bytes| bytes.try_into().ok());
            forget_stranger(transport, ssrc.map_or(0, u32::from_be_bytes));
            return;
        };
        if let Some(seq) = view.extensions.twcc {
            transport.arrivals.on_packet(now, seq);
            if let Some(due) = transport.arrivals.next_due_us() {
                self.timers.schedule(index, due);
            }
        }
        if let Some(send_units) = view.extensions.abs_send_time {
            self.watch_uplink(now, index, send_units, size);
        }
        self.handle_media(now, index, data, view);
    }

    pub(super) fn count_srtp_error(&mut self, index: u32, error: SrtpError) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        match error {
            SrtpError::Replay | SrtpError::TooOld => {
                transport.counts.dropped_replay += 1;
                self.counters.dropped_replay += 1;
            }
            SrtpError::TooManySsrcs => {
                transport.counts.dropped_unknown += 1;
                self.counters.dropped_unknown_ssrc += 1;
            }
            SrtpError::Malformed | SrtpError::NoRoom => {
                transport.counts.dropped_malformed += 1;
                self.counters.dropped_malformed += 1;
            }
            SrtpError::Authentication | SrtpError::NotEncrypted | SrtpError::KeyExhausted => {
                transport.counts.dropped_auth += 1;
                self.counters.dropped_auth += 1;
            }
        }
    }

    fn handle_media(&mut self, now: Micros, index: u32, data: &[u8], view: RtpView) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let Some(kind) = transport.payload(view.pt) else {
            transport.counts.dropped_unknown += 1;
            self.counters.dropped_unknown_payload += 1;
            forget_stranger(transport, view.ssrc);
            return;
        };
        let Some(at) = find_binding(transport, &mut self.sources, data, &view, kind) else {
            transport.counts.dropped_unknown += 1;
            self.counters.dropped_unknown_ssrc += 1;
            forget_stranger(transport, view.ssrc);
            return;
        };
        let binding = transport.bindings[at];
        let (codec, needs_nack) = match (kind, binding.is_rtx) {
            (PayloadKind::Media(codec, has_rtx), false) => (codec, has_rtx || !codec.is_audio()),
            (PayloadKind::Rtx(_, codec), true) => (codec, true),
            _ => {
                transport.counts.dropped_unknown += 1;
                self.counters.dropped_unknown_payload += 1;
                return;
            }
        };
        let view = match binding.is_rtx {
            false => view,
            true => match view.to_rtx_original(data, view.pt, binding.ssrc) {
                Some(original) if original.payload_len > 0 => original,
                // Probing padding: its transport-wide number was all it had to say.
                _ => return,
            },
        };
        let incoming = incoming(data, &view, codec, binding.is_rtx, needs_nack);
        match codec {
            Codec::Red => self.store_red(now, index, at, &incoming),
            _ => self.store(now, index, at, &incoming),
        }
    }

    /// Takes RED apart: lost frames that it brings along come first, then its own.
    fn store_red(&mut self, now: Micros, index: u32, at: usize, incoming: &Incoming<'_>) {
        let Some(transport) = self.transports.get(index) else {
            return;
        };
        let binding = transport.bindings[at];
        let is_opus =
            |pt| matches!(transport.payload(pt), Some(PayloadKind::Media(Codec::Opus, _)));
        let red = Red::parse(incoming.payload).filter(|red| is_opus(red.primary().pt));
        let Some(red) = red else {
            self.counters.dropped_malformed += 1;
            return;
        };
        let own = Incoming { codec: Codec::Opus, payload: red.primary().data, ..*incoming };
        let source = self.sources.get(binding.source).filter(|source| !source.is_muted);
        let encoding = source.map(|source| &source.encodings[usize::from(binding.encoding)]);
        let lost = encoding.map(|encoding| healed(encoding, own.seq, own.ts_rtp, &red, is_opus));
        for frame in lost.into_iter().flatten().flatten() {
            let Healed { seq, ts_rtp, data } = frame;
            let (payload, capture) = (data, &[][..]);
            let (is_recovered, is_healed) = (true, true);
            let frame = Incoming {
                seq,
                ts_rtp,
                payload,
                capture,
                is_recovered,
                is_healed,
                level: None,
                ..own
            };
            self.store(now, index, at, &frame);
        }
        self.store(now, index, at, &own);
    }

    fn store(&mut self, now: Micros, index: u32, at: usize, incoming: &Incoming<'_>) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let binding = &mut transport.bindings[at];
        let Some(source) = self.sources.get_mut(binding.source) else {
            return;
        };
        let (source_index, place) = (binding.source, usize::from(binding.encoding));
        let mut has_begun = false;
        if source.is_muted {
            self.counters.dropped_muted += 1;
            source.encodings[place].skip(now, incoming);
            return;
        }
        let encoding = &mut source.encodings[place];
        let generation = encoding.generation;
        let (outcome, given_up) = encoding.insert(now, incoming);
        let has_restarted = encoding.generation != generation;
        if let Some(given_up) = given_up {
            // Loss before the newest key frame hurts nobody any more.
            if encoding.key.is_none_or(|key| key.seq_ext <= given_up.newest_seq_ext) {
                encoding.budget.want();
            }
        }
        if has_restarted {
            source.timeline.forget(place);
        }
        let mut is_voice = false;
        match outcome {
            Outcome::Stored(_) => {
                self.counters.received_packets += 1;
                let (is_healed, is_recovered) = (incoming.is_healed, incoming.is_recovered);
                self.counters.red_received += u64::from(is_healed);
                self.counters.rtx_received += u64::from(is_recovered && !is_healed);
                if !incoming.is_recovered && !incoming.payload.is_empty() {
                    source.timeline.on_packet(now, place, incoming.ts_rtp);
                    is_voice = source.group != 0;
                }
                if !binding.is_rtx && !binding.is_announced && !incoming.payload.is_empty() {
                    binding.is_announced = true;
                    let started = &mut source.encodings[place].started;
                    let is_held = started.on_start(now, binding.ssrc, incoming.codec);
                    self.counters.held_events += u64::from(is_held);
                    has_begun = true;
                }
                mark_dirty(&mut self.dirty, source_index, source);
            }
            Outcome::Refused(Refused::Duplicate) => self.counters.dropped_duplicate += 1,
            Outcome::Refused(Refused::Late) => self.counters.dropped_late += 1,
            Outcome::Refused(Refused::Oversized) => self.counters.dropped_oversized += 1,
            Outcome::Malformed => self.counters.dropped_malformed += 1,
            Outcome::Suspect => self.counters.dropped_late += 1,
        }
        if let Some(due) = source.next_request_us(now) {
            self.timers.schedule(index, due.max(now));
        }
        if is_voice {
            source.loudness.on_packet(now, incoming.level, incoming.payload.len());
            self.contest(now, source_index);
        }
        if has_begun {
            self.announce_starts(now, source_index);
        }
    }

    /// Tells which SSRCs of a source began, as far as it is time for that.
    pub(super) fn announce_starts(&mut self, now: Micros, index: u32) {
        let Some(source) = self.sources.get_mut(index) else {
            return;
        };
        for (at, encoding) in source.encodings.iter_mut().enumerate() {
            if let Some((ssrc, codec)) = encoding.started.take(now) {
                let (source, encoding) = (SourceId(source.id), at as u8);
                let event = Event::EncodingStarted { source, encoding, ssrc, codec };
                self.events.push(event, &mut self.counters);
            }
            if let Some((transport, due)) = source.transport.zip(encoding.started.due_us()) {
                self.timers.schedule(transport, due);
            }
        }
    }
}

fn incoming<'a>(
    data: &'a [u8],
    view: &RtpView,
    codec: Codec,
    is_recovered: bool,
    needs_nack: bool,
) -> Incoming<'a> {
    let bytes = |span: Option<Span>| span.map_or(&[][..], |span| span.of(data));
    Incoming {
        seq: view.seq,
        ts_rtp: view.ts_rtp,
        is_marker: view.is_marker,
        codec,
        is_recovered,
        is_healed: false,
        needs_nack,
        level: view.extensions.audio_level.map(|(is_voice, level)| u8::from(is_voice) << 7 | level),
        orientation: view.extensions.video_orientation,
        payload: view.payload(data),
        dependency: bytes(view.extensions.dependency),
        capture: bytes(view.extensions.abs_capture_time),
    }
}

/// Nothing may be kept of SSRCs that nobody negotiated: a peer can invent any number, and a full
/// table refuses those of its tracks too.
fn forget_stranger(transport: &mut Transport, ssrc: u32) {
    let is_stranger = transport.binding(ssrc).is_none() && transport.ended(ssrc).is_none();
    if let Some(receiver) = transport.receiver.as_mut().filter(|_| is_stranger) {
        receiver.forget(ssrc);
    }
}

/// The binding of a packet's SSRC, made now if the packet says whose it is.
fn find_binding(
    transport: &mut Transport,
    sources: &mut Slab<Source>,
    data: &[u8],
    view: &RtpView,
    kind: PayloadKind,
) -> Option<usize> {
    if let Some(at) = transport.binding(view.ssrc) {
        return Some(at);
    }
    let is_rtx = matches!(kind, PayloadKind::Rtx(..));
    let place = find_place(transport, sources, data, view, is_rtx, kind)?;
    let binding = Binding {
        ssrc: view.ssrc,
        source: place.source,
        encoding: place.encoding,
        is_rtx: place.is_rtx,
        is_announced: false,
    };
    if !transport.bind(binding) {
        return None;
    }
    let encoding = &mut sources.get_mut(place.source)?.encodings[usize::from(place.encoding)];
    match place.is_rtx {
        true => encoding.rtx_ssrc = view.ssrc,
        false => encoding.rebind(view.ssrc),
    }
    transport.binding(view.ssrc)
}

/// RFC 8843 §9.2: by mid and rid; without them, by a payload type that only one source can mean.
fn find_place(
    transport: &Transport,
    sources: &Slab<Source>,
    data: &[u8],
    view: &RtpView,
    is_rtx: bool,
    kind: PayloadKind,
) -> Option<Place> {
    let codec = match kind {
        PayloadKind::Media(codec, _) | PayloadKind::Rtx(_, codec) => codec,
    };
    let extensions = &view.extensions;
    // A sender that is used again may not say who it is any more.
    let ended = transport.ended(view.ssrc);
    let mid = extensions.mid.map(|span| span.of(data));
    let mid = mid.or(ended.map(|ended| ended.mid.as_bytes()));
    let rid = if is_rtx { extensions.repaired_rid.or(extensions.rid) } else { extensions.rid };
    let rid = rid.map(|span| span.of(data));
    let rid = rid.or(ended.map(|ended| ended.rid.as_bytes()));
    let mut matching = transport
        .sources
        .iter()
        .filter_map(|&at| Some((at, sources.get(at)?)))
        .filter(|(_, source)| source.is_audio == codec.is_audio())
        .filter(|(_, source)| mid.is_none_or(|mid| source.mid.as_bytes() == mid));
    let first = matching.next()?;
    // Without a mid the payload type has to be unambiguous.
    if mid.is_none() && matching.next().is_some() {
        return None;
    }
    let encodings = &first.1.encodings;
    let encoding = match rid {
        Some(rid) if encodings.len() > 1 => {
            encodings.iter().position(|one| one.config.rid.as_bytes() == rid)?
        }
        _ if encodings.len() == 1 => 0,
        _ => return None,
    };
    let declared =
        if is_rtx { encodings[encoding].config.rtx_ssrc } else { encodings[encoding].config.ssrc };
    // A source with a declared SSRC is not taken over by a packet that only shares its payload type.
    if declared != 0 && mid.is_none() {
        return None;
    }
    Some(Place { source: first.0, encoding: encoding as u8, is_rtx })
}
