//! Budgets: who waits and who does not, probes, copies in advance.

mod sim;

use aislecast_engine::api::{Command, Layers, Micros, SinkId, TransportId};
use aislecast_engine::media::clock::us_to_ntp;
use aislecast_engine::wire::rtcp::ReportBlock;
use aislecast_engine::wire::vp8::Vp8Descriptor;
use sim::stage::{AUDIO, VIDEO, frames, longest_gap, stage};
use sim::{Bottleneck, CLEAN, Link, VideoTrack};

#[test]
fn video_keeps_to_the_budget_and_audio_never_waits() {
    let mut stage = stage(1, CLEAN);
    stage.play(1_000_000);
    stage.budget(400_000);
    let from = stage.world.now;
    stage.play(10_000_000);
    let bps = (stage.bytes_since(from, VIDEO) + stage.bytes_since(from, AUDIO)) * 8 / 10;
    assert!((300_000..=420_000).contains(&bps), "{bps}");
    let sound = stage.world.peers[stage.viewer].stream(AUDIO);
    let gaps = sound.windows(2).map(|two| two[1].at - two[0].at).max().unwrap();
    assert!(gaps <= 22_000, "{gaps}");
    assert!(sound.len() >= 545);
    stage.video();
}

#[test]
fn a_sink_without_room_leaves_out_temporal_layers_and_stays_close() {
    let mut stage = stage(2, CLEAN);
    stage.video.temporal_layers = 3;
    stage.play(1_000_000);
    stage.budget(620_000);
    let from = stage.world.now;
    stage.play(10_000_000);
    let packets = stage.video();
    let late = stage.row().3;
    assert!(late < 450_000, "{late}");
    let row = stage.world.sink_row(stage.sink);
    assert!(row.left_out > 200 && row.temporal < 2, "{row:?}");
    assert!(longest_gap(&packets, from + 500_000, stage.world.now) < 350_000);
    // All of the lowest layer arrives.
    let base: Vec<u32> = packets
        .iter()
        .filter(|one| one.temporal == 0 && one.packet == 0 && one.at > from)
        .map(|one| one.frame)
        .collect();
    assert!(base.windows(2).all(|two| two[1] - two[0] <= 4), "{base:?}");
    stage.budget(3_000_000);
    stage.play(2_000_000);
    assert_eq!(stage.world.sink_row(stage.sink).temporal, 2, "all layers again");
}

#[test]
fn what_cannot_catch_up_jumps_to_a_newer_key_frame() {
    let mut stage = stage(3, CLEAN);
    stage.play(1_000_000);
    stage.budget(300_000);
    for _ in 0..10 {
        stage.play(1_000_000);
        stage.video.layers[0].needs_key = true;
    }
    let packets = stage.video();
    assert!(stage.world.core.counters().lag_jumps >= 5);
    assert!(packets.last().unwrap().frame > 290, "what comes is new");
    assert!(stage.row().3 < 1_500_000);
}

#[test]
fn a_frame_that_was_begun_is_finished_before_a_jump() {
    // Each picture stands alone, as those of a slide show do, and takes longer than the next one is
    // away: given up for the next each time, none of them would ever be seen.
    let mut stage = stage(3, CLEAN);
    stage.play(1_000_000);
    stage.video.interval_us = 250_000;
    stage.video.layers[0].key_packets = 10;
    stage.budget(250_000);
    stage.play(1_000_000);
    let from = stage.world.now;
    for _ in 0..40 {
        stage.video.layers[0].needs_key = true;
        stage.play(250_000);
    }
    let packets = stage.video();
    let whole = frames(&packets).iter().filter(|(_, at)| *at > from).count();
    assert!((20..=30).contains(&whole), "{whole} of some 25 that the budget carries");
    assert!(longest_gap(&packets, from, stage.world.now) < 900_000);
    assert!(stage.row().3 < 700_000, "and what comes is new");
    // A jump that leaves no hole is no loss to who counts.
    let seqs: Vec<u16> = stage.world.peers[stage.viewer]
        .stream(VIDEO)
        .iter()
        .filter(|one| one.at > from + 500_000)
        .map(|one| one.seq)
        .collect();
    let span = seqs.last().unwrap().wrapping_sub(seqs[0]);
    assert_eq!(usize::from(span) + 1, seqs.len());
}

