//! Complete frames for recorders: in order, from the best layer, on the right clock, bounded.

mod sim;

use aislecast_engine::api::{Command, Event, SourceId, TapFrame, TapId};
use sim::{AudioTrack, CLEAN, Link, VideoTrack, World};

const TAP: TapId = TapId(9);

struct Stage {
    world: World,
    track: VideoTrack,
    source: SourceId,
}

fn stage(seed: u64, rids: &[&str], link: Link) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.add_peer(CLEAN);
    world.peers[publisher].uplink = link;
    let source = world.add_source(publisher, "0", false, rids);
    let track = VideoTrack::new(&world, publisher, "0", rids);
    Stage { world, track, source }
}

impl Stage {
    fn tap(&mut self, max_bytes: u32) {
        self.world.apply(Command::AddTap {
            tap: TAP,
            source: self.source,
            max_bytes,
            is_lowest: false,
        });
    }

    fn play(&mut self, us: u64) {
        self.world.play(std::slice::from_mut(&mut self.track), &mut [], us, |_| {});
    }

    fn drain(&mut self) -> Vec<TapFrame> {
        let mut frames = Vec::new();
        self.world.core.drain_tap(TAP, usize::MAX, &mut frames);
        frames
    }
}

fn number(frame: &TapFrame) -> u32 {
    u32::from_be_bytes(frame.data[2..6].try_into().unwrap())
}

fn assert_in_order(frames: &[TapFrame]) {
    for pair in frames.windows(2) {
        assert!(pair[1].ts_rtp_ext > pair[0].ts_rtp_ext);
        if pair[1].lost_before == 0 && pair[0].encoding == pair[1].encoding {
            assert_eq!(number(&pair[1]), number(&pair[0]) + 1);
        }
    }
}

#[test]
fn frames_are_whole_and_in_order_under_loss_and_reordering() {
    let link =
        Link { delay_us: 20_000, jitter_us: 15_000, loss_permille: 50, duplicate_permille: 10 };
    for seed in 0..6 {
        let mut stage = stage(seed, &["q"], link);
        stage.track.layers[0].packets = 3;
        stage.play(50_000);
        stage.tap(8_000_000);
        stage.play(5_000_000);
        let frames = stage.drain();
        assert!(frames.len() > 135, "{} frames", frames.len());
        assert!(frames[0].is_key);
        assert_in_order(&frames);
        for frame in &frames {
            let count = usize::from(frame.data[7]);
            assert_eq!(frame.data.len(), count * (8 + 1000) - count * 8, "whole");
        }
    }
}

#[test]
fn the_clock_of_the_publisher_is_mapped_to_ours() {
    let mut stage = stage(10, &["q"], Link { delay_us: 40_000, ..CLEAN });
    stage.play(1_000_000);
    stage.tap(8_000_000);
    stage.play(3_000_000);
    let frames = stage.drain();
    for frame in &frames[10..] {
        // The offset is as if the fastest report took no time, so capture = arrival here.
        let error = frame.captured_us.abs_diff(frame.arrived_us);
        assert!(error < 3_000, "{error} us");
    }
    let elapsed = frames.last().unwrap().captured_us - frames[10].captured_us;
    let ticks = frames.last().unwrap().ts_rtp_ext - frames[10].ts_rtp_ext;
    assert!((ticks * 100 / 9).abs_diff(elapsed) < 2_000);
}

#[test]
fn the_best_layer_is_read_and_timestamps_never_go_back() {
    let mut stage = stage(11, &["q", "h"], CLEAN);
    stage.track.layers[1].is_on = false;
    stage.tap(8_000_000);
    stage.play(1_000_000);
    stage.track.layers[1].is_on = true;
    stage.play(2_000_000);
    stage.track.layers[1].is_on = false;
    stage.play(5_000_000);
    let frames = stage.drain();
    let mut layers: Vec<u8> = frames.iter().map(|frame| frame.encoding).collect();
    layers.dedup();
    assert_eq!(layers, [0, 1, 0]);
    for pair in frames.windows(2) {
        assert!(pair[1].ts_rtp_ext > pair[0].ts_rtp_ext);
        assert!(pair[0].encoding == pair[1].encoding || pair[1].is_key);
    }
}

