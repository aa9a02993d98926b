//! One browser-like peer: ICE checks, SRTP both ways, NACK and receiver reports, and a record of
//! everything it received.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use aislecast_engine::api::{Micros, SrtpProfile, TransportId};
use aislecast_engine::wire::demux::{PacketKind, classify};
use aislecast_engine::wire::rtcp::{RtcpPacket, RtcpWriter, SenderInfo, packets};
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader, RtpView, RtpWriter};
use aislecast_engine::wire::srtp::{SrtpError, SrtpReceiver, SrtpSender, key_salt_len};
use aislecast_engine::wire::stun::{
    BindingRequest, Carried, IceRole, StunKey, write_binding_request,
};
use aislecast_engine::wire::twcc_feedback::{Arrival, FeedbackHeader};

use super::{EXTENSIONS, Link};

/// An RTP packet as it came out of SRTP; retransmissions are unwrapped.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Micros,
    pub ssrc: u32,
    pub pt: u8,
    pub seq: u16,
    pub ts: u32,
    pub is_marker: bool,
    pub is_rtx: bool,
    pub mid: Option<String>,
    pub level: Option<(bool, u8)>,
    pub twcc: Option<u16>,
    pub padding: u8,
    pub payload: Vec<u8>,
}

/// What a peer heard by RTCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    SenderReport(Micros, SenderInfo),
    ReceiverReport { ssrc: u32, fraction_lost: u8, num_lost: i32 },
    Nack(u32, Vec<u16>),
    Pli(Micros, u32),
    TransportCc(usize),
    Remb(u64),
}

pub struct Peer {
    pub id: TransportId,
    pub addr: SocketAddr,
    pub old_addrs: Vec<SocketAddr>,
    pub ufrag: String,
    pub password: String,
    pub send_key: Vec<u8>,
    pub receive_key: Vec<u8>,
    pub uplink: Link,
    pub downlink: Link,
    pub received: Vec<Received>,
    pub heard: Vec<Heard>,
    pub stun_answers: Vec<Vec<u8>>,
    pub undecryptable: usize,
    /// Retransmission packets of nothing but padding: when, and how much.
    pub padding: Vec<(Micros, u8)>,
    /// Asks for what is missing, as a browser does.
    pub sends_nacks: bool,
    /// Answers NACKs of the server from here: (ssrc, seq) -> whole plain packet and its RTX stream.
    pub resends: BTreeMap<(u32, u16), Vec<u8>>,
    pub rtx_of: BTreeMap<u32, (u32, u8, u16)>,
    /// A packet that was just sent again is not within this time: libwebrtc takes its round trip.
    pub resend_pause_us: Micros,
    resent_us: BTreeMap<(u32, u16), Micros>,
    pub arrivals: BTreeMap<u64, Micros>,
    pub sender: SrtpSender,
    receiver: SrtpReceiver,
    transaction: u8,
    missing: BTreeMap<u32, BTreeSet<u16>>,
    highest: BTreeMap<u32, u16>,
    feedback_count: u8,
}

impl Peer {
    pub fn new(at: usize, id: TransportId, profile: SrtpProfile, link: Link) -> Peer {
        let len = key_salt_len(profile);
        // Keys may come again where there are very many.
        let send_key = vec![(at as u8).wrapping_mul(2).wrapping_add(1); len];
        let receive_key = vec![(at as u8).wrapping_mul(2).wrapping_add(2); len];
        Peer {
            id,
            addr: SocketAddr::from(([10, 0, (at >> 8) as u8, at as u8], 5000)),
            old_addrs: Vec::new(),
            ufrag: format!("ufrag{at}"),
            password: format!("password-of-peer-{at}"),
            uplink: link,
            downlink: link,
            received: Vec::new(),
            heard: Vec::new(),
            stun_answers: Vec::new(),
            undecryptable: 0,
            padding: Vec::new(),
            sends_nacks: false,
            resends: BTreeMap::new(),
            rtx_of: BTreeMap::new(),
            resend_pause_us: 0,
            resent_us: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            sender: SrtpSender::new(profile, &send_key).unwrap(),
            receiver: SrtpReceiver::new(profile, &receive_key).unwrap(),
            send_key,
            receive_key,
            transaction: 0,
            missing: BTreeMap::new(),
            highest: BTreeMap::new(),
            feedback_count: 0,
        }
    }

    pub fn owns(&self, addr: SocketAddr) -> bool {
        self.addr == addr || self.old_addrs.contains(&addr)
    }

    /// A binding request of a controlling browser.
    pub fn check(&mut self, nominates: bool) -> Vec<u8> {
        let key = StunKey::new(self.password.as_bytes());
        self.check_with(&key, nominates, IceRole::Controlling(7))
    }

