//! A line that nobody looks at is told of when it shows weakness, once.

mod sim;

use aislecast_engine::api::{Command, Event, Micros, TransportId};
use sim::{Bottleneck, CLEAN, Link, VideoTrack, World};

const SECOND_US: Micros = 1_000_000;

struct Stage {
    world: World,
    video: VideoTrack,
    viewer: usize,
    told: Vec<TransportId>,
}

/// A camera and one viewer, whose line has room for three times as much.
fn stage(seed: u64) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.add_peer(CLEAN);
    let viewer = world.add_peer(CLEAN);
    world.peers[viewer].downlink = Link { delay_us: 20_000, ..CLEAN };
    let source = world.add_source(publisher, "0", false, &["q"]);
    world.add_sink(viewer, source, 500, 0);
    let mut video = VideoTrack::new(&world, publisher, "0", &["q"]);
    (video.layers[0].packets, video.layers[0].key_packets) = (4, 12);
    world.bottlenecks.insert(viewer, Bottleneck::new(3_000_000, 500_000));
    let transport = world.peers[viewer].id;
    world.apply(Command::SetBudget { transport, rate_bps: 2_500_000 });
    Stage { world, video, viewer, told: Vec::new() }
}

impl Stage {
    fn play(&mut self, us: Micros) {
        let (viewer, told) = (self.viewer, &mut self.told);
        self.world.play(std::slice::from_mut(&mut self.video), &mut [], us, |world| {
            if world.now % 50_000 < 1_000
                && let Some(feedback) = world.peers[viewer].feedback()
            {
                world.send(viewer, feedback);
            }
        });
        told.extend(self.world.events.drain(..).filter_map(|(_, event)| match event {
            Event::LineRestless { transport } => Some(transport),
            _ => None,
        }));
    }

    fn watch(&mut self) {
        let transports = vec![self.world.peers[self.viewer].id, TransportId(4_000_000)];
        self.world.apply(Command::WatchLines { transports });
    }

    fn narrow(&mut self, rate_bps: u64) {
        self.world.bottlenecks.get_mut(&self.viewer).unwrap().rate_bps = rate_bps;
    }
}

#[test]
fn a_queue_is_told_of_once_for_each_time_it_was_asked() {
    let mut stage = stage(1);
    let viewer = stage.world.peers[stage.viewer].id;
    stage.watch();
    stage.play(3 * SECOND_US);
    assert!(stage.told.is_empty(), "a line without a queue is not news");
    stage.narrow(120_000);
    stage.play(SECOND_US);
    assert_eq!(stage.told, [viewer], "within a second, and once");
    stage.narrow(3_000_000);
    stage.play(2 * SECOND_US);
    stage.world.apply(Command::SetBudget { transport: viewer, rate_bps: 2_500_000 });
    stage.play(2 * SECOND_US);
    stage.watch();
    stage.narrow(120_000);
    stage.play(SECOND_US);
    assert_eq!(stage.told, [viewer, viewer]);
}

#[test]
fn losses_are_told_of() {
    let mut stage = stage(2);
    stage.play(2 * SECOND_US);
    stage.watch();
    stage.world.peers[stage.viewer].downlink.loss_permille = 200;
    stage.play(2 * SECOND_US);
    assert_eq!(stage.told.len(), 1);
}

#[test]
fn nobody_is_told_who_did_not_ask() {
    let mut stage = stage(3);
    stage.narrow(120_000);
    stage.play(2 * SECOND_US);
    assert!(stage.told.is_empty());
}

#[test]
fn a_line_that_is_looked_at_anyway_does_not_use_up_the_news_of_another() {
    let mut stage = stage(4);
    let publisher = stage.world.peers[0].id;
    stage.world.apply(Command::WatchLines { transports: vec![publisher] });
    stage.narrow(120_000);
    stage.play(2 * SECOND_US);
    assert!(stage.told.is_empty(), "another line is watched");
}
