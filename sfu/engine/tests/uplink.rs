//! Publishers on weak lines: what is lost on the way up is brought back, or a key frame is.

mod sim;

use std::collections::BTreeMap;

use aislecast_engine::api::{Command, Event, Micros, SourceId};
use sim::conformance::check_vp8;
use sim::peer::Heard;
use sim::{Bottleneck, CLEAN, Link, VideoTrack, World};

const SSRC: u32 = 500;
/// What players grow to on such lines.
const JITTER_BUFFER_US: Micros = 700_000;

/// A camera behind a line, and a viewer beside the server.
struct Uplink {
    world: World,
    track: VideoTrack,
    source: SourceId,
    viewer: usize,
}

fn uplink(seed: u64, line: Link) -> Uplink {
    let mut world = World::new(seed);
    let (publisher, viewer) = (world.add_peer(CLEAN), world.add_peer(CLEAN));
    let source = world.add_source(publisher, "0", false, &["q"]);
    world.add_sink(viewer, source, SSRC, 0);
    world.peers[publisher].uplink = line;
    world.peers[publisher].downlink = line;
    world.peers[publisher].resend_pause_us = 2 * line.delay_us + line.jitter_us;
    let mut track = VideoTrack::new(&world, publisher, "0", &["q"]);
    track.interval_us = 66_667;
    (track.layers[0].packets, track.layers[0].key_packets) = (2, 8);
    Uplink { world, track, source, viewer }
}

impl Uplink {
    fn play(&mut self, us: Micros) {
        let peer = self.track.peer;
        self.world.play(std::slice::from_mut(&mut self.track), &mut [], us, |world| {
            // Consent (RFC 7675).
            if world.now % 2_000_000 < 1_000 {
                for peer in [peer, peer + 1] {
                    let check = world.peers[peer].check(true);
                    world.send(peer, check);
                }
            }
        });
    }

    /// When each frame is shown: whole, after all those it builds on, and `delay_us` after the time
    /// that its timestamp says, as far as it is there by then (a jitter buffer).
    fn shown(&self, delay_us: Micros) -> Vec<Micros> {
        let packets = check_vp8(&self.world.peers[self.viewer].stream(SSRC));
        let (first_us, first_ts) = (packets[0].at, packets[0].ts);
        let mut frames: BTreeMap<u32, (Micros, u8, u8, bool)> = BTreeMap::new();
        for packet in &packets {
            let due_us = Micros::from(packet.ts.wrapping_sub(first_ts)) * 100 / 9;
            let due_us = first_us + delay_us + due_us;
            let unseen = (due_us, 0, packet.count, packet.is_key);
            let frame = frames.entry(packet.frame).or_insert(unseen);
            *frame = (frame.0.max(packet.at), frame.1 + 1, frame.2, frame.3 || packet.is_key);
        }
        let mut shown: Vec<Micros> = Vec::new();
        let mut next = None;
        for (&number, &(at, got, count, is_key)) in &frames {
            let is_whole = got == count && (is_key || next == Some(number));
            if is_whole {
                shown.push(shown.last().copied().unwrap_or(0).max(at));
                next = Some(number + 1);
            }
        }
        shown
    }

    /// Seconds within gaps of more than half a second from `from` on, the tail included.
    fn frozen_s(&self, from: Micros) -> f64 {
        let shown = self.shown(JITTER_BUFFER_US);
        let times = [from].into_iter().chain(shown).chain([self.world.now]);
        let times: Vec<Micros> = times.filter(|&at| at >= from).collect();
        let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        gaps.filter(|&gap| gap > 500_000).sum::<Micros>() as f64 / 1e6
    }
}

fn line(delay_ms: Micros, jitter_ms: Micros, loss_permille: u64) -> Link {
    let (delay_us, jitter_us) = (delay_ms * 1000, jitter_ms * 1000);
    Link { delay_us, jitter_us, loss_permille, ..CLEAN }
}

