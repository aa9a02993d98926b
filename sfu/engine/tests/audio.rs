//! Sound over links that lose: RED to subscribers, RED of publishers, real loss in reports.

mod sim;

use std::collections::BTreeMap;

use aislecast_engine::api::{Codec, Command, Layers, Micros, Payload, SinkId, SourceId, TapId};
use aislecast_engine::wire::red::Red;
use sim::peer;
use sim::{AudioTrack, CLEAN, Link, World, payloads};

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

fn only(codecs: &[Codec]) -> Vec<Payload> {
    payloads().into_iter().filter(|payload| codecs.contains(&payload.codec)).collect()
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
    fn set_red(&mut self, distance: u8) {
        self.world.apply(Command::SetRed { sink: self.sink, distance });
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

/// Number that the synthetic microphone gave a frame.
fn frame_of(data: &[u8]) -> u32 {
    u32::from_be_bytes(data[1..5].try_into().unwrap())
}

#[test]
fn every_copy_cuts_what_a_losing_subscriber_has_to_conceal() {
    for (permille, most) in [(200, [25.0, 6.0, 1.6]), (300, [34.0, 12.0, 4.5])] {
        let concealed = [0, 1, 2].map(|distance| {
            let mut talk = talk(20, CLEAN, losing(permille));
            talk.set_red(distance);
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
    for (sink, distance) in [(talk.sink, 2), (lacks, 2)] {
        talk.world.apply(Command::SetRed { sink, distance });
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
    let lost = [0, 1, 2].map(|distance| {
        let mut talk = talk(23, losing(250), CLEAN);
        talk.world.apply(Command::AddTap {
            tap,
            source: talk.source,
            max_bytes: 8_000_000,
            is_lowest: false,
        });
        if distance > 0 {
            (talk.track.pt, talk.track.distance) = (63, distance);
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

/// Many microphones in one room, and somebody who listens to all of them.
struct Meeting {
    world: World,
    tracks: Vec<AudioTrack>,
    sources: Vec<SourceId>,
    listener: usize,
}

const QUIET: u8 = 75;
const LOUD: u8 = 25;

fn meeting(seed: u64, count: usize) -> Meeting {
    let mut world = World::new(seed);
    let listener = world.add_peer(CLEAN);
    let mut meeting = Meeting { world, tracks: Vec::new(), sources: Vec::new(), listener };
    for _ in 0..count {
        let peer = meeting.world.add_peer(CLEAN);
        meeting.add(peer, "0");
    }
    meeting
}

impl Meeting {
    /// One more microphone in the group.
    fn add(&mut self, peer: usize, mid: &'static str) {
        let (world, at) = (&mut self.world, self.tracks.len());
        let source = world.add_source(peer, mid, true, &[""]);
        let both = only(&[Codec::Opus, Codec::Red]);
        world.add_sink_with(self.listener, source, 1000 + at as u32 * 10, LAYERS, both);
        world.apply(Command::SetSpeakerGroup { source, group: 7 });
        let mut track = AudioTrack::new(world, peer, mid);
        track.level = QUIET;
        track.ssrc = 0x9000 + at as u32 * 16;
        // Not all in the same millisecond.
        track.next_us += at as Micros * 1_700;
        self.tracks.push(track);
        self.sources.push(source);
    }

    fn play(&mut self, us: Micros) {
        let listener = self.listener;
        self.world.play(&mut [], &mut self.tracks, us, |world| {
            if world.now % 2_000_000 < 1_000 {
                for peer in 0..world.peers.len().min(listener + 40) {
                    let check = world.peers[peer].check(true);
                    world.send(peer, check);
                }
            }
        });
    }

    /// Frames of microphone `at` that arrived since `from`.
    fn heard(&self, at: usize, from: Micros) -> Vec<u32> {
        self.world.peers[self.listener]
            .stream(1000 + at as u32 * 10)
            .iter()
            .filter(|one| one.at >= from)
            .map(|one| frame_of(&one.payload))
            .collect()
    }

    /// Who was heard for most of the time since `from`.
    fn speakers(&self, from: Micros) -> Vec<usize> {
        let most = (self.world.now - from) / 20_000 / 2;
        (0..self.tracks.len()).filter(|&at| self.heard(at, from).len() as u64 > most).collect()
    }

    /// Numbers go up by one, timestamps forward, and frames keep their time.
    fn check_streams(&self) {
        for at in 0..self.tracks.len() {
            let stream = self.world.peers[self.listener].stream(1000 + at as u32 * 10);
            for pair in stream.windows(2) {
                assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1), "numbers close up");
                let frames = frame_of(&pair[1].payload) - frame_of(&pair[0].payload);
                let ticks = pair[1].ts.wrapping_sub(pair[0].ts);
                assert!(frames > 0 && ticks.abs_diff(frames * 960) < 480, "{frames} {ticks}");
            }
        }
    }
}

#[test]
fn up_to_three_are_always_heard_also_in_silence() {
    let mut meeting = meeting(30, 3);
    meeting.play(3_000_000);
    assert_eq!(meeting.speakers(1_000_000), [0, 1, 2]);
    for at in 0..3 {
        assert!(meeting.heard(at, 0).len() > 145, "nothing is left out");
    }
    meeting.check_streams();
}

#[test]
fn of_many_the_three_who_speak_are_heard_from_the_first_syllable() {
    let mut meeting = meeting(31, 8);
    meeting.play(2_000_000);
    assert_eq!(meeting.speakers(meeting.world.now - 1_000_000).len(), 3, "as nobody speaks");
    for round in 0..6 {
        let speaking = [(round * 3 + 2) % 8, (round * 3 + 5) % 8, (round * 3 + 7) % 8];
        let began: Vec<(usize, u32)> =
            speaking.iter().map(|&at| (at, meeting.tracks[at].frame)).collect();
        for at in speaking {
            meeting.tracks[at].level = LOUD;
        }
        let from = meeting.world.now;
        meeting.play(1_500_000);
        let mut expected = speaking.to_vec();
        expected.sort_unstable();
        assert_eq!(meeting.speakers(from + 200_000), expected, "round {round}");
        for (at, first) in began {
            let heard = meeting.heard(at, from);
            assert!(heard[0] <= first, "the first syllable: {} {first}", heard[0]);
            assert!(heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "without a gap");
        }
        for at in speaking {
            meeting.tracks[at].level = QUIET;
        }
        meeting.play(1_500_000);
    }
    meeting.check_streams();
}

#[test]
fn four_who_speak_at_once_do_not_cut_each_other_to_pieces() {
    let mut meeting = meeting(32, 6);
    meeting.play(1_000_000);
    (0..4).for_each(|at| meeting.tracks[at].level = LOUD);
    let before = meeting.world.core.counters().speakers_admitted;
    // Words and pauses, not in step.
    for step in 0..100usize {
        (0..4).for_each(|at| {
            meeting.tracks[at].level = if (step + at * 3) % 9 < 7 { LOUD } else { QUIET - 15 };
        });
        meeting.play(100_000);
    }
    let changes = meeting.world.core.counters().speakers_admitted - before;
    assert!(changes <= 25, "{changes} in ten seconds");
    meeting.check_streams();
}

#[test]
fn places_of_who_leaves_mutes_or_falls_silent_go_to_the_next() {
    let mut meeting = meeting(33, 6);
    (0..3).for_each(|at| meeting.tracks[at].level = LOUD);
    meeting.play(2_000_000);
    assert_eq!(meeting.speakers(meeting.world.now - 500_000), [0, 1, 2]);
    (3..6).for_each(|at| meeting.tracks[at].level = LOUD + 3);
    meeting.play(1_000_000);
    assert_eq!(meeting.speakers(meeting.world.now - 500_000), [0, 1, 2], "first come, first heard");
    let sources = meeting.sources.clone();
    meeting.world.apply(Command::MuteSource { source: sources[0], muted: true });
    meeting.world.apply(Command::RemoveSource { source: sources[1] });
    meeting.world.apply(Command::SetSpeakerGroup { source: sources[2], group: 0 });
    meeting.play(1_000_000);
    let now = meeting.world.now;
    assert_eq!(meeting.speakers(now - 500_000), [2, 3, 4, 5], "2 is outside the group");
    meeting.world.apply(Command::SetGroupSize { group: 7, size: 1 });
    meeting.play(1_000_000);
    assert_eq!(meeting.speakers(meeting.world.now - 500_000).len(), 2, "2 and one of the group");
    meeting.world.apply(Command::SetGroupSize { group: 7, size: 9 });
    meeting.world.apply(Command::MuteSource { source: sources[0], muted: false });
    meeting.play(1_000_000);
    assert_eq!(meeting.speakers(meeting.world.now - 500_000), [0, 2, 3, 4, 5]);
    meeting.world.apply(Command::SetGroupSize { group: 99, size: 3 });
    assert_eq!(meeting.world.core.counters().stale_commands, 1, "no such group");
}

/// A meeting in which the first `microphones` all belong to one guest, with `others` beside him.
fn crowded(seed: u64, microphones: usize, others: usize) -> Meeting {
    let mut meeting = meeting(seed, 0);
    let guest = meeting.world.add_peer(CLEAN);
    for at in 0..microphones + others {
        let peer = if at < microphones { guest } else { meeting.world.add_peer(CLEAN) };
        let mid = if at < microphones { ["0", "1", "2", "3"][at] } else { "0" };
        meeting.add(peer, mid);
    }
    meeting
}

#[test]
fn one_guest_with_three_loud_microphones_has_one_place_while_others_want_theirs() {
    let mut meeting = crowded(35, 3, 2);
    // The guest is there first, and shouts into all of them all the time.
    (0..3).for_each(|at| meeting.tracks[at].level = LOUD - 15);
    meeting.play(2_000_000);
    let heard = meeting.speakers(meeting.world.now - 1_000_000);
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert_eq!(heard[1..], [3, 4], "also in silence");
    let began = [3, 4].map(|at| meeting.tracks[at].frame);
    let from = meeting.world.now;
    (3..5).for_each(|at| meeting.tracks[at].level = LOUD);
    meeting.play(2_000_000);
    assert_eq!(meeting.speakers(from), heard);
    for (at, first) in [3, 4].into_iter().zip(began) {
        let frames = meeting.heard(at, from);
        assert!(frames[0] <= first && frames.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }
    meeting.check_streams();
}

#[test]
fn four_who_speak_are_four_people_whatever_a_guest_has() {
    let mut meeting = crowded(36, 4, 3);
    (0..4).for_each(|at| meeting.tracks[at].level = LOUD - 15);
    (4..7).for_each(|at| meeting.tracks[at].level = LOUD + 10);
    meeting.play(3_000_000);
    let heard = meeting.speakers(meeting.world.now - 1_000_000);
    assert_eq!(heard.iter().filter(|&&at| at < 4).count(), 1, "{heard:?}");
    assert_eq!(heard.len(), 3);
    let changes = meeting.world.core.counters().speakers_admitted;
    meeting.play(3_000_000);
    assert_eq!(meeting.world.core.counters().speakers_admitted, changes, "nobody is cut to pieces");
    meeting.check_streams();
}

#[test]
fn a_person_may_speak_into_another_microphone() {
    let mut meeting = crowded(37, 2, 4);
    meeting.tracks[0].level = LOUD;
    (2..4).for_each(|at| meeting.tracks[at].level = LOUD);
    meeting.play(2_000_000);
    assert_eq!(meeting.speakers(meeting.world.now - 1_000_000), [0, 2, 3]);
    meeting.tracks[0].level = QUIET;
    meeting.tracks[1].level = LOUD;
    meeting.play(3_000_000);
    assert_eq!(meeting.speakers(meeting.world.now - 1_000_000), [1, 2, 3]);
    meeting.check_streams();
}

#[test]
fn spare_microphones_are_heard_while_there_is_room() {
    let mut meeting = crowded(38, 3, 1);
    meeting.play(2_000_000);
    let heard = meeting.speakers(meeting.world.now - 1_000_000);
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard.contains(&3));
    // Who ceases to send is a while later one person less.
    let source = meeting.sources[3];
    meeting.world.apply(Command::MuteSource { source, muted: true });
    meeting.play(1_000_000);
    assert_eq!(meeting.speakers(meeting.world.now - 500_000), [0, 1, 2]);
    // Fewer places: spare ones go first, however loud.
    meeting.world.apply(Command::MuteSource { source, muted: false });
    (0..3).for_each(|at| meeting.tracks[at].level = LOUD);
    meeting.play(1_000_000);
    meeting.world.apply(Command::SetGroupSize { group: 7, size: 2 });
    meeting.play(1_000_000);
    let heard = meeting.speakers(meeting.world.now - 500_000);
    assert!(heard.len() == 2 && heard[1] == 3, "{heard:?}");
    meeting.check_streams();
}

#[test]
fn recordings_and_levels_have_everybody() {
    let mut meeting = meeting(34, 6);
    for (at, &source) in meeting.sources.clone().iter().enumerate() {
        let tap = TapId(900 + at as u32);
        let order = Command::AddTap { tap, source, max_bytes: 8_000_000, is_lowest: false };
        meeting.world.apply(order);
    }
    meeting.play(3_000_000);
    for at in 0..6 {
        let mut frames = Vec::new();
        meeting.world.core.drain_tap(TapId(900 + at), usize::MAX, &mut frames);
        assert!(frames.len() > 145, "{at}: {}", frames.len());
    }
}

#[test]
fn a_thousand_microphones_let_three_pass() {
    let mut meeting = meeting(35, 1000);
    for track in &mut meeting.tracks {
        track.next_us = meeting.world.now + Micros::from(track.ssrc % 20) * 1_000;
    }
    meeting.tracks[777].level = LOUD;
    let from = meeting.world.now;
    meeting.play(600_000);
    let heard = (0..1000).filter(|&at| !meeting.heard(at, from).is_empty()).count();
    assert!(heard <= 6, "{heard}");
    assert!(meeting.heard(777, from).len() > 20);
}