#[test]
fn a_slow_reader_loses_whole_frames_up_to_the_next_key_frame() {
    let mut stage = stage(12, &["q"], CLEAN);
    stage.tap(20_000);
    stage.play(2_000_000);
    let first = stage.drain();
    assert!(first.iter().map(|frame| frame.data.len()).sum::<usize>() <= 20_000);
    assert!(stage.world.core.counters().dropped_tap_frames > 20);
    stage.play(500_000);
    assert!(stage.drain().is_empty(), "nothing is handed out that cannot be decoded");
    stage.track.layers[0].needs_key = true;
    stage.play(300_000);
    let second = stage.drain();
    assert!(second[0].is_key && second[0].lost_before > 50);
    let lost = number(&second[0]) - number(first.last().unwrap()) - 1;
    assert_eq!(second[0].lost_before, lost);
}

#[test]
fn readiness_is_told_once_until_the_queue_is_empty_again() {
    let mut stage = stage(13, &["q"], CLEAN);
    stage.tap(8_000_000);
    stage.play(500_000);
    let ready = |stage: &Stage| {
        stage
            .world
            .events
            .iter()
            .filter(|(_, event)| *event == Event::TapReady { tap: TAP })
            .count()
    };
    assert_eq!(ready(&stage), 1);
    stage.drain();
    stage.play(100_000);
    assert_eq!(ready(&stage), 2);
}

#[test]
fn an_outage_ends_in_a_key_frame_request_and_the_reading_goes_on() {
    let mut stage = stage(14, &["q"], CLEAN);
    stage.tap(8_000_000);
    stage.play(1_000_000);
    stage.world.peers[stage.track.peer].uplink.loss_permille = 1000;
    stage.play(8_000_000); // more than retransmission can bring back
    stage.world.peers[stage.track.peer].uplink.loss_permille = 0;
    stage.play(3_000_000);
    let frames = stage.drain();
    assert!(frames.iter().any(|frame| frame.lost_before > 0));
    assert!(frames.iter().skip(1).any(|frame| frame.is_key), "a key frame after the outage");
    assert!(frames.last().unwrap().arrived_us > stage.world.now - 100_000);
    assert_in_order(&frames);
}

#[test]
fn a_reader_of_the_lowest_encoding_stays_with_it_while_it_flows() {
    let mut stage = stage(17, &["q", "h", "f"], CLEAN);
    stage.world.apply(Command::AddTap {
        tap: TAP,
        source: stage.source,
        max_bytes: 8_000_000,
        is_lowest: true,
    });
    stage.play(3_000_000);
    let frames = stage.drain();
    assert!(frames.len() > 80 && frames[0].is_key);
    assert!(frames.iter().all(|frame| frame.encoding == 0));
    stage.track.layers[0].is_on = false;
    stage.play(4_000_000);
    let frames = stage.drain();
    assert_eq!(frames.last().map(|frame| frame.encoding), Some(1), "the next one that flows");
    assert_in_order(&frames);
}

#[test]
fn audio_is_read_packet_by_packet() {
    let mut world = World::new(15);
    let publisher = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", true, &[""]);
    world.apply(Command::AddTap { tap: TAP, source, max_bytes: 100_000, is_lowest: false });
    let mut track = AudioTrack::new(&world, publisher, "0");
    track.pt = 63; // RED is read as the Opus it carries
    world.play(&mut [], std::slice::from_mut(&mut track), 1_000_000, |_| {});
    let mut frames = Vec::new();
    world.core.drain_tap(TAP, usize::MAX, &mut frames);
    assert!(frames.len() >= 48);
    assert!(frames.iter().all(|frame| frame.is_key && frame.data.len() == 80));
    assert!(frames.windows(2).all(|pair| pair[1].ts_rtp_ext == pair[0].ts_rtp_ext + 960));
}

#[test]
fn audio_goes_on_behind_a_lost_packet() {
    let mut world = World::new(16);
    let publisher = world.add_peer(Link { loss_permille: 0, ..CLEAN });
    let source = world.add_source(publisher, "0", true, &[""]);
    world.apply(Command::AddTap { tap: TAP, source, max_bytes: 100_000, is_lowest: false });
    world.peers[publisher].uplink.loss_permille = 100;
    let mut track = AudioTrack::new(&world, publisher, "0");
    world.play(&mut [], std::slice::from_mut(&mut track), 5_000_000, |_| {});
    let mut frames = Vec::new();
    world.core.drain_tap(TAP, usize::MAX, &mut frames);
    let lost: u32 = frames.iter().map(|frame| frame.lost_before).sum();
    assert!(lost > 5);
    let last = u32::from_be_bytes(frames.last().unwrap().data[1..5].try_into().unwrap());
    let first = u32::from_be_bytes(frames[0].data[1..5].try_into().unwrap());
    assert_eq!(last - first + 1, frames.len() as u32 + lost);
}