#[test]
fn retransmissions_keep_the_picture_of_weak_senders_moving() {
    for (name, line, most_s) in [
        ("hotspot", line(60, 30, 30), 0.5),
        ("township", line(100, 40, 100), 1.0),
        ("loss30", line(100, 0, 300), 10.0),
    ] {
        let mut frozen = Vec::new();
        for seed in 0..3 {
            let mut uplink = uplink(40 + seed, line);
            let began_us = uplink.world.now;
            uplink.play(55_000_000);
            let first_us = uplink.shown(0)[0] - began_us;
            assert!(first_us < 2_500_000, "{name}: the first picture after {first_us} us");
            if line.loss_permille <= 100 {
                // Retransmissions do: neither reordering nor a slow answer is taken for a loss.
                let num_plis = uplink.world.peers[uplink.track.peer].num_plis();
                assert!(num_plis <= 4, "{name}: {num_plis} key frames asked for");
            }
            frozen.push(uplink.frozen_s(began_us + first_us + JITTER_BUFFER_US));
        }
        frozen.sort_by(f64::total_cmp);
        assert!(frozen[1] <= most_s, "{name}: {frozen:?} s of 55");
    }
}

#[test]
fn rtcp_leaves_twice_on_a_lossy_line_only_and_counts_once() {
    let mut clean = uplink(50, line(50, 0, 0));
    clean.play(5_000_000);
    assert_eq!(clean.world.core.counters().rtcp_repeated, 0);
    let mut lossy = uplink(50, line(50, 0, 200));
    lossy.play(10_000_000);
    let repeated = lossy.world.core.counters().rtcp_repeated;
    assert!(repeated > 100, "{repeated}");
    // Copies of what arrived are replays: they are not even unprotected.
    let publisher = &lossy.world.peers[lossy.track.peer];
    let reported: usize = publisher
        .heard
        .iter()
        .map(|heard| match heard {
            Heard::TransportCc(arrived) => *arrived,
            _ => 0,
        })
        .sum();
    let counters = lossy.world.core.counters();
    // The synthetic retransmissions have no transport-wide numbers.
    let received = (counters.received_packets - counters.rtx_received) as usize;
    assert!(reported <= received, "{reported} reports of {received} packets");
    assert!(reported * 10 >= received * 9, "{reported} reports of {received} packets");
    assert_eq!(publisher.undecryptable, 0);
}

#[test]
fn a_stream_whose_first_packets_are_lost_starts_with_a_retransmission() {
    let mut uplink = uplink(60, line(50, 0, 0));
    let began_us = uplink.world.now;
    uplink.track.layers[0].key_packets = 9;
    uplink.track.answers_plis = false;
    // The head of the key frame gets lost: six packets of nine.
    uplink.world.num_to_lose = 6;
    uplink.play(700_000);
    let first_us = uplink.shown(0)[0] - began_us;
    assert!(first_us < 400_000, "{first_us}");
}

#[test]
fn a_lost_key_frame_request_is_repeated_after_a_round_trip() {
    let mut uplink = uplink(61, line(60, 0, 0));
    uplink.play(3_000_000);
    let publisher = uplink.track.peer;
    uplink.world.peers[publisher].downlink.loss_permille = 1000;
    let asked_us = uplink.world.now;
    let command =
        aislecast_engine::api::Command::RequestKeyframe { source: uplink.source, encoding: 255 };
    uplink.world.apply(command);
    uplink.play(100_000);
    uplink.world.peers[publisher].downlink.loss_permille = 0;
    uplink.play(600_000);
    let key = check_vp8(&uplink.world.peers[uplink.viewer].stream(SSRC))
        .into_iter()
        .find(|packet| packet.is_key && packet.at > asked_us)
        .expect("a key frame came");
    assert!(key.at - asked_us < 600_000, "{}", key.at - asked_us);
}

#[test]
fn the_picture_is_back_within_a_round_trip_of_the_line() {
    let mut uplink = uplink(62, line(30, 0, 0));
    uplink.play(5_000_000);
    let publisher = uplink.track.peer;
    uplink.world.peers[publisher].uplink.loss_permille = 1000;
    uplink.world.peers[publisher].downlink.loss_permille = 1000;
    uplink.play(10_000_000);
    uplink.world.peers[publisher].uplink.loss_permille = 0;
    uplink.world.peers[publisher].downlink.loss_permille = 0;
    let back_us = uplink.world.now;
    uplink.play(2_000_000);
    let first = uplink.shown(0).into_iter().find(|&at| at > back_us).expect("a picture");
    assert!(first - back_us < 400_000, "{}", first - back_us);
}

