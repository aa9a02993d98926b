//! Synthetic tracks: VP8 or H.264 simulcast with recognisable payloads, and Opus.

use aislecast_engine::api::{Codec, Micros, Payload};
use aislecast_engine::wire::red::{RedBlock, TS_OFFSET_MAX, write_red};
use aislecast_engine::wire::rtcp::SenderInfo;
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader, RtpWriter, abs_send_time};
use aislecast_engine::wire::vp8::Vp8Descriptor;

use super::{EXTENSIONS, Peer, World, payloads};

/// Marks of a synthetic VP8 payload behind the descriptor: frame tag, layer, frame number (u32),
/// packet number, packets of the frame.
pub const MARK_LEN: usize = 8;

#[derive(Clone, Debug)]
pub struct Layer {
    pub rid: String,
    pub ssrc: u32,
    pub seq: u16,
    pub ts_base: u32,
    pub packets: usize,
    pub key_packets: usize,
    pub is_on: bool,
    pub pid: u16,
    pub tl0: u8,
    pub frame: u32,
    pub needs_key: bool,
}

/// A camera.
#[derive(Clone, Debug)]
pub struct VideoTrack {
    pub peer: usize,
    pub mid: String,
    pub layers: Vec<Layer>,
    pub interval_us: Micros,
    pub payload_len: usize,
    pub temporal_layers: u8,
    pub has_long_pid: bool,
    pub next_us: Micros,
    pub twcc: u16,
    pub started_us: Micros,
    pub sr_due_us: Micros,
    pub sends_reports: bool,
    pub answers_plis: bool,
    /// Packets carry mid and rid.
    pub says_who: bool,
    /// Packets carry when they left.
    pub says_when: bool,
    plis_seen: usize,
}

impl VideoTrack {
    pub fn new(world: &World, peer: usize, mid: &str, rids: &[&str]) -> VideoTrack {
        let layers = rids.iter().enumerate().map(|(at, rid)| Layer {
            rid: rid.to_string(),
            ssrc: 0x1000 * (peer as u32 + 1) + at as u32 * 2,
            seq: 65_000 + at as u16 * 100,
            ts_base: 0xffff_0000u32.wrapping_add(at as u32 * 777_777),
            packets: at + 1,
            key_packets: (at + 1) * 4,
            is_on: true,
            pid: 30 + at as u16 * 40,
            tl0: 250,
            frame: 0,
            needs_key: true,
        });
        VideoTrack {
            peer,
            mid: mid.into(),
            layers: layers.collect(),
            interval_us: 33_333,
            payload_len: 1000,
            temporal_layers: 1,
            has_long_pid: true,
            next_us: world.now,
            twcc: 0,
            started_us: world.now,
            sr_due_us: world.now + 100_000,
            sends_reports: true,
            answers_plis: true,
            says_who: true,
            says_when: false,
            plis_seen: 0,
        }
    }

    fn ts(&self, layer: usize, now: Micros) -> u32 {
        let ticks = (now - self.started_us) * 9 / 100;
        self.layers[layer].ts_base.wrapping_add(ticks as u32)
    }

    /// Sends the frame that is due, if one is; call at least once per frame interval.
    pub fn step(&mut self, world: &mut World) {
        self.hear_plis(&world.peers[self.peer]);
        if self.sends_reports && world.now >= self.sr_due_us {
            self.sr_due_us += 500_000;
            self.send_reports(world);
        }
        if world.now < self.next_us {
            return;
        }
        self.next_us += self.interval_us;
        for at in 0..self.layers.len() {
            if self.layers[at].is_on {
                self.send_frame(world, at);
            }
        }
    }

    fn hear_plis(&mut self, peer: &Peer) {
        let plis: Vec<u32> = peer
            .heard
            .iter()
            .filter_map(|heard| match heard {
                super::peer::Heard::Pli(_, ssrc) => Some(*ssrc),
                _ => None,
            })
            .collect();
        if self.answers_plis {
            for ssrc in &plis[self.plis_seen.min(plis.len())..] {
                for layer in self.layers.iter_mut().filter(|layer| layer.ssrc == *ssrc) {
                    layer.needs_key = true;
                }
            }
        }
        self.plis_seen = plis.len();
    }

