//! Tests of what a flow lets out, packet by packet, without a network.

use super::*;
use crate::api::{Codec, EncodingConfig};
use crate::media::encoding::Incoming;

const LAYERS: Layers = Layers { spatial: 0, temporal: 7, paused: false };
const FRESH: FlowStart = FlowStart { out_seq_ext: 100, out_ts: 0, used_us: None };

struct Bench {
    encodings: Vec<Encoding>,
    timeline: Timeline,
    flow: Flow,
    now: Micros,
}

/// One VP8 packet: (number, frame, temporal layer, sync, key, first, last).
#[derive(Clone, Copy)]
struct Packet {
    seq: u16,
    frame: u16,
    temporal: u8,
    is_sync: bool,
    is_key: bool,
    is_first: bool,
    is_last: bool,
}

fn packet(seq: u16, frame: u16) -> Packet {
    Packet { seq, frame, temporal: 0, is_sync: false, is_key: false, is_first: true, is_last: true }
}

fn vp8(packet: Packet, has_pid: bool) -> Vec<u8> {
    let first = if packet.is_first { 0x90 } else { 0x80 };
    let layer = packet.temporal << 6 | u8::from(packet.is_sync) << 5;
    let tag = u8::from(!packet.is_key);
    let [high, low] = packet.frame.to_be_bytes();
    match has_pid {
        true => vec![first, 0xe0, high | 0x80, low, 1, layer, tag, 0],
        false => vec![first, 0x20, layer, tag, 0],
    }
}

impl Bench {
    fn new(layers: Layers) -> Bench {
        let encoding = Encoding::new(EncodingConfig::default(), false);
        Bench {
            encodings: vec![encoding],
            timeline: Timeline::default(),
            flow: Flow::new(false, layers, FRESH),
            now: 1_000_000,
        }
    }

    fn insert(&mut self, packet: Packet, payload: &[u8]) {
        let incoming = Incoming {
            seq: packet.seq,
            ts_rtp: u32::from(packet.frame) * 3000,
            is_marker: packet.is_last,
            codec: Codec::Vp8,
            is_recovered: false,
            is_healed: false,
            needs_nack: true,
            level: None,
            orientation: None,
            payload,
            dependency: &[],
            capture: &[],
        };
        self.encodings[0].insert(self.now, &incoming);
    }

    fn pull(&mut self) -> Vec<Outgoing> {
        let mut out = Vec::new();
        self.flow.pull(self.now, &self.encodings, &mut self.timeline, None, |_, one| out.push(one));
        self.encodings[0].log.clear();
        self.now += 33_000;
        out
    }

    /// Inserts one packet and returns (number, picture id) of what leaves.
    fn step(&mut self, packet: Packet) -> Vec<(u64, u16)> {
        self.insert(packet, &vp8(packet, true));
        let left = self.pull();
        left.iter().map(|one| (one.out_seq_ext, one.pid.unwrap())).collect()
    }

    fn start(&mut self) -> u16 {
        let key = Packet { is_key: true, ..packet(10, 1) };
        self.step(key)[0].1
    }
}

#[test]
fn edge_04_nothing_leaves_before_the_start_of_a_key_frame() {
    let mut bench = Bench::new(LAYERS);
    assert_eq!(bench.step(packet(8, 1)), []);
    let second_half = Packet { is_first: false, ..packet(10, 2) };
    assert_eq!(bench.step(second_half), [], "its first packet was overtaken");
    let first_half = Packet { is_key: true, is_last: false, ..packet(9, 2) };
    let left = bench.step(first_half);
    assert_eq!(left.iter().map(|one| one.0).collect::<Vec<_>>(), [100, 101], "in order");
}

#[test]
fn who_just_had_a_picture_is_not_shown_an_old_one_unless_no_new_one_comes() {
    let pace = Pace { room: 10_000, shed: 0, may_rise: true, is_held: false, is_rerun: false };
    let pull_at = |used_us, now| {
        let mut bench = Bench::new(LAYERS);
        bench.flow = Flow::new(false, LAYERS, FlowStart { used_us, ..FRESH });
        let key = Packet { is_key: true, ..packet(10, 1) };
        bench.insert(key, &vp8(key, true));
        let (mut flow, encodings) = (bench.flow, &bench.encodings);
        let mut num = 0;
        let mut pull = |pace| flow.pull(now, encodings, &mut bench.timeline, pace, |_, _| num += 1);
        let needs_key = pull(Some(pace)).needs_key;
        (num, needs_key)
    };
    // The key frame came at 1 s.
    assert_eq!(pull_at(None, 1_900_000), (1, None), "who joins");
    assert_eq!(pull_at(Some(1_850_000), 1_900_000), (0, Some(0)));
    assert_eq!(pull_at(Some(1_150_000), 1_200_000), (1, None), "it is young");
    assert_eq!(pull_at(Some(1_100_000), 1_900_000), (1, None), "none came for 0.8 s");
}

