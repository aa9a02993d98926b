//! One published track with its encodings, and who reads it.

use crate::api::{Codec, EncodingConfig, Micros, SourceConfig};

use super::clock::Timeline;
use super::encoding::Encoding;
use super::loudness::Loudness;
use super::packetize::Packetizer;

/// Encodings of a source at most.
pub const MAX_ENCODINGS: usize = 3;

/// A published track.
#[derive(Debug)]
pub struct Source {
    /// Caller's number.
    pub id: u32,
    /// Index of the transport it comes from; `None` = fed by frames.
    pub transport: Option<u32>,
    /// Its m-section.
    pub mid: String,
    /// Canonical name: the same for all tracks of one publisher, so that players keep their lips
    /// in step (RFC 3550 §6.5.1).
    pub cname: String,
    /// Audio or video.
    pub is_audio: bool,
    /// While set, arriving media is dropped.
    pub is_muted: bool,
    /// Number of the group whose loudest are forwarded; 0 = none.
    pub group: u32,
    /// Others of the group are louder: nothing is forwarded.
    pub is_held_back: bool,
    /// Loudness, for its group.
    pub loudness: Loudness,
    /// Something arrived since the last flush.
    pub is_dirty: bool,
    /// Lowest first.
    pub encodings: Vec<Encoding>,
    /// Numbers of a local source's packets, one per encoding.
    pub packetizers: [Packetizer; MAX_ENCODINGS],
    /// Timestamps of the encodings against each other.
    pub timeline: Timeline,
    /// Indices of sinks.
    pub sinks: Vec<u32>,
    /// Indices of taps.
    pub taps: Vec<u32>,
    active_mask: u8,
}

impl Source {
    /// Whether what arrived since the last flush ends in the middle of a frame.
    pub fn is_mid_frame(&self) -> bool {
        !self.is_audio
            && self.encodings.iter().any(|encoding| {
                let newest = encoding.log.last().and_then(|&seq| encoding.ring.view(seq));
                newest.is_some_and(|view| !view.is_marker)
            })
    }

    /// A track that nothing was heard of yet.
    pub fn new(id: u32, transport: Option<u32>, config: SourceConfig) -> Source {
        let is_audio = config.is_audio;
        let mut encodings: Vec<Encoding> = config
            .encodings
            .into_iter()
            .take(MAX_ENCODINGS)
            .map(|one| Encoding::new(one, is_audio))
            .collect();
        if encodings.is_empty() {
            encodings.push(Encoding::new(EncodingConfig::default(), is_audio));
        }
        Source {
            id,
            transport,
            mid: config.mid,
            cname: match transport {
                Some(transport) => format!("publisher-{transport}"),
                None => format!("local-{id}"),
            },
            is_audio,
            is_muted: false,
            group: 0,
            is_held_back: false,
            loudness: Loudness::default(),
            is_dirty: false,
            encodings,
            packetizers: Default::default(),
            timeline: Timeline::default(),
            sinks: Vec::new(),
            taps: Vec::new(),
            active_mask: 0,
        }
    }

    /// Whether the set of active encodings is another than at the last call.
    pub fn has_activity_changed(&mut self, now: Micros) -> bool {
        let mask = Encoding::active_mask(&self.encodings, now);
        std::mem::replace(&mut self.active_mask, mask) != mask
    }

    /// What it carries, as far as known.
    pub fn codec(&self) -> Option<Codec> {
        self.encodings.iter().find_map(|encoding| encoding.codec)
    }

    /// Asks for a key frame of one encoding, or of all active ones (255).
    pub fn want_key(&mut self, now: Micros, encoding: u8) {
        if self.is_audio {
            return;
        }
        // A still screen may send nothing for long: then all there is to ask is the silent source.
        let is_silent = !self.encodings.iter().any(|one| one.is_active(now));
        for (index, one) in self.encodings.iter_mut().enumerate() {
            // A layer that is switched off cannot answer, and starts with a key frame anyway.
            let is_able =
                one.is_active(now) || is_silent || (one.last_received_us == 0 && encoding != 255);
            if is_able && (index == usize::from(encoding) || encoding == 255) {
                one.budget.want();
            }
        }
    }

    /// Encodings of a source of this process whose encoder is to be asked for a key frame now, as a
    /// bit each.
    pub fn poll_own_keys(&mut self, now: Micros) -> u8 {
        let mut mask = 0;
        for (index, one) in self.encodings.iter_mut().enumerate() {
            let bitrate_bps = one.bitrate_bps(now);
            mask |= u8::from(one.budget.poll(now, bitrate_bps)) << index;
        }
        mask
    }

    /// When the next request to the publisher (NACK or key frame) may leave.
    pub fn next_request_us(&self, now: Micros) -> Option<Micros> {
        let nack = self.encodings.iter().filter_map(|one| one.nack.next_due_us()).min();
        let key = self.encodings.iter().filter(|one| one.ssrc != 0);
        let key = key.filter_map(|one| one.budget.next_due_us(one.bitrate_bps(now))).min();
        nack.into_iter().chain(key).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last_received_us: [Micros; 2]) -> Source {
        let encodings = vec![EncodingConfig::default(); 2];
        let config = SourceConfig { mid: "0".into(), is_audio: false, encodings };
        let mut source = Source::new(1, Some(0), config);
        for (encoding, at) in source.encodings.iter_mut().zip(last_received_us) {
            encoding.last_received_us = at;
        }
        source
    }

    fn wanted(source: &Source) -> [bool; 2] {
        [0, 1].map(|at| source.encodings[at].budget.is_wanted())
    }

    #[test]
    fn a_layer_that_is_switched_off_is_not_asked_while_another_runs() {
        let mut source = source([10_000_000, 1]);
        source.want_key(10_000_000, 1);
        assert_eq!(wanted(&source), [false, false]);
        source.want_key(10_000_000, 255);
        assert_eq!(wanted(&source), [true, false]);
    }

    #[test]
    fn an_encoder_of_this_process_is_asked_at_once_and_not_again_and_again() {
        let mut source = source([10_000_000, 10_000_000]);
        source.transport = None;
        assert_eq!(source.poll_own_keys(10_000_000), 0, "nobody wants one");
        source.want_key(10_000_000, 1);
        assert_eq!(source.poll_own_keys(10_000_000), 2);
        source.want_key(10_010_000, 1);
        assert_eq!(source.poll_own_keys(10_010_000), 0, "it is under way");
    }

    #[test]
    fn a_still_screen_is_asked_although_it_is_silent() {
        let mut source = source([1_000_000, 0]);
        source.want_key(10_000_000, 0);
        assert_eq!(wanted(&source), [true, false]);
    }
}
