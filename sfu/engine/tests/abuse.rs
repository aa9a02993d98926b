//! Peers that know their keys and still mean harm, and wishes that must not get lost.

mod sim;

use std::net::SocketAddr;

use aislecast_engine::api::{Command, Event, Layers, Local, Path};
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader};
use aislecast_engine::wire::twcc_feedback::{Arrival, FeedbackHeader};
use sim::peer::Heard;
use sim::stage::two_viewers;
use sim::{CLEAN, VideoTrack, World};

#[test]
fn an_overheard_check_sent_from_elsewhere_does_not_move_the_media() {
    let mut world = World::new(1);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q"]);
    world.add_sink(subscriber, source, 500, 0);
    let mut tracks = [VideoTrack::new(&world, publisher, "0", &["q"])];
    world.play(&mut tracks, &mut [], 200_000, |_| {});
    let overheard = world.peers[subscriber].check(true);
    world.send(subscriber, overheard.clone());
    world.run_for(100_000);
    let refused = world.core.counters().dropped_stun_auth;
    let elsewhere = SocketAddr::from(([203, 0, 113, 9], 9));
    world.play(&mut tracks, &mut [], 500_000, |world| world.inject(elsewhere, overheard.clone()));
    assert!(world.core.counters().dropped_stun_auth > refused + 400);
    let stream = world.peers[subscriber].stream(500);
    assert!(stream.last().unwrap().at > world.now - 100_000, "the media stays");
}

#[test]
fn feedback_that_claims_tens_of_thousands_of_packets_is_bounded() {
    let mut world = World::new(2);
    let peer = world.add_peer(CLEAN);
    let datagram = world.peers[peer].rtcp(|writer| {
        for step in 0..5u64 {
            let arrivals = [0, 8_000]
                .map(|at| Arrival { seq_ext: 100_000 + step * 8_001 + at, arrived_us: 1_000_000 });
            let header = FeedbackHeader {
                sender_ssrc: 1,
                media_ssrc: 2,
                feedback_count: step as u8,
                base_seq_ext: arrivals[0].seq_ext,
            };
            assert!(writer.transport_cc(&header, &arrivals).is_some());
        }
    });
    let before = world.core.counters().dropped_malformed;
    world.send(peer, datagram);
    world.run_for(100_000);
    assert_eq!(world.core.counters().dropped_malformed - before, 3);
}

/// Feedback of a peer by which all of the last `count` numbers but the newest were lost.
fn all_lost(world: &mut World, peer: usize, count: u64) -> Vec<u8> {
    let newest = *world.peers[peer].arrivals.keys().next_back().unwrap();
    let arrivals = [Arrival { seq_ext: newest, arrived_us: 1_000_000 }];
    let base_seq_ext = newest + 1 - count;
    let header = FeedbackHeader { sender_ssrc: 1, media_ssrc: 2, feedback_count: 0, base_seq_ext };
    world.peers[peer].rtcp(|writer| assert!(writer.transport_cc(&header, &arrivals).is_some()))
}

/// Two who watch the same, after five seconds.
fn watched(seed: u64) -> (World, usize, usize) {
    let (mut world, _, _, [flooder, friend]) = two_viewers(seed, 5_000_000);
    world.run_for(100_000);
    (world, flooder, friend)
}

fn num_rows(world: &mut World, peer: usize) -> usize {
    let mut rows = Vec::new();
    world.core.drain_twcc(&mut rows);
    let id = world.peers[peer].id.0.to_le_bytes();
    rows.chunks_exact(29).filter(|row| row[..4] == id).count()
}

#[test]
fn who_tells_of_the_same_losses_again_and_again_leaves_the_reports_of_others_in_place() {
    let (mut world, flooder, friend) = watched(11);
    let num_came = world.peers[friend].arrivals.len();
    let feedback = world.peers[friend].feedback().unwrap();
    world.send(friend, feedback);
    for _ in 0..2_000 {
        let flood = all_lost(&mut world, flooder, num_came as u64);
        world.send(flooder, flood);
    }
    world.run_for(100_000);
    assert_eq!(world.core.counters().dropped_twcc_rows, 0);
    assert_eq!(num_rows(&mut world, friend), num_came);
}

