//! One remote peer: addresses, keys, negotiated numbers, and what is counted of it.

use std::collections::{HashMap, VecDeque};

use crate::api::{Codec, ExtMap, Micros, Path, Payload, SrtpProfile, TransportState};
use crate::media::clock::NtpOffset;
use crate::media::flow::FlowStart;
use crate::media::limit::Limit;
use crate::media::line_loss::LineLoss;
use crate::media::reported_loss::ReportedLoss;
use crate::media::source::Source;
use crate::media::twcc::{ArrivalLog, SentHistory};
use crate::media::uplink_queue::UplinkQueue;
use crate::wire::rtp::RtpWriter;
use crate::wire::srtp::{SrtpReceiver, SrtpSender};

use super::carriage::Carriage;
use super::early::EarlyLosses;
use super::ice::Ice;
use super::pacer::Pacer;
use super::repeats::Repeats;
use super::resend::Asked;

/// SSRCs that one peer may use at a time. Camera and screen in three layers with retransmissions
/// are twelve; the rest is for a second camera and for tracks published anew.
pub const MAX_SSRCS: usize = 32;
/// Ended SSRCs remembered per peer; with those in use they stay below what SRTP keeps state for.
const MAX_ENDED: usize = 24;
/// DTLS datagrams of a peer: 2000 a second. Data channels are in there, at 1200 bytes each that is
/// 19 Mb/s; a handshake takes a dozen.
const DTLS_INTERVAL_US: Micros = 500;
/// Of those, ones that may come at once: more than Python takes (`DataLimits.datagram_burst`).
const DTLS_BURST: u64 = 4_000;
/// Packets that a peer's feedback tells of: 20 000 a second, several times what anybody is sent. Two
/// bytes can claim 8000, and all of them would be looked up.
const STATUS_INTERVAL_US: Micros = 50;
/// Of those, ones at once: all numbers that there are, after a line was dead for long.
const STATUS_BURST: u64 = 65_536;

/// What an SSRC of the peer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The SSRC.
    pub ssrc: u32,
    /// Index of the source.
    pub source: u32,
    /// Encoding of the source.
    pub encoding: u8,
    /// Retransmissions of the encoding.
    pub is_rtx: bool,
    /// `EncodingStarted` went out.
    pub is_announced: bool,
}

/// An SSRC whose track ended. A sender that is used again goes on with its SSRC and roll-over
/// count, and may no longer say its mid and rid, as our reports told it that we know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The SSRC.
    pub ssrc: u32,
    /// m-section it belonged to.
    pub mid: String,
    /// rid it had, or empty.
    pub rid: String,
}

/// What a payload type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// Media; true if the peer can retransmit it.
    Media(Codec, bool),
    /// Retransmissions of media with this payload type and codec.
    Rtx(u8, Codec),
}

/// Cumulative counts of a transport.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransportCounts {
    /// Media packets that authenticated.
    pub received_packets: u64,
    /// Their bytes on the wire.
    pub received_bytes: u64,
    /// Media packets sealed.
    pub sent_packets: u64,
    /// Their bytes before sealing.
    pub sent_bytes: u64,
    /// Authentication failed.
    pub dropped_auth: u32,
    /// Replayed.
    pub dropped_replay: u32,
    /// SSRC or payload type that nobody negotiated.
    pub dropped_unknown: u32,
    /// Does not parse.
    pub dropped_malformed: u32,
}

