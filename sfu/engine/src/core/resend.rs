//! Retransmissions that subscribers asked for, from the shared ring.

use crate::api::Micros;
use crate::media::output::{NotResent, ResendRules};

use super::fanout::{Recalled, Step, send_recalled};
use super::transport::Transport;
use super::{Core, Egress};

/// Requests of one peer that wait for room.
const MAX_HELD: usize = 512;

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
        for (index, out_seq) in asked.drain(..) {
            let Some(transport) = self.transport_of(index) else {
                continue;
            };
            transport.num_asked = 0;
            // Those that wait were asked for before.
            let must_wait = !transport.held.is_empty();
            let answer =
                if must_wait { Answer::Held } else { self.resend_one(now, index, out_seq, out) };
            self.count_answer(now, index, out_seq, answer);
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
            let Some((sink, out_seq)) = transport.held.pop_front() else {
                return false;
            };
            match self.resend_one(now, sink, out_seq, out) {
                Answer::Held => {
                    if let Some(transport) = self.transports.get_mut(index) {
                        transport.held.push_front((sink, out_seq));
                    }
                    return true;
                }
                answer => self.count_answer(now, sink, out_seq, answer),
            }
        }
        false
    }

    fn transport_of(&mut self, sink: u32) -> Option<&mut Transport> {
        let transport = self.sinks.get(sink)?.transport;
        self.transports.get_mut(transport)
    }

    fn resend_one(
        &mut self,
        now: Micros,
        index: u32,
        out_seq: u16,
        out: &mut dyn Egress,
    ) -> Answer {
        let Some(sink) = self.sinks.get_mut(index) else {
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
        let rules = ResendRules {
            rtt_us: transport.rtt_us,
            is_paced: pace.is_some(),
            loss_permille: transport.loss_permille,
        };
        sink.output.refill_rtx(now, rate, &rules);
        match sink.output.resend(now, out_seq, &sink.flow, &source.encodings, &rules) {
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

    fn count_answer(&mut self, now: Micros, index: u32, out_seq: u16, answer: Answer) {
        let Some(sink) = self.sinks.get_mut(index) else {
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
                    known.held.push_back((index, out_seq));
                    let due_us = known.pacer.on_waiting(now, true);
                    self.paced.add(transport, &mut known.pacer, due_us);
                    return;
                }
            }
            Answer::Hopeless => {
                sink.output.counts.rtx_missed += 1;
                self.counters.rtx_missed += 1;
                self.serve_picture(now, transport, index);
                return;
            }
            Answer::Refused => {}
        }
        sink.output.counts.rtx_missed += 1;
        self.counters.rtx_missed += 1;
    }
}
