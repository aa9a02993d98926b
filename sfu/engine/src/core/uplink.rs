//! What publishers are told of their lines: limits, and that one has fallen.

use crate::api::{Event, Micros, TransportId};
use crate::media::uplink_queue::News;

use super::Core;
use super::transport::Transport;

/// UDP and IPv4 headers.
const HEADERS: usize = 28;
/// Told where a limit ended: more than any peer sends. A sender keeps the last one it was told.
const NO_LIMIT_BPS: u64 = 1_000_000_000;

impl Core {
    /// Takes the most that a peer should send; it hears of it now and with every report.
    pub(super) fn limit_uplink(&mut self, now: Micros, id: u32, rate_bps: u32) -> Option<()> {
        let index = self.transports.index(id)?;
        self.transports.get_mut(index)?.uplink_limit_bps = Some(rate_bps);
        self.report_soon(now, index);
        Some(())
    }

    /// Looks when a packet left. A sender whose line falls is told at once how little is left: each
    /// picture less that it sends is 70 ms on a line of 120 kb/s for whatever comes behind it.
    pub(super) fn watch_uplink(&mut self, now: Micros, index: u32, send_units: u32, len: usize) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        let Some(news) = transport.uplink_queue.on_packet(now, send_units, len + HEADERS) else {
            return;
        };
        let rate_bps = match news {
            News::Fell(rate_bps) => Some(rate_bps.max(1)),
            News::Doubt | News::Drained => None,
            News::Back => Some(0),
        };
        if let Some(rate_bps) = rate_bps {
            self.counters.uplink_falls += u64::from(rate_bps != 0);
            let event = Event::UplinkFell { transport: TransportId(transport.id), rate_bps };
            self.events.push(event, &mut self.counters);
        }
        self.report_soon(now, index);
    }

    fn report_soon(&mut self, now: Micros, index: u32) {
        let Some(transport) = self.transports.get_mut(index) else {
            return;
        };
        if transport.report_due_us != Micros::MAX {
            transport.report_due_us = transport.report_due_us.min(now);
            self.schedule_transport(now, index);
        }
    }
}

/// What to tell a peer that it may send at most; `None` where there never was a limit.
pub(super) fn limit_bps(transport: &Transport) -> Option<u64> {
    let limits = [transport.uplink_limit_bps, transport.uplink_queue.limit_bps()];
    let known = limits.into_iter().flatten().min_by_key(|&limit_bps| match limit_bps {
        0 => u32::MAX,
        limit_bps => limit_bps,
    })?;
    Some(if known == 0 { NO_LIMIT_BPS } else { u64::from(known) })
}
