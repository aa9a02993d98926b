//! A camera and a microphone in front of one viewer behind a link: for budgets and the brake.

use aislecast_engine::api::{Command, Layers, Micros, SinkId, SourceId, TransportId};
use aislecast_engine::core::TRANSPORT_ROW_BYTES;

use super::conformance::{Checked, check_vp8};
use super::{AudioTrack, CLEAN, Link, VideoTrack, World};

pub const VIDEO: u32 = 500;
pub const AUDIO: u32 = 700;

/// One camera with a microphone, and one viewer.
pub struct Stage {
    pub world: World,
    pub video: VideoTrack,
    pub audio: AudioTrack,
    pub publisher: usize,
    pub viewer: usize,
    pub source: SourceId,
    pub sink: SinkId,
    pub sound_sink: SinkId,
}

/// A camera of about 1 Mb/s and a microphone, and one viewer behind `link`.
pub fn stage(seed: u64, link: Link) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.add_peer(CLEAN);
    // Whether a check gets through a bad link is not the question here.
    let viewer = world.add_peer(CLEAN);
    (world.peers[viewer].uplink, world.peers[viewer].downlink) = (link, link);
    let source = world.add_source(publisher, "0", false, &["q"]);
    let sound = world.add_source(publisher, "1", true, &[""]);
    let sink = world.add_sink(viewer, source, VIDEO, 0);
    let sound_sink = world.add_sink(viewer, sound, AUDIO, 0);
    let mut video = VideoTrack::new(&world, publisher, "0", &["q"]);
    video.layers[0].packets = 4;
    video.layers[0].key_packets = 12;
    let audio = AudioTrack::new(&world, publisher, "1");
    Stage { world, video, audio, publisher, viewer, source, sink, sound_sink }
}

/// One camera that two watch for `us`: the world, the camera, who sends it, and the two.
pub fn two_viewers(seed: u64, us: Micros) -> (World, [VideoTrack; 1], usize, [usize; 2]) {
    let mut world = World::new(seed);
    let publisher = world.add_peer(CLEAN);
    let viewers = [world.add_peer(CLEAN), world.add_peer(CLEAN)];
    let source = world.add_source(publisher, "0", false, &["q"]);
    for (viewer, ssrc) in viewers.into_iter().zip([500, 600]) {
        world.add_sink(viewer, source, ssrc, 0);
    }
    let mut tracks = [VideoTrack::new(&world, publisher, "0", &["q"])];
    world.play(&mut tracks, &mut [], us, |_| {});
    (world, tracks, publisher, viewers)
}

impl Stage {
    pub fn order(&mut self, command: Command) {
        self.world.apply(command);
    }

    pub fn transport(&self) -> TransportId {
        self.world.peers[self.viewer].id
    }

    pub fn budget(&mut self, rate_bps: u32) {
        let transport = self.transport();
        self.order(Command::SetBudget { transport, rate_bps });
    }

    /// Plays with feedback every 50 ms, and requests for what is missing every 20 ms if `nacks`.
    pub fn play_with(&mut self, us: Micros, nacks: bool, mut each_ms: impl FnMut(&mut World)) {
        let viewer = self.viewer;
        self.world.play(
            std::slice::from_mut(&mut self.video),
            std::slice::from_mut(&mut self.audio),
            us,
            |world| {
                if world.now % 50_000 < 1_000
                    && let Some(feedback) = world.peers[viewer].feedback()
                {
                    world.send(viewer, feedback);
                }
                if nacks {
                    world.nack_now_and_then(viewer, VIDEO);
                }
                each_ms(world);
            },
        );
    }

    pub fn play(&mut self, us: Micros) {
        self.play_with(us, false, |_| {});
    }

    pub fn bytes_since(&self, at: Micros, ssrc: u32) -> usize {
        let received = self.world.peers[self.viewer].received.iter();
        received.filter(|one| one.at >= at && one.ssrc == ssrc).map(|one| one.payload.len()).sum()
    }

    pub fn video(&self) -> Vec<Checked> {
        check_vp8(&self.world.peers[self.viewer].stream(VIDEO))
    }

    /// (has_twcc, is_braking, budget_bps, waiting_us)
    pub fn row(&self) -> (u8, u8, u32, u32) {
        let mut rows = Vec::new();
        self.world.core.snapshot_transports(self.world.now, &mut rows);
        let id = self.transport().0.to_le_bytes();
        let row = rows.chunks_exact(TRANSPORT_ROW_BYTES).find(|row| row[..4] == id).unwrap();
        let u32_at = |at: usize| u32::from_le_bytes(row[at..at + 4].try_into().unwrap());
        (row[72], row[73], u32_at(74), u32_at(78))
    }

    /// One order or accident.
    pub fn anything(&mut self, probe: u32, random: &mut super::Random) {
        let (sink, source, transport) = (self.sink, self.source, self.transport());
        match random.below(8) {
            0 => self.budget(random.below(2_000_000) as u32),
            1 => self.budget(0),
            2 => self.order(Command::SetProtection { sink, copies: random.below(4) as u8 }),
            3 => {
                let rate_bps = random.below(5_000_000) as u32;
                let duration_us = random.below(60_000) as u32;
                self.order(Command::Probe { transport, probe, rate_bps, duration_us });
            }
            4 => self.video.layers[0].needs_key = true,
            5 => {
                let muted = random.is_hit(300);
                self.order(Command::MuteSource { source, muted });
            }
            6 => {
                let bottleneck = self.world.bottlenecks.get_mut(&self.viewer).unwrap();
                bottleneck.is_dead = random.is_hit(200);
            }
            _ => {
                let temporal = random.below(4) as u8;
                let layers = Layers { spatial: 0, temporal, paused: false };
                self.order(Command::SetLayers { sink, layers });
            }
        }
    }

    pub fn rows_of_probe(&mut self, probe: u32) -> Vec<(Micros, Micros, u16, u8)> {
        let mut rows = Vec::new();
        self.world.core.drain_twcc(&mut rows);
        let u64_at =
            |row: &[u8], at: usize| u64::from_le_bytes(row[at..at + 8].try_into().unwrap());
        rows.chunks_exact(29)
            .filter(|row| row[24..28] == probe.to_le_bytes())
            .map(|row| {
                (u64_at(row, 8), u64_at(row, 16), u16::from_le_bytes([row[4], row[5]]), row[28])
            })
            .collect()
    }
}

/// Frame numbers seen whole, with when their last packet came.
pub fn frames(packets: &[Checked]) -> Vec<(u32, Micros)> {
    let mut frames = std::collections::BTreeMap::new();
    for one in packets {
        let entry = frames.entry(one.frame).or_insert((0u8, 0));
        entry.0 += 1;
        entry.1 = one.at.max(entry.1);
        if entry.0 == one.count {
            entry.0 = u8::MAX;
        }
    }
    frames
        .into_iter()
        .filter(|(_, (n, _))| *n == u8::MAX)
        .map(|(frame, (_, at))| (frame, at))
        .collect()
}

/// Longest time without a whole frame between `from` and `until`.
pub fn longest_gap(packets: &[Checked], from: Micros, until: Micros) -> Micros {
    let times =
        frames(packets).into_iter().map(|(_, at)| at).filter(|at| (from..until).contains(at));
    let times: Vec<Micros> = std::iter::once(from).chain(times).chain([until]).collect();
    times.windows(2).map(|two| two[1].saturating_sub(two[0])).max().unwrap()
}