#[test]
fn feedback_about_more_packets_than_anybody_is_sent_is_dropped() {
    let (mut world, flooder, friend) = watched(12);
    for _ in 0..100 {
        let flood = all_lost(&mut world, flooder, 8_000);
        world.send(flooder, flood);
    }
    world.run_for(100_000);
    let dropped = world.core.counters().dropped_feedback;
    assert!((85..=95).contains(&dropped), "{dropped}");
    let feedback = world.peers[friend].feedback().unwrap();
    world.send(friend, feedback);
    world.run_for(4_000_000);
    assert!(num_rows(&mut world, friend) > 0);
    let again = all_lost(&mut world, flooder, 8_000);
    world.send(flooder, again);
    world.run_for(100_000);
    assert_eq!(world.core.counters().dropped_feedback, dropped, "it is heard again later");
}

#[test]
fn a_picture_lost_while_another_layer_is_waited_for_is_asked_of_the_running_one() {
    let mut world = World::new(3);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q", "f"]);
    let sink = world.add_sink(subscriber, source, 500, 0);
    let mut tracks = [VideoTrack::new(&world, publisher, "0", &["q", "f"])];
    world.play(&mut tracks, &mut [], 3_000_000, |_| {});
    tracks[0].answers_plis = false;
    let layers = Layers { spatial: 1, temporal: 7, paused: false };
    world.apply(Command::SetLayers { sink, layers });
    world.play(&mut tracks, &mut [], 1_000_000, |_| {});
    assert_eq!(world.sink_row(sink).spatial, 0, "the other layer has no key frame");
    let running = tracks[0].layers[0].ssrc;
    let num_asked = |world: &World| {
        let heard = world.peers[publisher].heard.iter();
        heard.filter(|heard| matches!(heard, Heard::Pli(_, ssrc) if *ssrc == running)).count()
    };
    let before = num_asked(&world);
    let pli = world.peers[subscriber].pli(500);
    world.send(subscriber, pli);
    world.play(&mut tracks, &mut [], 1_000_000, |_| {});
    assert!(num_asked(&world) > before);
    let stream = world.peers[subscriber].stream(500);
    assert!(stream.last().unwrap().at > world.now - 100_000, "it does not go dark meanwhile");
}

#[test]
fn a_flood_of_requests_leaves_room_for_those_of_others() {
    let mut world = World::new(4);
    let publisher = world.add_peer(CLEAN);
    let (flooder, friend) = (world.add_peer(CLEAN), world.add_peer(CLEAN));
    let source = world.add_source(publisher, "0", false, &["q"]);
    world.add_sink(flooder, source, 500, 0);
    let sink = world.add_sink(friend, source, 600, 0);
    let mut tracks = [VideoTrack::new(&world, publisher, "0", &["q"])];
    world.play(&mut tracks, &mut [], 500_000, |_| {});
    world.run_for(200_000);
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for part in all.chunks(5_000) {
        let flood = world.peers[flooder].rtcp(|writer| {
            writer.nack(1, 500, part);
        });
        world.send(flooder, flood);
    }
    let last = world.peers[friend].stream(600).last().unwrap().seq;
    let asked = world.peers[friend].rtcp(|writer| {
        writer.nack(1, 600, &[last]);
    });
    world.send(friend, asked);
    world.run_for(200_000);
    let row = world.sink_row(sink);
    assert_eq!((row.nacks, row.rtx_sent), (1, 1), "{row:?}");
}

#[test]
fn viewers_of_a_layer_that_is_switched_off_get_the_next_one_within_a_second_and_a_half() {
    let mut world = World::new(5);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q", "f"]);
    world.add_sink(subscriber, source, 500, 1);
    let mut tracks = [VideoTrack::new(&world, publisher, "0", &["q", "f"])];
    world.play(&mut tracks, &mut [], 3_000_000, |_| {});
    tracks[0].layers[1].is_on = false;
    world.play(&mut tracks, &mut [], 3_000_000, |_| {});
    let stream = world.peers[subscriber].stream(500);
    let gap = stream.windows(2).map(|pair| pair[1].at - pair[0].at).max();
    assert!(gap.unwrap() < 1_500_000, "{gap:?}");
}

#[test]
fn ssrcs_with_payload_types_that_nobody_negotiated_leave_room_for_tracks() {
    let mut world = World::new(6);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    for ssrc in 1..=100 {
        let header = RtpHeader { is_marker: true, pt: 13, seq: 1, ts_rtp: 0, ssrc };
        let packet = world.peers[publisher].rtp(&header, &OutExtensions::default(), &[1; 50]);
        world.send(publisher, packet);
    }
    world.run_for(100_000);
    let source = world.add_source(publisher, "0", false, &["q"]);
    world.add_sink(subscriber, source, 500, 0);
    let mut tracks = [VideoTrack::new(&world, publisher, "0", &["q"])];
    world.play(&mut tracks, &mut [], 500_000, |_| {});
    assert!(!world.peers[subscriber].stream(500).is_empty());
}

