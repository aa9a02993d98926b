//! Retransmissions that subscribers asked for, from the shared ring.

use crate::api::Micros;
use crate::media::output::{NotResent, ResendRules};

use super::fanout::{Recalled, Step, send_recalled};
use super::transport::Transport;
use super::{Core, Egress};

/// Requests of one peer that wait for room.
const MAX_HELD: usize = 512;

/// A packet that a subscriber misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Index of the sink.
    pub sink: u32,
    /// Its number.
    pub out_seq: u16,
    /// When it left, as transport-wide feedback shows that it was lost; `None` = the subscriber
    /// asks, and may not know yet what is on its way.
    pub lost_ms: Option<u16>,
}

/// What became of a request.
enum Answer {
    Sent,
    Refused,
    /// No room now.
    Held,
    /// A picture that others need is lost for good.
    Hopeless,
}

impl Core {
    /// Answers what was asked since the last flush. With a budget, what there is no room for waits.
    pub(super) fn resend_asked(&mut self, now: Micros, out: &mut dyn Egress) {
        let mut asked = std::mem::take(&mut self.asked);
        for each in asked.drain(..) {
            let Some(transport) = self.transport_of(each.sink) else {
                continue;
            };
            transport.num_asked = 0;
            // Those that wait were asked for before.
            let must_wait = !transport.held.is_empty();
            let answer = if must_wait { Answer::Held } else { self.resend_one(now, each, out) };
            self.count_answer(now, each, answer);
        }
        self.asked = asked;
    }

    /// Answers requests of one transport that waited for room; true if some still wait.
    pub(super) fn resend_held(&mut self, now: Micros, index: u32, out: &mut dyn Egress) -> bool {
        let count = self.transports.get(index).map_or(0, |transport| transport.held.len());
        for _ in 0..count {
            let Some(transport) = self.transports.get_mut(index) else {
                return false;
            };
            let Some(each) = transport.held.pop_front() else {
                return false;
            };
            match self.resend_one(now, each, out) {
                Answer::Held => {
                    if let Some(transport) = self.transports.get_mut(index) {
                        transport.held.push_front(each);
                    }
                    return true;
                }
                answer => self.count_answer(now, each, answer),
            }
        }
        false
    }

    fn transport_of(&mut self, sink: u32) -> Option<&mut Transport> {
        let transport = self.sinks.get(sink)?.transport;
        self.transports.get_mut(transport)
    }

    fn resend_one(&mut self, now: Micros, asked: Asked, out: &mut dyn Egress) -> Answer {
        let Some(sink) = self.sinks.get_mut(asked.sink) else {
            return Answer::Refused;
        };
        let source = sink.source.and_then(|source| self.sources.get(source));
        let Some((source, transport)) = source.zip(self.transports.get_mut(sink.transport)) else {
            return Answer::Refused;
        };
        let pace = transport.pacer.pace(now, transport.rtt_us);
        if pace.is_some_and(|pace| pace.room <= 0) {
            return Answer::Held;
        }
        let current = sink.flow.current();
        let rate = current.map_or(0, |at| source.encodings[usize::from(at)].bitrate_bps(now));
        let brake = &transport.pacer.brake;
        let rules = ResendRules {
            rtt_us: transport.rtt_us,
            rtt_now_us: brake.least_rtt_us() + brake.queue_us().max(0) as Micros,
            is_paced: pace.is_some(),
            loss_permille: transport.loss_permille,
        };
        sink.output.refill_rtx(now, rate, &rules);
        let packet = (asked.out_seq, asked.lost_ms);
        match sink.output.resend(now, packet, &sink.flow, &source.encodings, &rules) {
            Ok((at, outgoing)) => {
                let step = Step { now, egress: out, counters: &mut self.counters };
                let recalled = Recalled { at, outgoing, is_missed: true };
                let is_sent =
                    send_recalled(step, source, sink, transport, &mut self.bundle, recalled);
                if is_sent { Answer::Sent } else { Answer::Refused }
            }
            Err(NotResent::Hopeless) => Answer::Hopeless,
            Err(_) => Answer::Refused,
        }
    }

    fn count_answer(&mut self, now: Micros, asked: Asked, answer: Answer) {
        let Some(sink) = self.sinks.get_mut(asked.sink) else {
            return;
        };
        let transport = sink.transport;
        match answer {
            Answer::Sent => {
                sink.output.counts.rtx_sent += 1;
                self.counters.rtx_sent += 1;
                return;
            }
            Answer::Held => {
                let known = self.transports.get_mut(transport);
                if let Some(known) = known.filter(|known| known.held.len() < MAX_HELD) {
                    known.held.push_back(asked);
                    let due_us = known.pacer.on_waiting(now, true);
                    self.paced.add(transport, &mut known.pacer, due_us);
                    return;
                }
            }
            Answer::Hopeless => {
                sink.output.counts.rtx_missed += 1;
                self.counters.rtx_missed += 1;
                self.serve_picture(now, transport, asked.sink);
                return;
            }
            Answer::Refused => {}
        }
        sink.output.counts.rtx_missed += 1;
        self.counters.rtx_missed += 1;
    }
}
