//! Reports both ways: clocks, round trips, transport-wide rows, retransmission and key-frame budgets.

mod sim;

use aislecast_engine::api::{Command, SinkId, SourceId, SrtpProfile};
use aislecast_engine::core::TRANSPORT_ROW_BYTES;
use aislecast_engine::wire::rtcp::{ReportBlock, SenderInfo};
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader};
use sim::conformance::check_vp8;
use sim::peer::Heard;
use sim::{AudioTrack, CLEAN, Link, VideoTrack, World};

struct Stage {
    world: World,
    track: VideoTrack,
    publisher: usize,
    subscriber: usize,
    source: SourceId,
    sink: SinkId,
}

fn stage(seed: u64) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.add_peer(CLEAN);
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q"]);
    let sink = world.add_sink(subscriber, source, 500, 0);
    let track = VideoTrack::new(&world, publisher, "0", &["q"]);
    Stage { world, track, publisher, subscriber, source, sink }
}

impl Stage {
    fn play(&mut self, us: u64) {
        self.world.play(std::slice::from_mut(&mut self.track), &mut [], us, |_| {});
    }

    fn sender_reports(&self, ssrc: u32) -> Vec<(u64, SenderInfo)> {
        let heard = self.world.peers[self.subscriber].heard.iter();
        heard
            .filter_map(|heard| match heard {
                Heard::SenderReport(at, info) if info.ssrc == ssrc => Some((*at, *info)),
                _ => None,
            })
            .collect()
    }

    /// The subscriber's row of `TRANSPORT_DTYPE`.
    fn row(&self) -> Vec<u8> {
        let mut rows = Vec::new();
        self.world.core.snapshot_transports(self.world.now, &mut rows);
        let id = self.world.peers[self.subscriber].id.0.to_le_bytes();
        rows.chunks_exact(TRANSPORT_ROW_BYTES).find(|row| row[..4] == id).unwrap().to_vec()
    }

    /// Packets reported, those lost among them, and the newest round trip.
    fn reported(&self) -> (u64, u64, u32) {
        let row = self.row();
        let u64_at = |at: usize| u64::from_le_bytes(row[at..at + 8].try_into().unwrap());
        (u64_at(98), u64_at(106), u32::from_le_bytes(row[114..].try_into().unwrap()))
    }

    /// Loss in permille, REMB and whether transport-wide feedback came, of the subscriber's row.
    fn told(&self) -> (u16, u32, bool) {
        let row = self.row();
        let loss_permille = u16::from_le_bytes(row[6..8].try_into().unwrap());
        (loss_permille, u32::from_le_bytes(row[12..16].try_into().unwrap()), row[72] != 0)
    }

    fn send(&mut self, data: Vec<u8>) {
        self.world.send(self.subscriber, data);
    }
}

/// Microseconds of a 32.32 NTP time.
fn ntp_us(ntp: u64) -> u64 {
    (ntp >> 32) * 1_000_000 + (((ntp & 0xffff_ffff) * 1_000_000) >> 32)
}

