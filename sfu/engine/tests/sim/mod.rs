//! A seeded network between the core and scripted peers that speak real STUN, SRTP and RTCP.
#![allow(dead_code)] // every test file uses another part of it

pub mod bottleneck;
pub mod conformance;
pub mod media;
pub mod peer;
pub mod stage;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

use aislecast_engine::api::{
    Codec, Command, EncodingConfig, Event, ExtMap, Layers, Local, Micros, Path, Payload,
    SinkConfig, SinkId, SourceConfig, SourceId, SrtpProfile, TransportId,
};
use aislecast_engine::core::{Core, Egress};

pub use bottleneck::Bottleneck;
pub use media::{AudioTrack, VideoTrack};
pub use peer::Peer;

pub const EXTENSIONS: ExtMap = ExtMap {
    mid: 1,
    rid: 2,
    repaired_rid: 3,
    audio_level: 4,
    twcc: 5,
    abs_send_time: 6,
    abs_capture_time: 7,
    video_orientation: 8,
    dependency: 9,
};

pub fn payloads() -> Vec<Payload> {
    vec![
        Payload { pt: 111, codec: Codec::Opus, rtx_pt: 0 },
        Payload { pt: 63, codec: Codec::Red, rtx_pt: 0 },
        Payload { pt: 96, codec: Codec::Vp8, rtx_pt: 97 },
        Payload { pt: 102, codec: Codec::H264, rtx_pt: 103 },
        Payload { pt: 45, codec: Codec::Av1, rtx_pt: 46 },
    ]
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn is_hit(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }
}

/// What a link does to datagrams, each way.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub delay_us: Micros,
    pub jitter_us: Micros,
    pub loss_permille: u64,
    pub duplicate_permille: u64,
}

pub const CLEAN: Link =
    Link { delay_us: 10_000, jitter_us: 0, loss_permille: 0, duplicate_permille: 0 };

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Core,
    Peer(usize),
}

type Flight = Reverse<(Micros, u64, To, SocketAddr, Vec<u8>)>;

/// The core, the peers and what is between them.
pub struct World {
    pub core: Core,
    pub now: Micros,
    pub peers: Vec<Peer>,
    pub events: Vec<(Micros, Event)>,
    pub random: Random,
    /// By peer; the others have none.
    pub bottlenecks: BTreeMap<usize, Bottleneck>,
    /// The same on the way up.
    pub narrow_uplinks: BTreeMap<usize, Bottleneck>,
    /// So many of the next datagrams to the core get lost.
    pub num_to_lose: usize,
    flights: BinaryHeap<Flight>,
    num_flights: u64,
    next_id: u32,
}

struct Outbox(Vec<(Path, Vec<u8>)>);

