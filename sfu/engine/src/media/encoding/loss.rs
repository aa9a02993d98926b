//! What a lost packet means for the picture.

use crate::api::Micros;
use crate::media::keyframes::KeyMark;
use crate::media::ring::{Ring, View};

use super::{Encoding, MAX_LOG};

/// Packets looked through beside a gap, and of a key frame.
const MAX_WALK: u64 = 128;

impl Encoding {
    /// The newest key frame, once all its packets are here.
    pub fn whole_key(&self) -> Option<KeyMark> {
        let key = self.key?;
        let views = (key.seq_ext..key.seq_ext + MAX_WALK).map_while(|seq| self.ring.view(seq));
        let mut own = views.take_while(|view| view.ts_rtp == key.ts_rtp || view.is_padding_only());
        own.any(|view| view.is_marker).then_some(key)
    }

    /// Takes missing packets that were nothing but padding for arrived. Senders without a
    /// retransmission stream pad, and probe, under the numbers of their media, and never send that
    /// again (libwebrtc's `rtp_sender.cc`): it would be asked for in vain, then a key frame, and
    /// viewers would wait for the numbers. Returns whether there were any: they are in the log.
    pub fn fill_padding(&mut self, now: Micros) -> bool {
        let Some(codec) = self.codec.filter(|codec| !codec.is_audio()) else {
            return false;
        };
        let (mut is_filled, mut next) = (false, 0);
        // Each is looked at once: what is filled here tells nothing of the others.
        let find = |one: &Encoding, next: u64| {
            one.nack.missing().find(|&seq| seq >= next && is_padding(&one.ring, seq))
        };
        while let Some(seq_ext) = find(self, next) {
            next = seq_ext + 1;
            let ts_rtp = neighbours(&self.ring, seq_ext).map_or(0, |(before, _)| before.ts_rtp);
            let view = View::new(seq_ext, ts_rtp, codec, now);
            if self.ring.insert(view, &[], &[], &[]).is_ok() && self.log.len() < MAX_LOG {
                self.log.push(seq_ext);
                is_filled = true;
            }
            self.nack.on_arrival(now, seq_ext, false);
        }
        is_filled
    }
}

/// Packet `seq_ext` was nothing but padding: one picture ends before it, the next one starts after it.
fn is_padding(ring: &Ring, seq_ext: u64) -> bool {
    let Some((before, after)) = neighbours(ring, seq_ext) else {
        return false;
    };
    if before.has_pid && after.has_pid {
        let is_next = after.pid.wrapping_sub(before.pid) & 0x7fff == 1;
        return before.is_marker && after.is_frame_start && is_next;
    }
    // With a dependency descriptor libwebrtc leaves the picture id out (`rtp_sender_video.cc`).
    let frames = describe(ring, before).zip(describe(ring, after));
    frames.is_some_and(|(before, after)| {
        before.is_end && after.is_start && after.number.wrapping_sub(before.number) == 1
    })
}

struct Described {
    is_start: bool,
    is_end: bool,
    number: u16,
}

/// The mandatory fields of a dependency descriptor (AV1 RTP specification, A.8.2).
fn describe(ring: &Ring, view: &View) -> Option<Described> {
    let &[flags, high, low, ..] = ring.get(view.seq_ext)?.dependency else {
        return None;
    };
    let number = u16::from_be_bytes([high, low]);
    Some(Described { is_start: flags & 0x80 != 0, is_end: flags & 0x40 != 0, number })
}

/// The nearest packets with media on both sides.
fn neighbours(ring: &Ring, seq_ext: u64) -> Option<(&View, &View)> {
    let media = |seq: u64| ring.view(seq).filter(|view| !view.is_padding_only());
    let before = (1..=MAX_WALK).find_map(|step| media(seq_ext.checked_sub(step)?));
    let after = (1..=MAX_WALK).find_map(|step| media(seq_ext + step));
    before.zip(after)
}

