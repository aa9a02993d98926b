//! Rules that a subscriber's VP8 stream must keep whatever happens upstream.

use std::collections::BTreeMap;

use aislecast_engine::wire::vp8::Vp8Descriptor;

use super::media::MARK_LEN;
use super::peer::Received;

/// A packet with its numbers unwrapped and its marks read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub at: u64,
    pub seq: u64,
    pub ts: u32,
    pub pid: u16,
    pub tl0: u8,
    pub temporal: u8,
    pub is_key: bool,
    pub is_marker: bool,
    pub layer: u8,
    pub frame: u32,
    pub packet: u8,
    pub count: u8,
}

/// Parses one received packet; `None` for padding.
fn read(one: &Received, seq: u64) -> Option<Checked> {
    if one.payload.is_empty() {
        return None;
    }
    let descriptor = Vp8Descriptor::parse(&one.payload).expect("a VP8 payload");
    assert!(descriptor.is_long_picture_id, "picture ids leave in 15 bits");
    let marks = &one.payload[usize::from(descriptor.header_len)..][..MARK_LEN];
    Some(Checked {
        at: one.at,
        seq,
        ts: one.ts,
        pid: descriptor.picture_id.unwrap(),
        tl0: descriptor.tl0_pic_idx.unwrap(),
        temporal: descriptor.temporal.unwrap(),
        is_key: marks[0] & 1 == 0,
        is_marker: one.is_marker,
        layer: marks[1],
        frame: u32::from_be_bytes(marks[2..6].try_into().unwrap()),
        packet: marks[6],
        count: marks[7],
    })
}

/// Checks a stream and returns its packets in order of sequence numbers.
pub fn check_vp8(stream: &[&Received]) -> Vec<Checked> {
    let mut by_seq: BTreeMap<u64, Checked> = BTreeMap::new();
    let mut highest = 65_536 + u64::from(stream[0].seq);
    for one in stream {
        let step = one.seq.wrapping_sub(highest as u16) as i16;
        let seq = highest.wrapping_add_signed(i64::from(step));
        highest = highest.max(seq);
        let Some(checked) = read(one, seq) else {
            continue;
        };
        if let Some(before) = by_seq.get(&seq) {
            let before = Checked { at: checked.at, ..before.clone() };
            assert_eq!(before, checked, "one number for two packets");
            continue;
        }
        by_seq.insert(seq, checked);
    }
    // The very first packets may be lost for good: nobody knows that they were sent.
    let is_start = |packet: &Checked| packet.is_key && packet.packet == 0;
    let packets: Vec<Checked> = by_seq.into_values().skip_while(|one| !is_start(one)).collect();
    let first = packets.first().expect("a key frame");
    assert!(first.at < stream[0].at + 1_500_000, "starts with a key frame");
    for pair in packets.windows(2) {
        check_pair(&pair[0], &pair[1]);
    }
    packets
}

fn check_pair(before: &Checked, after: &Checked) {
    let context = || format!("{before:?}\n{after:?}");
    let gap = after.seq - before.seq - 1;
    if (before.layer, before.frame) == (after.layer, after.frame) {
        assert_eq!(before.ts, after.ts, "one timestamp per frame\n{}", context());
        assert_eq!(before.pid, after.pid, "one picture id per frame\n{}", context());
        assert_eq!(
            gap,
            u64::from(after.packet - before.packet - 1),
            "gaps stay gaps\n{}",
            context()
        );
        return;
    }
    let ts_step = after.ts.wrapping_sub(before.ts) as i32;
    assert!(ts_step > 0, "timestamps go forward\n{}", context());
    let pid_step = after.pid.wrapping_sub(before.pid) & 0x7fff;
    assert!(pid_step > 0 && pid_step < 0x4000, "picture ids go forward\n{}", context());
    if gap == 0 {
        assert_eq!(pid_step, 1, "picture ids are continuous\n{}", context());
        assert!(before.is_marker && before.packet + 1 == before.count, "torn frame\n{}", context());
        assert_eq!(after.packet, 0, "a frame without its start\n{}", context());
        let tl0_step = after.tl0.wrapping_sub(before.tl0);
        assert_eq!(tl0_step, u8::from(after.temporal == 0), "TL0PICIDX\n{}", context());
    }
    if before.layer != after.layer && after.packet == 0 {
        assert!(after.is_key, "layers change at key frames\n{}", context());
    }
}

/// Layers in the order they were seen.
pub fn layers(packets: &[Checked]) -> Vec<u8> {
    let mut layers: Vec<u8> = packets.iter().map(|packet| packet.layer).collect();
    layers.dedup();
    layers
}
