//! Redundant audio (RFC 2198): earlier frames of a ring put into a subscriber's packets, and gaps of
//! a ring filled from a publisher's packets.
//!
//! Rings hold plain Opus. A publisher's RED is taken apart where it arrives, so that its copies heal
//! everybody's sound and recordings, and each subscriber gets as many copies as its own link needs.

use crate::wire::red::{BLOCK_SIZE_MAX, Red, RedBlock, TS_OFFSET_MAX, write_red};

use super::encoding::Encoding;
use super::flow::{Content, Outgoing};
use super::receive::MAX_JUMP;
use super::ring::Stored;

/// Earlier frames that a packet may carry at most.
pub const MAX_EARLIER: u8 = 2;
/// Which ones go along, as packets back, nearest first. One alone is not the nearest: radio loses
/// packets in pairs, and a pair takes a frame with the packet right behind it. Of 10 % lost in bursts
/// of two the nearest leaves some 4 %, the one before it 2 %, and both 1.5 %.
const ONE_BACK: &[u8] = &[2];
const TWO_BACK: &[u8] = &[1, 2];
/// Largest RED payload: with headers and SRTP it stays below the least MTU of IPv6.
const MAX_PAYLOAD: usize = 1150;
/// Blocks of a publisher's packet that are looked at; real senders put in one or two.
pub const MAX_HEALED: u16 = 8;
/// Stored packets before a gap that are looked at for the last timestamp.
const MAX_WALK: u64 = 32;

/// How a sink sends RED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedFormat {
    /// Payload type of RED.
    pub pt: u8,
    /// Payload type of Opus within it.
    pub opus_pt: u8,
    /// Earlier frames a packet, at least one.
    pub num_earlier: u8,
}

/// A packet's earlier frames, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Redundancy<'a> {
    format: RedFormat,
    blocks: [RedBlock<'a>; MAX_EARLIER as usize],
    count: usize,
}

impl<'a> Redundancy<'a> {
    /// What can go with `stored`; `None` where it has to leave as plain Opus: no earlier frame is
    /// held, or its timestamp is too far back (a pause of DTX), or it would not fit.
    pub fn collect(
        format: RedFormat,
        encoding: &'a Encoding,
        outgoing: &Outgoing,
        stored: &Stored<'_>,
    ) -> Option<Redundancy<'a>> {
        let Content::Stored(seq_ext) = outgoing.content else {
            return None;
        };
        let nothing = RedBlock { pt: format.opus_pt, ts_offset: 0, data: &[] };
        let mut found = Redundancy { format, blocks: [nothing; MAX_EARLIER as usize], count: 0 };
        let mut room = MAX_PAYLOAD.checked_sub(stored.payload.len() + 1)?;
        for back in backs(format.num_earlier, outgoing.reach) {
            let Some(earlier) = encoding.ring.get(seq_ext.wrapping_sub(u64::from(back))) else {
                continue;
            };
            let ts_offset = stored.view.ts_rtp.wrapping_sub(earlier.view.ts_rtp);
            let size = earlier.payload.len();
            if ts_offset == 0 || ts_offset > TS_OFFSET_MAX || size > BLOCK_SIZE_MAX || size == 0 {
                continue;
            }
            let Some(left) = room.checked_sub(size + 4) else {
                break;
            };
            room = left;
            found.blocks[found.count] =
                RedBlock { ts_offset: ts_offset as u16, data: earlier.payload, ..nothing };
            found.count += 1;
        }
        found.blocks[..found.count].reverse();
        (found.count > 0).then_some(found)
    }

    /// Payload type of the packet.
    pub fn pt(&self) -> u8 {
        self.format.pt
    }

    /// Writes the payload; returns its length.
    pub fn write(&self, room: &mut [u8], primary: &[u8]) -> Option<usize> {
        write_red(room, &self.blocks[..self.count], self.format.opus_pt, primary)
    }
}

/// How far back the frames are that go along; not beyond `reach`, the unbroken stretch.
fn backs(num_earlier: u8, reach: u8) -> impl Iterator<Item = u8> {
    let wanted = match (num_earlier, reach) {
        // The second packet of a stretch has only the first behind it.
        (0, _) => &[],
        (1, 2..) => ONE_BACK,
        _ => TWO_BACK,
    };
    wanted.iter().copied().filter(move |&back| back <= reach)
}

/// A frame that a later packet brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Healed<'a> {
    /// Number of the packet that was lost.
    pub seq: u16,
    /// Its timestamp.
    pub ts_rtp: u32,
    /// Its Opus.
    pub data: &'a [u8],
}

