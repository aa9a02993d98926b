//! The packets of one encoding: decrypted payloads in fixed slots, found by sequence number.
//!
//! One ring serves live forwarding, retransmission, joiners and layer switches, so a packet is
//! stored once whatever the number of subscribers. Memory is taken with the first packet.

use crate::api::{Codec, Micros};

/// Bytes of one slot: payload, then dependency descriptor, then absolute capture time.
pub const SLOT_BYTES: usize = 1536;
/// Slots of a video encoding.
pub const VIDEO_SLOTS: usize = 512;
/// Slots of an audio encoding.
pub const AUDIO_SLOTS: usize = 64;
/// Nothing older than this is replayed or retransmitted.
pub const MAX_AGE_US: Micros = 2_000_000;

/// What is known of a stored packet without touching its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Source sequence number, unwrapped; grows over restarts of the stream too.
    pub seq_ext: u64,
    /// When it arrived.
    pub arrived_us: Micros,
    /// RTP timestamp as sent by the publisher.
    pub ts_rtp: u32,
    /// Payload bytes; 0 = padding only.
    pub len: u16,
    /// VP8 picture id unwrapped to 15 bits; valid with `has_pid`.
    pub pid: u16,
    /// VP8 TL0PICIDX; valid with `has_tl0`.
    pub tl0: u8,
    /// Temporal layer, 0 where the codec does not say.
    pub temporal: u8,
    /// What the payload is.
    pub codec: Codec,
    /// Bytes of the VP8 payload descriptor at the start of the payload.
    pub descriptor_len: u8,
    /// Bytes of dependency descriptor after the payload.
    pub dependency_len: u8,
    /// Bytes of abs-capture-time after that.
    pub capture_len: u8,
    /// RFC 6464 byte as received; valid with `has_level`.
    pub level: u8,
    /// Video orientation byte; valid with `has_orientation`.
    pub orientation: u8,
    /// RTP marker.
    pub is_marker: bool,
    /// First packet of its frame.
    pub is_frame_start: bool,
    /// Belongs to a key frame, as far as this packet alone tells.
    pub is_key: bool,
    /// H.264: holds an SPS.
    pub has_sps: bool,
    /// VP8 Y bit: does not depend on its own temporal layer.
    pub is_sync: bool,
    /// See `pid`.
    pub has_pid: bool,
    /// See `tl0`.
    pub has_tl0: bool,
    /// See `level`.
    pub has_level: bool,
    /// See `orientation`.
    pub has_orientation: bool,
}

impl View {
    /// A packet of which nothing but its place is known.
    pub fn new(seq_ext: u64, ts_rtp: u32, codec: Codec, arrived_us: Micros) -> View {
        View {
            seq_ext,
            arrived_us,
            ts_rtp,
            len: 0,
            pid: 0,
            tl0: 0,
            temporal: 0,
            codec,
            descriptor_len: 0,
            dependency_len: 0,
            capture_len: 0,
            level: 0,
            orientation: 0,
            is_marker: false,
            is_frame_start: false,
            is_key: false,
            has_sps: false,
            is_sync: false,
            has_pid: false,
            has_tl0: false,
            has_level: false,
            has_orientation: false,
        }
    }

    /// Carries no media (bandwidth probing).
    pub fn is_padding_only(&self) -> bool {
        self.len == 0
    }
}

/// A stored packet.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its facts.
    pub view: &'a View,
    /// Its payload.
    pub payload: &'a [u8],
    /// Its dependency descriptor, empty if none.
    pub dependency: &'a [u8],
    /// Its abs-capture-time, empty if none.
    pub capture: &'a [u8],
}

/// Why a packet was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Does not fit a slot.
    Oversized,
    /// Already there.
    Duplicate,
    /// Older than the ring reaches.
    Late,
}

/// Slots by `seq_ext % capacity`.
#[derive(Debug)]
pub struct Ring {
    capacity: usize,
    views: Vec<View>,
    bytes: Vec<u8>,
    first_seq_ext: u64,
    next_seq_ext: u64,
}

const ABSENT: u64 = u64::MAX;

impl Ring {
    /// An empty ring; `capacity` must be a power of two.
    pub fn new(capacity: usize) -> Ring {
        assert!(capacity.is_power_of_two(), "slots are found by masking");
        Ring { capacity, views: Vec::new(), bytes: Vec::new(), first_seq_ext: 0, next_seq_ext: 0 }
    }

    /// One past the newest sequence number; 0 = nothing was stored yet.
    pub fn next_seq_ext(&self) -> u64 {
        self.next_seq_ext
    }

    /// The oldest sequence number that may still be held.
    pub fn oldest_seq_ext(&self) -> u64 {
        self.first_seq_ext.max(self.next_seq_ext.saturating_sub(self.capacity as u64))
    }

    /// Nothing was stored since the start or the last restart.
    pub fn is_empty(&self) -> bool {
        self.first_seq_ext == self.next_seq_ext
    }

