//! Strangers, garbage, replays and floods: counted, and nobody else notices.

mod sim;

use std::net::SocketAddr;

use aislecast_engine::api::{Command, Event, Local, Path, TransportState};
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader};
use aislecast_engine::wire::stun::{IceRole, StunClass, StunKey, StunMessage};
use sim::conformance::check_vp8;
use sim::{CLEAN, Random, VideoTrack, World};

fn addr(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], port))
}

struct Stage {
    world: World,
    track: VideoTrack,
    publisher: usize,
    subscriber: usize,
}

fn stage(seed: u64) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q"]);
    world.add_sink(subscriber, source, 500, 0);
    let track = VideoTrack::new(&world, publisher, "0", &["q"]);
    Stage { world, track, publisher, subscriber }
}

impl Stage {
    fn play(&mut self, us: u64, each_ms: impl FnMut(&mut World)) {
        self.world.play(std::slice::from_mut(&mut self.track), &mut [], us, each_ms);
    }

    fn assert_flows(&self) {
        let stream = self.world.peers[self.subscriber].stream(500);
        check_vp8(&stream);
        assert!(stream.last().unwrap().at > self.world.now - 100_000);
        assert_eq!(self.world.peers[self.subscriber].undecryptable, 0);
    }
}

#[test]
fn garbage_from_everywhere_is_counted_and_answered_by_nothing() {
    let mut stage = stage(1);
    let mut random = Random(7);
    let friend = stage.world.peers[stage.publisher].addr;
    stage.play(1_500_000, |world| {
        for _ in 0..20 {
            let len = random.below(1500) as usize;
            let data: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            let from = if random.is_hit(500) { friend } else { addr(random.next() as u8, 1) };
            world.inject(from, data);
        }
    });
    stage.assert_flows();
    let counters = stage.world.core.counters();
    assert!(counters.dropped_unknown_kind > 1000 && counters.dropped_unknown_path > 1000);
    assert!(counters.dropped_auth > 1000);
}

#[test]
fn replayed_and_changed_packets_are_dropped() {
    let mut stage = stage(2);
    let addr = stage.world.peers[stage.publisher].addr;
    for step in 0..200u64 {
        let header = RtpHeader { is_marker: true, pt: 96, seq: step as u16, ts_rtp: 0, ssrc: 77 };
        let extensions = OutExtensions { mid: Some(b"none"), ..OutExtensions::default() };
        let packet = stage.world.peers[stage.publisher].rtp(&header, &extensions, &[0x10, 1, 2]);
        let mut changed = packet.clone();
        *changed.last_mut().unwrap() ^= 1;
        stage.world.inject(addr, changed);
        stage.world.inject(addr, packet.clone());
        stage.world.inject(addr, packet);
        stage.play(5_000, |_| {});
    }
    stage.assert_flows();
    let counters = stage.world.core.counters();
    assert_eq!(counters.dropped_auth, 200);
    assert_eq!(counters.dropped_unknown_ssrc, 400, "an unbound SSRC leaves no replay window");
}

#[test]
fn a_replay_on_a_bound_ssrc_is_counted_as_such() {
    let mut stage = stage(3);
    stage.world.peers[stage.publisher].uplink.duplicate_permille = 1000;
    stage.play(1_000_000, |_| {});
    stage.assert_flows();
    assert!(stage.world.core.counters().dropped_replay > 20);
}

#[test]
fn thousands_of_unknown_ssrcs_leave_nothing_behind() {
    let mut stage = stage(4);
    let addr = stage.world.peers[stage.publisher].addr;
    let mut ssrc = 0x7000_0000;
    let publisher = stage.publisher;
    stage.play(2_000_000, |world| {
        for _ in 0..2 {
            ssrc += 1;
            // Half of them claim a section that does not exist, half say nothing.
            let mid = (ssrc % 2 == 0).then_some(&b"99"[..]);
            let header = RtpHeader { is_marker: true, pt: 111, seq: 1, ts_rtp: 0, ssrc };
            let extensions = OutExtensions { mid, ..OutExtensions::default() };
            let packet = world.peers[publisher].rtp(&header, &extensions, &[1; 50]);
            world.inject(addr, packet);
        }
    });
    stage.assert_flows();
    assert!(stage.world.core.counters().dropped_unknown_ssrc > 2_000);
}