#[test]
fn lips_match_sender_reports_of_all_tracks_are_on_one_clock() {
    let mut stage = stage(1);
    let sound = stage.world.add_source(stage.publisher, "1", true, &[""]);
    stage.world.add_sink(stage.subscriber, sound, 700, 0);
    let mut audio = AudioTrack::new(&stage.world, stage.publisher, "1");
    let started_us = stage.world.now;
    let (ssrc, first_ts, mut due) = (audio.ssrc, audio.ts, started_us + 50_000);
    let publisher = stage.publisher;
    stage.world.play(
        std::slice::from_mut(&mut stage.track),
        std::slice::from_mut(&mut audio),
        4_000_000,
        |world| {
            if world.now >= due {
                due += 500_000;
                let us = world.now + 5_000_000_000;
                let ntp = ((us / 1_000_000) << 32) | (((us % 1_000_000) << 32) / 1_000_000);
                let ticks = (world.now - started_us) * 48 / 1000;
                let ts_rtp = first_ts.wrapping_add(ticks as u32);
                let info = SenderInfo { ssrc, ntp, ts_rtp, num_packets: 0, num_bytes: 0 };
                let report = world.peers[publisher].rtcp(|writer| {
                    writer.sender_report(&info, &[]);
                });
                world.send(publisher, report);
            }
        },
    );
    // When was the last packet of each captured, by the clock of our sender reports?
    let captured_us = |ssrc: u32, hz: i64| {
        let (_, info) = *stage.sender_reports(ssrc).last().unwrap();
        let one = stage.world.peers[stage.subscriber].stream(ssrc);
        let one = one.last().unwrap();
        let ticks = i64::from(one.ts.wrapping_sub(info.ts_rtp) as i32);
        (one.at, ntp_us(info.ntp).wrapping_add_signed(ticks * 1_000_000 / hz))
    };
    let (video_at, video_us) = captured_us(500, 90_000);
    let (audio_at, audio_us) = captured_us(700, 48_000);
    // Both were sent when captured over the same links, so capture and arrival differ alike.
    let video_delay = video_at as i64 - video_us as i64;
    let audio_delay = audio_at as i64 - audio_us as i64;
    assert!((video_delay - audio_delay).abs() < 3_000, "{video_delay} {audio_delay}");
}

#[test]
fn sender_reports_are_rewritten_and_come_every_second() {
    let mut stage = stage(2);
    stage.play(6_000_000);
    let reports = stage.sender_reports(500);
    assert!((5..=7).contains(&reports.len()), "{}", reports.len());
    for pair in reports.windows(2) {
        let us = ntp_us(pair[1].1.ntp) - ntp_us(pair[0].1.ntp);
        let ticks = u64::from(pair[1].1.ts_rtp.wrapping_sub(pair[0].1.ts_rtp));
        assert!((ticks * 100 / 9).abs_diff(us) < 2_000, "{ticks} ticks in {us} us");
    }
    assert_eq!(stage.sender_reports(500).last().unwrap().1.num_packets as u64 / 30, 5);
}

#[test]
fn reports_of_all_streams_of_a_line_are_weighed_by_their_packets() {
    let mut stage = stage(9);
    let sound = stage.world.add_source(stage.publisher, "1", true, &[""]);
    stage.world.add_sink(stage.subscriber, sound, 700, 0);
    let report = |stage: &mut Stage, ssrc: u32, highest_seq: u32, num_lost: i32| {
        let block = ReportBlock { ssrc, highest_seq, num_lost, ..ReportBlock::default() };
        let peer = &mut stage.world.peers[stage.subscriber];
        let data = peer.rtcp(|writer| {
            writer.receiver_report(1, &[block]);
        });
        stage.send(data);
        stage.world.run_for(20_000);
    };
    report(&mut stage, 500, 1_000, 0);
    report(&mut stage, 700, 5_000, 0);
    assert_eq!(stage.reported(), (0, 0, 0), "nothing was sent yet");
    report(&mut stage, 500, 1_150, 60);
    report(&mut stage, 700, 5_050, 0);
    report(&mut stage, 4_711, 9_999, 99);
    assert_eq!(stage.reported(), (200, 60, 0));
    assert_eq!(stage.told().0, 300, "the sound's report says nothing of the picture");
}

#[test]
fn the_round_trip_comes_from_receiver_reports_and_is_never_negative() {
    let mut stage = stage(3);
    stage.play(3_000_000);
    let (at, info) = *stage.sender_reports(500).last().unwrap();
    let block = |delay_us: u64, last_sr: u32| ReportBlock {
        ssrc: 500,
        fraction_lost: 64,
        last_sr,
        delay_since_last_sr: ((delay_us << 16) / 1_000_000) as u32,
        ..ReportBlock::default()
    };
    let report = |stage: &mut Stage, block: ReportBlock| {
        let data = stage.world.peers[stage.subscriber].rtcp(|writer| {
            writer.receiver_report(1, &[block]);
        });
        stage.send(data);
        stage.world.run_for(20_000);
    };
    let last_sr = (info.ntp >> 16) as u32;
    let held_us = stage.world.now - at;
    report(&mut stage, block(held_us, last_sr));
    let rtt_us = |stage: &Stage| u32::from_le_bytes(stage.row()[8..12].try_into().unwrap());
    assert!((19_000..22_000).contains(&rtt_us(&stage)), "{}", rtt_us(&stage));
    // A delay longer than the time that passed, and a report before anything was sent.
    report(&mut stage, block(50_000_000, last_sr));
    report(&mut stage, block(0, 0));
    assert!((19_000..22_000).contains(&rtt_us(&stage)));
}

