//! What differs from codec to codec: parameter sets, local sources, what a subscriber lacks.

mod sim;

use aislecast_engine::api::{
    Codec, Command, EncodingConfig, Layers, Payload, SourceConfig, SourceId, TapFrame, TapId,
};
use aislecast_engine::wire::h264::{NAL_IDR, NAL_PPS, NAL_SPS, nal_pieces};
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader};
use sim::media::send_remembered;
use sim::{CLEAN, World, payloads};

const SPS: [u8; 8] = [0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16];
const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];
const LAYERS: Layers = Layers { spatial: 0, temporal: 7, paused: false };

/// A hardware encoder: parameter sets as packets of their own, and only when told.
struct H264 {
    peer: usize,
    seq: u16,
    ts: u32,
    ssrc: u32,
}

impl H264 {
    fn send(&mut self, world: &mut World, nal: &[u8], is_marker: bool) {
        let header =
            RtpHeader { is_marker, pt: 102, seq: self.seq, ts_rtp: self.ts, ssrc: self.ssrc };
        self.seq = self.seq.wrapping_add(1);
        let extensions = OutExtensions { mid: Some(b"0"), ..OutExtensions::default() };
        send_remembered(world, self.peer, &header, &extensions, nal, 103);
    }

    fn send_frame(&mut self, world: &mut World, is_key: bool, has_params: bool) {
        self.ts = self.ts.wrapping_add(3000);
        if has_params {
            self.send(world, &SPS, false);
            self.send(world, &PPS, false);
        }
        // Two slices: the marker ends the frame, not a NAL unit.
        let kind = if is_key { 0x65 } else { 0x61 };
        self.send(world, &[kind, 0x80, 1, 2, 3], false);
        self.send(world, &[kind, 0x40, 4, 5, 6], true);
        world.run_for(33_333);
    }
}

struct Stage {
    world: World,
    encoder: H264,
    source: SourceId,
    subscriber: usize,
}

fn h264_stage(seed: u64) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &[""]);
    let encoder = H264 { peer: publisher, seq: 10, ts: 90_000, ssrc: 40 };
    Stage { world, encoder, source, subscriber }
}

fn kinds(payload: &[u8]) -> Vec<u8> {
    nal_pieces(payload).map(|piece| piece.kind()).collect()
}

#[test]
fn edge_14_forwarding_starts_at_the_first_packet_of_the_access_unit() {
    let mut stage = h264_stage(1);
    stage.world.add_sink(stage.subscriber, stage.source, 500, 0);
    stage.encoder.send_frame(&mut stage.world, false, false);
    stage.encoder.send_frame(&mut stage.world, true, true);
    stage.encoder.send_frame(&mut stage.world, false, false);
    stage.world.run_for(100_000);
    let stream = stage.world.peers[stage.subscriber].stream(500);
    let got: Vec<u8> = stream.iter().flat_map(|one| kinds(&one.payload)).collect();
    assert_eq!(got, [NAL_SPS, NAL_PPS, NAL_IDR, NAL_IDR, 1, 1]);
    assert_eq!(stream.iter().filter(|one| one.is_marker).count(), 2);
}

#[test]
fn edge_14_cached_parameter_sets_go_before_a_key_frame_that_has_none() {
    let mut stage = h264_stage(2);
    stage.encoder.send_frame(&mut stage.world, true, true);
    for _ in 0..80 {
        stage.encoder.send_frame(&mut stage.world, false, false);
    }
    stage.world.add_sink(stage.subscriber, stage.source, 500, 0);
    stage.encoder.send_frame(&mut stage.world, true, false);
    stage.encoder.send_frame(&mut stage.world, false, false);
    stage.world.run_for(100_000);
    let stream = stage.world.peers[stage.subscriber].stream(500);
    let got: Vec<u8> = stream.iter().flat_map(|one| kinds(&one.payload)).collect();
    assert_eq!(got, [NAL_SPS, NAL_PPS, NAL_IDR, NAL_IDR, 1, 1]);
    assert_eq!(stream[0].ts, stream[1].ts, "in the same access unit");
    assert!(stream.windows(2).all(|pair| pair[1].seq == pair[0].seq.wrapping_add(1)));
    // It can be asked for again like any other packet.
    let seq = stream[0].seq;
    stage.world.run_for(100_000);
    let nack = stage.world.peers[stage.subscriber].rtcp(|writer| {
        writer.nack(1, 500, &[seq]);
    });
    stage.world.send(stage.subscriber, nack);
    stage.world.run_for(100_000);
    let stream = stage.world.peers[stage.subscriber].stream(500);
    let again = stream.iter().filter(|one| one.seq == seq).collect::<Vec<_>>();
    assert_eq!((again.len(), again[0].payload == again[1].payload), (2, true));
    assert_eq!(again[0].ts, again[1].ts);
}