/// One remote ICE/DTLS association.
#[derive(Debug)]
pub struct Transport {
    /// Caller's number.
    pub id: u32,
    /// Addresses and consent.
    pub ice: Ice,
    /// DTLS that comes with checks.
    pub carriage: Carriage,
    /// Keys of what comes.
    pub receiver: Option<SrtpReceiver>,
    /// Keys of what goes.
    pub sender: Option<SrtpSender>,
    /// Extension ids.
    pub extensions: ExtMap,
    /// Writes headers with these ids.
    pub writer: RtpWriter,
    /// What SSRCs stand for.
    pub bindings: Vec<Binding>,
    /// Indices of sources that come from here.
    pub sources: Vec<u32>,
    /// Indices of sinks that go here.
    pub sinks: Vec<u32>,
    /// The peer's NTP clock.
    pub ntp: NtpOffset,
    /// Arrivals to be reported.
    pub arrivals: ArrivalLog,
    /// Of what it sends, lost on the way.
    pub uplink_loss: LineLoss,
    /// What of that waits on its line.
    pub uplink_queue: UplinkQueue,
    /// The most that it should send; 0 = no limit any more, `None` = there never was one.
    pub uplink_limit_bps: Option<u32>,
    /// RTCP that leaves a second time.
    pub repeats: Repeats,
    /// What was sent, until it is reported.
    pub sent: SentHistory,
    /// Which of it can be sent again.
    pub early: EarlyLosses,
    /// Round trip, smoothed; 0 = unknown.
    pub rtt_us: Micros,
    /// It is from the peer's reports; before, it is how soon feedback came.
    pub has_rtt: bool,
    /// The peer's own estimate; 0 = none.
    pub remb_bps: u32,
    /// Of what we sent, from the last reports.
    pub loss_permille: u16,
    /// What receiver reports told of it.
    pub reported: ReportedLoss,
    /// Round trip by the newest report alone; 0 = unknown.
    pub newest_rtt_us: Micros,
    /// Weakness of its line is to be told of.
    pub is_watched: bool,
    /// Packets that it asked for since the last flush.
    pub num_asked: u16,
    /// Of those, the ones that wait for room: index of the sink, number.
    pub held: VecDeque<Asked>,
    /// How fast it is sent to.
    pub pacer: Pacer,
    /// Packets that its transport-wide feedback may tell of.
    pub statuses: Limit,
    /// DTLS datagrams that it may send.
    pub dtls: Limit,
    /// Counts.
    pub counts: TransportCounts,
    /// SSRC that our receiver reports and requests carry.
    pub own_ssrc: u32,
    /// When the next periodic report is due.
    pub report_due_us: Micros,
    payloads: [Option<PayloadKind>; 128],
    ended: VecDeque<Ended>,
    retired: HashMap<u32, FlowStart>,
    keys: Option<(SrtpProfile, Vec<u8>, Vec<u8>)>,
}

impl Transport {
    /// A peer that nothing was heard of.
    pub fn new(id: u32, ice: Ice, own_ssrc: u32) -> Transport {
        Transport {
            id,
            ice,
            carriage: Carriage::default(),
            receiver: None,
            sender: None,
            extensions: ExtMap::default(),
            writer: RtpWriter::default(),
            bindings: Vec::new(),
            sources: Vec::new(),
            sinks: Vec::new(),
            ntp: NtpOffset::default(),
            arrivals: ArrivalLog::default(),
            uplink_loss: LineLoss::default(),
            uplink_queue: UplinkQueue::default(),
            uplink_limit_bps: None,
            repeats: Repeats::default(),
            sent: SentHistory::default(),
            early: EarlyLosses::default(),
            rtt_us: 0,
            has_rtt: false,
            remb_bps: 0,
            loss_permille: 0,
            reported: ReportedLoss::default(),
            newest_rtt_us: 0,
            is_watched: false,
            num_asked: 0,
            held: VecDeque::new(),
            pacer: Pacer::default(),
            statuses: Limit::new(STATUS_INTERVAL_US, STATUS_BURST),
            dtls: Limit::new(DTLS_INTERVAL_US, DTLS_BURST),
            counts: TransportCounts::default(),
            own_ssrc,
            report_due_us: Micros::MAX,
            payloads: [None; 128],
            ended: VecDeque::new(),
            retired: HashMap::new(),
            keys: None,
        }
    }

    /// Path to send media on: there are keys for it, and the peer was heard of within 30 s, which
    /// stands for its consent (RFC 7675 §5.1).
    pub fn media_path(&self) -> Option<Path> {
        let is_heard = self.ice.state() != TransportState::Failed;
        self.sender.as_ref().and(self.ice.selected()).filter(|_| is_heard)
    }

