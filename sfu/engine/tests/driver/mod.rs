//! Runs a program of bytes against the core: authenticated and raw datagrams, commands, time.
//! Used by the random test and by the fuzz target `core`.

use aislecast_engine::api::{
    Codec, Command, EncodingConfig, ExtMap, Layers, Local, Micros, Path, Payload, SinkConfig,
    SinkId, SourceConfig, SourceId, SrtpProfile, TapId, TransportId,
};
use aislecast_engine::core::{Core, Counters, Egress};
use aislecast_engine::wire::rtcp::RtcpWriter;
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader, RtpWriter, abs_send_time};
use aislecast_engine::wire::srtp::SrtpSender;
use aislecast_engine::wire::stun::{
    BindingRequest, Carried, IceRole, StunKey, write_binding_request,
};
use aislecast_engine::wire::twcc_feedback::{Arrival, FeedbackHeader};

const PEERS: u32 = 3;
const CARRIED: Carried<'static> = Carried { dtls: Some(&[22; 40]), receipts: Some(&[]) };
const KEY: [u8; 28] = [3; 28];
const EXTENSIONS: ExtMap = ExtMap {
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

/// Segments of a bundle, and what UDP has room for.
const MAX_SEGMENTS: usize = 32;
const MAX_DATAGRAM: usize = 65_507;

/// Checks what a `send` promises.
#[derive(Default)]
struct Checked {
    datagrams: usize,
}

impl Egress for Checked {
    fn send(&mut self, _: Path, data: &[u8], segment: Option<usize>) {
        assert!(!data.is_empty());
        if let Some(segment) = segment {
            assert!(data.len() > segment && data.len() <= segment * MAX_SEGMENTS);
            assert!(data.len() <= MAX_DATAGRAM, "one call takes no more");
        }
        self.datagrams += data.len().div_ceil(segment.unwrap_or(data.len()));
    }
}

struct Program<'a> {
    bytes: &'a [u8],
    core: Core,
    now: Micros,
    senders: Vec<SrtpSender>,
    egress: Checked,
    num_ids: u32,
    /// What waits on the publisher's line.
    lag_us: Micros,
    next_seqs: [u16; 16],
}

/// Runs `bytes` to their end and checks the invariants; returns what was counted.
pub fn run(bytes: &[u8]) -> Counters {
    let mut program = Program {
        bytes,
        core: Core::new(1),
        now: 1_000_000,
        senders: (0..PEERS).map(|_| sender()).collect(),
        egress: Checked::default(),
        num_ids: 100,
        lag_us: 0,
        next_seqs: [65_500; 16],
    };
    program.set_up();
    while !program.bytes.is_empty() {
        program.step();
    }
    program.pass(3_000_000);
    let counters = *program.core.counters();
    assert_eq!(counters.dropped_seal, 0, "a number was used twice");
    assert_eq!(counters.sent_datagrams as usize, program.egress.datagrams);
    let mut rows = Vec::new();
    program.core.snapshot_transports(program.now, &mut rows);
    program.core.snapshot_encodings(program.now, &mut rows);
    program.core.snapshot_sinks(program.now, &mut rows);
    counters
}

fn sender() -> SrtpSender {
    SrtpSender::new(SrtpProfile::AeadAes128Gcm, &KEY).expect("the key fits")
}

fn payloads() -> Vec<Payload> {
    let with = |pt, codec, rtx_pt| Payload { pt, codec, rtx_pt };
    vec![
        with(111, Codec::Opus, 0),
        with(63, Codec::Red, 0),
        with(96, Codec::Vp8, 97),
        with(102, Codec::H264, 103),
        with(98, Codec::Vp9, 99),
        with(45, Codec::Av1, 46),
    ]
}

