//! Arriving datagrams: what they are, whose they are, and the answers to STUN.

use crate::api::{Event, Local, Micros, Path, TransportId, TransportState};
use crate::wire::demux::{PacketKind, classify};
use crate::wire::stun::{
    ANSWER_SIZE_MAX, StunClass, StunMessage, write_binding_error, write_binding_success,
};

use super::Core;
use super::ice::CheckResult;

/// A path that its owner used within this time cannot be taken by a check for another transport:
/// its source address may be forged.
const PATH_HELD_US: Micros = 3_000_000;

impl Core {
    /// Takes one datagram; media is decrypted in place.
    pub fn handle_datagram(&mut self, now: Micros, path: Path, data: &mut [u8]) {
        self.counters.received_datagrams += 1;
        self.counters.received_bytes += data.len() as u64;
        let kind = classify(data);
        match kind {
            PacketKind::Stun => return self.handle_stun(now, path, data),
            PacketKind::Unknown => {
                self.counters.dropped_unknown_kind += 1;
                return;
            }
            PacketKind::Dtls | PacketKind::Rtp | PacketKind::Rtcp => {}
        }
        let Some(&index) = self.by_path.get(&path) else {
            self.counters.dropped_unknown_path += 1;
            return;
        };
        match kind {
            PacketKind::Rtp => self.handle_rtp(now, path, index, data),
            PacketKind::Rtcp => self.handle_rtcp(now, path, index, data),
            _ => {
                if let Some(transport) = self.transports.get_mut(index) {
                    transport.carriage.on_dtls(data);
                }
                self.handle_dtls(now, index, data);
            }
        }
    }

    fn handle_dtls(&mut self, now: Micros, index: u32, data: &[u8]) {
        if let Some(transport) = self.transports.get_mut(index) {
            // Python reads them, for all peers: one peer must not take all its time and room.
            if !transport.dtls.admit(now) {
                self.counters.dropped_dtls += 1;
                return;
            }
            let event = Event::Dtls { transport: TransportId(transport.id), data: data.to_vec() };
            self.events.push(event, &mut self.counters);
        }
    }

    fn handle_stun(&mut self, now: Micros, path: Path, data: &[u8]) {
        let message = StunMessage::parse(data);
        let request = message.as_ref().filter(|message| {
            message.is_binding()
                && matches!(message.class, StunClass::Request | StunClass::Indication)
        });
        let Some(message) = request else {
            self.counters.dropped_stun_malformed += 1;
            return;
        };
        // RFC 8445 §11: indications only keep bindings of NATs open.
        if message.class == StunClass::Indication {
            return;
        }
        let ufrag = message.ufrags().map(|(local, _)| local);
        let Some(&index) = ufrag.and_then(|ufrag| self.by_ufrag.get(ufrag)) else {
            self.counters.dropped_stun_unknown_ufrag += 1;
            return;
        };
        if self.is_held_by_another(now, path, index) {
            self.counters.dropped_unknown_path += 1;
            return;
        }
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let result = transport.ice.on_check(now, path, message);
        match result {
            CheckResult::Refused => self.counters.dropped_stun_auth += 1,
            CheckResult::RoleConflict => self.answer_error(index, path, message, 487),
            CheckResult::UnknownAttributes => self.answer_error(index, path, message, 420),
            CheckResult::Accepted { forgotten, is_restarted } => {
                if let Some(forgotten) = forgotten {
                    self.counters.dropped_paths += 1;
                    self.by_path.remove(&forgotten);
                    self.give_up(forgotten);
                }
                self.on_accepted(now, path, index, message, is_restarted);
            }
        }
    }

    fn is_held_by_another(&self, now: Micros, path: Path, index: u32) -> bool {
        let owner = self.by_path.get(&path).filter(|&&owner| owner != index);
        let owner = owner.and_then(|&owner| self.transports.get(owner));
        let heard_us = owner.and_then(|owner| owner.ice.heard_on_us(path));
        heard_us.is_some_and(|heard_us| now.saturating_sub(heard_us) < PATH_HELD_US)
    }

    fn on_accepted(
        &mut self,
        now: Micros,
        path: Path,
        index: u32,
        message: &StunMessage<'_>,
        is_restarted: bool,
    ) {
        if let Some(owner) = self.by_path.insert(path, index).filter(|&owner| owner != index) {
            if let Some(owner) = self.transports.get_mut(owner) {
                owner.ice.forget(path);
            }
            self.announce_transport(now, owner);
        }
        if is_restarted {
            self.forget_old_ufrags(index);
        }
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        transport.carriage.on_check(&message.carried);
        let dtls = message.carried.dtls.filter(|dtls| classify(dtls) == PacketKind::Dtls);
        let is_new = dtls.is_some_and(|dtls| transport.carriage.on_dtls(dtls));
        let carried = transport.carriage.answer(transport.receiver.is_some());
        let key = message.ufrags().and_then(|(local, _)| transport.ice.key(local));
        if let Some(key) = key {
            self.replies.push(path, ANSWER_SIZE_MAX, &mut self.counters, |out| {
                write_binding_success(out, &message.transaction_id, path.remote, &carried, key)
            });
        }
        transport.pacer.on_sent_other(now, ANSWER_SIZE_MAX as u64);
        self.end_silence(now, index);
        self.schedule_transport(now, index);
        self.announce_transport(now, index);
        if let Some(dtls) = dtls.filter(|_| is_new) {
            self.counters.dtls_carried += 1;
            self.handle_dtls(now, index, dtls);
        }
    }

    /// Nothing is heard from a path any more that belonged to a transport: a connection would hold
    /// a place that others need.
    pub(super) fn give_up(&mut self, path: Path) {
        if let Local::Tcp(connection) = path.local {
            self.given_up.push(connection);
        }
    }

    fn answer_error(&mut self, index: u32, path: Path, message: &StunMessage<'_>, code: u16) {
        let Some(transport) = self.transports.get(index) else {
            return;
        };
        let key = message.ufrags().and_then(|(local, _)| transport.ice.key(local));
        self.replies.push(path, ANSWER_SIZE_MAX, &mut self.counters, |out| {
            write_binding_error(out, &message.transaction_id, code, message.unknown.as_slice(), key)
        });
    }

    /// Drops ufrags of a transport that its ICE no longer answers to.
    pub(super) fn forget_old_ufrags(&mut self, index: u32) {
        let Some(transport) = self.transports.get(index) else {
            return;
        };
        let ice = &transport.ice;
        self.by_ufrag.retain(|ufrag, &mut owner| {
            owner != index || ice.ufrags().any(|one| one.as_bytes() == ufrag.as_slice())
        });
    }

    /// Something authenticated came by `path`.
    pub(super) fn on_heard(&mut self, now: Micros, path: Path, index: u32) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let is_news = transport.ice.state() != TransportState::Connected
            || transport.ice.selected() != Some(path);
        transport.ice.on_media(now, path);
        let is_paced = transport.pacer.is_on();
        if is_news {
            self.schedule_transport(now, index);
            self.announce_transport(now, index);
        }
        if is_paced {
            self.end_silence(now, index);
        }
    }

    /// A peer that nothing was heard of is there again.
    fn end_silence(&mut self, now: Micros, index: u32) {
        let transport = self.transports.get_mut(index);
        if let Some(silent_for_us) = transport.and_then(|one| one.pacer.brake.on_heard(now)) {
            self.resume(now, index, silent_for_us);
        }
    }
}
