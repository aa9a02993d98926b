//! What arrives at a client: told apart, decrypted, counted, looked at.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::time::Duration;

use aislecast_engine::api::{Codec, ExtMap};
use aislecast_engine::wire::demux::{PacketKind, classify};
use aislecast_engine::wire::rtcp::{RtcpPacket, packets};
use aislecast_engine::wire::rtp::RtpView;
use aislecast_engine::wire::seq::SeqUnwrapper;
use aislecast_engine::wire::srtp::SrtpError;
use aislecast_engine::wire::stun::{Carried, StunClass, StunMessage, write_binding_success};
use aislecast_engine::wire::twcc_feedback::Arrival;
use aislecast_engine::wire::vp8::Vp8Descriptor;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::{ARRIVALS_MAX, Incoming, Peer, RTX_PT, VP8_PT};
use crate::Event;
use crate::stats::Stream;
use crate::thread::Context;

impl Peer {
    /// Takes everything the socket holds, with the time the kernel got it.
    pub fn receive(&mut self, context: &mut Context) {
        let mut buffer = std::mem::take(&mut context.buffer);
        let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec, i32);
        loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let fd = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let Ok(message) = recvmsg::<()>(fd, &mut slices, Some(&mut control), flags) else {
                break;
            };
            let len = message.bytes;
            let (mut kernel, mut segment) = (None, len);
            for each in message.cmsgs().into_iter().flatten() {
                match each {
                    ControlMessageOwned::ScmTimestampns(time) => {
                        kernel = Some(Duration::from(time))
                    }
                    ControlMessageOwned::UdpGroSegments(size) => segment = size.max(1) as usize,
                    _ => {}
                }
            }
            context.now_us =
                kernel.map_or_else(|| context.clock.now_us(), |at| context.clock.us_at_wall(at));
            for datagram in buffer[..len].chunks_mut(segment.max(1)) {
                self.receive_datagram(datagram, context);
            }
        }
        context.buffer = buffer;
    }

    fn receive_datagram(&mut self, datagram: &mut [u8], context: &mut Context) {
        match classify(datagram) {
            PacketKind::Rtp => self.receive_rtp(datagram, context),
            PacketKind::Rtcp => self.receive_rtcp(datagram, context),
            PacketKind::Dtls => context.events.push(Event::Dtls(self.id, datagram.to_vec())),
            PacketKind::Stun => self.receive_stun(datagram, context),
            PacketKind::Unknown => context.stats.undecryptable += 1,
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
            if let Some(len) =
                write_binding_success(&mut out, id, server, &Carried::default(), &self.local_key)
            {
                self.send(&out[..len]);
            }
        }
    }

    fn receive_rtp(&mut self, datagram: &mut [u8], context: &mut Context) {
        let extensions = ExtMap { twcc: self.twcc_id, ..ExtMap::default() };
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
        if let Some(seq) = view.extensions.twcc.filter(|_| self.arrivals.len() < ARRIVALS_MAX) {
            let seq_ext = self.twcc_seqs.unwrap(seq);
            self.arrivals.push(Arrival { seq_ext, arrived_us: context.now_us });
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
}