#[test]
fn edge_14_a_key_frame_without_any_parameter_sets_is_no_start() {
    let mut stage = h264_stage(3);
    stage.world.add_sink(stage.subscriber, stage.source, 500, 0);
    stage.encoder.send_frame(&mut stage.world, true, false);
    stage.world.run_for(100_000);
    assert!(stage.world.peers[stage.subscriber].stream(500).is_empty());
    assert!(stage.world.peers[stage.encoder.peer].num_plis() > 0);
}

#[test]
fn edge_14_a_start_that_was_overtaken_is_found_when_it_comes() {
    let mut stage = h264_stage(4);
    stage.world.add_sink(stage.subscriber, stage.source, 500, 0);
    stage.encoder.send_frame(&mut stage.world, false, false);
    stage.encoder.ts += 3000;
    // IDR first, then what belongs before it.
    for (seq, nal, is_marker) in
        [(14, &[0x65, 0x80, 1][..], true), (13, &PPS[..], false), (12, &SPS[..], false)]
    {
        stage.encoder.seq = seq;
        stage.encoder.send(&mut stage.world, nal, is_marker);
        stage.world.run_for(5_000);
    }
    stage.world.run_for(100_000);
    let stream = stage.world.peers[stage.subscriber].stream(500);
    let got: Vec<u8> = stream.iter().flat_map(|one| kinds(&one.payload)).collect();
    assert_eq!(got, [NAL_SPS, NAL_PPS, NAL_IDR]);
}

#[test]
fn edge_05_padding_only_packets_leave_no_gap_and_start_nothing() {
    let mut stage = h264_stage(5);
    stage.world.add_sink(stage.subscriber, stage.source, 500, 0);
    let padding = |stage: &mut Stage| {
        let (seq, ts_rtp) = (stage.encoder.seq, stage.encoder.ts);
        stage.encoder.seq += 1;
        let mut packet = vec![0; 400];
        packet[..12].copy_from_slice(&[
            0xa0,
            102,
            (seq >> 8) as u8,
            seq as u8,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            40,
        ]);
        packet[4..8].copy_from_slice(&ts_rtp.to_be_bytes());
        packet[211] = 200;
        let sealed = stage.world.peers[stage.encoder.peer].protect(packet, 212);
        stage.world.send(stage.encoder.peer, sealed);
        stage.world.run_for(1_000);
    };
    stage.encoder.send_frame(&mut stage.world, true, true);
    for _ in 0..3 {
        padding(&mut stage);
        padding(&mut stage);
        stage.encoder.send_frame(&mut stage.world, false, false);
    }
    stage.world.run_for(50_000);
    let stream = stage.world.peers[stage.subscriber].stream(500);
    assert_eq!(stream.len(), 10);
    assert!(stream.windows(2).all(|pair| pair[1].seq == pair[0].seq.wrapping_add(1)));
    assert!(stream.iter().all(|one| !one.payload.is_empty() && one.padding <= 3));
}

fn only(codecs: &[Codec]) -> Vec<Payload> {
    payloads().into_iter().filter(|payload| codecs.contains(&payload.codec)).collect()
}

#[test]
fn a_codec_that_the_subscriber_lacks_is_not_forwarded_but_counted() {
    let mut stage = h264_stage(7);
    stage.world.add_sink_with(stage.subscriber, stage.source, 500, LAYERS, only(&[Codec::Vp8]));
    stage.encoder.send_frame(&mut stage.world, true, true);
    stage.encoder.send_frame(&mut stage.world, false, false);
    stage.world.run_for(100_000);
    assert!(stage.world.peers[stage.subscriber].received.is_empty());
    assert!(stage.world.core.counters().dropped_no_payload >= 2);
}