/// Nobody needs packet `seq_ext` to go on: it belonged to pictures of higher temporal layers, which
/// the next base picture does without (VP8's TL0PICIDX says so, RFC 7741 §4.2).
pub fn is_spare(ring: &Ring, seq_ext: u64) -> bool {
    let Some((before, after)) = neighbours(ring, seq_ext) else {
        return false;
    };
    let has_base = |view: &View| view.has_tl0 && view.has_pid;
    // Both pictures stand on the same base picture, so none was lost between them; and what is
    // missing is not the rest of that base picture itself.
    has_base(before)
        && has_base(after)
        && before.tl0 == after.tl0
        && after.temporal > 0
        && (before.temporal > 0 || before.is_marker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Codec, EncodingConfig};
    use crate::media::encoding::Incoming;

    /// (number, TL0PICIDX, temporal layer, marker)
    fn ring(packets: &[(u64, u8, u8, bool)]) -> Ring {
        let mut ring = Ring::new(64);
        for &(seq_ext, tl0, temporal, is_marker) in packets {
            let mut view = View::new(seq_ext, 0, Codec::Vp8, 0);
            (view.has_tl0, view.tl0, view.has_pid) = (true, tl0, true);
            (view.temporal, view.is_marker) = (temporal, is_marker);
            ring.insert(view, &[1], &[], &[]).unwrap();
        }
        ring
    }

    #[test]
    fn only_what_no_base_picture_needs_is_spare() {
        assert!(is_spare(&ring(&[(1, 7, 0, true), (3, 7, 1, true)]), 2));
        assert!(is_spare(&ring(&[(1, 7, 2, false), (4, 7, 1, true)]), 2));
        assert!(!is_spare(&ring(&[(1, 7, 0, true), (3, 8, 0, true)]), 2), "may be of picture 8");
        assert!(!is_spare(&ring(&[(1, 7, 0, false), (3, 7, 1, true)]), 2), "the rest of 7");
        assert!(!is_spare(&ring(&[(1, 7, 0, false), (3, 7, 0, true)]), 2), "the middle of 7");
        assert!(!is_spare(&ring(&[(1, 7, 0, true)]), 2), "nobody knows yet");
    }

    /// (number, picture, frame start, marker)
    fn pictures(packets: &[(u64, u16, bool, bool)]) -> Ring {
        let mut ring = Ring::new(64);
        for &(seq_ext, pid, is_frame_start, is_marker) in packets {
            let mut view = View::new(seq_ext, 0, Codec::Vp8, 0);
            (view.pid, view.has_pid) = (pid, true);
            (view.is_frame_start, view.is_marker) = (is_frame_start, is_marker);
            ring.insert(view, &[1], &[], &[]).unwrap();
        }
        ring
    }

    #[test]
    fn what_is_missing_between_two_whole_pictures_was_padding() {
        let mut ring = pictures(&[(1, 0x7fff, true, true), (5, 0, true, false)]);
        ring.insert(View::new(3, 0, Codec::Vp8, 0), &[], &[], &[]).unwrap();
        assert!(is_padding(&ring, 2) && is_padding(&ring, 4));
        let is_padding = |packets: &[_]| is_padding(&pictures(packets), 2);
        assert!(!is_padding(&[(1, 7, true, true), (3, 9, true, true)]), "picture 8");
        assert!(!is_padding(&[(1, 7, true, false), (3, 8, true, true)]), "the end of 7");
        assert!(!is_padding(&[(1, 7, true, true), (3, 8, false, true)]), "the start of 8");
        assert!(!is_padding(&[(1, 7, true, true)]), "nobody knows yet");
    }

    /// A VP8 picture of one packet.
    fn picture(seq: u16, payload: &[u8]) -> Incoming<'_> {
        Incoming {
            seq,
            ts_rtp: u32::from(seq) * 3000,
            is_marker: true,
            codec: Codec::Vp8,
            is_recovered: false,
            is_healed: false,
            needs_nack: true,
            level: None,
            orientation: None,
            payload,
            dependency: &[],
            capture: &[],
        }
    }

    #[test]
    fn lost_padding_is_taken_for_arrived_and_a_lost_picture_is_not() {
        let mut encoding = Encoding::new(EncodingConfig::default(), false);
        for (seq, pid) in [(10, 1), (13, 2), (15, 4)] {
            encoding.insert(0, &picture(seq, &[0x90, 0x80, 0x80, pid, 0x01]));
        }
        encoding.log.clear();
        let first = encoding.nack.missing().next().unwrap();
        assert!(encoding.fill_padding(1));
        assert_eq!(encoding.nack.missing().collect::<Vec<_>>(), [first + 3], "picture 3");
        assert_eq!(encoding.log, [first, first + 1], "viewers get their numbers");
        assert!(encoding.ring.view(first).unwrap().is_padding_only());
        assert_eq!(encoding.ring.view(first).unwrap().ts_rtp, 30_000);
        assert!(!encoding.fill_padding(2));
        assert_eq!(encoding.log.len(), 2, "once");
    }

    #[test]
    fn dependency_descriptors_tell_padding_as_well() {
        let ring = |packets: &[(u64, [u8; 3])]| {
            let mut ring = Ring::new(64);
            for (seq_ext, dependency) in packets {
                let view = View::new(*seq_ext, 0, Codec::Vp8, 0);
                ring.insert(view, &[1], dependency, &[]).unwrap();
            }
            ring
        };
        assert!(is_padding(&ring(&[(1, [0x42, 0xff, 0xff]), (3, [0x85, 0, 0])]), 2));
        assert!(!is_padding(&ring(&[(1, [0x42, 0, 7]), (3, [0x85, 0, 9])]), 2), "frame 8");
        assert!(!is_padding(&ring(&[(1, [0x02, 0, 7]), (3, [0x85, 0, 8])]), 2), "the end of 7");
        assert!(!is_padding(&ring(&[(1, [0x42, 0, 7]), (3, [0x05, 0, 8])]), 2), "the start of 8");
    }

    #[test]
    fn pictures_without_layers_are_all_needed() {
        let mut ring = Ring::new(64);
        for seq_ext in [1, 3] {
            ring.insert(View::new(seq_ext, 0, Codec::Vp8, 0), &[1], &[], &[]).unwrap();
        }
        assert!(!is_spare(&ring, 2));
    }
}