#[test]
fn a_limit_is_told_at_once_and_with_every_report_until_it_ends() {
    let mut uplink = uplink(60, CLEAN);
    uplink.play(3_000_000);
    let limits = |uplink: &Uplink| -> Vec<u64> {
        let heard = &uplink.world.peers[uplink.track.peer].heard;
        heard
            .iter()
            .filter_map(|one| if let Heard::Remb(bps) = one { Some(*bps) } else { None })
            .collect()
    };
    assert_eq!(limits(&uplink), [0; 0], "who was never limited hears nothing");
    let transport = uplink.world.peers[uplink.track.peer].id;
    uplink.world.apply(Command::LimitUplink { transport, rate_bps: 500_000 });
    uplink.play(100_000);
    assert_eq!(limits(&uplink), [500_000]);
    uplink.play(3_000_000);
    assert_eq!(limits(&uplink), [500_000; 4]);
    uplink.world.apply(Command::LimitUplink { transport, rate_bps: 0 });
    uplink.play(2_100_000);
    assert!(limits(&uplink)[4..].iter().all(|&bps| bps > 900_000_000), "{:?}", limits(&uplink));
    assert!(limits(&uplink).len() > 6, "the first of them may get lost");
}

#[test]
fn a_line_that_falls_is_told_at_once_and_asked_for_nothing_until_it_has_drained() {
    let mut uplink = uplink(63, CLEAN);
    let publisher = uplink.track.peer;
    uplink.track.says_when = true;
    uplink.track.interval_us = 50_000;
    uplink.track.layers[0].packets = 8;
    uplink.world.narrow_uplinks.insert(publisher, Bottleneck::new(3_000_000, 128_000));
    uplink.play(5_000_000);
    let falls = |uplink: &Uplink| -> Vec<(Micros, u32)> {
        let rate = |event: &(Micros, Event)| match event.1 {
            Event::UplinkFell { rate_bps, .. } => Some((event.0, rate_bps)),
            _ => None,
        };
        uplink.world.events.iter().filter_map(rate).collect()
    };
    let asked = |uplink: &Uplink| {
        let heard = uplink.world.peers[publisher].heard.iter();
        heard.filter(|one| matches!(one, Heard::Nack(..) | Heard::Pli(..))).count()
    };
    let told = |uplink: &Uplink| {
        let heard = uplink.world.peers[publisher].heard.iter();
        heard
            .filter_map(|one| if let Heard::Remb(bps) = one { Some(*bps) } else { None })
            .next_back()
    };
    let asked_before = asked(&uplink);
    let fell_us = uplink.world.now;
    let narrow = uplink.world.narrow_uplinks.get_mut(&publisher).unwrap();
    (narrow.rate_bps, narrow.queue_us) = (120_000, 1_500_000);
    uplink.play(1_000_000);
    let [(at, rate_bps)] = falls(&uplink)[..] else { panic!("{:?}", falls(&uplink)) };
    assert!(at - fell_us < 220_000, "{}", at - fell_us);
    assert!((100_000..140_000).contains(&rate_bps), "{rate_bps}");
    assert!(
        told(&uplink).is_some_and(|bps| (50_000..70_000).contains(&bps)),
        "{:?}",
        told(&uplink)
    );
    // The sender goes down, as it was told; a good deal was dropped, and a viewer wants a picture.
    uplink.track.layers[0].packets = 1;
    uplink.track.interval_us = 200_000;
    let (source, encoding) = (uplink.source, 255);
    uplink.world.apply(Command::RequestKeyframe { source, encoding });
    uplink.play(1_000_000);
    assert_eq!(asked(&uplink), asked_before, "answers would stand in the same queue");
    let feedback = uplink.world.peers[publisher].heard.iter();
    assert!(feedback.filter(|one| matches!(one, Heard::TransportCc(_))).count() > 50);
    uplink.play(2_000_000);
    assert!(asked(&uplink) > asked_before, "nothing waits any more");
    assert!(told(&uplink).is_some_and(|bps| bps > 900_000_000), "{:?}", told(&uplink));
    assert_eq!(falls(&uplink).len(), 1, "it is as narrow as before");
    uplink.world.narrow_uplinks.get_mut(&publisher).unwrap().rate_bps = 3_000_000;
    uplink.track.interval_us = 50_000;
    uplink.play(3_000_000);
    assert_eq!(falls(&uplink)[1..].iter().map(|fall| fall.1).collect::<Vec<_>>(), [0]);
}
