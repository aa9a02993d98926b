//! Sound over links that lose: RED to subscribers, RED of publishers, real loss in reports.

mod sim;

use std::collections::BTreeMap;

use aislecast_engine::api::{Codec, Command, Layers, Micros, SinkId, SourceId, TapId};
use aislecast_engine::wire::red::Red;
use sim::media::{frame_of, only};
use sim::peer;
use sim::{AudioTrack, CLEAN, Link, World};

const LAYERS: Layers = Layers { spatial: 0, temporal: 7, paused: false };
const SSRC: u32 = 500;

/// A publisher with a microphone and a subscriber that listens.
struct Talk {
    world: World,
    track: AudioTrack,
    source: SourceId,
    sink: SinkId,
    subscriber: usize,
}

fn talk(seed: u64, uplink: Link, downlink: Link) -> Talk {
    let mut world = World::new(seed);
    let (publisher, subscriber) = (world.add_peer(CLEAN), world.add_peer(CLEAN));
    let source = world.add_source(publisher, "0", true, &[""]);
    let both = only(&[Codec::Opus, Codec::Red]);
    let sink = world.add_sink_with(subscriber, source, SSRC, LAYERS, both);
    world.peers[publisher].uplink = uplink;
    world.peers[subscriber].downlink = downlink;
    let track = AudioTrack::new(&world, publisher, "0");
    Talk { world, track, source, sink, subscriber }
}

fn losing(permille: u64) -> Link {
    Link { loss_permille: permille, ..CLEAN }
}

/// Frames as a jitter buffer has them: payloads by the timestamp that their packet says.
#[derive(Debug, Default)]
struct Heard {
    frames: BTreeMap<u32, Vec<u8>>,
    bytes: usize,
    num_red: usize,
}

impl Heard {
    /// Share of frames between the first and the last that never came, in percent.
    fn concealed_percent(&self) -> f64 {
        let (first, last) = (self.frames.keys().next(), self.frames.keys().last());
        let count = (last.unwrap() - first.unwrap()) / 960 + 1;
        (f64::from(count) - self.frames.len() as f64) / f64::from(count) * 100.0
    }
}

impl Talk {
    fn set_red(&mut self, num_earlier: u8) {
        self.world.apply(Command::SetRed { sink: self.sink, num_earlier });
    }

    fn play(&mut self, us: Micros) {
        self.world.play(&mut [], std::slice::from_mut(&mut self.track), us, |_| {});
    }

    /// Everything that the subscriber can play; one timestamp never stands for two frames.
    fn heard(&self) -> Heard {
        let mut heard = Heard::default();
        let stream = self.world.peers[self.subscriber].stream(SSRC);
        let first = stream[0].ts.wrapping_sub(960 * 4);
        for one in stream {
            heard.bytes += one.payload.len();
            let mut take = |ts: u32, data: &[u8]| {
                let known = heard.frames.entry(ts.wrapping_sub(first)).or_insert(data.to_vec());
                assert_eq!(known, data, "one timestamp for two frames");
            };
            if one.pt == 111 {
                take(one.ts, &one.payload);
                continue;
            }
            let red = Red::parse(&one.payload).expect("a RED payload");
            heard.num_red += 1;
            for block in red.redundant() {
                assert_eq!(block.pt, 111);
                take(one.ts.wrapping_sub(u32::from(block.ts_offset)), block.data);
            }
            take(one.ts, red.primary().data);
        }
        heard
    }
}

#[test]
fn every_copy_cuts_what_a_losing_subscriber_has_to_conceal() {
    for (permille, most) in [(200, [25.0, 6.0, 1.6]), (300, [34.0, 12.0, 4.5])] {
        let concealed = [0, 1, 2].map(|num_earlier| {
            let mut talk = talk(20, CLEAN, losing(permille));
            talk.set_red(num_earlier);
            talk.play(60_000_000);
            talk.heard().concealed_percent()
        });
        assert!(concealed.iter().zip(most).all(|(&got, most)| got < most), "{concealed:?}");
        assert!(concealed[1] < concealed[0] / 2.0 && concealed[2] < concealed[1] / 2.0);
    }
}

#[test]
fn red_leaves_only_for_whom_it_is_ordered_and_numbers_stay_continuous() {
    let mut talk = talk(21, CLEAN, CLEAN);
    let plain = talk.world.add_peer(CLEAN);
    let lacks = talk.world.add_sink_with(plain, talk.source, 600, LAYERS, only(&[Codec::Opus]));
    talk.play(400_000);
    for (sink, num_earlier) in [(talk.sink, 2), (lacks, 2)] {
        talk.world.apply(Command::SetRed { sink, num_earlier });
    }
    talk.play(400_000);
    talk.set_red(0);
    talk.play(400_000);
    let mut pts: Vec<u8> =
        talk.world.peers[talk.subscriber].stream(SSRC).iter().map(|one| one.pt).collect();
    pts.dedup();
    assert_eq!(pts, [111, 63, 111]);
    assert!(talk.world.peers[plain].stream(600).iter().all(|one| one.pt == 111));
    for (peer, ssrc) in [(talk.subscriber, SSRC), (plain, 600)] {
        let stream = talk.world.peers[peer].stream(ssrc);
        assert!(stream.len() > 55);
        assert!(stream.windows(2).all(|pair| pair[1].seq == pair[0].seq.wrapping_add(1)));
        assert!(stream.windows(2).all(|pair| pair[1].ts == pair[0].ts.wrapping_add(960)));
    }
    assert_eq!(talk.world.core.counters().red_sent, talk.heard().num_red as u64);
}

