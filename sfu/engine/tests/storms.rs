//! One who asks for pictures without end: its friends pay nothing for it, and wait for nothing.

mod sim;

use aislecast_engine::wire::vp8::Vp8Descriptor;
use sim::peer::Received;
use sim::stage::two_viewers;
use sim::{VideoTrack, World};

/// One who asks for key frames a hundred times a second, a friend, and what both watch.
struct Storm {
    world: World,
    tracks: [VideoTrack; 1],
    publisher: usize,
    flooder: usize,
    friend: usize,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let (world, tracks, publisher, [flooder, friend]) = two_viewers(seed, 3_000_000);
        Storm { world, tracks, publisher, flooder, friend }
    }

    fn play(&mut self, us: u64, is_storming: bool) {
        let flooder = self.flooder;
        self.world.play(&mut self.tracks, &mut [], us, |world| {
            if is_storming && world.now % 10_000 < 1_000 {
                let pli = world.peers[flooder].pli(500);
                world.send(flooder, pli);
            }
        });
    }

    fn num_asked(&self) -> usize {
        self.world.peers[self.publisher].num_plis()
    }

    fn friend_stream(&self) -> Vec<&Received> {
        self.world.peers[self.friend].stream(600)
    }
}

#[test]
fn one_viewer_s_storm_of_picture_losses_is_not_paid_by_the_others() {
    let bytes_of = |is_storming: bool| {
        let mut storm = Storm::new(11);
        let before = storm.num_asked();
        storm.play(20_000_000, is_storming);
        let bytes: usize = storm.friend_stream().iter().map(|one| one.payload.len()).sum();
        (bytes, storm.num_asked() - before, *storm.world.core.counters())
    };
    let (calm, num_calm, counters) = bytes_of(false);
    assert_eq!((num_calm, counters.keyframe_requests_refused), (0, 0));
    let (stormy, num_stormy, counters) = bytes_of(true);
    assert!((2..=8).contains(&num_stormy), "{num_stormy} key frames in 20 s");
    assert!(counters.keyframe_requests_refused > 1_000, "{counters:?}");
    assert!(stormy * 100 < calm * 110, "{stormy} bytes for {calm}");
}

#[test]
fn a_viewer_beside_a_storm_gets_its_key_frame_at_once() {
    let mut storm = Storm::new(12);
    // The newest key frame is too old for a restart, and the one who storms is waiting.
    storm.play(3_500_000, true);
    let pli = storm.world.peers[storm.friend].pli(600);
    storm.world.send(storm.friend, pli);
    let (asked_us, before) = (storm.world.now, storm.num_asked());
    storm.play(200_000, true);
    assert_eq!(storm.num_asked() - before, 1);
    let stream = storm.friend_stream();
    let mut since = stream.iter().filter(|one| one.at > asked_us);
    assert!(since.any(|one| Vp8Descriptor::parse(&one.payload).unwrap().is_keyframe));
}