#[test]
fn edge_18_av1_leaves_whole_with_its_dependency_descriptor_only_where_negotiated() {
    let mut world = World::new(8);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &[""]);
    world.add_sink(subscriber, source, 500, 0);
    let descriptor = [0x80u8; 40]; // larger than a one-byte header extension can hold
    for seq in 0..5u16 {
        let header =
            RtpHeader { is_marker: true, pt: 45, seq, ts_rtp: u32::from(seq) * 3000, ssrc: 9 };
        let extensions = OutExtensions {
            mid: Some(b"0"),
            dependency: Some(&descriptor),
            ..OutExtensions::default()
        };
        let payload = [if seq == 0 { 0x18 } else { 0x10 }, 1, 2, 3];
        let packet = world.peers[publisher].rtp(&header, &extensions, &payload);
        world.send(publisher, packet);
        world.run_for(33_000);
    }
    let stream = world.peers[subscriber].stream(500);
    assert_eq!(stream.len(), 5);
    assert_eq!(stream[0].payload, [0x18, 1, 2, 3]);
}

fn local_source(world: &mut World, is_audio: bool) -> SourceId {
    let source = SourceId(world.take_id());
    let encodings = vec![EncodingConfig::default()];
    let config = SourceConfig { mid: String::new(), is_audio, encodings };
    world.apply(Command::AddSource { source, transport: None, config });
    source
}

fn drain(world: &mut World, tap: TapId) -> Vec<TapFrame> {
    let mut frames = Vec::new();
    world.core.drain_tap(tap, usize::MAX, &mut frames);
    frames
}

#[test]
fn a_local_camera_is_forwarded_and_tapped() {
    let mut world = World::new(9);
    let subscriber = world.add_peer(CLEAN);
    let source = local_source(&mut world, false);
    world.add_sink(subscriber, source, 500, 0);
    let tap = TapId(1);
    world.apply(Command::AddTap { tap, source, max_bytes: 1_000_000, is_lowest: false });
    let mut pushed = Vec::new();
    for frame in 0..30u32 {
        let mut data = Vec::new();
        if frame % 15 == 0 {
            for nal in [&SPS[..], &PPS[..]] {
                data.extend_from_slice(&[0, 0, 0, 1]);
                data.extend_from_slice(nal);
            }
        }
        data.extend_from_slice(&[0, 0, 0, 1, if frame % 15 == 0 { 0x65 } else { 0x61 }, 0x80]);
        data.resize(data.len() + 3000, frame as u8 + 1);
        pushed.push((world.now, data.clone()));
        let (codec, ts_rtp) = (Codec::H264, frame * 3000);
        world.apply(Command::PushFrame { source, encoding: 0, codec, ts_rtp, data });
        world.run_for(33_333);
    }
    let stream = world.peers[subscriber].stream(500);
    assert_eq!(kinds(&stream[0].payload), [NAL_SPS, NAL_PPS]);
    assert_eq!(stream.iter().filter(|one| one.is_marker).count(), 30);
    let frames = drain(&mut world, tap);
    assert_eq!(frames.len(), 30);
    for (frame, (at, data)) in frames.iter().zip(&pushed) {
        assert_eq!((&frame.data, frame.captured_us, frame.lost_before), (data, *at, 0));
    }
    assert!(frames[0].is_key && !frames[1].is_key && frames[15].is_key);
}

#[test]
fn a_local_voice_is_forwarded() {
    let mut world = World::new(10);
    let subscriber = world.add_peer(CLEAN);
    let source = local_source(&mut world, true);
    world.add_sink(subscriber, source, 500, 0);
    for frame in 0..10u32 {
        let (codec, ts_rtp, data) = (Codec::Opus, frame * 960, vec![frame as u8; 60]);
        world.apply(Command::PushFrame { source, encoding: 0, codec, ts_rtp, data });
        world.run_for(20_000);
    }
    let stream = world.peers[subscriber].stream(500);
    assert_eq!(stream.len(), 10);
    assert!(stream.windows(2).all(|pair| pair[1].ts == pair[0].ts.wrapping_add(960)));
}