#[test]
fn a_publishers_red_reaches_everybody_as_opus_and_is_made_anew_where_ordered() {
    let mut talk = talk(22, CLEAN, CLEAN);
    (talk.track.pt, talk.track.distance) = (63, 2);
    talk.play(500_000);
    assert!(talk.world.peers[talk.subscriber].stream(SSRC).iter().all(|one| one.pt == 111));
    let heard = talk.heard();
    assert!(heard.frames.len() > 20 && heard.bytes == heard.frames.len() * 80);
    talk.set_red(1);
    talk.play(500_000);
    let stream = talk.world.peers[talk.subscriber].stream(SSRC);
    let last = stream.last().unwrap();
    assert_eq!(Red::parse(&last.payload).unwrap().redundant().count(), 1);
    talk.heard();
}

#[test]
fn a_publishers_red_heals_its_losses_for_subscribers_and_recordings() {
    let tap = TapId(900);
    let lost = [0, 1, 2].map(|num_earlier| {
        let mut talk = talk(23, losing(250), CLEAN);
        talk.world.apply(Command::AddTap {
            tap,
            source: talk.source,
            max_bytes: 8_000_000,
            is_lowest: false,
        });
        if num_earlier > 0 {
            (talk.track.pt, talk.track.distance) = (63, num_earlier);
        }
        talk.play(30_000_000);
        talk.world.run_for(600_000);
        let mut frames = Vec::new();
        talk.world.core.drain_tap(tap, usize::MAX, &mut frames);
        assert!(frames.windows(2).all(|pair| frame_of(&pair[0].data) < frame_of(&pair[1].data)));
        assert!(frames.windows(2).all(|pair| pair[0].ts_rtp_ext < pair[1].ts_rtp_ext));
        // Time and frames agree: what was healed is where it belongs.
        for frame in &frames {
            let behind = u64::from(frame_of(&frame.data) - frame_of(&frames[0].data));
            assert_eq!(frame.ts_rtp_ext - frames[0].ts_rtp_ext, behind * 960);
        }
        let stream = talk.world.peers[talk.subscriber].stream(SSRC);
        assert!(stream.windows(2).all(|pair| pair[1].seq.wrapping_sub(pair[0].seq) < 9));
        (talk.heard().concealed_percent(), frames.len())
    });
    let [plain, one, two] = lost;
    assert!(plain.0 > 20.0 && one.0 < 9.0 && two.0 < 3.0, "{lost:?}");
    assert!(one.1 > plain.1 && two.1 > one.1, "the recording too: {lost:?}");
}

#[test]
fn a_pause_of_dtx_is_not_bridged_with_a_wrong_time() {
    let mut talk = talk(24, losing(100), losing(200));
    (talk.track.pt, talk.track.distance) = (63, 2);
    talk.set_red(2);
    for round in 0..40u32 {
        talk.play(700_000 + Micros::from(round % 3) * 20_000);
        // Silence: 140 to 480 ms without a packet, some of it beyond what an offset can say.
        let pause = 7 + round % 18;
        talk.track.next_us += Micros::from(pause) * 20_000;
        talk.track.ts = talk.track.ts.wrapping_add(pause * 960);
    }
    let heard = talk.heard();
    let frames: Vec<u32> = heard.frames.values().map(|data| frame_of(data)).collect();
    assert!(frames.windows(2).all(|pair| pair[0] < pair[1]), "time and frames go the same way");
    assert!(heard.frames.len() > 550, "{}", heard.frames.len());
}

#[test]
fn reports_tell_the_publisher_its_real_loss_whatever_was_healed() {
    let mut talk = talk(25, losing(200), CLEAN);
    talk.track.pt = 63;
    talk.play(20_000_000);
    assert!(talk.world.core.counters().red_received > 100);
    let reports = talk.world.peers[talk.track.peer].heard.iter().filter_map(|heard| match heard {
        peer::Heard::ReceiverReport { fraction_lost, num_lost, .. } => {
            Some((*fraction_lost, *num_lost))
        }
        _ => None,
    });
    let reports: Vec<(u8, i32)> = reports.collect();
    let lost = reports.last().unwrap().1;
    assert!((150..250).contains(&lost), "of 1000: {lost}");
    let mean = reports.iter().map(|one| u32::from(one.0)).sum::<u32>() / reports.len() as u32;
    assert!((38..64).contains(&mean), "a fifth of 256: {mean}");
}
