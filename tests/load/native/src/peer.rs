//! One client: its socket, ICE checks, keys, what it receives and what it sends.

use std::collections::{HashMap, VecDeque};
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::time::Duration;

use aislecast_engine::api::{Codec, ExtMap};
use aislecast_engine::wire::demux::{PacketKind, classify};
use aislecast_engine::wire::rtcp::{ReportBlock, RtcpPacket, RtcpWriter, SenderInfo, packets};
use aislecast_engine::wire::rtp::RtpView;
use aislecast_engine::wire::seq::SeqUnwrapper;
use aislecast_engine::wire::srtp::{RTCP_OVERHEAD_MAX, SrtpError, SrtpReceiver, SrtpSender};
use aislecast_engine::wire::stun::{
    BindingRequest, IceRole, StunClass, StunKey, StunMessage, write_binding_request,
    write_binding_success,
};
use aislecast_engine::wire::twcc_feedback::{Arrival, FeedbackHeader};
use aislecast_engine::wire::vp8::Vp8Descriptor;
use mio::net::UdpSocket;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::Event;
use crate::publish::{Outgoing, Piece};
use crate::stats::Stream;
use crate::thread::Context;

/// Payload types of the offer that Python writes.
const VP8_PT: u8 = 96;
const RTX_PT: u8 = 97;
const CHECK_GAP_US: u64 = 50_000;
const CONSENT_GAP_US: u64 = 2_500_000;
const BURST_US: u64 = 5_000;
const FEEDBACK_GAP_US: u64 = 100_000;
const REPORT_GAP_US: u64 = 1_000_000;
/// Arrivals kept until the next feedback; far above what 100 ms bring.
const ARRIVALS_MAX: usize = 2_000;

struct Incoming {
    seqs: SeqUnwrapper,
    stream: Stream,
}

/// Finds the first whole picture: a key frame's first packet, then on without a gap to its marker.
#[derive(Default)]
struct Picture {
    next_seq: Option<u16>,
    is_seen: bool,
}

/// One client.
pub struct Peer {
    id: u32,
    socket: UdpSocket,
    username: String,
    local_key: StunKey,
    remote_key: StunKey,
    is_connected: bool,
    next_check_us: u64,
    checks: u64,
    srtp: Option<(SrtpReceiver, SrtpSender)>,
    incoming: HashMap<u32, Incoming>,
    picture: Picture,
    outgoing: Vec<Outgoing>,
    queue: VecDeque<Piece>,
    next_burst_us: u64,
    twcc_sent: u16,
    twcc_id: u8,
    twcc_seqs: SeqUnwrapper,
    arrivals: Vec<Arrival>,
    feedback_count: u8,
    feedback_base: u64,
    next_feedback_us: u64,
    next_report_us: u64,
    media_ssrc: u32,
}

impl Peer {
    pub fn new(
        id: u32,
        socket: UdpSocket,
        username: String,
        local_pwd: String,
        remote_pwd: String,
    ) -> Self {
        Self {
            id,
            socket,
            username,
            local_key: StunKey::new(local_pwd.as_bytes()),
            remote_key: StunKey::new(remote_pwd.as_bytes()),
            is_connected: false,
            next_check_us: 0,
            checks: 0,
            srtp: None,
            incoming: HashMap::new(),
            picture: Picture::default(),
            outgoing: Vec::new(),
            queue: VecDeque::new(),
            next_burst_us: 0,
            twcc_sent: 0,
            twcc_id: 0,
            twcc_seqs: SeqUnwrapper::new(),
            arrivals: Vec::new(),
            feedback_count: 0,
            feedback_base: 0,
            next_feedback_us: 0,
            next_report_us: 0,
            media_ssrc: 0,
        }
    }

    pub fn secure(&mut self, keys: (SrtpReceiver, SrtpSender)) {
        self.srtp = Some(keys);
    }

    pub fn set_feedback(&mut self, twcc_id: u8) {
        self.twcc_id = twcc_id;
    }

