//! Of many microphones the loudest few are forwarded, of different people.

mod sim;

use aislecast_engine::api::{Codec, Command, Layers, Micros, SourceId, TapId};
use sim::media::{frame_of, only};
use sim::{AudioTrack, CLEAN, World};

const LAYERS: Layers = Layers { spatial: 0, temporal: 7, paused: false };

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