    fn send_reports(&mut self, world: &mut World) {
        for at in 0..self.layers.len() {
            let ts_rtp = self.ts(at, world.now);
            // The peer's wall clock has nothing to do with ours.
            let us = world.now + 5_000_000_000;
            let ntp = ((us / 1_000_000) << 32) | (((us % 1_000_000) << 32) / 1_000_000);
            let info = SenderInfo {
                ssrc: self.layers[at].ssrc,
                ntp,
                ts_rtp,
                num_packets: 0,
                num_bytes: 0,
            };
            let report = world.peers[self.peer].rtcp(|writer| {
                writer.sender_report(&info, &[]);
            });
            world.send(self.peer, report);
        }
    }

    pub fn send_frame(&mut self, world: &mut World, at: usize) {
        let ts_rtp = self.ts(at, world.now);
        let (temporal_layers, has_long_pid) = (self.temporal_layers, self.has_long_pid);
        let layer = &mut self.layers[at];
        let is_key = std::mem::take(&mut layer.needs_key);
        let temporal = match temporal_layers {
            1 => 0,
            _ if is_key => {
                layer.frame = layer.frame.next_multiple_of(4);
                0
            }
            2 => (layer.frame % 2) as u8,
            _ => [0, 2, 1, 2][layer.frame as usize % 4],
        };
        layer.pid = (layer.pid + 1) & if has_long_pid { 0x7fff } else { 0x7f };
        layer.tl0 = layer.tl0.wrapping_add(u8::from(temporal == 0));
        let count = if is_key { layer.key_packets } else { layer.packets };
        for packet in 0..count {
            let payload = vp8_payload(
                layer,
                at,
                is_key,
                temporal,
                [packet, count],
                has_long_pid,
                self.payload_len,
            );
            let header = RtpHeader {
                is_marker: packet + 1 == count,
                pt: 96,
                seq: layer.seq,
                ts_rtp,
                ssrc: layer.ssrc,
            };
            layer.seq = layer.seq.wrapping_add(1);
            let extensions = OutExtensions {
                mid: self.says_who.then_some(self.mid.as_bytes()),
                rid: self.says_who.then_some(layer.rid.as_bytes()),
                twcc: Some(self.twcc),
                abs_send_time: self.says_when.then(|| abs_send_time(world.now)),
                ..OutExtensions::default()
            };
            self.twcc = self.twcc.wrapping_add(1);
            send_remembered(world, self.peer, &header, &extensions, &payload, 97);
        }
        self.layers[at].frame += 1;
    }
}

fn vp8_payload(
    layer: &Layer,
    at: usize,
    is_key: bool,
    temporal: u8,
    [packet, count]: [usize; 2],
    has_long_pid: bool,
    len: usize,
) -> Vec<u8> {
    let descriptor = Vp8Descriptor {
        is_partition_start: packet == 0,
        temporal: Some(temporal),
        is_layer_sync: temporal > 0,
        key_idx: None,
        ..Vp8Descriptor::default()
    };
    let mut payload = vec![0; 8];
    let head = match has_long_pid {
        true => descriptor.write(&mut payload, Some(layer.pid), Some(layer.tl0)).unwrap(),
        false => {
            // X, S; I, L, T; seven-bit picture id; TL0PICIDX; TID and Y.
            let first = 0x80 | if packet == 0 { 0x10 } else { 0 };
            let last = (temporal << 6) | if temporal > 0 { 0x20 } else { 0 };
            payload[..5].copy_from_slice(&[first, 0xe0, layer.pid as u8, layer.tl0, last]);
            5
        }
    };
    payload.truncate(head);
    let tag = u8::from(!is_key);
    payload.extend_from_slice(&[tag, at as u8]);
    payload.extend_from_slice(&layer.frame.to_be_bytes());
    payload.extend_from_slice(&[packet as u8, count as u8]);
    payload.resize(head + len, layer.frame as u8);
    payload
}