#[test]
fn who_asks_again_while_a_key_frame_comes_slowly_gets_that_one() {
    let mut stage = stage(3, CLEAN);
    stage.play(3_000_000);
    stage.video.interval_us = 400_000;
    stage.video.layers[0].packets = 1;
    stage.budget(160_000);
    stage.play(2_000_000);
    let from = stage.world.now;
    stage.video.layers[0].needs_key = true;
    stage.video.answers_plis = false;
    for _ in 0..7 {
        stage.play(100_000);
        let (viewer, world) = (stage.viewer, &mut stage.world);
        let pli = world.peers[viewer].pli(VIDEO);
        world.send(viewer, pli);
    }
    stage.play(700_000);
    let packets = stage.video();
    let keys = packets.iter().filter(|one| one.is_key && one.at > from).count();
    assert_eq!(keys, 12, "once, and whole");
}

#[test]
fn without_a_budget_again_everything_goes_on_at_once() {
    let mut stage = stage(4, CLEAN);
    stage.play(500_000);
    stage.budget(200_000);
    stage.play(1_000_000);
    stage.budget(0);
    let from = stage.world.now;
    stage.play(2_000_000);
    assert_eq!(stage.row(), (1, 0, 0, 0));
    let packets = stage.video();
    let count = packets.iter().filter(|one| one.at > from + 1_000_000).count();
    assert!(count >= 4 * 29, "{count}");
}