#[test]
fn a_publisher_that_changes_its_ssrc_with_every_packet_makes_ten_events_a_second() {
    let mut world = World::new(7);
    let publisher = world.add_peer(CLEAN);
    world.add_source(publisher, "0", true, &[""]);
    let before = world.events.len();
    for ssrc in 1..=1_000 {
        let header = RtpHeader { is_marker: true, pt: 111, seq: 1, ts_rtp: 0, ssrc };
        let extensions = OutExtensions { mid: Some(b"0"), ..OutExtensions::default() };
        let packet = world.peers[publisher].rtp(&header, &extensions, &[1; 50]);
        world.send(publisher, packet);
        world.run_for(1_000);
    }
    world.run_for(150_000);
    let told: Vec<u32> = world.events[before..]
        .iter()
        .filter_map(|(_, event)| match event {
            Event::EncodingStarted { ssrc, .. } => Some(*ssrc),
            _ => None,
        })
        .collect();
    assert!((5..=12).contains(&told.len()), "{told:?}");
    assert_eq!((told.first(), told.last()), (Some(&1), Some(&1_000)), "nothing is late for good");
    assert!(world.core.counters().held_events > 950);
}

#[test]
fn a_peer_that_nominates_another_path_with_every_check_makes_ten_events_a_second() {
    let mut world = World::new(8);
    let peer = world.add_peer(CLEAN);
    let before = world.events.len();
    let path_of = |at: u16| SocketAddr::from(([203, 0, 113, 9], 1_000 + at % 2));
    for at in 1..=1_000 {
        let check = world.peers[peer].check(true);
        world.inject(path_of(at), check);
        world.run_for(1_000);
    }
    world.run_for(150_000);
    let told: Vec<SocketAddr> = world.events[before..]
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Transport { path, .. } => path.map(|path| path.remote),
            _ => None,
        })
        .collect();
    assert!((2..=12).contains(&told.len()), "{told:?}");
    assert_eq!(told.last(), Some(&path_of(1_000)), "the last path is told");
    // Half of them lead back to the path that was told last: no news.
    assert!(world.core.counters().held_events > 450);
}

#[test]
fn dtls_of_a_peer_is_bounded_without_harm_to_data_channels_and_others() {
    let mut world = World::new(9);
    let (flooder, friend) = (world.add_peer(CLEAN), world.add_peer(CLEAN));
    let record = [23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0];
    for _ in 0..1_000 {
        (0..10).for_each(|_| world.send(flooder, record.to_vec()));
        (0..2).for_each(|_| world.send(friend, record.to_vec()));
        world.run_for(1_000);
    }
    world.run_for(100_000);
    let num_told = |peer: usize| {
        let id = world.peers[peer].id;
        let is_its =
            |event: &Event| matches!(event, Event::Dtls { transport, .. } if *transport == id);
        world.events.iter().filter(|(_, event)| is_its(event)).count()
    };
    assert!((5_900..=6_010).contains(&num_told(flooder)), "{}", num_told(flooder));
    assert_eq!(num_told(friend), 2_000);
    assert_eq!(world.core.counters().dropped_dtls, 10_000 - num_told(flooder) as u64);
}

#[test]
fn a_peer_holds_eight_connections_and_none_when_it_is_gone() {
    let mut world = World::new(10);
    let peer = world.add_peer(CLEAN);
    let mut given_up = Vec::new();
    for connection in 1..=30 {
        let mut check = world.peers[peer].check(true);
        let remote = SocketAddr::from(([203, 0, 113, 9], 9));
        let path = Path { local: Local::Tcp(connection), remote };
        world.core.handle_datagram(world.now, path, &mut check);
        world.run_for(10_000);
        given_up.extend(world.core.poll_given_up());
    }
    assert_eq!(given_up, Vec::from_iter(1..=22), "the oldest give way");
    let transport = world.peers[peer].id;
    world.apply(Command::RemoveTransport { transport });
    given_up.extend(std::iter::from_fn(|| world.core.poll_given_up()));
    given_up.sort_unstable();
    assert_eq!(given_up, Vec::from_iter(1..=30));
}