    /// Takes negotiated numbers. Payload types are added to the known ones, so that packets under
    /// way while an offer is answered stay good.
    pub fn set_media(&mut self, extensions: ExtMap, payloads: &[Payload]) {
        self.extensions = extensions;
        self.writer = RtpWriter::new(extensions);
        for &Payload { pt, codec, rtx_pt } in payloads {
            self.payloads[usize::from(pt & 0x7f)] = Some(PayloadKind::Media(codec, rtx_pt != 0));
            if rtx_pt != 0 {
                self.payloads[usize::from(rtx_pt & 0x7f)] = Some(PayloadKind::Rtx(pt, codec));
            }
        }
    }

    /// What a payload type stands for.
    pub fn payload(&self, pt: u8) -> Option<PayloadKind> {
        self.payloads[usize::from(pt & 0x7f)]
    }

    /// Installs keys. The same keys again change nothing: starting their counters anew would repeat
    /// nonces. False if they have the wrong length.
    pub fn set_srtp(
        &mut self,
        profile: SrtpProfile,
        receive_key: Vec<u8>,
        send_key: Vec<u8>,
    ) -> bool {
        let keys = Some((profile, receive_key, send_key));
        if self.keys == keys {
            return true;
        }
        let Some((_, receive_key, send_key)) = &keys else {
            return false;
        };
        let receiver = SrtpReceiver::new(profile, receive_key);
        let Some((receiver, sender)) = receiver.zip(SrtpSender::new(profile, send_key)) else {
            return false;
        };
        self.receiver = Some(receiver);
        self.sender = Some(sender);
        self.keys = keys;
        true
    }

    /// What `ssrc` stands for.
    pub fn binding(&self, ssrc: u32) -> Option<usize> {
        self.bindings.iter().position(|binding| binding.ssrc == ssrc)
    }

    /// Binds an SSRC; an older SSRC of the same encoding gives way. False if there are too many.
    pub fn bind(&mut self, binding: Binding) -> bool {
        let is_same_place = |known: &Binding| {
            known.source == binding.source
                && known.encoding == binding.encoding
                && known.is_rtx == binding.is_rtx
        };
        if let Some(known) = self.bindings.iter_mut().find(|known| is_same_place(known)) {
            let old = std::mem::replace(known, binding).ssrc;
            if old != binding.ssrc {
                self.forget_ssrc(old);
            }
            self.ended.retain(|one| one.ssrc != binding.ssrc);
            return true;
        }
        if self.bindings.len() >= MAX_SSRCS {
            return false;
        }
        self.bindings.push(binding);
        self.ended.retain(|one| one.ssrc != binding.ssrc);
        true
    }

    /// Unbinds all SSRCs of a source that ended.
    pub fn unbind_source(&mut self, index: u32, source: &Source) {
        let is_its = |binding: &Binding| binding.source == index;
        while let Some(at) = self.bindings.iter().position(is_its) {
            let binding = self.bindings.swap_remove(at);
            let encoding = source.encodings.get(usize::from(binding.encoding));
            let rid = encoding.map_or_else(String::new, |one| one.config.rid.clone());
            let (ssrc, mid) = (binding.ssrc, source.mid.clone());
            self.ended.push_back(Ended { ssrc, mid, rid });
        }
        while self.ended.len() > MAX_ENDED {
            if let Some(oldest) = self.ended.pop_front() {
                self.forget_ssrc(oldest.ssrc);
            }
        }
        self.sources.retain(|&one| one != index);
    }

    /// What an SSRC stood for whose track ended.
    pub fn ended(&self, ssrc: u32) -> Option<&Ended> {
        self.ended.iter().find(|one| one.ssrc == ssrc)
    }

    /// A sink with `ssrc` ended; another one with the same SSRC goes on with its numbers.
    pub fn retire(&mut self, ssrc: u32, start: FlowStart) {
        self.retired.insert(ssrc, start);
    }

    /// Where a sink with `ssrc` has to go on.
    pub fn revive(&mut self, ssrc: u32) -> Option<FlowStart> {
        self.retired.remove(&ssrc)
    }

    fn forget_ssrc(&mut self, ssrc: u32) {
        if let Some(receiver) = &mut self.receiver {
            receiver.forget(ssrc);
        }
    }
}
