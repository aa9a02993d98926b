//! The emergency brake: a line that narrows, dies, comes back, or only looks like it.

mod sim;

use aislecast_engine::api::{Command, Micros};
use sim::stage::{AUDIO, frames, longest_gap, stage};
use sim::{Bottleneck, CLEAN, Link};

#[test]
fn after_a_cliff_video_stops_at_once_and_audio_goes_on() {
    let mut stage = stage(13, Link { delay_us: 30_000, ..CLEAN });
    let viewer = stage.viewer;
    stage.world.bottlenecks.insert(viewer, Bottleneck::new(3_000_000, 500_000));
    stage.budget(2_500_000);
    stage.play(3_000_000);
    assert!(stage.world.bottlenecks[&viewer].longest_us < 60_000, "{:?}", stage.world.bottlenecks);
    stage.world.bottlenecks.get_mut(&viewer).unwrap().rate_bps = 120_000;
    let cliff = stage.world.now;
    // What Python would do after a while is not done: the engine is on its own.
    let mut stopped_us = 0;
    let mut sent = stage.world.sink_row(stage.sink).packets;
    let sink = stage.sink;
    stage.play_with(3_000_000, false, |world| {
        let packets = world.sink_row(sink).packets;
        if packets > sent + 1 && world.now < cliff + 1_000_000 {
            stopped_us = world.now - cliff;
        }
        sent = packets;
    });
    assert!(stage.world.core.counters().brakes > 0);
    assert!(stopped_us < 350_000, "{stopped_us}");
    let from = cliff + 1_500_000;
    stage.play(5_000_000);
    let sound = stage.world.peers[viewer].stream(AUDIO);
    let late: Vec<Micros> = sound
        .windows(2)
        .filter(|two| two[0].at > from)
        .map(|two| two[1].at - two[0].at)
        .filter(|gap| *gap > 100_000)
        .collect();
    assert!(late.is_empty(), "{late:?}");
    assert!(stage.world.bottlenecks[&viewer].wait_us(stage.world.now) < 200_000);
    let (_, code, budget, _) = stage.row();
    assert!(code == 1 && budget < 130_000, "{code} {budget}");
    stage.video();
}

/// 3 Mb/s that become 120 kb/s `phase_us` after a feedback. Returns bytes of pictures that left
/// afterwards within 0.6 s, in which Python goes on ordering too much.
fn bytes_after_cliff(phase_us: Micros) -> u64 {
    let mut stage = stage(21, CLEAN);
    let (viewer, sink) = (stage.viewer, stage.sink);
    stage.world.bottlenecks.insert(viewer, Bottleneck::new(3_000_000, 3_200_000));
    stage.order(Command::SetRed { sink: stage.sound_sink, num_earlier: 2 });
    stage.budget(4_000_000);
    stage.play(4_000_000 + phase_us);
    stage.world.bottlenecks.get_mut(&viewer).unwrap().rate_bps = 120_000;
    let before = stage.world.sink_row(sink).packets;
    let red_before = stage.world.core.counters().red_sent;
    let mut is_told = false;
    for _ in 0..6 {
        stage.budget(700_000);
        stage.play(100_000);
        is_told |= stage.row().1 == 1;
    }
    let sent = stage.world.sink_row(sink).packets - before;
    let num_red = stage.world.core.counters().red_sent - red_before;
    assert!(num_red <= 12, "of 30 packets of sound {num_red} with earlier frames");
    assert!(is_told, "Python hears of it");
    // What is in the link then drains, and stays drained once Python has seen it: sound with two
    // earlier frames is more than this line carries.
    stage.budget(100_000);
    stage.order(Command::SetRed { sink: stage.sound_sink, num_earlier: 0 });
    stage.play(3_400_000);
    let waits_us = stage.world.bottlenecks[&viewer].wait_us(stage.world.now);
    assert!(waits_us < 300_000, "{waits_us}");
    sent * 1_000
}

#[test]
fn on_a_cliff_two_pictures_leave_and_late_orders_change_nothing() {
    let bytes: Vec<u64> = (0..10).map(|phase| bytes_after_cliff(phase * 5_000)).collect();
    let mean = bytes.iter().sum::<u64>() / bytes.len() as u64;
    assert!(mean <= 9_000 && bytes.iter().all(|&one| one <= 12_000), "{mean} {bytes:?}");
}