#[test]
fn edge_05_padding_neither_starts_nor_interrupts() {
    let mut bench = Bench::new(LAYERS);
    bench.insert(packet(9, 1), &[]);
    assert_eq!(bench.pull(), []);
    bench.start();
    bench.insert(packet(11, 1), &[]);
    assert_eq!(bench.pull(), []);
    assert_eq!(bench.step(packet(12, 2))[0].0, 101);
}

#[test]
fn edge_05_late_padding_fills_its_number_with_an_empty_packet() {
    let mut bench = Bench::new(LAYERS);
    bench.start();
    assert_eq!(bench.step(packet(12, 2))[0].0, 102);
    bench.insert(packet(11, 1), &[]);
    let left = bench.pull();
    assert_eq!((left[0].out_seq_ext, left[0].content), (101, Content::Empty));
}

#[test]
fn edge_06_a_filtered_picture_closes_up_and_its_late_rest_stays_out() {
    let mut bench = Bench::new(Layers { temporal: 0, ..LAYERS });
    let pid = bench.start();
    let upper = Packet { temporal: 1, is_last: false, ..packet(11, 2) };
    assert_eq!(bench.step(upper), []);
    // The picture's second packet is missing; the next picture says that nothing else is.
    assert_eq!(bench.step(packet(13, 3)), [(101, pid + 1)]);
    let rest = Packet { temporal: 1, is_first: false, ..packet(12, 2) };
    assert_eq!(bench.step(rest), []);
    assert_eq!(bench.step(packet(14, 4)), [(102, pid + 2)]);
}

#[test]
fn edge_12_after_a_gap_that_nothing_explains_a_filtered_picture_goes_out_whole() {
    let mut bench = Bench::new(Layers { temporal: 0, ..LAYERS });
    let pid = bench.start();
    let upper = Packet { temporal: 1, is_last: false, ..packet(13, 3) };
    assert_eq!(bench.step(upper), [(103, pid + 2)]);
    let rest = Packet { temporal: 1, is_first: false, ..packet(14, 3) };
    assert_eq!(bench.step(rest), [(104, pid + 2)]);
    assert_eq!(bench.step(packet(12, 2)), [(102, pid + 1)], "what was missing comes in its place");
}

#[test]
fn edge_13_temporal_layers_go_up_at_sync_pictures_only() {
    let mut bench = Bench::new(Layers { temporal: 0, ..LAYERS });
    bench.start();
    bench.flow.set_layers(LAYERS);
    let upper = |seq, frame, is_sync| Packet { temporal: 1, is_sync, ..packet(seq, frame) };
    assert_eq!(bench.step(upper(11, 2, false)), []);
    assert_eq!(bench.step(packet(12, 3)).len(), 1);
    assert_eq!(bench.step(upper(13, 4, true)).len(), 1);
    assert_eq!(bench.step(packet(14, 5)).len(), 1);
    assert_eq!(bench.step(upper(15, 6, false)).len(), 1, "stays up");
}

#[test]
fn edge_10_a_stream_without_picture_ids_is_forwarded_without() {
    let mut bench = Bench::new(LAYERS);
    let key = Packet { is_key: true, ..packet(10, 1) };
    bench.insert(key, &vp8(key, false));
    let left = bench.pull();
    assert_eq!((left.len(), left[0].pid, left[0].tl0), (1, None, None));
}

#[test]
fn edge_21_timestamps_go_on_whether_or_not_they_advanced_during_a_mute() {
    for frame_after in [40, 3] {
        let mut bench = Bench::new(LAYERS);
        bench.start();
        bench.insert(packet(11, 2), &vp8(packet(11, 2), true));
        let before = bench.pull()[0].out_ts;
        bench.flow.stop();
        bench.encodings[0].on_mute();
        bench.now += 1_000_000;
        let key = Packet { is_key: true, ..packet(12, frame_after) };
        bench.insert(key, &vp8(key, true));
        let left = bench.pull();
        assert_eq!(left[0].out_seq_ext, 102);
        assert!((left[0].out_ts.wrapping_sub(before) as i32) > 0);
    }
}

#[test]
fn a_paused_flow_lets_nothing_out() {
    let mut bench = Bench::new(Layers { paused: true, ..LAYERS });
    let key = Packet { is_key: true, ..packet(10, 1) };
    assert_eq!(bench.step(key), []);
    assert!(!bench.flow.is_busy());
}