#[test]
fn unknown_payload_types_are_counted() {
    let mut stage = stage(5);
    let header = RtpHeader { is_marker: true, pt: 13, seq: 1, ts_rtp: 0, ssrc: 5 };
    let packet =
        stage.world.peers[stage.publisher].rtp(&header, &OutExtensions::default(), &[1; 50]);
    stage.world.send(stage.publisher, packet);
    stage.play(100_000, |_| {});
    assert_eq!(stage.world.core.counters().dropped_unknown_payload, 1);
}

#[test]
fn stun_with_a_wrong_password_or_name_gets_no_answer() {
    let mut stage = stage(6);
    let subscriber = stage.subscriber;
    let wrong = StunKey::new(b"wrong");
    let check = stage.world.peers[subscriber].check_with(&wrong, true, IceRole::Controlling(1));
    let answers = stage.world.peers[subscriber].stun_answers.len();
    stage.world.send(subscriber, check);
    stage.world.peers[subscriber].ufrag = "nobody".into();
    let check = stage.world.peers[subscriber].check(true);
    stage.world.send(subscriber, check);
    stage.world.run_for(100_000);
    assert_eq!(stage.world.peers[subscriber].stun_answers.len(), answers);
    let counters = stage.world.core.counters();
    assert_eq!((counters.dropped_stun_auth, counters.dropped_stun_unknown_ufrag), (1, 1));
}

#[test]
fn a_role_conflict_is_answered_487() {
    let mut stage = stage(7);
    let peer = &mut stage.world.peers[stage.subscriber];
    let key = StunKey::new(peer.password.as_bytes());
    let check = peer.check_with(&key, true, IceRole::Controlled(1));
    stage.world.send(stage.subscriber, check);
    stage.world.run_for(100_000);
    let answer = stage.world.peers[stage.subscriber].stun_answers.last().unwrap().clone();
    let answer = StunMessage::parse(&answer).unwrap();
    assert_eq!((answer.class, answer.error_code), (StunClass::Error, Some(487)));
    assert!(answer.verify_integrity(&key));
}

#[test]
fn a_new_address_is_taken_at_once_after_an_authenticated_check_only() {
    let mut stage = stage(8);
    stage.play(500_000, |_| {});
    let (publisher, subscriber) = (stage.publisher, stage.subscriber);
    // Wi-Fi -> 4G of both sides, without signalling.
    for peer in [publisher, subscriber] {
        let old = stage.world.peers[peer].addr;
        stage.world.peers[peer].old_addrs.push(old);
        stage.world.peers[peer].addr = addr(peer as u8, 9);
    }
    let before = stage.world.core.counters().dropped_unknown_path;
    stage.play(200_000, |_| {});
    assert!(
        stage.world.core.counters().dropped_unknown_path > before,
        "media alone proves nothing"
    );
    for peer in [publisher, subscriber] {
        let check = stage.world.peers[peer].check(true);
        stage.world.send(peer, check);
    }
    let moved = stage.world.now;
    stage.play(1_000_000, |_| {});
    let path = Some(Path { local: Local::Udp(0), remote: addr(subscriber as u8, 9) });
    let is_news = |event: &Event| matches!(event, Event::Transport { path: at, .. } if *at == path);
    assert!(stage.world.events.iter().any(|(at, event)| is_news(event) && at - moved < 50_000));
    stage.assert_flows();
}

#[test]
fn media_on_another_proven_path_takes_over_when_the_selected_one_is_silent() {
    let mut stage = stage(9);
    stage.play(300_000, |_| {});
    let publisher = stage.publisher;
    let old = stage.world.peers[publisher].addr;
    stage.world.peers[publisher].old_addrs.push(old);
    stage.world.peers[publisher].addr = addr(1, 9);
    let check = stage.world.peers[publisher].check(false);
    stage.world.send(publisher, check);
    let id = stage.world.peers[publisher].id;
    stage.play(1_000_000, |_| {});
    let last = stage.world.events.iter().rev().find_map(|(_, event)| match event {
        Event::Transport { transport, path, .. } if *transport == id => *path,
        _ => None,
    });
    assert_eq!(last.unwrap().remote, addr(1, 9));
}

#[test]
fn an_address_in_use_cannot_be_taken_by_another_peers_check() {
    let mut stage = stage(10);
    stage.play(500_000, |_| {});
    let victim = stage.world.peers[stage.publisher].addr;
    for _ in 0..20 {
        let check = stage.world.peers[stage.subscriber].check(true);
        stage.world.inject(victim, check);
        stage.play(50_000, |_| {});
    }
    stage.assert_flows();
    assert!(stage.world.core.counters().dropped_unknown_path >= 20);
}