#[test]
fn a_dead_line_stops_video_and_starts_it_at_once_when_it_is_back() {
    let mut stage = stage(14, Link { delay_us: 30_000, ..CLEAN });
    let viewer = stage.viewer;
    stage.world.bottlenecks.insert(viewer, Bottleneck::new(3_000_000, 500_000));
    stage.budget(2_000_000);
    stage.play(3_000_000);
    stage.world.bottlenecks.get_mut(&viewer).unwrap().is_dead = true;
    let asked = stage.world.core.counters().keyframe_requests_sent;
    stage.play(1_000_000);
    assert_eq!(stage.row().1, 2);
    let before = stage.world.sink_row(stage.sink).packets;
    stage.play(9_000_000);
    let trickled = stage.world.sink_row(stage.sink).packets - before;
    assert!(trickled <= 1, "audio asks already whether the line is back: {trickled}");
    assert_eq!(stage.world.core.counters().keyframe_requests_sent, asked, "nobody is bothered");
    stage.world.bottlenecks.get_mut(&viewer).unwrap().is_dead = false;
    let back = stage.world.now;
    stage.play(3_000_000);
    let packets = stage.video();
    let first = frames(&packets).into_iter().map(|(_, at)| at).find(|at| *at > back).unwrap();
    assert!(first - back < 300_000, "{}", first - back);
    let sound = stage.world.peers[viewer].stream(AUDIO);
    let first = sound.iter().map(|one| one.at).find(|at| *at > back).unwrap();
    assert!(first - back < 60_000, "{}", first - back);
    assert!(longest_gap(&packets, back + 300_000, stage.world.now) < 150_000);
    assert_eq!(stage.row().1, 0);
    assert_eq!(stage.world.core.counters().brake_ends, 1);
}

#[test]
fn without_audio_a_trickle_finds_out_that_the_line_is_back() {
    let mut stage = stage(15, CLEAN);
    let viewer = stage.viewer;
    stage.audio.next_us = Micros::MAX;
    stage.world.bottlenecks.insert(viewer, Bottleneck::new(3_000_000, 500_000));
    stage.budget(2_000_000);
    stage.play(2_000_000);
    stage.world.bottlenecks.get_mut(&viewer).unwrap().is_dead = true;
    stage.play(5_000_000);
    stage.world.bottlenecks.get_mut(&viewer).unwrap().is_dead = false;
    let back = stage.world.now;
    stage.play(2_000_000);
    let first = frames(&stage.video()).into_iter().map(|(_, at)| at).find(|at| *at > back).unwrap();
    assert!(first - back < 500_000, "{}", first - back);
}

#[test]
fn lost_feedback_is_no_outage() {
    let link = Link { loss_permille: 300, delay_us: 50_000, ..CLEAN };
    let mut stage = stage(16, link);
    stage.video.layers[0].packets = 1;
    stage.budget(2_000_000);
    stage.play_with(20_000_000, true, |_| {});
    assert!(
        stage.world.core.counters().brake_ends <= 1,
        "{:?}",
        stage.world.core.counters().brake_ends
    );
    assert_eq!(stage.world.core.counters().brakes, 0);
}

#[test]
fn jitter_is_no_queue() {
    let mut stage = stage(17, Link { delay_us: 60_000, jitter_us: 80_000, ..CLEAN });
    stage.budget(2_000_000);
    stage.play(20_000_000);
    assert_eq!((stage.world.core.counters().brakes, stage.row().1), (0, 0));
}

#[test]
fn feedback_about_what_was_never_sent_moves_nothing() {
    let mut stage = stage(18, CLEAN);
    stage.budget(1_000_000);
    stage.play(1_000_000);
    let viewer = stage.viewer;
    let before = stage.row().2;
    for step in 0..50u64 {
        let peer = &mut stage.world.peers[viewer];
        peer.arrivals.clear();
        for seq in 0..50 {
            peer.arrivals.insert(65_536 + 20_000 + seq, step * 9_000_000 + seq);
        }
        let forged = stage.world.peers[viewer].feedback().unwrap();
        stage.world.send(viewer, forged);
        stage.play(10_000);
    }
    assert_eq!((stage.row().2, stage.world.core.counters().brakes), (before, 0));
    stage.play(1_000_000);
    stage.video();
}

#[test]
fn a_radio_that_jitters_and_loses_costs_pictures_little() {
    let link = Link { delay_us: 60_000, jitter_us: 30_000, loss_permille: 30, ..CLEAN };
    let mut stage = stage(22, link);
    let viewer = stage.viewer;
    stage.world.bottlenecks.insert(viewer, Bottleneck::new(1_600_000, 300_000));
    stage.budget(1_500_000);
    stage.play_with(20_000_000, true, |_| {});
    let counters = stage.world.core.counters();
    assert!(counters.holds < 20 && counters.held_ms < 600, "{counters:?}");
}
