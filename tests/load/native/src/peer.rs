//! One client: its socket, ICE checks, keys, what it receives and what it sends.

mod receive;

use std::collections::{HashMap, VecDeque};

use aislecast_engine::wire::rtcp::{ReportBlock, RtcpWriter, SenderInfo};
use aislecast_engine::wire::seq::SeqUnwrapper;
use aislecast_engine::wire::srtp::{RTCP_OVERHEAD_MAX, SrtpReceiver, SrtpSender};
use aislecast_engine::wire::stun::{
    BindingRequest, Carried, IceRole, StunKey, write_binding_request,
};
use aislecast_engine::wire::twcc_feedback::{Arrival, FeedbackHeader};
use mio::net::UdpSocket;

use crate::pacing::Debt;
use crate::publish::{Outgoing, Piece};
use crate::stats::Stream;
use crate::thread::Context;

/// Payload types of the offer that Python writes.
const VP8_PT: u8 = 96;
const RTX_PT: u8 = 97;
const CHECK_GAP_US: u64 = 50_000;
const CONSENT_GAP_US: u64 = 2_500_000;
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
    debt: Debt,
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
            debt: Debt::default(),
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
        self.incoming.values_mut().map(|incoming| incoming.stream.take_lost()).sum()
    }

    pub fn send(&self, data: &[u8]) {
        // A full socket loses the datagram, as a network would; the receiver counts it.
        let _ = self.socket.send(data);
    }

    /// Sends what is due; returns when something will be next.
    pub fn run_timers(&mut self, context: &mut Context) -> u64 {
        if context.now_us >= self.next_check_us {
            self.send_check();
            let gap_us = if self.is_connected { CONSENT_GAP_US } else { CHECK_GAP_US };
            self.next_check_us = context.now_us + gap_us;
        }
        let mut due_us = self.next_check_us;
        if self.srtp.is_some() {
            if context.now_us >= self.next_feedback_us {
                self.send_reports(context.now_us);
                self.next_feedback_us = context.now_us + FEEDBACK_GAP_US;
            }
            due_us = due_us.min(self.next_feedback_us).min(self.send_media(context));
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
            carried: Carried::default(),
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
                let queue = if is_audio { &mut sound } else { &mut self.queue };
                track.queue_frame(index, context.now_us, queue);
            }
            due_us = due_us.min(track.next_us);
            self.send_pieces(&mut sound, None, context); // sound is never paced
        }
        if self.queue.is_empty() {
            return due_us;
        }
        let rate_bps: u64 = self.outgoing.iter().map(Outgoing::rate_bps).sum();
        let mut queue = std::mem::take(&mut self.queue);
        self.send_pieces(&mut queue, Some(rate_bps), context);
        self.queue = queue;
        if self.queue.is_empty() { due_us } else { due_us.min(self.debt.next_us(&context.pacing)) }
    }

    /// Sends what the pacer allows for a stream of this rate; all of it without one.
    fn send_pieces(
        &mut self,
        queue: &mut VecDeque<Piece>,
        paced_bps: Option<u64>,
        context: &mut Context,
    ) {
        let Some((_, sender)) = &mut self.srtp else {
            return;
        };
        let mut packet = [0u8; 1500];
        let mut free_us = 0;
        while let Some(piece) = queue.front() {
            let mut now_us = context.clock.now_us();
            if let Some(rate_bps) = paced_bps {
                if !self.debt.allows(now_us, &context.pacing) {
                    break;
                }
                self.debt.on_sent(piece.size(), rate_bps);
                // Too short for sleeping.
                while now_us < free_us {
                    std::hint::spin_loop();
                    now_us = context.clock.now_us();
                }
                free_us = now_us + context.pacing.gap_us;
            }
            let Some(piece) = queue.pop_front() else {
                break;
            };
            let track = &mut self.outgoing[piece.track];
            let times = &mut context.times;
            let sealed =
                track.seal(&piece, now_us, &mut self.twcc_sent, sender, times, &mut packet);
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
            self.arrivals.sort_unstable_by_key(|arrival| arrival.seq_ext);
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