    pub fn publish(&mut self, track: Outgoing) {
        self.outgoing.push(track);
    }

    /// Losses of all streams since the last call.
    pub fn take_lost(&mut self) -> u64 {
        self.incoming
            .values_mut()
            .map(|incoming| incoming.stream.take_lost())
            .sum()
    }

    pub fn send(&self, data: &[u8]) {
        // A full socket loses the datagram, as a network would; the receiver counts it.
        let _ = self.socket.send(data);
    }

    /// Takes everything the socket holds, with the time the kernel got it.
    pub fn receive(&mut self, context: &mut Context) {
        let mut buffer = [0u8; 2048];
        let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
        loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let fd = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let Ok(message) = recvmsg::<()>(fd, &mut slices, Some(&mut control), flags) else {
                return;
            };
            let len = message.bytes;
            let kernel = message.cmsgs().ok().and_then(|mut all| {
                all.find_map(|each| match each {
                    ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                    _ => None,
                })
            });
            context.now_us = kernel.map_or_else(
                || context.clock.now_us(),
                |at| context.clock.from_wall_us(at),
            );
            let datagram = &mut buffer[..len];
            match classify(datagram) {
                PacketKind::Rtp => self.receive_rtp(datagram, context),
                PacketKind::Rtcp => self.receive_rtcp(datagram, context),
                PacketKind::Dtls => context.events.push(Event::Dtls(self.id, datagram.to_vec())),
                PacketKind::Stun => self.receive_stun(datagram, context),
                PacketKind::Unknown => context.stats.undecryptable += 1,
            }
        }
    }

    fn receive_stun(&mut self, datagram: &[u8], context: &mut Context) {
        let Some(message) = StunMessage::parse(datagram) else {
            return;
        };
        if message.class == StunClass::Success && message.verify_integrity(&self.remote_key) {
            if !self.is_connected {
                self.is_connected = true;
                context.events.push(Event::Connected(self.id));
            }
        } else if message.class == StunClass::Request && message.verify_integrity(&self.local_key) {
            let mut out = [0u8; 128];
            let Ok(server) = self.socket.peer_addr() else {
                return;
            };
            let id = &message.transaction_id;
            if let Some(len) = write_binding_success(&mut out, id, server, &self.local_key) {
                self.send(&out[..len]);
            }
        }
    }

    fn receive_rtp(&mut self, datagram: &mut [u8], context: &mut Context) {
        let extensions = ExtMap {
            twcc: self.twcc_id,
            ..ExtMap::default()
        };
        let Some((receiver, _)) = &mut self.srtp else {
            return;
        };
        let len = match receiver.unprotect_rtp(datagram) {
            Ok(unprotected) => unprotected.len,
            Err(SrtpError::Replay) => {
                context.stats.duplicated += 1;
                return;
            }
            Err(_) => {
                context.stats.undecryptable += 1;
                return;
            }
        };
        let datagram = &datagram[..len];
        let Some(view) = RtpView::parse(datagram, &extensions) else {
            context.stats.undecryptable += 1;
            return;
        };
        if let Some(seq) = view
            .extensions
            .twcc
            .filter(|_| self.arrivals.len() < ARRIVALS_MAX)
        {
            let seq_ext = self.twcc_seqs.unwrap(seq);
            self.arrivals.push(Arrival {
                seq_ext,
                arrived_us: context.now_us,
            });
        }
        if view.pt == RTX_PT {
            return; // probes and copies: authentic, but not counted as media
        }
        let payload = view.payload(datagram);
        context.stats.packets += 1;
        context.stats.bytes += datagram.len() as u64;
        self.count(&view, context);
        if view.pt == VP8_PT {
            self.media_ssrc = view.ssrc;
            self.look_for_picture(&view, payload, context);
            if let Some(age_us) = context.times.age_us(payload, context.now_us) {
                context.stats.add_delay(age_us);
            }
        }
    }

    fn count(&mut self, view: &RtpView, context: &mut Context) {
        match self.incoming.get_mut(&view.ssrc) {
            Some(incoming) => {
                let seq_ext = incoming.seqs.unwrap(view.seq);
                incoming.stream.receive(seq_ext, &mut context.stats);
            }
            None => {
                let mut seqs = SeqUnwrapper::new();
                let stream = Stream::new(seqs.unwrap(view.seq));
                self.incoming.insert(view.ssrc, Incoming { seqs, stream });
            }
        }
    }

    fn look_for_picture(&mut self, view: &RtpView, payload: &[u8], context: &mut Context) {
        let picture = &mut self.picture;
        if picture.is_seen {
            return;
        }
        if Vp8Descriptor::parse(payload).is_some_and(|descriptor| descriptor.is_keyframe) {
            picture.next_seq = Some(view.seq);
        }
        if picture.next_seq != Some(view.seq) {
            picture.next_seq = None;
            return;
        }
        picture.next_seq = Some(view.seq.wrapping_add(1));
        if view.is_marker {
            picture.is_seen = true;
            context.events.push(Event::Picture(self.id));
        }
    }

    fn receive_rtcp(&mut self, datagram: &mut [u8], context: &mut Context) {
        let Some((receiver, _)) = &mut self.srtp else {
            return;
        };
        let Ok(len) = receiver.unprotect_rtcp(datagram) else {
            context.stats.undecryptable += 1;
            return;
        };
        for packet in packets(&datagram[..len]) {
            let media_ssrc = match packet {
                RtcpPacket::Pli { media_ssrc, .. } => media_ssrc,
                RtcpPacket::Fir { .. } => 0,
                _ => continue,
            };
            for track in self.outgoing.iter_mut().filter(|t| t.codec == Codec::Vp8) {
                if media_ssrc == 0 || track.ssrc == media_ssrc {
                    track.request_keyframe(context.now_us);
                }
            }
        }
    }

    /// Sends what is due; returns when something will be next.
    pub fn run_timers(&mut self, context: &mut Context) -> u64 {
        if context.now_us >= self.next_check_us {
            self.send_check();
            let gap_us = if self.is_connected {
                CONSENT_GAP_US
            } else {
                CHECK_GAP_US
            };
            self.next_check_us = context.now_us + gap_us;
        }
        let mut due_us = self.next_check_us;
        if self.srtp.is_some() {
            if context.now_us >= self.next_feedback_us {
                self.send_reports(context.now_us);
                self.next_feedback_us = context.now_us + FEEDBACK_GAP_US;
            }
            due_us = due_us
                .min(self.next_feedback_us)
                .min(self.send_media(context));
        }
        due_us
    }

    fn send_check(&mut self) {
        self.checks += 1;
        let mut transaction_id = [0u8; 12];
        transaction_id[..4].copy_from_slice(&self.id.to_be_bytes());
        transaction_id[4..].copy_from_slice(&self.checks.to_be_bytes());
        let request = BindingRequest {
            transaction_id,
            username: &self.username,
            priority: 0x6e00_00ff,
            role: IceRole::Controlling(u64::from(self.id)),
            is_use_candidate: true,
        };
        let mut out = [0u8; 256];
        if let Some(len) = write_binding_request(&mut out, &request, &self.remote_key) {
            self.send(&out[..len]);
        }
    }

    /// Frames that are due enter the pacer; what it lets out is sealed and sent.
    fn send_media(&mut self, context: &mut Context) -> u64 {
        let mut due_us = u64::MAX;
        for index in 0..self.outgoing.len() {
            let track = &mut self.outgoing[index];
            let is_audio = track.codec.is_audio();
            let mut sound = VecDeque::new();
            while track.next_us <= context.now_us {
                let queue = if is_audio {
                    &mut sound
                } else {
                    &mut self.queue
                };
                track.queue_frame(index, context.now_us, queue);
            }
            due_us = due_us.min(track.next_us);
            self.send_pieces(&mut sound, usize::MAX, context); // sound is never paced
        }
        if !self.queue.is_empty() && context.now_us >= self.next_burst_us {
            let rate_bps: u64 = self.outgoing.iter().map(Outgoing::rate_bps).sum();
            // libwebrtc's pacer: 2.5 times the target rate, let out in bursts of 5 ms.
            let budget = (rate_bps * 5 / 2 * BURST_US / 8_000_000) as usize;
            let budget = if context.is_paced { budget } else { usize::MAX };
            let mut queue = std::mem::take(&mut self.queue);
            self.send_pieces(&mut queue, budget, context);
            self.queue = queue;
            self.next_burst_us = context.now_us + BURST_US;
        }
        if self.queue.is_empty() {
            due_us
        } else {
            due_us.min(self.next_burst_us)
        }
    }

    fn send_pieces(
        &mut self,
        queue: &mut VecDeque<Piece>,
        mut budget: usize,
        context: &mut Context,
    ) {
        let Some((_, sender)) = &mut self.srtp else {
            return;
        };
        let mut packet = [0u8; 1500];
        while budget > 0
            && let Some(piece) = queue.pop_front()
        {
            budget = budget.saturating_sub(piece.size());
            let now_us = context.clock.now_us();
            let track = &mut self.outgoing[piece.track];
            let times = &mut context.times;
            let sealed = track.seal(
                &piece,
                now_us,
                &mut self.twcc_sent,
                sender,
                times,
                &mut packet,
            );
            if let Some(len) = sealed {
                // A full socket loses the datagram, as a network would; the receiver counts it.
                let _ = self.socket.send(&packet[..len]);
            }
        }
    }

    fn send_reports(&mut self, now_us: u64) {
        let mut out = [0u8; 1400];
        let room = out.len() - RTCP_OVERHEAD_MAX;
        let mut writer = RtcpWriter::new(&mut out[..room]);
        if now_us >= self.next_report_us {
            self.next_report_us = now_us + REPORT_GAP_US;
            for track in &self.outgoing {
                let (ts_rtp, num_packets, num_bytes) = track.report();
                let seconds = now_us / 1_000_000 + 2_208_988_800;
                let fraction = ((now_us % 1_000_000) << 32) / 1_000_000;
                let info = SenderInfo {
                    ssrc: track.ssrc,
                    ntp: seconds << 32 | fraction,
                    ts_rtp,
                    num_packets,
                    num_bytes,
                };
                writer.sender_report(&info, &[]);
            }
            let blocks: Vec<ReportBlock> = self
                .incoming
                .iter()
                .filter_map(|(&ssrc, incoming)| {
                    let highest = incoming.seqs.highest()?;
                    Some(ReportBlock {
                        ssrc,
                        highest_seq: highest as u32,
                        ..ReportBlock::default()
                    })
                })
                .take(24)
                .collect();
            writer.receiver_report(self.id, &blocks);
        } else if self.twcc_id != 0 && !self.arrivals.is_empty() {
            writer.receiver_report(self.id, &[]);
        }
        if self.twcc_id != 0 && !self.arrivals.is_empty() {
            self.arrivals
                .sort_unstable_by_key(|arrival| arrival.seq_ext);
            let mut rest = self.arrivals.as_slice();
            while let Some(written) = writer.transport_cc(
                &FeedbackHeader {
                    sender_ssrc: self.id,
                    media_ssrc: self.media_ssrc,
                    feedback_count: self.feedback_count,
                    base_seq_ext: self.feedback_base,
                },
                rest,
            ) {
                self.feedback_count = self.feedback_count.wrapping_add(1);
                self.feedback_base = written.next_seq_ext;
                rest = &rest[written.num_arrivals..];
            }
            self.arrivals.clear();
        }
        let len = writer.len();
        let Some((_, sender)) = &mut self.srtp else {
            return;
        };
        if len > 0
            && let Ok(sealed) = sender.protect_rtcp(&mut out, len)
        {
            self.send(&out[..sealed]);
        }
    }
}