    pub fn check_with(&mut self, key: &StunKey, nominates: bool, role: IceRole) -> Vec<u8> {
        self.transaction = self.transaction.wrapping_add(1);
        let username = format!("{}:remote", self.ufrag);
        let request = BindingRequest {
            transaction_id: [self.transaction; 12],
            username: &username,
            priority: 1,
            role,
            is_use_candidate: nominates,
            carried: Carried::default(),
        };
        let mut out = [0; 256];
        let len = write_binding_request(&mut out, &request, key).unwrap();
        out[..len].to_vec()
    }

    /// A protected RTP packet.
    pub fn rtp(
        &mut self,
        header: &RtpHeader,
        extensions: &OutExtensions<'_>,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut packet = vec![0; 2048];
        let at = RtpWriter::new(EXTENSIONS).write_header(&mut packet, header, extensions).unwrap();
        packet[at..at + payload.len()].copy_from_slice(payload);
        self.protect(packet, at + payload.len())
    }

    pub fn protect(&mut self, mut packet: Vec<u8>, len: usize) -> Vec<u8> {
        let len = self.sender.protect_rtp(&mut packet, len).unwrap();
        packet.truncate(len);
        packet
    }

    /// A protected compound.
    pub fn rtcp(&mut self, write: impl FnOnce(&mut RtcpWriter<'_>)) -> Vec<u8> {
        let mut packet = vec![0; 1500];
        let mut writer = RtcpWriter::new(&mut packet[..1400]);
        write(&mut writer);
        let len = writer.len();
        let len = self.sender.protect_rtcp(&mut packet, len).unwrap();
        packet.truncate(len);
        packet
    }

    pub fn pli(&mut self, ssrc: u32) -> Vec<u8> {
        self.rtcp(|writer| {
            writer.pli(1, ssrc);
        })
    }

    /// Transport-wide feedback about everything that came since the last one.
    pub fn feedback(&mut self) -> Option<Vec<u8>> {
        let arrivals: Vec<Arrival> = std::mem::take(&mut self.arrivals)
            .into_iter()
            .map(|(seq_ext, arrived_us)| Arrival { seq_ext, arrived_us })
            .collect();
        let base_seq_ext = arrivals.first()?.seq_ext;
        self.feedback_count = self.feedback_count.wrapping_add(1);
        let feedback_count = self.feedback_count;
        let header = FeedbackHeader { sender_ssrc: 1, media_ssrc: 2, feedback_count, base_seq_ext };
        Some(self.rtcp(|writer| {
            writer.transport_cc(&header, &arrivals);
        }))
    }

    /// Takes a datagram; returns answers.
    pub fn handle(&mut self, now: Micros, _to: SocketAddr, mut data: Vec<u8>) -> Vec<Vec<u8>> {
        match classify(&data) {
            PacketKind::Stun => {
                self.stun_answers.push(data);
                Vec::new()
            }
            PacketKind::Rtp => self.handle_rtp(now, &mut data),
            PacketKind::Rtcp => self.handle_rtcp(now, &mut data),
            _ => Vec::new(),
        }
    }

    fn handle_rtp(&mut self, now: Micros, data: &mut [u8]) -> Vec<Vec<u8>> {
        let unprotected = match self.receiver.unprotect_rtp(data) {
            Ok(unprotected) => unprotected,
            Err(error) => {
                // The link doubles some datagrams.
                self.undecryptable += usize::from(error != SrtpError::Replay);
                return Vec::new();
            }
        };
        let data = &data[..unprotected.len];
        let view = RtpView::parse(data, &EXTENSIONS).expect("the server sends RTP");
        let is_rtx = matches!(view.pt, 97 | 103 | 46);
        if let Some(twcc) = view.extensions.twcc {
            self.arrivals.insert(65_536 + u64::from(twcc), now);
        }
        let original = match is_rtx {
            true => match view.to_rtx_original(data, view.pt - 1, view.ssrc - 1) {
                Some(original) => original,
                None => {
                    self.padding.push((now, view.padding_len));
                    return Vec::new();
                }
            },
            false => view,
        };
        self.received.push(Received {
            at: now,
            ssrc: original.ssrc,
            pt: original.pt,
            seq: original.seq,
            ts: original.ts_rtp,
            is_marker: original.is_marker,
            is_rtx,
            mid: view.extensions.mid.map(|mid| String::from_utf8(mid.of(data).to_vec()).unwrap()),
            level: view.extensions.audio_level,
            twcc: view.extensions.twcc,
            padding: view.padding_len,
            payload: original.payload(data).to_vec(),
        });
        self.note_gap(original.ssrc, original.seq)
    }

    fn note_gap(&mut self, ssrc: u32, seq: u16) -> Vec<Vec<u8>> {
        let highest = *self.highest.entry(ssrc).or_insert(seq);
        let missing = self.missing.entry(ssrc).or_default();
        missing.remove(&seq);
        let ahead = seq.wrapping_sub(highest);
        if ahead == 0 || ahead > 0x8000 {
            return Vec::new();
        }
        missing.extend((1..ahead).map(|step| highest.wrapping_add(step)));
        self.highest.insert(ssrc, seq);
        Vec::new()
    }

    /// A NACK for all that is missing of `ssrc`.
    pub fn nack(&mut self, ssrc: u32) -> Option<Vec<u8>> {
        let seqs: Vec<u16> = self.missing.get(&ssrc)?.iter().copied().collect();
        if seqs.is_empty() {
            return None;
        }
        Some(self.rtcp(|writer| {
            writer.nack(1, ssrc, &seqs);
        }))
    }

    pub fn missing(&self, ssrc: u32) -> usize {
        self.missing.get(&ssrc).map_or(0, BTreeSet::len)
    }

    fn handle_rtcp(&mut self, now: Micros, data: &mut [u8]) -> Vec<Vec<u8>> {
        let len = match self.receiver.unprotect_rtcp(data) {
            Ok(len) => len,
            Err(error) => {
                self.undecryptable += usize::from(error != SrtpError::Replay);
                return Vec::new();
            }
        };
        let mut answers = Vec::new();
        for packet in packets(&data[..len]) {
            match packet {
                RtcpPacket::SenderReport { info, .. } => {
                    self.heard.push(Heard::SenderReport(now, info))
                }
                RtcpPacket::ReceiverReport { reports, .. } => {
                    for report in reports {
                        self.heard.push(Heard::ReceiverReport {
                            ssrc: report.ssrc,
                            fraction_lost: report.fraction_lost,
                            num_lost: report.num_lost,
                        });
                    }
                }
                RtcpPacket::Nack { media_ssrc, seqs, .. } => {
                    let seqs: Vec<u16> = seqs.collect();
                    for &seq in &seqs {
                        answers.extend(self.resend(now, media_ssrc, seq));
                    }
                    self.heard.push(Heard::Nack(media_ssrc, seqs));
                }
                RtcpPacket::Remb { rate_bps, .. } => self.heard.push(Heard::Remb(rate_bps)),
                RtcpPacket::Pli { media_ssrc, .. } => self.heard.push(Heard::Pli(now, media_ssrc)),
                RtcpPacket::TransportCc(feedback) => {
                    let arrived = feedback.iter().filter(|(_, ticks)| ticks.is_some()).count();
                    self.heard.push(Heard::TransportCc(arrived));
                }
                RtcpPacket::Malformed { .. } => panic!("the server sends RTCP"),
                _ => {}
            }
        }
        answers
    }

    fn resend(&mut self, now: Micros, ssrc: u32, seq: u16) -> Option<Vec<u8>> {
        let plain = self.resends.get(&(ssrc, seq))?.clone();
        let last_us = self.resent_us.get(&(ssrc, seq)).copied();
        if last_us.is_some_and(|last_us| now < last_us + self.resend_pause_us) {
            return None;
        }
        self.resent_us.insert((ssrc, seq), now);
        let (rtx_ssrc, rtx_pt, rtx_seq) = self.rtx_of.get_mut(&ssrc)?;
        let view = RtpView::parse(&plain, &EXTENSIONS)?;
        let header = RtpHeader {
            is_marker: view.is_marker,
            pt: *rtx_pt,
            seq: *rtx_seq,
            ts_rtp: view.ts_rtp,
            ssrc: *rtx_ssrc,
        };
        *rtx_seq = rtx_seq.wrapping_add(1);
        let mut payload = seq.to_be_bytes().to_vec();
        payload.extend_from_slice(view.payload(&plain));
        let mid = view.extensions.mid.map(|mid| mid.of(&plain).to_vec());
        let rid = view.extensions.rid.map(|rid| rid.of(&plain).to_vec());
        let extensions = OutExtensions {
            mid: mid.as_deref(),
            repaired_rid: rid.as_deref(),
            ..OutExtensions::default()
        };
        Some(self.rtp(&header, &extensions, &payload))
    }

    /// Media packets of one stream in order of arrival.
    pub fn stream(&self, ssrc: u32) -> Vec<&Received> {
        self.received.iter().filter(|one| one.ssrc == ssrc).collect()
    }

    pub fn num_plis(&self) -> usize {
        self.heard.iter().filter(|heard| matches!(heard, Heard::Pli(..))).count()
    }
}
