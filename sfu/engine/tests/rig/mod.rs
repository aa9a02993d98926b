//! One publisher and many subscribers around a core, with nothing in between: for benches and for
//! the allocation test.
#![allow(dead_code)] // each user needs another part

use aislecast_engine::api::{
    Codec, Command, EncodingConfig, ExtMap, Layers, Local, Micros, Path, Payload, SinkConfig,
    SinkId, SourceConfig, SourceId, SrtpProfile, TransportId,
};
use aislecast_engine::core::{Core, Egress};
use aislecast_engine::wire::red::{RedBlock, write_red};
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader, RtpWriter};
use aislecast_engine::wire::srtp::{SrtpSender, key_salt_len};
use aislecast_engine::wire::stun::{
    BindingRequest, Carried, IceRole, StunKey, write_binding_request,
};
use aislecast_engine::wire::vp8::Vp8Descriptor;

/// Extensions as browsers negotiate them.
const EXTENSIONS: ExtMap = ExtMap {
    mid: 1,
    rid: 2,
    repaired_rid: 3,
    audio_level: 0,
    twcc: 5,
    abs_send_time: 6,
    abs_capture_time: 0,
    video_orientation: 8,
    dependency: 0,
};

/// Swallows datagrams.
#[derive(Default)]
pub struct Null {
    /// Datagrams.
    pub datagrams: u64,
    /// Calls.
    pub calls: u64,
}

impl Egress for Null {
    fn send(&mut self, _: Path, data: &[u8], segment: Option<usize>) {
        self.calls += 1;
        self.datagrams += data.len().div_ceil(segment.unwrap_or(data.len())) as u64;
    }
}

/// The core with its peers.
pub struct Rig {
    /// The core.
    pub core: Core,
    /// What left.
    pub egress: Null,
    now: Micros,
    sender: SrtpSender,
    seq: u16,
    frame: u32,
    num_sinks: u32,
}

impl Rig {
    /// A publisher of one video encoding and `sinks` subscribers.
    pub fn new(profile: SrtpProfile, sinks: usize) -> Rig {
        Rig::with(profile, sinks, false)
    }

    /// A publisher of sound and `sinks` subscribers that get `num_earlier` earlier frames a packet.
    pub fn talking(profile: SrtpProfile, sinks: usize, num_earlier: u8) -> Rig {
        let mut rig = Rig::with(profile, sinks, true);
        rig.apply(Command::SetSpeakerGroup { source: SourceId(1), group: 1 });
        for sink in 1..=sinks as u32 {
            rig.apply(Command::SetRed { sink: SinkId(sink), num_earlier });
        }
        rig
    }

    /// Gives the publisher a second microphone (SSRC 177), and its group a single place.
    pub fn add_microphone(&mut self) {
        let encodings = vec![EncodingConfig { rid: String::new(), ssrc: 177, rtx_ssrc: 0 }];
        let config = SourceConfig { mid: "1".into(), is_audio: true, encodings };
        let transport = Some(TransportId(0));
        self.apply(Command::AddSource { source: SourceId(2), transport, config });
        self.apply(Command::SetSpeakerGroup { source: SourceId(2), group: 1 });
        self.apply(Command::SetGroupSize { group: 1, size: 1 });
    }

    fn with(profile: SrtpProfile, sinks: usize, is_audio: bool) -> Rig {
        let key = vec![1; key_salt_len(profile)];
        let sender = SrtpSender::new(profile, &key).unwrap();
        let mut rig = Rig {
            core: Core::new(1),
            egress: Null::default(),
            now: 1_000_000,
            sender,
            seq: 0,
            frame: 0,
            num_sinks: sinks as u32,
        };
        for peer in 0..=sinks {
            rig.connect(profile, peer as u32);
        }
        let encodings = vec![EncodingConfig { rid: String::new(), ssrc: 77, rtx_ssrc: 78 }];
        let config = SourceConfig { mid: "0".into(), is_audio, encodings };
        let transport = Some(TransportId(0));
        rig.apply(Command::AddSource { source: SourceId(1), transport, config });
        for peer in 1..=sinks as u32 {
            let config = SinkConfig {
                ssrc: 1000 + peer * 2,
                rtx_ssrc: 1001 + peer * 2,
                mid: "0".into(),
                payloads: payloads(),
            };
            let layers = Layers { spatial: 0, temporal: 7, paused: false };
            let (sink, transport) = (SinkId(peer), TransportId(peer));
            rig.apply(Command::AddSink { sink, transport, source: SourceId(1), config, layers });
        }
        rig
    }

    fn apply(&mut self, command: Command) {
        self.core.apply(self.now, command);
    }

    fn connect(&mut self, profile: SrtpProfile, peer: u32) {
        let transport = TransportId(peer);
        let (local_ufrag, local_pwd) = (format!("u{peer}"), format!("password{peer}"));
        self.apply(Command::AddTransport { transport, local_ufrag, local_pwd });
        let payloads = payloads();
        self.apply(Command::SetMedia { transport, extensions: EXTENSIONS, payloads });
        let keys = || vec![1; key_salt_len(profile)];
        let (receive_key, send_key) = (keys(), keys());
        self.apply(Command::SetSrtp { transport, profile, receive_key, send_key });
        self.check(peer);
    }

    /// Lets a word of every subscriber arrive.
    pub fn hear_all(&mut self) {
        (1..=self.num_sinks).for_each(|peer| self.check(peer));
    }

