//! The thin line: a publisher's SRTP in, subscribers' SRTP out.

mod sim;

use aislecast_engine::api::{Codec, Event, SrtpProfile, TransportState};
use aislecast_engine::wire::vp8::Vp8Descriptor;
use sim::peer::Heard;
use sim::{AudioTrack, CLEAN, VideoTrack, World};

fn run(world: &mut World, videos: &mut [VideoTrack], audios: &mut [AudioTrack], us: u64) {
    world.play(videos, audios, us, |_| {});
}

#[test]
fn video_reaches_a_subscriber_from_the_first_key_frame_on() {
    for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AesCm128HmacSha1_80] {
        let mut world = World::new(1);
        let publisher = world.add_peer_with(CLEAN, profile);
        let subscriber = world.add_peer_with(CLEAN, profile);
        let source = world.add_source(publisher, "0", false, &["q"]);
        let sink = world.add_sink(subscriber, source, 500, 0);
        let mut track = VideoTrack::new(&world, publisher, "0", &["q"]);
        run(&mut world, std::slice::from_mut(&mut track), &mut [], 2_000_000);
        let peer = &world.peers[subscriber];
        let stream = peer.stream(500);
        assert_eq!(peer.undecryptable, 0);
        assert!(stream.len() > 58, "{}", stream.len());
        let first = Vp8Descriptor::parse(&stream[0].payload).unwrap();
        assert!(first.is_keyframe && first.is_long_picture_id);
        assert_eq!(stream[0].mid.as_deref(), Some("7"));
        for pair in stream.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1));
        }
        assert!(world.events.iter().any(|(_, event)| *event == Event::SinkStarted { sink }));
        assert!(world.events.iter().any(|(_, event)| matches!(
            event,
            Event::EncodingStarted { encoding: 0, codec: Codec::Vp8, .. }
        )));
        assert!(world.events.iter().any(|(_, event)| matches!(
            event,
            Event::Transport { state: TransportState::Connected, path: Some(_), .. }
        )));
        assert!(
            peer.heard
                .iter()
                .any(|heard| matches!(heard, Heard::SenderReport(_, info) if info.ssrc == 500))
        );
        let publisher = &world.peers[publisher];
        assert!(publisher.heard.iter().any(|heard| matches!(heard, Heard::ReceiverReport { .. })));
        assert!(
            publisher
                .heard
                .iter()
                .any(|heard| matches!(heard, Heard::TransportCc(count) if *count > 0))
        );
    }
}

#[test]
fn audio_reaches_a_subscriber_with_its_level() {
    let mut world = World::new(2);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", true, &[""]);
    world.add_sink(subscriber, source, 600, 0);
    let mut track = AudioTrack::new(&world, publisher, "0");
    run(&mut world, &mut [], std::slice::from_mut(&mut track), 1_000_000);
    let stream = world.peers[subscriber].stream(600);
    assert!(stream.len() >= 48, "{}", stream.len());
    assert!(stream.iter().all(|one| one.pt == 111 && one.level == Some((true, 20))));
}

#[test]
fn a_joiner_starts_from_the_cached_pictures_without_a_request() {
    let mut world = World::new(3);
    let publisher = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q"]);
    let early = world.add_peer(CLEAN);
    world.add_sink(early, source, 500, 0);
    let mut track = VideoTrack::new(&world, publisher, "0", &["q"]);
    run(&mut world, std::slice::from_mut(&mut track), &mut [], 1_000_000);
    let plis = world.peers[publisher].num_plis();
    let late = world.add_peer(CLEAN);
    let joined = world.now;
    world.add_sink(late, source, 700, 0);
    run(&mut world, std::slice::from_mut(&mut track), &mut [], 1_000_000);
    assert_eq!(world.peers[publisher].num_plis(), plis, "no key frame was asked for");
    let stream = world.peers[late].stream(700);
    assert!(Vp8Descriptor::parse(&stream[0].payload).unwrap().is_keyframe);
    assert!(stream[0].at - joined < 50_000, "first packet after {} us", stream[0].at - joined);
    assert!(world.core.counters().gop_replays >= 2);
    let last = world.peers[early].stream(500).last().unwrap().payload.clone();
    let tail = stream.last().unwrap().payload.clone();
    assert_eq!(last[6..], tail[6..], "both are live");
}

#[test]
fn losses_are_repaired_on_both_sides() {
    let mut world = World::new(4);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q"]);
    let sink = world.add_sink(subscriber, source, 500, 0);
    world.peers[publisher].uplink.loss_permille = 50;
    world.peers[subscriber].downlink.loss_permille = 50;
    let mut track = VideoTrack::new(&world, publisher, "0", &["q"]);
    world.play(std::slice::from_mut(&mut track), &mut [], 5_000_000, |world| {
        world.nack_now_and_then(subscriber, 500);
    });
    assert!(world.core.counters().nacks_sent > 0 && world.core.counters().rtx_received > 0);
    let row = world.sink_row(sink);
    assert!(row.rtx_sent > 0, "{row:?}");
    let missing = world.peers[subscriber].missing(500);
    assert!(missing <= 2, "{missing} still missing");
    assert_eq!(world.peers[subscriber].undecryptable, 0);
}

#[test]
fn a_storm_of_picture_losses_is_one_request_per_budget() {
    let mut world = World::new(5);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q"]);
    world.add_sink(subscriber, source, 500, 0);
    let mut track = VideoTrack::new(&world, publisher, "0", &["q"]);
    run(&mut world, std::slice::from_mut(&mut track), &mut [], 3_000_000);
    let before = world.peers[publisher].num_plis();
    let until = world.now + 5_000_000;
    while world.now < until {
        track.step(&mut world);
        if world.now % 10_000 < 1_000 {
            let pli = world.peers[subscriber].pli(500);
            world.send(subscriber, pli);
        }
        world.run_for(1_000);
    }
    let plis = world.peers[publisher].num_plis() - before;
    assert!((1..=5).contains(&plis), "{plis} requests for 500 wishes");
}