#[test]
fn a_line_without_transport_wide_reports_is_told_by_remb_and_receiver_reports() {
    let mut stage = stage(30);
    stage.play(500_000);
    assert_eq!(stage.told(), (0, 0, false));
    // Two of the nine packets.
    let block = ReportBlock { ssrc: 500, fraction_lost: 57, ..ReportBlock::default() };
    for (rate_bps, told_bps) in [(260_000, 260_000), (u64::MAX, u32::MAX), (0, 0)] {
        let data = stage.world.peers[stage.subscriber].rtcp(|writer| {
            writer.receiver_report(1, &[block]);
            writer.remb(1, rate_bps, &[500]);
        });
        stage.send(data);
        stage.world.run_for(20_000);
        let (loss_permille, remb_bps, has_twcc) = stage.told();
        // Eighteen bits of mantissa.
        assert!(remb_bps.abs_diff(told_bps) <= told_bps >> 17, "{remb_bps}");
        assert_eq!((loss_permille, has_twcc), (222, false));
    }
    // What every packet went through is known better.
    let feedback = stage.world.peers[stage.subscriber].feedback();
    let report = stage.world.peers[stage.subscriber].rtcp(|writer| {
        writer.receiver_report(1, &[ReportBlock { fraction_lost: 255, ..block }]);
    });
    stage.send(feedback.expect("packets came"));
    stage.send(report);
    stage.world.run_for(20_000);
    let (loss_permille, _, has_twcc) = stage.told();
    assert!(has_twcc && loss_permille < 260, "{loss_permille}");
}

#[test]
fn transport_wide_reports_become_rows() {
    let mut stage = stage(4);
    stage.world.peers[stage.subscriber].downlink.loss_permille = 100;
    let mut rows = Vec::new();
    for _ in 0..40 {
        stage.play(50_000);
        if let Some(feedback) = stage.world.peers[stage.subscriber].feedback() {
            stage.send(feedback);
        }
        stage.world.core.drain_twcc(&mut rows);
    }
    let id = stage.world.peers[stage.subscriber].id.0.to_le_bytes();
    let rows: Vec<&[u8]> = rows.chunks_exact(29).collect();
    assert!(rows.len() > 40, "{}", rows.len());
    let u64_at = |row: &[u8], at: usize| u64::from_le_bytes(row[at..at + 8].try_into().unwrap());
    let lost = rows.iter().filter(|row| u64_at(row, 16) == 0).count();
    assert!(lost > 0 && lost < rows.len() / 4);
    for row in &rows {
        assert!(row[..4] == id && u64_at(row, 8) > 1_000_000);
    }
}

#[test]
fn edge_19_retransmissions_are_paired_by_repaired_rid_without_declared_ssrcs() {
    let mut world = World::new(5);
    let publisher = world.add_peer(Link { loss_permille: 80, ..CLEAN });
    let subscriber = world.add_peer(CLEAN);
    let source = world.add_source(publisher, "0", false, &["q", "h", "f"]);
    world.add_sink(subscriber, source, 500, 2);
    let mut track = VideoTrack::new(&world, publisher, "0", &["q", "h", "f"]);
    world.play(std::slice::from_mut(&mut track), &mut [], 4_000_000, |_| {});
    let counters = world.core.counters();
    assert!(counters.rtx_received > 30, "{}", counters.rtx_received);
    let packets = check_vp8(&world.peers[subscriber].stream(500));
    let whole = packets.windows(2).filter(|pair| pair[1].seq == pair[0].seq + 1).count();
    assert!(whole * 100 > packets.len() * 97, "holes were filled late");
}