    fn check(&mut self, peer: u32) {
        let key = StunKey::new(format!("password{peer}").as_bytes());
        let username = format!("u{peer}:r");
        let request = BindingRequest {
            transaction_id: [1; 12],
            username: &username,
            priority: 1,
            role: IceRole::Controlling(1),
            is_use_candidate: true,
            carried: Carried::default(),
        };
        let mut check = [0; 256];
        let len = write_binding_request(&mut check, &request, &key).unwrap();
        self.core.handle_datagram(self.now, path(peer), &mut check[..len]);
    }

    /// Packets sealed for subscribers so far.
    pub fn num_forwarded(&self) -> u64 {
        self.core.counters().forwarded_packets
    }

    /// Protected packets of the next frames, `count` packets of `len` payload bytes each.
    pub fn seal_frames(&mut self, frames: usize, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
        (0..frames).map(|_| self.seal_frame(count, len)).collect()
    }

    fn seal_frame(&mut self, count: usize, len: usize) -> Vec<Vec<u8>> {
        let is_key = self.frame.is_multiple_of(300);
        let packets = (0..count).map(|at| self.seal(is_key, at, count, len)).collect();
        self.frame += 1;
        packets
    }

    fn seal(&mut self, is_key: bool, at: usize, count: usize, len: usize) -> Vec<u8> {
        let header = RtpHeader {
            is_marker: at + 1 == count,
            pt: 96,
            seq: self.seq,
            ts_rtp: self.frame * 3000,
            ssrc: 77,
        };
        let extensions =
            OutExtensions { twcc: Some(self.seq), mid: Some(b"0"), ..OutExtensions::default() };
        self.seq = self.seq.wrapping_add(1);
        let mut packet = vec![0; 1600];
        let head =
            RtpWriter::new(EXTENSIONS).write_header(&mut packet, &header, &extensions).unwrap();
        let descriptor = Vp8Descriptor {
            is_partition_start: at == 0,
            temporal: Some(0),
            ..Vp8Descriptor::default()
        };
        let (pid, tl0) = (self.frame as u16 & 0x7fff, self.frame as u8);
        let head = head + descriptor.write(&mut packet[head..], Some(pid), Some(tl0)).unwrap();
        packet[head] = u8::from(!is_key);
        let len = self.sender.protect_rtp(&mut packet, head + len).unwrap();
        packet.truncate(len);
        packet
    }

    /// Protected packets of the next Opus frames; each carries the two frames before it as RED.
    pub fn seal_speech(&mut self, count: usize) -> Vec<Vec<Vec<u8>>> {
        (0..count).map(|_| vec![self.seal_red(77, b"0")]).collect()
    }

    /// The same from the second microphone.
    pub fn seal_other_speech(&mut self, count: usize) -> Vec<Vec<Vec<u8>>> {
        (0..count).map(|_| vec![self.seal_red(177, b"1")]).collect()
    }

    fn seal_red(&mut self, ssrc: u32, mid: &'static [u8]) -> Vec<u8> {
        let ts_rtp = self.frame * 960;
        let header = RtpHeader { is_marker: false, pt: 63, seq: self.seq, ts_rtp, ssrc };
        let extensions = OutExtensions { mid: Some(mid), ..OutExtensions::default() };
        self.seq = self.seq.wrapping_add(1);
        self.frame += 1;
        let mut packet = vec![0; 1600];
        let head =
            RtpWriter::new(EXTENSIONS).write_header(&mut packet, &header, &extensions).unwrap();
        let block = |ts_offset| RedBlock { pt: 111, ts_offset, data: &[7; 80] };
        let blocks = [block(1920), block(960)];
        let len = write_red(&mut packet[head..], &blocks, 111, &[7; 80]).unwrap();
        let len = self.sender.protect_rtp(&mut packet, head + len).unwrap();
        packet.truncate(len);
        packet
    }

    /// Takes packets of the publisher, and sends nothing yet.
    pub fn take(&mut self, packets: &mut [Vec<u8>]) {
        for packet in packets {
            self.core.handle_datagram(self.now, path(0), packet);
        }
    }

    /// Delivers the packets of one frame in one batch.
    pub fn deliver(&mut self, mut frame: Vec<Vec<u8>>) {
        self.now += 33_333;
        self.take(&mut frame);
        self.core.handle_timeout(self.now);
        self.core.flush(self.now, &mut self.egress);
        while self.core.poll_event().is_some() {}
    }

    /// Gives every subscriber a budget and copies.
    pub fn set_budgets(&mut self, rate_bps: u32, copies: u8) {
        for peer in 1..=self.num_sinks {
            self.apply(Command::SetBudget { transport: TransportId(peer), rate_bps });
            self.apply(Command::SetProtection { sink: SinkId(peer), copies });
        }
    }

    /// Lets timers run for `us`.
    pub fn wait(&mut self, us: Micros) {
        let until = self.now + us;
        loop {
            let next = self.core.next_timeout().max(self.now + 1);
            if next > until {
                break;
            }
            self.now = next;
            self.core.handle_timeout(next);
            self.core.flush(next, &mut self.egress);
        }
    }

    /// Seals and delivers one frame.
    pub fn send_frame(&mut self, count: usize, len: usize) {
        let frame = self.seal_frame(count, len);
        self.deliver(frame);
    }
}

fn payloads() -> Vec<Payload> {
    vec![
        Payload { pt: 111, codec: Codec::Opus, rtx_pt: 0 },
        Payload { pt: 63, codec: Codec::Red, rtx_pt: 0 },
        Payload { pt: 96, codec: Codec::Vp8, rtx_pt: 97 },
    ]
}

fn path(peer: u32) -> Path {
    let remote = ([10, 0, (peer >> 8) as u8, peer as u8], 5000).into();
    Path { local: Local::Udp(0), remote }
}