    /// Bytes of memory taken.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.views.capacity() * size_of::<View>()
    }

    /// Stores a packet; the lengths in `view` are set here.
    pub fn insert(
        &mut self,
        mut view: View,
        payload: &[u8],
        dependency: &[u8],
        capture: &[u8],
    ) -> Result<(), Refused> {
        let size = payload.len() + dependency.len() + capture.len();
        if size > SLOT_BYTES || dependency.len() > 255 || capture.len() > 16 {
            return Err(Refused::Oversized);
        }
        if self.views.is_empty() {
            self.allocate(view);
        }
        if view.seq_ext < self.oldest_seq_ext() {
            // Only a packet that preceded the very first one may move the start back.
            let is_in_reach = view.seq_ext + self.capacity as u64 >= self.next_seq_ext;
            if view.seq_ext >= self.first_seq_ext || !is_in_reach {
                return Err(Refused::Late);
            }
            self.first_seq_ext = view.seq_ext;
        }
        let index = self.index(view.seq_ext);
        if self.views[index].seq_ext == view.seq_ext {
            return Err(Refused::Duplicate);
        }
        view.len = payload.len() as u16;
        view.dependency_len = dependency.len() as u8;
        view.capture_len = capture.len() as u8;
        let slot = &mut self.bytes[index * SLOT_BYTES..][..SLOT_BYTES];
        slot[..payload.len()].copy_from_slice(payload);
        slot[payload.len()..][..dependency.len()].copy_from_slice(dependency);
        slot[payload.len() + dependency.len()..][..capture.len()].copy_from_slice(capture);
        self.views[index] = view;
        self.next_seq_ext = self.next_seq_ext.max(view.seq_ext + 1);
        Ok(())
    }

    /// The packet `seq_ext`, if it is held.
    pub fn get(&self, seq_ext: u64) -> Option<Stored<'_>> {
        let view = self.view(seq_ext)?;
        let start = self.index(seq_ext) * SLOT_BYTES;
        let (payload, rest) = self.bytes[start..start + SLOT_BYTES].split_at(view.len as usize);
        let (dependency, rest) = rest.split_at(view.dependency_len as usize);
        Some(Stored { view, payload, dependency, capture: &rest[..view.capture_len as usize] })
    }

    /// The facts of packet `seq_ext`, if it is held.
    pub fn view(&self, seq_ext: u64) -> Option<&View> {
        self.views.get(self.index(seq_ext)).filter(|view| view.seq_ext == seq_ext)
    }

    /// The facts of packet `seq_ext` for a late correction (the start of a frame seen afterwards).
    pub fn view_mut(&mut self, seq_ext: u64) -> Option<&mut View> {
        let index = self.index(seq_ext);
        self.views.get_mut(index).filter(|view| view.seq_ext == seq_ext)
    }

    /// Forgets everything; the next packet may have any higher number.
    pub fn restart(&mut self, first_seq_ext: u64) {
        for view in &mut self.views {
            view.seq_ext = ABSENT;
        }
        self.first_seq_ext = first_seq_ext;
        self.next_seq_ext = first_seq_ext;
    }

    fn allocate(&mut self, view: View) {
        let empty = View { seq_ext: ABSENT, ..view };
        self.views = vec![empty; self.capacity];
        self.bytes = vec![0; self.capacity * SLOT_BYTES];
        self.first_seq_ext = view.seq_ext;
        self.next_seq_ext = view.seq_ext;
    }

    fn index(&self, seq_ext: u64) -> usize {
        seq_ext as usize & (self.capacity - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(seq_ext: u64) -> View {
        View::new(seq_ext, 0, Codec::Opus, 0)
    }

    #[test]
    fn a_view_stays_within_one_cache_line() {
        assert!(size_of::<View>() <= 64);
    }

    #[test]
    fn gives_back_what_was_stored_until_it_is_overwritten() {
        let mut ring = Ring::new(AUDIO_SLOTS);
        assert_eq!(ring.memory_bytes(), 0);
        for seq in 100..100 + 65 {
            ring.insert(view(seq), &[seq as u8], &[1, 2], &[3]).unwrap();
        }
        assert!(ring.get(100).is_none());
        let stored = ring.get(101).unwrap();
        assert_eq!(
            (stored.payload, stored.dependency, stored.capture),
            (&[101][..], &[1, 2][..], &[3][..])
        );
        assert_eq!(ring.oldest_seq_ext(), 101);
        assert_eq!(ring.next_seq_ext(), 165);
    }

    #[test]
    fn refuses_duplicates_late_and_oversized_packets() {
        let mut ring = Ring::new(AUDIO_SLOTS);
        ring.insert(view(1000), &[1], &[], &[]).unwrap();
        assert_eq!(ring.insert(view(1000), &[2], &[], &[]), Err(Refused::Duplicate));
        assert_eq!(
            ring.insert(view(1001), &[0; SLOT_BYTES + 1], &[], &[]),
            Err(Refused::Oversized)
        );
        ring.insert(view(1200), &[1], &[], &[]).unwrap();
        assert_eq!(ring.insert(view(1010), &[1], &[], &[]), Err(Refused::Late));
    }

    #[test]
    fn takes_a_packet_that_was_overtaken_by_the_first_one() {
        let mut ring = Ring::new(AUDIO_SLOTS);
        ring.insert(view(1000), &[1], &[], &[]).unwrap();
        ring.insert(view(998), &[1], &[], &[]).unwrap();
        assert!(ring.get(998).is_some());
        assert_eq!(ring.oldest_seq_ext(), 998);
    }

    #[test]
    fn restart_forgets_everything() {
        let mut ring = Ring::new(AUDIO_SLOTS);
        ring.insert(view(10), &[1], &[], &[]).unwrap();
        ring.restart(1 << 17);
        assert!(ring.get(10).is_none());
        assert_eq!(ring.insert(view(11), &[1], &[], &[]), Err(Refused::Late));
        ring.insert(view((1 << 17) + 5), &[1], &[], &[]).unwrap();
    }
}