impl Egress for Outbox {
    fn send(&mut self, path: Path, data: &[u8], segment: Option<usize>) {
        for datagram in data.chunks(segment.unwrap_or(data.len())) {
            self.0.push((path, datagram.to_vec()));
        }
    }
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            core: Core::new(seed),
            now: 1_000_000,
            peers: Vec::new(),
            events: Vec::new(),
            random: Random(seed ^ 0xa15e),
            bottlenecks: BTreeMap::new(),
            narrow_uplinks: BTreeMap::new(),
            num_to_lose: 0,
            flights: BinaryHeap::new(),
            num_flights: 0,
            next_id: 1,
        }
    }

    pub fn apply(&mut self, command: Command) {
        self.core.apply(self.now, command);
    }

    pub fn take_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// A connected peer with keys; returns its index.
    pub fn add_peer(&mut self, link: Link) -> usize {
        self.add_peer_with(link, SrtpProfile::AeadAes128Gcm)
    }

    pub fn add_peer_with(&mut self, link: Link, profile: SrtpProfile) -> usize {
        let at = self.peers.len();
        let id = TransportId(self.take_id());
        let peer = Peer::new(at, id, profile, link);
        self.apply(Command::AddTransport {
            transport: id,
            local_ufrag: peer.ufrag.clone(),
            local_pwd: peer.password.clone(),
        });
        self.apply(Command::SetMedia {
            transport: id,
            extensions: EXTENSIONS,
            payloads: payloads(),
        });
        self.apply(Command::SetSrtp {
            transport: id,
            profile,
            receive_key: peer.send_key.clone(),
            send_key: peer.receive_key.clone(),
        });
        self.peers.push(peer);
        let check = self.peers[at].check(true);
        self.send(at, check);
        self.run_for(2 * link.delay_us + link.jitter_us + 1000);
        at
    }

    pub fn add_source(
        &mut self,
        peer: usize,
        mid: &str,
        is_audio: bool,
        rids: &[&str],
    ) -> SourceId {
        let source = SourceId(self.take_id());
        let encodings = rids
            .iter()
            .map(|rid| EncodingConfig { rid: rid.to_string(), ssrc: 0, rtx_ssrc: 0 })
            .collect();
        let transport = Some(self.peers[peer].id);
        let config = SourceConfig { mid: mid.into(), is_audio, encodings };
        self.apply(Command::AddSource { source, transport, config });
        source
    }

    pub fn add_sink(&mut self, peer: usize, source: SourceId, ssrc: u32, spatial: u8) -> SinkId {
        self.add_sink_with(
            peer,
            source,
            ssrc,
            Layers { spatial, temporal: 7, paused: false },
            payloads(),
        )
    }

    pub fn add_sink_with(
        &mut self,
        peer: usize,
        source: SourceId,
        ssrc: u32,
        layers: Layers,
        payloads: Vec<Payload>,
    ) -> SinkId {
        let sink = SinkId(self.take_id());
        let config = SinkConfig { ssrc, rtx_ssrc: ssrc + 1, mid: "7".into(), payloads };
        let transport = self.peers[peer].id;
        self.apply(Command::AddSink { sink, transport, source, config, layers });
        sink
    }

    /// Sends a datagram of a peer through its link.
    pub fn send(&mut self, peer: usize, data: Vec<u8>) {
        let (mut link, addr) = (self.peers[peer].uplink, self.peers[peer].addr);
        if self.bottlenecks.get(&peer).is_some_and(|bottleneck| bottleneck.is_dead) {
            return;
        }
        if self.num_to_lose > 0 {
            self.num_to_lose -= 1;
            return;
        }
        if let Some(narrow) = self.narrow_uplinks.get_mut(&peer) {
            let Some(took_us) = narrow.pass(self.now, data.len()) else {
                return;
            };
            link.delay_us += took_us;
        }
        self.fly(link, To::Core, addr, data);
    }

    /// Sends a datagram from any address without a link.
    pub fn inject(&mut self, addr: SocketAddr, data: Vec<u8>) {
        self.fly(Link { delay_us: 0, ..CLEAN }, To::Core, addr, data);
    }

    fn fly(&mut self, link: Link, to: To, addr: SocketAddr, data: Vec<u8>) {
        if self.random.is_hit(link.loss_permille) {
            return;
        }
        let copies = if self.random.is_hit(link.duplicate_permille) { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.now + link.delay_us + self.random.below(link.jitter_us + 1);
            self.num_flights += 1;
            self.flights.push(Reverse((at, self.num_flights, to, addr, data.clone())));
        }
    }

    pub fn run_for(&mut self, us: Micros) {
        let until = self.now + us;
        self.run_until(until);
    }

    /// Lets time pass: deliveries, timers and flushes in order.
    pub fn run_until(&mut self, until: Micros) {
        loop {
            self.service();
            let flight = self.flights.peek().map_or(Micros::MAX, |Reverse(flight)| flight.0);
            let next = flight.min(self.core.next_timeout().max(self.now + 1));
            if next > until {
                self.now = until;
                self.service();
                return;
            }
            self.now = self.now.max(next);
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        while let Some(Reverse((at, ..))) = self.flights.peek() {
            if *at > self.now {
                return;
            }
            let Some(Reverse((_, _, to, addr, mut data))) = self.flights.pop() else {
                return;
            };
            match to {
                To::Core => {
                    let path = Path { local: Local::Udp(0), remote: addr };
                    self.core.handle_datagram(self.now, path, &mut data);
                }
                To::Peer(peer) => {
                    let answers = self.peers[peer].handle(self.now, addr, data);
                    for answer in answers {
                        self.send(peer, answer);
                    }
                }
            }
        }
    }

    /// Runs timers, flushes, collects events and sends what leaves on its way.
    pub fn service(&mut self) {
        self.core.handle_timeout(self.now);
        let mut out = Outbox(Vec::new());
        self.core.flush(self.now, &mut out);
        while let Some(event) = self.core.poll_event() {
            self.events.push((self.now, event));
        }
        for (path, data) in out.0 {
            let found = self.peers.iter().position(|peer| peer.owns(path.remote));
            if let Some(peer) = found {
                let mut link = self.peers[peer].downlink;
                if let Some(bottleneck) = self.bottlenecks.get_mut(&peer) {
                    let Some(took_us) = bottleneck.pass(self.now, data.len()) else {
                        continue;
                    };
                    link.delay_us += took_us;
                }
                self.fly(link, To::Peer(peer), path.remote, data);
            }
        }
    }

    /// Lets tracks send for `us`; `each_ms` runs once per millisecond.
    pub fn play(
        &mut self,
        videos: &mut [VideoTrack],
        audios: &mut [AudioTrack],
        us: Micros,
        mut each_ms: impl FnMut(&mut World),
    ) {
        let until = self.now + us;
        while self.now < until {
            videos.iter_mut().for_each(|track| track.step(self));
            audios.iter_mut().for_each(|track| track.step(self));
            each_ms(self);
            self.run_for(1_000);
        }
    }

    /// Every 20 ms of `play`: a peer asks again for what is missing of a stream.
    pub fn nack_now_and_then(&mut self, peer: usize, ssrc: u32) {
        let is_due = self.now % 20_000 < 1_000;
        if let Some(nack) = self.peers[peer].nack(ssrc).filter(|_| is_due) {
            self.send(peer, nack);
        }
    }

    pub fn sink_row(&self, sink: SinkId) -> SinkRow {
        let mut rows = Vec::new();
        self.core.snapshot_sinks(self.now, &mut rows);
        let row = rows.chunks_exact(SinkRow::SIZE).find(|row| row[..4] == sink.0.to_le_bytes());
        SinkRow::parse(row.expect("the sink exists"))
    }
}

/// Fields of `SINK_DTYPE` that tests look at.
#[derive(Debug)]
pub struct SinkRow {
    pub spatial: i8,
    pub packets: u64,
    pub nacks: u32,
    pub rtx_sent: u32,
    pub rtx_missed: u32,
    pub plis: u32,
    pub temporal: i8,
    pub copies_sent: u32,
    pub left_out: u32,
}

impl SinkRow {
    pub const SIZE: usize = 61;

    fn parse(row: &[u8]) -> SinkRow {
        let u32_at = |at: usize| u32::from_le_bytes(row[at..at + 4].try_into().unwrap());
        SinkRow {
            spatial: row[12] as i8,
            packets: u64::from_le_bytes(row[16..24].try_into().unwrap()),
            nacks: u32_at(32),
            rtx_sent: u32_at(36),
            rtx_missed: u32_at(40),
            plis: u32_at(44),
            temporal: row[52] as i8,
            copies_sent: u32_at(53),
            left_out: u32_at(57),
        }
    }
}
