//! A published track: looped frames, packetised and sent on time.

use std::collections::VecDeque;
use std::ops::Range;

use aislecast_engine::api::{Codec, ExtMap};
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader, RtpWriter};
use aislecast_engine::wire::srtp::{RTP_OVERHEAD_MAX, SrtpSender};

use crate::stats::SentTimes;

/// Payload bytes a packet, so that header, tag and UDP/IP stay under 1250.
const PAYLOAD_MAX: usize = 1140;
/// A key frame on request at most this often.
const KEYFRAME_GAP_US: u64 = 500_000;

/// Whether it is a key frame, and its bytes.
pub type EncodedFrame = (bool, Vec<u8>);

/// One packet that waits for the pacer.
pub struct Piece {
    /// Index of its track in the peer.
    pub track: usize,
    at: usize,
    range: Range<usize>,
    is_first: bool,
    is_last: bool,
    ts_rtp: u32,
    picture_id: u16,
}

impl Piece {
    /// Payload bytes.
    pub fn size(&self) -> usize {
        self.range.len()
    }
}

/// One encoding of a track, looped for ever.
pub struct Outgoing {
    pub ssrc: u32,
    pub codec: Codec,
    pub pt: u8,
    pub mid: Vec<u8>,
    pub rid: Vec<u8>,
    pub extensions: ExtMap,
    pub frames: Vec<EncodedFrame>,
    pub interval_us: u64,
    pub next_us: u64,
    at: usize,
    seq: u16,
    ts_rtp: u32,
    picture_id: u16,
    last_key_us: u64,
    sent: u32,
    octets: u32,
}

impl Outgoing {
    #[allow(clippy::too_many_arguments)] // built once, from the binding
    pub fn new(
        ssrc: u32,
        codec: Codec,
        pt: u8,
        mid: Vec<u8>,
        rid: Vec<u8>,
        extensions: ExtMap,
        frames: Vec<EncodedFrame>,
        interval_us: u64,
        now_us: u64,
    ) -> Self {
        Self {
            ssrc,
            codec,
            pt,
            mid,
            rid,
            extensions,
            frames,
            interval_us,
            next_us: now_us,
            at: 0,
            seq: ssrc as u16,
            ts_rtp: ssrc.rotate_left(7),
            picture_id: ssrc as u16 & 0x7fff,
            last_key_us: 0,
            sent: 0,
            octets: 0,
        }
    }

    /// Starts the loop again with its key frame, not too often.
    pub fn request_keyframe(&mut self, now_us: u64) {
        if now_us.saturating_sub(self.last_key_us) >= KEYFRAME_GAP_US {
            self.at = 0;
        }
    }

    /// RTP time, packets and octets so far, for sender reports.
    pub fn report(&self) -> (u32, u32, u32) {
        (self.ts_rtp, self.sent, self.octets)
    }

    /// Puts the packets of the frame that is due into `queue`, to be sent by the pacer.
    pub fn queue_frame(&mut self, track: usize, now_us: u64, queue: &mut VecDeque<Piece>) {
        let at = self.at;
        self.at = (at + 1) % self.frames.len();
        if self.frames[at].0 {
            self.last_key_us = now_us;
        }
        let size = self.frames[at].1.len();
        let pieces = size.div_ceil(PAYLOAD_MAX).max(1);
        for piece in 0..pieces {
            queue.push_back(Piece {
                track,
                at,
                range: size * piece / pieces..size * (piece + 1) / pieces,
                is_first: piece == 0,
                is_last: piece + 1 == pieces,
                ts_rtp: self.ts_rtp,
                picture_id: self.picture_id,
            });
        }
        self.ts_rtp = self
            .ts_rtp
            .wrapping_add((self.interval_us * u64::from(self.codec.clock_hz()) / 1_000_000) as u32);
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.next_us += self.interval_us;
        if now_us > self.next_us + 1_000_000 {
            self.next_us = now_us; // the machine stood still: do not send a flood to catch up
        }
    }

    /// Mean bitrate of the loop.
    pub fn rate_bps(&self) -> u64 {
        let bytes: usize = self.frames.iter().map(|frame| frame.1.len()).sum();
        bytes as u64 * 8_000_000 / (self.frames.len() as u64 * self.interval_us)
    }

    /// Seals one packet into `packet` and says how long it is.
    pub fn seal(
        &mut self,
        piece: &Piece,
        now_us: u64,
        twcc_seq: &mut u16,
        srtp: &mut SrtpSender,
        times: &mut SentTimes,
        packet: &mut [u8; 1500],
    ) -> Option<usize> {
        let is_audio = self.codec.is_audio();
        let header = RtpHeader {
            is_marker: piece.is_last && !is_audio,
            pt: self.pt,
            seq: self.seq,
            ts_rtp: piece.ts_rtp,
            ssrc: self.ssrc,
        };
        let values = OutExtensions {
            mid: (self.extensions.mid != 0).then_some(self.mid.as_slice()),
            rid: (self.extensions.rid != 0).then_some(self.rid.as_slice()),
            twcc: (self.extensions.twcc != 0).then_some(*twcc_seq),
            audio_level: (self.extensions.audio_level != 0).then_some((true, 20)),
            ..OutExtensions::default()
        };
        let writer = RtpWriter::new(self.extensions);
        let mut len = writer.write_header(packet, &header, &values)?;
        if !is_audio {
            // RFC 7741 §4.2: X, S on the first packet of partition 0; 15-bit picture id.
            let id = piece.picture_id.to_be_bytes();
            let descriptor = [0x80 | (u8::from(piece.is_first) << 4), 0x80, 0x80 | id[0], id[1]];
            packet[len..len + 4].copy_from_slice(&descriptor);
            len += 4;
        }
        let data = &self.frames[piece.at].1[piece.range.clone()];
        packet[len..len + data.len()].copy_from_slice(data);
        len += data.len();
        debug_assert!(len + RTP_OVERHEAD_MAX <= packet.len());
        times.sent(data, now_us);
        *twcc_seq = twcc_seq.wrapping_add(1);
        self.seq = self.seq.wrapping_add(1);
        self.sent = self.sent.wrapping_add(1);
        self.octets = self.octets.wrapping_add(data.len() as u32);
        srtp.protect_rtp(packet, len).ok()
    }
}