/// Frames of `red`, the payload of packet `seq`, whose own packets are missing; oldest first.
///
/// RFC 2198 tells a frame's timestamp but not its number; senders put in the frames right before, so
/// the number follows from the place. A frame whose timestamp does not lie between those of its
/// neighbours is not believed: a sender that skips frames must not turn time back.
pub fn healed<'a>(
    encoding: &Encoding,
    seq: u16,
    ts_rtp: u32,
    red: &Red<'a>,
    is_opus: impl Fn(u8) -> bool,
) -> [Option<Healed<'a>>; MAX_HEALED as usize] {
    let count = red.redundant().count() as u16;
    let mut found = [None; MAX_HEALED as usize];
    for (at, block) in red.redundant().enumerate() {
        let back = count - at as u16;
        if back > MAX_HEALED || block.data.is_empty() || !is_opus(block.pt) {
            continue;
        }
        let frame = Healed {
            seq: seq.wrapping_sub(back),
            ts_rtp: ts_rtp.wrapping_sub(u32::from(block.ts_offset)),
            data: block.data,
        };
        if is_missing(encoding, &frame, seq, ts_rtp) {
            found[usize::from(MAX_HEALED - back)] = Some(frame);
        }
    }
    found
}

/// Whether `frame`, from packet `seq`, fills a gap, and lies in time where the gap is.
fn is_missing(encoding: &Encoding, frame: &Healed<'_>, seq: u16, ts_rtp: u32) -> bool {
    let Some(carrier) = encoding.unwrap_near(seq, MAX_JUMP) else {
        return false;
    };
    let at = carrier - u64::from(seq.wrapping_sub(frame.seq));
    let ring = &encoding.ring;
    // What came before the very first packet belongs to no subscriber.
    if at <= ring.oldest_seq_ext() || ring.view(at).is_some() {
        return false;
    }
    let is_after = |late: u32, early: u32| (late.wrapping_sub(early) as i32) > 0;
    let newest = ring.next_seq_ext();
    let before = (at.saturating_sub(MAX_WALK)..at.min(newest)).rev().find_map(|seq| ring.view(seq));
    let after = (at + 1..carrier.min(newest)).find_map(|seq| ring.view(seq));
    is_after(ts_rtp, frame.ts_rtp)
        && before.is_none_or(|view| is_after(frame.ts_rtp, view.ts_rtp))
        && after.is_none_or(|view| is_after(view.ts_rtp, frame.ts_rtp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Codec, EncodingConfig};
    use crate::media::encoding::Incoming;

    const FORMAT: RedFormat = RedFormat { pt: 63, opus_pt: 111, num_earlier: 2 };

    fn packet(seq: u16, ts_rtp: u32, payload: &[u8]) -> Incoming<'_> {
        Incoming {
            seq,
            ts_rtp,
            is_marker: false,
            codec: Codec::Opus,
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

    /// An encoding that holds packets of these numbers and timestamps.
    fn holding(packets: &[(u16, u32, &[u8])]) -> Encoding {
        let mut encoding = Encoding::new(EncodingConfig::default(), true);
        for &(seq, ts_rtp, payload) in packets {
            encoding.insert(1, &packet(seq, ts_rtp, payload));
        }
        encoding
    }

    /// Payload of the newest packet as it leaves with earlier frames, `None` for plain Opus.
    fn leaving(encoding: &Encoding, reach: u8) -> Option<Vec<u8>> {
        leaving_as(FORMAT, encoding, reach)
    }

    fn leaving_as(format: RedFormat, encoding: &Encoding, reach: u8) -> Option<Vec<u8>> {
        let seq_ext = encoding.ring.next_seq_ext() - 1;
        let content = Content::Stored(seq_ext);
        let outgoing = Outgoing { reach, ..Outgoing::of(content) };
        let stored = encoding.ring.get(seq_ext).unwrap();
        let found = Redundancy::collect(format, encoding, &outgoing, &stored)?;
        let mut room = [0; 1500];
        let len = found.write(&mut room, stored.payload).unwrap();
        assert!(len <= MAX_PAYLOAD);
        Some(room[..len].to_vec())
    }

    fn offsets(payload: &[u8]) -> Vec<u16> {
        Red::parse(payload).unwrap().redundant().map(|block| block.ts_offset).collect()
    }

    #[test]
    fn earlier_frames_go_along_oldest_first() {
        let encoding = holding(&[(1, 0, b"a"), (2, 960, b"b"), (3, 1920, b"c")]);
        let payload = leaving(&encoding, 2).unwrap();
        assert_eq!(offsets(&payload), [1920, 960]);
        let red = Red::parse(&payload).unwrap();
        assert_eq!(red.redundant().map(|block| block.data[0]).collect::<Vec<_>>(), b"ab");
        assert_eq!(red.primary().data, b"c");
        assert_eq!(offsets(&leaving(&encoding, 1).unwrap()), [960], "the stretch began there");
        assert_eq!(leaving(&encoding, 0), None);
    }

    #[test]
    fn one_alone_is_the_one_before_the_nearest_where_there_is_one() {
        let encoding = holding(&[(1, 0, b"a"), (2, 960, b"b"), (3, 1920, b"c")]);
        let one = RedFormat { num_earlier: 1, ..FORMAT };
        assert_eq!(offsets(&leaving_as(one, &encoding, 2).unwrap()), [1920]);
        assert_eq!(offsets(&leaving_as(one, &encoding, 1).unwrap()), [960]);
        assert_eq!(leaving_as(one, &encoding, 0), None);
    }

    #[test]
    fn a_frame_that_is_not_held_is_left_out_and_the_one_before_keeps_its_offset() {
        let encoding = holding(&[(1, 0, b"a"), (3, 1920, b"c")]);
        assert_eq!(offsets(&leaving(&encoding, 2).unwrap()), [1920]);
    }

    #[test]
    fn a_pause_of_dtx_is_bridged_only_as_far_as_the_offset_reaches() {
        let encoding = holding(&[(1, 0, b"a"), (2, 16_383, b"b")]);
        assert_eq!(offsets(&leaving(&encoding, 2).unwrap()), [16_383]);
        let encoding = holding(&[(1, 0, b"a"), (2, 16_384, b"b")]);
        assert_eq!(leaving(&encoding, 2), None);
        // A clock that goes back is no earlier frame.
        let encoding = holding(&[(1, 960, b"a"), (2, 0, b"b")]);
        assert_eq!(leaving(&encoding, 2), None);
    }

    #[test]
    fn what_does_not_fit_stays_behind() {
        let (large, big) = ([1; 1024], [1; 600]);
        assert_eq!(leaving(&holding(&[(1, 0, &large), (2, 960, b"b")]), 2), None);
        let encoding = holding(&[(1, 0, &big), (2, 960, &big), (3, 1920, b"c")]);
        assert_eq!(offsets(&leaving(&encoding, 2).unwrap()), [960], "the newer one goes");
    }

    fn red(blocks: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = vec![0; 200];
        let blocks: Vec<_> =
            blocks.iter().map(|&(ts_offset, data)| RedBlock { pt: 111, ts_offset, data }).collect();
        let len = write_red(&mut out, &blocks, 111, b"new").unwrap();
        out.truncate(len);
        out
    }

    fn heal(encoding: &Encoding, seq: u16, ts_rtp: u32, payload: &[u8]) -> Vec<(u16, u32)> {
        let red = Red::parse(payload).unwrap();
        healed(encoding, seq, ts_rtp, &red, |pt| pt == 111)
            .into_iter()
            .flatten()
            .map(|frame| (frame.seq, frame.ts_rtp))
            .collect()
    }

    #[test]
    fn gaps_are_filled_and_what_is_there_stays() {
        let encoding = holding(&[(9, 0, b"a"), (10, 960, b"b")]);
        let payload = red(&[(1920, b"x"), (960, b"y")]);
        assert_eq!(heal(&encoding, 11, 1920, &payload), [], "nothing is missing");
        assert_eq!(heal(&encoding, 12, 2880, &payload), [(11, 1920)]);
        assert_eq!(heal(&encoding, 13, 3840, &payload), [(11, 1920), (12, 2880)]);
        assert_eq!(heal(&encoding, 20, 9600, &payload), [(18, 7680), (19, 8640)]);
    }

    #[test]
    fn the_numbers_wrap() {
        let encoding = holding(&[(65_534, u32::MAX - 900, b"a"), (65_535, 59, b"b")]);
        let payload = red(&[(1920, b"x"), (960, b"y")]);
        assert_eq!(heal(&encoding, 1, 1979, &payload), [(0, 1019)]);
    }

    #[test]
    fn what_came_before_the_first_packet_is_not_wanted() {
        let encoding = holding(&[(10, 960, b"b")]);
        let payload = red(&[(1920, b"x"), (960, b"y")]);
        assert_eq!(heal(&encoding, 11, 1920, &payload), []);
        let empty = Encoding::new(EncodingConfig::default(), true);
        assert_eq!(heal(&empty, 11, 1920, &payload), []);
    }

    #[test]
    fn a_frame_that_would_turn_time_back_is_not_believed() {
        let encoding = holding(&[(9, 0, b"a"), (10, 960, b"b")]);
        // The sender puts in the frame before the last one only: number 10, said to be 11.
        assert_eq!(heal(&encoding, 12, 2880, &red(&[(1920, b"x")])), []);
        assert_eq!(heal(&encoding, 12, 2880, &red(&[(0, b"x")])), []);
        // A pause lies between: 11 was lost, and its frame is older than it could be.
        assert_eq!(heal(&encoding, 12, 12_880, &red(&[(12_000, b"x")])), []);
        assert_eq!(heal(&encoding, 12, 12_880, &red(&[(11_000, b"x")])), [(11, 1880)]);
    }

    #[test]
    fn other_payload_types_and_empty_blocks_are_passed_over() {
        let encoding = holding(&[(9, 0, b"a"), (10, 960, b"b")]);
        assert_eq!(heal(&encoding, 12, 2880, &red(&[(960, b"")])), []);
        let payload = red(&[(960, b"x")]);
        let parsed = Red::parse(&payload).unwrap();
        assert_eq!(healed(&encoding, 12, 2880, &parsed, |pt| pt == 9), [None; 8]);
    }
}