#[test]
fn retransmissions_are_bounded_by_tries_and_by_budget() {
    let mut stage = stage(6);
    stage.track.layers[0].packets = 6;
    stage.play(3_000_000);
    let seqs: Vec<u16> = stage.world.peers[stage.subscriber]
        .stream(500)
        .iter()
        .rev()
        .take(200)
        .map(|one| one.seq)
        .collect();
    for _ in 0..100 {
        for chunk in seqs.chunks(100) {
            let mut chunk = chunk.to_vec();
            chunk.sort_unstable();
            let nack = stage.world.peers[stage.subscriber].rtcp(|writer| {
                writer.nack(1, 500, &chunk);
            });
            stage.send(nack);
        }
        stage.world.run_for(10_000);
    }
    let row = stage.world.sink_row(stage.sink);
    assert!(row.nacks >= 20_000 && row.rtx_sent <= 120, "{row:?}");
    assert_eq!(row.rtx_sent + row.rtx_missed, row.nacks);
}

#[test]
fn a_picture_loss_is_served_from_the_cache_without_asking_the_publisher() {
    let mut stage = stage(7);
    stage.play(800_000);
    let before = stage.world.peers[stage.publisher].num_plis();
    let pli = stage.world.peers[stage.subscriber].pli(500);
    stage.send(pli);
    stage.play(700_000);
    assert_eq!(stage.world.peers[stage.publisher].num_plis(), before);
    let packets = check_vp8(&stage.world.peers[stage.subscriber].stream(500));
    let starts = packets.iter().filter(|packet| packet.is_key && packet.packet == 0).count();
    assert_eq!(starts, 2, "the same key frame again, under new numbers");
    assert!(packets.last().unwrap().at > stage.world.now - 60_000);
}

#[test]
fn edge_08_bookkeeping_follows_authentication() {
    let mut stage = stage(8);
    stage.play(500_000);
    let counts = |stage: &Stage| {
        let heard = stage.world.peers[stage.publisher].heard.iter();
        heard.filter(|heard| matches!(heard, Heard::Nack(..))).count()
    };
    // A forged packet far ahead would open a gap of a hundred numbers.
    let addr = stage.world.peers[stage.publisher].addr;
    let layer = &stage.track.layers[0];
    let header = RtpHeader {
        is_marker: true,
        pt: 96,
        seq: layer.seq.wrapping_add(100),
        ts_rtp: 1,
        ssrc: layer.ssrc,
    };
    let profile = SrtpProfile::AeadAes128Gcm;
    let mut stranger = sim::Peer::new(77, stage.world.peers[stage.publisher].id, profile, CLEAN);
    let forged = stranger.rtp(&header, &OutExtensions::default(), &[0x10, 1, 2]);
    stage.world.inject(addr, forged);
    stage.play(500_000);
    assert_eq!((stage.world.core.counters().dropped_auth, counts(&stage)), (1, 0));
}

#[test]
fn a_thousand_joiners_cost_one_key_frame() {
    let mut stage = stage(9);
    stage.play(3_500_000);
    let before = stage.world.peers[stage.publisher].num_plis();
    let peers: Vec<usize> = (0..20).map(|_| stage.world.add_peer(CLEAN)).collect();
    let ssrcs: Vec<u32> = (0..50).map(|sink| 10_000 + sink * 2).collect();
    for &peer in &peers {
        for &ssrc in &ssrcs {
            stage.world.add_sink(peer, stage.source, ssrc, 0);
        }
    }
    stage.play(1_000_000);
    let asked = stage.world.peers[stage.publisher].num_plis() - before;
    assert!((1..=2).contains(&asked), "{asked}");
    for peer in peers {
        for &ssrc in &ssrcs {
            assert!(stage.world.peers[peer].stream(ssrc).len() > 10);
        }
    }
}

#[test]
fn requested_key_frames_stay_within_the_budget() {
    let mut stage = stage(10);
    stage.play(3_000_000);
    let before = stage.world.peers[stage.publisher].num_plis();
    for _ in 0..500 {
        stage.world.apply(Command::RequestKeyframe { source: stage.source, encoding: 255 });
        stage.play(10_000);
    }
    let asked = stage.world.peers[stage.publisher].num_plis() - before;
    assert!((3..=11).contains(&asked), "{asked} in five seconds");
}