#[test]
fn paths_of_a_transport_are_bounded_and_the_selected_one_stays() {
    let mut stage = stage(11);
    for port in 0..50 {
        let check = stage.world.peers[stage.publisher].check(false);
        stage.world.inject(addr(3, port + 1), check);
        stage.play(1_000, |_| {});
    }
    assert!(stage.world.core.counters().dropped_paths >= 40);
    stage.play(500_000, |_| {});
    stage.assert_flows();
}

#[test]
fn silence_is_disconnected_after_5_s_and_failed_after_30_s_and_ends_with_a_check() {
    let mut stage = stage(12);
    stage.play(500_000, |_| {});
    let id = stage.world.peers[stage.subscriber].id;
    let silent_since = stage.world.now;
    stage.play(36_000_000, |_| {});
    let states: Vec<(u64, TransportState)> = stage
        .world
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Transport { transport, state, .. } if *transport == id => Some((*at, *state)),
            _ => None,
        })
        .collect();
    let names: Vec<TransportState> = states.iter().map(|(_, state)| *state).collect();
    use TransportState::{Connected, Disconnected, Failed};
    assert_eq!(names, [Connected, Disconnected, Failed]);
    assert!((4_400_000..5_100_000).contains(&(states[1].0 - silent_since)));
    assert!((29_400_000..30_100_000).contains(&(states[2].0 - silent_since)));
    let last = stage.world.peers[stage.subscriber].stream(500).last().unwrap().at;
    assert!(last < silent_since + 30_200_000, "nothing is sent without consent");
    let check = stage.world.peers[stage.subscriber].check(true);
    stage.world.send(stage.subscriber, check);
    stage.play(3_000_000, |_| {});
    assert!(
        stage.world.peers[stage.subscriber].stream(500).last().unwrap().at
            > stage.world.now - 100_000
    );
}

#[test]
fn an_ice_restart_keeps_the_old_credentials_until_the_new_ones_are_used() {
    let mut stage = stage(13);
    let (id, subscriber) = (stage.world.peers[stage.subscriber].id, stage.subscriber);
    stage.world.apply(Command::RestartIce {
        transport: id,
        local_ufrag: "fresh".into(),
        local_pwd: "fresh-password-of-the-peer".into(),
    });
    let answers = |stage: &Stage| stage.world.peers[subscriber].stun_answers.len();
    let before = answers(&stage);
    let old_check = stage.world.peers[subscriber].check(true);
    stage.world.send(subscriber, old_check);
    stage.world.run_for(50_000);
    assert_eq!(answers(&stage), before + 1);
    let (old_ufrag, old_password) = {
        let peer = &mut stage.world.peers[subscriber];
        (
            std::mem::replace(&mut peer.ufrag, "fresh".into()),
            std::mem::replace(&mut peer.password, "fresh-password-of-the-peer".into()),
        )
    };
    let check = stage.world.peers[subscriber].check(true);
    stage.world.send(subscriber, check);
    stage.world.run_for(50_000);
    assert_eq!(answers(&stage), before + 2);
    let peer = &mut stage.world.peers[subscriber];
    (peer.ufrag, peer.password) = (old_ufrag, old_password);
    let stale = peer.check(true);
    stage.world.send(subscriber, stale);
    stage.world.run_for(50_000);
    assert_eq!(answers(&stage), before + 2, "void now");
    stage.play(500_000, |_| {});
    stage.assert_flows();
}

#[test]
fn commands_for_the_gone_are_counted_and_a_removed_transport_takes_all_with_it() {
    let mut stage = stage(14);
    stage.play(300_000, |_| {});
    let id = stage.world.peers[stage.publisher].id;
    stage.world.apply(Command::RemoveTransport { transport: id });
    stage.world.apply(Command::RemoveTransport { transport: id });
    assert_eq!(stage.world.core.counters().stale_commands, 1);
    stage.play(300_000, |_| {});
    let mut rows = Vec::new();
    stage.world.core.snapshot_encodings(stage.world.now, &mut rows);
    assert!(rows.is_empty());
    let id = stage.world.peers[stage.subscriber].id;
    stage.world.apply(Command::RemoveTransport { transport: id });
    stage.world.core.snapshot_sinks(stage.world.now, &mut rows);
    stage.world.core.snapshot_transports(stage.world.now, &mut rows);
    assert!(rows.is_empty());
    stage.play(6_000_000, |_| {});
    assert_eq!(stage.world.core.next_timeout(), u64::MAX, "nothing is left to wait for");
}