#[test]
fn a_budget_of_zero_changes_nothing_at_all() {
    let run = |is_ordered: bool| {
        let mut stage = stage(5, Link { loss_permille: 50, jitter_us: 20_000, ..CLEAN });
        if is_ordered {
            stage.budget(0);
        }
        stage.play_with(3_000_000, true, |_| {});
        let received = &stage.world.peers[stage.viewer].received;
        received.iter().map(|one| (one.at, one.ssrc, one.seq, one.ts)).collect::<Vec<_>>()
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn key_frames_are_spread() {
    let mut stage = stage(6, CLEAN);
    stage.video.layers[0].packets = 1;
    stage.video.layers[0].key_packets = 20;
    stage.play(3_000_000);
    stage.budget(500_000);
    stage.play(1_000_000);
    let from = stage.world.now;
    stage.video.layers[0].needs_key = true;
    stage.play(1_000_000);
    let packets = stage.video();
    let key: Vec<Micros> =
        packets.iter().filter(|one| one.is_key && one.at > from).map(|one| one.at).collect();
    assert_eq!(key.len(), 20);
    // 20 kB at 750 kb/s less what was saved up: about 200 ms, in no lump above 40 ms of the budget.
    let took = key[19] - key[0];
    assert!((120_000..300_000).contains(&took), "{took}");
    let in_one_go = key.windows(4).filter(|four| four[3] - four[0] < 5_000).count();
    assert!(in_one_go <= 1, "{key:?}");
}

#[test]
fn a_probe_is_spread_at_its_rate_and_comes_back_in_the_rows() {
    let mut stage = stage(7, CLEAN);
    stage.play(1_000_000);
    stage.budget(1_500_000);
    stage.play(1_000_000);
    let transport = stage.transport();
    stage.order(Command::Probe { transport, probe: 77, rate_bps: 4_000_000, duration_us: 20_000 });
    stage.play(500_000);
    let rows = stage.rows_of_probe(77);
    let bytes: u64 = rows.iter().skip(1).map(|row| u64::from(row.2)).sum();
    let took = rows.last().unwrap().0 - rows[0].0;
    let bps = bytes * 8_000_000 / took;
    assert!((3_400_000..=4_600_000).contains(&bps), "{bps}");
    assert!((9_000..=12_000).contains(&(bytes + 1000)), "{bytes}");
    assert!(rows.iter().any(|row| row.3 == 1), "filled with copies");
    assert_eq!(stage.world.core.counters().padding_sent, 0, "there was something better");
    assert_eq!(stage.world.core.counters().probes_unfilled, 0);
    stage.video();
}

#[test]
fn a_probe_while_all_video_is_paused_is_padding() {
    let mut stage = stage(8, CLEAN);
    stage.play(1_000_000);
    stage.budget(100_000);
    let (sink, transport) = (stage.sink, stage.transport());
    let layers = Layers { spatial: 0, temporal: 7, paused: true };
    stage.order(Command::SetLayers { sink, layers });
    stage.play(3_000_000);
    stage.order(Command::Probe { transport, probe: 5, rate_bps: 600_000, duration_us: 30_000 });
    stage.play(500_000);
    let rows = stage.rows_of_probe(5);
    let bytes: u64 = rows.iter().map(|row| u64::from(row.2)).sum();
    assert!((2_200..=2_800).contains(&bytes), "{bytes}");
    let peer = &stage.world.peers[stage.viewer];
    assert!(peer.padding.len() >= 6 && peer.padding.iter().all(|one| one.1 == 255));
    assert_eq!(stage.row().1, 0, "no brake: the probe was reported");
}

#[test]
fn absurd_probes_and_budgets_are_refused_or_bounded() {
    let mut stage = stage(9, CLEAN);
    let transport = stage.transport();
    for rate_bps in [1, u32::MAX, 0, 7] {
        stage.budget(rate_bps);
        stage.order(Command::Probe { transport, probe: 1, rate_bps, duration_us: u32::MAX });
        stage.order(Command::Probe { transport, probe: 0, rate_bps, duration_us: 1 });
        stage.order(Command::Probe { transport, probe: 1, rate_bps: 1, duration_us: 1 });
        stage.play(300_000);
    }
    let sent = stage.world.core.counters().sent_bytes;
    assert!(sent < 600_000, "{sent}");
    let gone = TransportId(9999);
    stage.order(Command::Probe { transport: gone, probe: 1, rate_bps: 1, duration_us: 1 });
    stage.order(Command::SetBudget { transport: gone, rate_bps: 1 });
    stage.order(Command::SetProtection { sink: SinkId(9999), copies: 255 });
    assert_eq!(stage.world.core.counters().stale_commands, 3);
    let unconnected = TransportId(8888);
    let (local_ufrag, local_pwd) = ("x".to_owned(), "y".to_owned());
    stage.order(Command::AddTransport { transport: unconnected, local_ufrag, local_pwd });
    let refused = stage.world.core.counters().probes_refused;
    stage.order(Command::Probe {
        transport: unconnected,
        probe: 1,
        rate_bps: 9_999_999,
        duration_us: 9_999,
    });
    stage.order(Command::SetBudget { transport: unconnected, rate_bps: 5 });
    stage.play(100_000);
    assert_eq!(stage.world.core.counters().probes_refused, refused + 1);
}

#[test]
fn copies_in_advance_heal_losses_without_a_request() {
    let whole = |copies: u8| {
        let mut stage = stage(10, Link { loss_permille: 200, delay_us: 100_000, ..CLEAN });
        stage.video.layers[0].packets = 1;
        stage.video.layers[0].key_packets = 3;
        let sink = stage.sink;
        stage.order(Command::SetProtection { sink, copies });
        stage.budget(2_000_000);
        stage.play(10_000_000);
        stage.video.layers[0].is_on = false;
        stage.play(500_000);
        let row = stage.world.sink_row(sink);
        let received =
            stage.world.peers[stage.viewer].received.iter().filter(|one| one.ssrc == VIDEO);
        let seqs: std::collections::BTreeSet<u16> = received.map(|one| one.seq).collect();
        (
            seqs.len() * 1000 / row.packets as usize,
            row.copies_sent as usize * 100 / row.packets as usize,
        )
    };
    let (none, one, two) = (whole(0), whole(1), whole(2));
    assert!((750..850).contains(&none.0) && none.1 == 0, "{none:?}");
    assert!((935..985).contains(&one.0) && one.1 >= 95, "{one:?}");
    assert!(two.0 > 975 && two.1 >= 190, "{two:?}");
}

#[test]
fn copies_wait_for_nobody_and_let_everything_else_go_first() {
    let mut stage = stage(11, CLEAN);
    stage.video.temporal_layers = 3;
    let sink = stage.sink;
    stage.order(Command::SetProtection { sink, copies: 3 });
    stage.play(1_000_000);
    stage.budget(1_300_000);
    let from = stage.world.now;
    stage.play(5_000_000);
    let peer = &stage.world.peers[stage.viewer];
    let originals =
        peer.received.iter().filter(|one| one.ssrc == VIDEO && one.at > from && !one.is_rtx);
    assert!(originals.count() >= 590, "no original gave way");
    let copies: Vec<&sim::peer::Received> =
        peer.received.iter().filter(|one| one.is_rtx && one.at > from).collect();
    assert!(copies.len() > 50 && stage.world.core.counters().copies_dropped > 500);
    let is_base = |one: &&&sim::peer::Received| {
        Vp8Descriptor::parse(&one.payload).unwrap().temporal == Some(0)
    };
    let base = copies.iter().filter(is_base).count();
    assert!(base * 10 >= copies.len() * 6, "{base} of {}", copies.len());
    let bytes = peer
        .received
        .iter()
        .filter(|one| one.at > from)
        .map(|one| one.payload.len())
        .sum::<usize>();
    assert!(bytes * 8 / 5 < 1_350_000, "{bytes}");
    assert!(stage.row().3 < 100_000);
}

#[test]
fn a_copy_keeps_away_from_its_original() {
    let mut stage = stage(12, CLEAN);
    let sink = stage.sink;
    stage.order(Command::SetProtection { sink, copies: 1 });
    stage.budget(5_000_000);
    stage.play(2_000_000);
    let peer = &stage.world.peers[stage.viewer];
    let mut first: std::collections::BTreeMap<u16, Micros> = std::collections::BTreeMap::new();
    let mut num = 0;
    for one in peer.received.iter().filter(|one| one.ssrc == VIDEO) {
        match (one.is_rtx, first.get(&one.seq)) {
            (false, _) => {
                first.insert(one.seq, one.at);
            }
            (true, Some(at)) => {
                num += 1;
                assert!((30_000..=60_000).contains(&(one.at - at)), "{}", one.at - at);
            }
            (true, None) => panic!("a copy before its original"),
        }
    }
    assert!(num > 200);
}

#[test]
fn requests_wait_for_room_and_hopeless_ones_become_a_key_frame() {
    let mut stage = stage(19, Link { loss_permille: 300, delay_us: 100_000, ..CLEAN });
    stage.video.layers[0].packets = 1;
    stage.video.layers[0].key_packets = 3;
    stage.budget(700_000);
    stage.play_with(20_000_000, true, |_| {});
    let packets = stage.video();
    let row = stage.world.sink_row(stage.sink);
    assert!(row.rtx_sent > 150, "{row:?}");
    let whole = frames(&packets).len();
    assert!(whole > 550, "{whole} of 600");
}

#[test]
fn what_feedback_shows_as_lost_is_sent_again_before_it_is_asked_for() {
    let lossy = Link { loss_permille: 100, delay_us: 100_000, ..CLEAN };
    let resends = |link| {
        let mut stage = stage(21, link);
        stage.video.layers[0].packets = 1;
        stage.budget(2_000_000);
        stage.play(1_000_000);
        let sent_us = stage.world.now - link.delay_us;
        let block = ReportBlock {
            ssrc: VIDEO,
            last_sr: (us_to_ntp(sent_us) >> 16) as u32,
            ..ReportBlock::default()
        };
        // A few: the way may lose them.
        for _ in 0..5 {
            let report = stage.world.peers[stage.viewer].rtcp(|writer| {
                writer.receiver_report(1, &[block]);
            });
            stage.world.send(stage.viewer, report);
        }
        stage.play(10_000_000);
        let row = stage.world.sink_row(stage.sink);
        assert_eq!(row.nacks, 0, "nobody asks");
        assert_eq!(u64::from(row.rtx_sent), stage.world.core.counters().rtx_sent);
        (stage.world.core.counters().early_resends, frames(&stage.video()).len())
    };
    let (num, whole) = resends(lossy);
    // Feedback here tells only of losses between two packets that came, and loss is learned first.
    assert!((5..=60).contains(&num) && whole >= 305, "{num} {whole} of 330");
    let (num, _) = resends(Link { delay_us: 10_000, ..lossy });
    assert_eq!(num, 0, "a request is quick enough");
}

#[test]
fn sinks_of_one_peer_share_what_there_is() {
    let mut stage = stage(20, CLEAN);
    let second = stage.world.add_source(stage.publisher, "2", false, &["q"]);
    let other = stage.world.add_sink(stage.viewer, second, 900, 0);
    let mut track = VideoTrack::new(&stage.world, stage.publisher, "2", &["q"]);
    track.layers[0].ssrc += 0x400;
    track.layers[0].packets = 4;
    stage.budget(1_000_000);
    let mut tracks = [stage.video.clone(), track];
    let viewer = stage.viewer;
    stage.world.play(&mut tracks, std::slice::from_mut(&mut stage.audio), 10_000_000, |world| {
        if world.now % 50_000 < 1_000
            && let Some(feedback) = world.peers[viewer].feedback()
        {
            world.send(viewer, feedback);
        }
    });
    let [first, second] = [stage.sink, other].map(|sink| stage.world.sink_row(sink).packets);
    assert!(first.abs_diff(second) * 5 < first.max(second), "{first} {second}");
}

#[test]
fn everything_at_once_keeps_the_numbers() {
    for seed in 0..8 {
        let mut stage = stage(100 + seed, CLEAN);
        stage.video.temporal_layers = 3;
        stage.play(300_000);
        let link = Link { loss_permille: 80, jitter_us: 30_000, ..CLEAN };
        let viewer = stage.viewer;
        let peer = &mut stage.world.peers[viewer];
        (peer.uplink, peer.downlink) = (link, link);
        stage.world.bottlenecks.insert(viewer, Bottleneck::new(1_200_000, 300_000));
        let mut random = sim::Random(seed);
        for step in 1..60 {
            stage.anything(step, &mut random);
            stage.play_with(300_000, true, |_| {});
        }
        stage.video();
        assert_eq!(stage.world.core.counters().dropped_seal, 0);
        assert_eq!(stage.world.peers[viewer].undecryptable, 0);
    }
}