fn path(peer: u32) -> Path {
    Path { local: Local::Udp(0), remote: ([10, 0, 0, peer as u8], 5000).into() }
}

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        first
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let (head, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        head.to_vec()
    }

    fn apply(&mut self, command: Command) {
        self.core.apply(self.now, command);
    }

    fn set_up(&mut self) {
        for peer in 0..PEERS {
            let transport = TransportId(peer);
            let (ufrag, password) = (format!("u{peer}"), format!("p{peer}"));
            self.apply(Command::AddTransport {
                transport,
                local_ufrag: ufrag,
                local_pwd: password,
            });
            self.apply(Command::SetMedia {
                transport,
                extensions: EXTENSIONS,
                payloads: payloads(),
            });
            self.apply(Command::SetSrtp {
                transport,
                profile: SrtpProfile::AeadAes128Gcm,
                receive_key: KEY.to_vec(),
                send_key: KEY.to_vec(),
            });
            self.check(peer);
        }
        self.add_source(SourceId(1), false, &["q", "h", "f"]);
        self.add_source(SourceId(2), true, &[""]);
        let encodings = vec![EncodingConfig::default(); 2];
        let config = SourceConfig { mid: String::new(), is_audio: false, encodings };
        self.apply(Command::AddSource { source: SourceId(3), transport: None, config });
        for (at, source) in [1, 1, 2, 3].into_iter().enumerate() {
            self.add_sink(at as u32, source);
        }
        self.apply(Command::AddTap {
            tap: TapId(1),
            source: SourceId(1),
            max_bytes: 20_000,
            is_lowest: false,
        });
        self.apply(Command::AddTap {
            tap: TapId(2),
            source: SourceId(2),
            max_bytes: 20_000,
            is_lowest: false,
        });
    }

    fn check(&mut self, peer: u32) {
        let key = StunKey::new(format!("p{peer}").as_bytes());
        let request = BindingRequest {
            transaction_id: [1; 12],
            username: &format!("u{peer}:r"),
            priority: 1,
            role: IceRole::Controlling(1),
            is_use_candidate: true,
            // Every other peer does its handshake inside checks.
            carried: if peer % 2 == 1 { CARRIED } else { Carried::default() },
        };
        let mut data = [0; 256];
        let len = write_binding_request(&mut data, &request, &key).expect("room");
        self.core.handle_datagram(self.now, path(peer), &mut data[..len]);
    }

    fn add_source(&mut self, source: SourceId, is_audio: bool, rids: &[&str]) {
        let encodings = rids
            .iter()
            .map(|rid| EncodingConfig { rid: rid.to_string(), ssrc: 0, rtx_ssrc: 0 })
            .collect();
        let config = SourceConfig { mid: source.0.to_string(), is_audio, encodings };
        let transport = Some(TransportId(0));
        self.apply(Command::AddSource { source, transport, config });
    }

    fn add_sink(&mut self, sink: u32, source: u32) {
        let config = SinkConfig {
            ssrc: 1000 + sink * 2,
            rtx_ssrc: 1001 + sink * 2,
            mid: "0".into(),
            payloads: payloads(),
        };
        let layers = Layers { spatial: 1, temporal: 7, paused: false };
        let (transport, source) = (TransportId(1 + sink % 2), SourceId(source));
        self.apply(Command::AddSink { sink: SinkId(sink), transport, source, config, layers });
    }

    fn step(&mut self) {
        let choice = self.byte();
        match choice % 18 {
            // Two of 256, so that the numbers of the others stay.
            _ if choice >= 254 => self.burst(),
            0..=5 => self.rtp(),
            6 => self.rtcp(),
            7 => self.raw(),
            8 => {
                let us = Micros::from(self.byte()) * 500;
                self.pass(us);
            }
            9 | 10 => self.layers(),
            11 => self.churn(),
            12 => self.frame(),
            13 => {
                let tap = TapId(u32::from(self.byte() % 3));
                self.core.drain_tap(tap, 5, &mut Vec::new());
            }
            14 => {
                let peer = u32::from(self.byte()) % PEERS;
                self.check(peer);
            }
            15 => self.budgets(),
            16 => self.feedback(),
            _ => self.pass(20_000),
        }
    }

    fn pass(&mut self, us: Micros) {
        let until = self.now + us;
        loop {
            self.core.handle_timeout(self.now);
            self.core.flush(self.now, &mut self.egress);
            while self.core.poll_event().is_some() {}
            let next = self.core.next_timeout().max(self.now + 1_000);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
        }
    }

    /// An authenticated packet with mostly plausible fields.
    fn rtp(&mut self) {
        let [choice, seq, ts, flags] = [self.byte(), self.byte(), self.byte(), self.byte()];
        let layer = choice % 4;
        // Another codec starts the stream anew, so that is kept rare.
        let common = [96, 96, 96, 96, 96, 97, 97, 111, 111, 63];
        let rare = [102, 103, 98, 45, 13, 46];
        let at = usize::from(choice / 4);
        let pt = if flags > 250 { rare[at % 6] } else { common[at % 10] };
        let is_rtx = matches!(pt, 97 | 103);
        let is_audio = matches!(pt, 111 | 63);
        let rids: [&[u8]; 4] = [b"q", b"h", b"f", b"x"];
        let rid = Some(rids[usize::from(layer)]);
        let stream = usize::from(layer) + if is_rtx { 4 } else { 0 } + usize::from(is_audio) * 8;
        // Mostly the next number, sometimes one before or after it, rarely a jump.
        let step = match seq {
            0..=223 => 0,
            224..=250 => i16::from(seq) - 234,
            _ => i16::from(seq) * 77,
        };
        let next = self.next_seqs[stream].wrapping_add_signed(step);
        self.next_seqs[stream] = next.wrapping_add(1);
        let header = RtpHeader {
            is_marker: flags & 1 != 0,
            pt,
            seq: next,
            ts_rtp: match flags & 6 {
                0 => u32::from(ts).wrapping_mul(0x0101_0101),
                _ => u32::from(next / 2).wrapping_mul(3000),
            },
            ssrc: 50 + stream as u32,
        };
        let extensions = OutExtensions {
            mid: (flags & 8 == 0).then_some(if is_audio { b"2" } else { b"1" }),
            rid: rid.filter(|_| !is_rtx && !is_audio),
            repaired_rid: rid.filter(|_| is_rtx),
            audio_level: is_audio.then_some((true, seq)),
            twcc: Some(u16::from(seq) << 4),
            abs_send_time: self.send_time(ts),
            dependency: (flags & 16 != 0).then_some(&[1; 30]),
            ..OutExtensions::default()
        };
        let len = usize::from(self.byte()) / 8;
        let mut payload = self.take(len);
        if flags & 0x60 != 0 && matches!(pt, 96 | 97) {
            // A VP8 frame start: 15-bit picture id, TL0PICIDX, temporal layer, then the frame tag.
            let pid = (next / 2).to_be_bytes();
            let tag = u8::from(flags & 0x80 != 0);
            let head = [0x90, 0xe0, pid[0] | 0x80, pid[1], ts / 4, ts << 6, tag];
            payload.splice(..0, head);
        }
        if pt == 63 && flags & 0x60 != 0 {
            // One frame before the primary, as far back as the dice say.
            let offset = (u16::from(ts) << 6 | 0x40).to_be_bytes();
            let size = payload.len().min(3) as u8;
            payload.splice(..0, [0x80 | 111, offset[0], offset[1] & 0xfc, size, 111]);
        }
        if is_rtx {
            let lost = self.next_seqs[usize::from(layer)].wrapping_sub(2 + u16::from(seq & 7));
            payload.splice(..0, lost.to_be_bytes());
        }
        self.publish(&header, &extensions, &payload);
    }

    fn publish(&mut self, header: &RtpHeader, extensions: &OutExtensions<'_>, payload: &[u8]) {
        let mut packet = vec![0; 1500];
        let writer = RtpWriter::new(EXTENSIONS);
        let at = writer.write_header(&mut packet, header, extensions).expect("room");
        packet[at..at + payload.len()].copy_from_slice(payload);
        self.seal(0, packet, at + payload.len());
    }

    /// Packets of the lowest layer one behind the other, as a line lets them through that is fast,
    /// narrow, or gets so meanwhile; now and then one is lost.
    fn burst(&mut self) {
        let [count, gap, lag, holes] = [self.byte(), self.byte(), self.byte(), self.byte()];
        for number in 0..count {
            self.pass(Micros::from(gap) * 250);
            self.lag_us = match lag & 0x80 {
                0 => self.lag_us.saturating_sub(Micros::from(lag) * 250),
                _ => (self.lag_us + Micros::from(lag & 0x7f) * 500).min(5_000_000),
            };
            let seq = self.next_seqs[0];
            let is_lost = holes & 0x80 != 0 && number % (holes & 0x1f).max(2) == 0;
            self.next_seqs[0] = seq.wrapping_add(1 + u16::from(is_lost));
            let ts_rtp = u32::from(seq / 2).wrapping_mul(3000);
            let header = RtpHeader { is_marker: seq % 2 == 1, pt: 96, seq, ts_rtp, ssrc: 50 };
            let extensions = OutExtensions {
                mid: Some(b"1"),
                rid: Some(b"q"),
                twcc: Some(seq),
                abs_send_time: Some(abs_send_time(self.now.saturating_sub(self.lag_us))),
                ..OutExtensions::default()
            };
            self.publish(&header, &extensions, &[0; 1100]);
        }
    }

    /// When the publisher says that it sent a packet: mostly on a line with a queue, which falls and
    /// comes back; sometimes at any time, or it does not say.
    fn send_time(&mut self, dice: u8) -> Option<u32> {
        self.lag_us = match dice & 7 {
            0..=3 => (self.lag_us + Micros::from(dice >> 3) * 2_000).min(900_000),
            4 | 5 => self.lag_us / 2,
            6 => 0,
            _ => self.lag_us,
        };
        match dice {
            0xfe => None,
            0xff => Some((u32::from(self.next_seqs[0]) << 8) ^ u32::from(self.next_seqs[2])),
            _ => Some(abs_send_time(self.now.saturating_sub(self.lag_us))),
        }
    }

    fn seal(&mut self, peer: u32, mut packet: Vec<u8>, len: usize) {
        // A number used before cannot be sealed; a peer would not send it either.
        if let Ok(len) = self.senders[peer as usize].protect_rtp(&mut packet, len) {
            self.core.handle_datagram(self.now, path(peer), &mut packet[..len]);
        }
    }

    fn rtcp(&mut self) {
        let peer = u32::from(self.byte()) % PEERS;
        let format = 0x80 | (self.byte() & 0x1f);
        let kind = [200, 201, 205, 206][usize::from(self.byte()) % 4];
        let len = usize::from(self.byte()) / 16 * 4;
        let mut packet = vec![0; 400];
        let ssrc = [0, 0, 3, 232 + (self.byte() % 8)];
        let body = self.take(len);
        packet[..4].copy_from_slice(&[format, kind, 0, (body.len() / 4 + 2) as u8]);
        packet[8..12].copy_from_slice(&ssrc);
        packet[12..12 + body.len()].copy_from_slice(&body);
        let len = 12 + body.len() / 4 * 4;
        if let Ok(len) = self.senders[peer as usize].protect_rtcp(&mut packet, len) {
            self.core.handle_datagram(self.now, path(peer), &mut packet[..len]);
        }
    }

    fn raw(&mut self) {
        let (peer, len) = (u32::from(self.byte()) % (PEERS + 1), usize::from(self.byte()));
        let mut data = self.take(len);
        self.core.handle_datagram(self.now, path(peer), &mut data);
    }

    fn layers(&mut self) {
        let (sink, choice) = (SinkId(u32::from(self.byte()) % 4), self.byte());
        let layers = Layers {
            spatial: choice & 3,
            temporal: (choice >> 2) & 7,
            paused: choice & 0xe0 == 0xe0,
        };
        self.apply(Command::SetLayers { sink, layers });
        self.apply(Command::SetRed { sink, num_earlier: choice >> 5 });
        let source = SourceId(1 + u32::from(choice & 3));
        self.apply(Command::SetSpeakerGroup { source, group: u32::from(choice >> 6) });
        self.apply(Command::SetGroupSize { group: u32::from(choice >> 6), size: choice & 3 });
    }

    /// Budgets, probes and copies, sensible and not.
    fn budgets(&mut self) {
        let [choice, size, time] = [self.byte(), self.byte(), self.byte()];
        let rate_bps = [0, 1, 60_000, 300_000, 2_000_000, u32::MAX][usize::from(size) % 6];
        // One of them does not exist.
        let transport = TransportId(u32::from(choice >> 3) % (PEERS + 1));
        match choice % 4 {
            0 => self.apply(Command::LimitUplink { transport, rate_bps }),
            1 => self.apply(Command::SetBudget { transport, rate_bps }),
            2 => {
                let duration_us = u32::from(time) * 1000;
                let probe = u32::from(size);
                self.apply(Command::Probe { transport, probe, rate_bps, duration_us });
            }
            _ => {
                let sink = SinkId(u32::from(time) % 5);
                self.apply(Command::SetProtection { sink, copies: size });
            }
        }
    }

    /// Transport-wide feedback about whatever numbers, with times that may run anywhere.
    fn feedback(&mut self) {
        let [peer, base, count, step] = [self.byte(), self.byte(), self.byte(), self.byte()];
        let peer = u32::from(peer) % PEERS;
        let start_us = u64::from(base) << (step % 24);
        let arrivals: Vec<Arrival> = (0..u64::from(count % 100))
            .filter(|at| at % u64::from(step % 7 + 1) == 0)
            .map(|at| Arrival {
                seq_ext: 65_536 + u64::from(base) + at,
                arrived_us: start_us + at * u64::from(step) * 250,
            })
            .collect();
        let Some(first) = arrivals.first() else {
            return;
        };
        let base_seq_ext = first.seq_ext;
        let header =
            FeedbackHeader { sender_ssrc: 1, media_ssrc: 2, feedback_count: 0, base_seq_ext };
        let mut packet = vec![0; 1500];
        let mut writer = RtcpWriter::new(&mut packet[..1200]);
        if writer.transport_cc(&header, &arrivals).is_none() {
            return;
        }
        let len = writer.len();
        if let Ok(len) = self.senders[peer as usize].protect_rtcp(&mut packet, len) {
            self.core.handle_datagram(self.now, path(peer), &mut packet[..len]);
        }
    }

    fn churn(&mut self) {
        let choice = self.byte();
        let sink = u32::from(choice >> 4) % 4;
        match choice & 7 {
            0 => self.apply(Command::MuteSource { source: SourceId(1), muted: true }),
            1 => self.apply(Command::MuteSource { source: SourceId(1), muted: false }),
            2 => self.apply(Command::RemoveSink { sink: SinkId(sink) }),
            3 => self.add_sink(sink, 1 + u32::from(choice >> 6) % 3),
            4 => self.apply(Command::RequestKeyframe { source: SourceId(1), encoding: 255 }),
            5 => {
                self.apply(Command::RemoveSource { source: SourceId(1) });
                self.add_source(SourceId(1), false, &["q", "h", "f"]);
            }
            6 => {
                self.num_ids += 1;
                let (tap, source) = (TapId(self.num_ids), SourceId(1 + self.num_ids % 3));
                self.apply(Command::AddTap {
                    tap,
                    source,
                    max_bytes: 1000,
                    is_lowest: choice & 64 == 0,
                });
                self.apply(Command::RemoveTap { tap: TapId(self.num_ids - 1) });
            }
            _ => self.core.handle_closed(self.now, Local::Tcp(u32::from(choice))),
        }
    }

    fn frame(&mut self) {
        let [encoding, ts, len] = [self.byte(), self.byte(), self.byte()];
        let codec = if encoding & 8 != 0 { Codec::Vp8 } else { Codec::H264 };
        let data = self.take(usize::from(len) / 4);
        self.apply(Command::PushFrame {
            source: SourceId(3),
            encoding: encoding & 3,
            codec,
            ts_rtp: u32::from(ts) * 3000,
            data,
        });
    }
}