/// Sends a packet and keeps it for NACKs of the server.
pub fn send_remembered(
    world: &mut World,
    peer: usize,
    header: &RtpHeader,
    extensions: &OutExtensions<'_>,
    payload: &[u8],
    rtx_pt: u8,
) {
    let mut plain = vec![0; 2048];
    let at = RtpWriter::new(EXTENSIONS).write_header(&mut plain, header, extensions).unwrap();
    plain[at..at + payload.len()].copy_from_slice(payload);
    let len = at + payload.len();
    let sealed = world.peers[peer].protect(plain.clone(), len);
    plain.truncate(len);
    let one = &mut world.peers[peer];
    one.resends.insert((header.ssrc, header.seq), plain);
    one.rtx_of.entry(header.ssrc).or_insert((header.ssrc + 1, rtx_pt, 100));
    world.send(peer, sealed);
}

/// A microphone.
#[derive(Clone, Debug)]
pub struct AudioTrack {
    pub peer: usize,
    pub mid: String,
    pub ssrc: u32,
    pub seq: u16,
    pub ts: u32,
    pub pt: u8,
    pub level: u8,
    pub next_us: Micros,
    pub frame: u32,
    /// Earlier frames that a packet of RED (`pt` 63) carries.
    pub distance: usize,
    sent: Vec<(u32, Vec<u8>)>,
}

impl AudioTrack {
    pub fn new(world: &World, peer: usize, mid: &str) -> AudioTrack {
        AudioTrack {
            peer,
            mid: mid.into(),
            ssrc: 0x9000 + peer as u32 * 16,
            seq: 65_500,
            ts: 0xffff_f000,
            pt: 111,
            level: 20,
            next_us: world.now,
            frame: 0,
            distance: 1,
            sent: Vec::new(),
        }
    }

    pub fn step(&mut self, world: &mut World) {
        if world.now < self.next_us {
            return;
        }
        self.next_us += 20_000;
        let mut payload = vec![0x78];
        payload.extend_from_slice(&self.frame.to_be_bytes());
        payload.resize(80, self.frame as u8);
        let carried = match self.pt {
            63 => self.to_red(&payload),
            _ => payload.clone(),
        };
        self.sent.push((self.ts, payload));
        self.send(world, &carried);
        self.frame += 1;
    }

    /// As libwebrtc does it: the frames right before, as far as their offsets reach.
    fn to_red(&self, payload: &[u8]) -> Vec<u8> {
        let blocks: Vec<RedBlock<'_>> = self
            .sent
            .iter()
            .skip(self.sent.len().saturating_sub(self.distance))
            .map(|(ts, data)| (self.ts.wrapping_sub(*ts), data))
            .filter(|&(offset, _)| offset <= TS_OFFSET_MAX)
            .map(|(offset, data)| RedBlock { pt: 111, ts_offset: offset as u16, data })
            .collect();
        let mut red = vec![0; 1200];
        let len = write_red(&mut red, &blocks, 111, payload).unwrap();
        red.truncate(len);
        red
    }

    pub fn send(&mut self, world: &mut World, payload: &[u8]) {
        let header = RtpHeader {
            is_marker: false,
            pt: self.pt,
            seq: self.seq,
            ts_rtp: self.ts,
            ssrc: self.ssrc,
        };
        self.seq = self.seq.wrapping_add(1);
        self.ts = self.ts.wrapping_add(960);
        let extensions = OutExtensions {
            mid: Some(self.mid.as_bytes()),
            audio_level: Some((true, self.level)),
            ..OutExtensions::default()
        };
        let sealed = world.peers[self.peer].rtp(&header, &extensions, payload);
        world.send(self.peer, sealed);
    }
}

/// Of `payloads` those of some codecs.
pub fn only(codecs: &[Codec]) -> Vec<Payload> {
    payloads().into_iter().filter(|payload| codecs.contains(&payload.codec)).collect()
}

/// Number that the synthetic microphone gave a frame.
pub fn frame_of(data: &[u8]) -> u32 {
    u32::from_be_bytes(data[1..5].try_into().unwrap())
}
