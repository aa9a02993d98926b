//! How fast one subscriber is sent to: what may leave now, and when the rest goes on.
//!
//! Nothing waits in here. A sink that may not send stays behind in the shared ring; the pacer only
//! says how many bytes there is room for, and is told of every byte that left.

use crate::api::Micros;
use crate::media::flow::Pace;
use crate::media::receive::RateWindow;

use super::brake::Brake;
use super::probe::Cluster;

/// Video leaves at most this much faster than the budget, in percent, so that the packets of one
/// frame do not wait for the next. The average is held by [`SHARE_US`].
const PACE_PERCENT: i64 = 125;
/// What may leave at once, as time of the budget: about the queue that a burst makes in the link.
const BURST_US: i64 = 40_000;
/// What a pause saves up for a key frame, as time of the budget: a queue of as long on a line that
/// carries no more than that, and half as long again where it is believed to carry a tenth more.
const SHARE_US: i64 = 100_000;
/// One packet may always be saved up for, however small the budget.
const PACKET_BYTES: i64 = 1200;
/// Those that wait are served on a common grid, so that many peers are one wake-up.
const GRID_US: Micros = 5_000;
/// Packets of a probe are spread on a finer one.
const PROBE_GRID_US: Micros = 1_000;
/// A wait is looked at again after this time at the latest.
const MAX_WAIT_US: Micros = 1_000_000;
/// Earned by a pause at most.
const MAX_REFILL_US: Micros = 10_000_000;
/// Without a new order for this long nothing goes up by itself any more: Python stalls.
const STALE_US: Micros = 5_000_000;
/// While nothing is heard of a peer, one packet in this time asks whether it is there again.
const TRICKLE_US: Micros = 200_000;
/// Tokens of one byte: a rate in bits per second times microseconds.
const BYTE: i64 = 8_000_000;

/// The pacer of one transport.
#[derive(Debug, Default)]
pub struct Pacer {
    /// When those that wait are served next.
    pub due_us: Micros,
    /// Is in the core's list of transports with something waiting.
    pub is_listed: bool,
    /// Sinks of this transport lag behind: newly arrived packets queue up behind theirs.
    pub has_waiting: bool,
    /// What the engine does by itself.
    pub brake: Brake,
    /// Probe under way.
    pub cluster: Option<Cluster>,
    budget_bps: u32,
    ordered_us: Micros,
    refilled_us: Micros,
    burst: i64,
    share: i64,
    sent_us: Micros,
    sent: RateWindow,
    audio: RateWindow,
}

impl Pacer {
    /// Takes an order. 0 = no limit.
    pub fn set_budget(&mut self, now: Micros, rate_bps: u32) {
        self.refill(now);
        let was_on = self.is_on();
        self.budget_bps = rate_bps;
        self.ordered_us = now;
        self.brake.on_order();
        if !was_on {
            self.brake.start(now);
            (self.burst, self.share) = (self.burst_max(), self.share_max());
        }
    }

    /// There is a budget.
    pub fn is_on(&self) -> bool {
        self.budget_bps != 0
    }

    /// Bits per second as ordered; 0 = no limit.
    pub fn budget_bps(&self) -> u32 {
        self.budget_bps
    }

    /// Bits per second in force: as ordered, or less by the brake. 0 = no limit.
    pub fn rate_bps(&self) -> u32 {
        self.budget_bps.min(self.brake.limit_bps())
    }

    /// Bytes that video and retransmissions may take now; `None` = no limit.
    pub fn pace(&mut self, now: Micros, rtt_us: Micros) -> Option<Pace> {
        if !self.is_on() {
            return None;
        }
        self.refill(now);
        let is_held = self.brake.is_silent(now, rtt_us) || self.brake.look(now);
        let room = match &self.cluster {
            _ if is_held => 0,
            Some(cluster) => cluster.room(now),
            None => self.burst.min(self.share).div_euclid(BYTE),
        };
        let may_rise = now.saturating_sub(self.ordered_us) < STALE_US;
        Some(Pace { room, is_held, may_rise, shed: self.brake.shed(), is_rerun: false })
    }

    /// Nothing is heard of the peer, and it is time to ask whether it is there again.
    pub fn is_trickle_due(&self, now: Micros) -> bool {
        self.brake.silent_since_us().is_some() && self.sent_us + TRICKLE_US <= now
    }

    /// How full the reserve is, for what may be left out.
    pub fn is_plenty(&self) -> bool {
        !self.is_on() || self.share > self.share_max() / 2
    }

    /// Notes that RTP left; `is_reported` = the peer will tell whether it came.
    pub fn on_sent(&mut self, now: Micros, bytes: u64, is_audio: bool, is_reported: bool) {
        if is_audio {
            self.audio.add(now, bytes as u32);
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.on_sent(bytes);
        }
        if is_reported && self.is_on() {
            self.brake.on_sent(now, bytes, is_audio);
        }
        self.on_sent_other(now, bytes);
    }

    /// Notes that something left which is no RTP.
    pub fn on_sent_other(&mut self, now: Micros, bytes: u64) {
        self.sent.add(now, bytes as u32);
        self.sent_us = now;
        if self.is_on() {
            self.refill(now);
            let cost = bytes.min(1 << 20) as i64 * BYTE;
            self.burst = (self.burst - cost).max(-self.burst_max());
            self.share -= cost;
            self.share = self.share.max(self.owed_max());
        }
    }

    /// Notes that a DTLS datagram left. It takes from what is saved up, but owes nothing: messages
    /// of others in the room must not stop this subscriber's picture.
    pub fn on_sent_data(&mut self, now: Micros, bytes: u64) {
        self.sent.add(now, bytes as u32);
        self.sent_us = now;
        if self.is_on() {
            self.refill(now);
            let cost = bytes.min(1 << 20) as i64 * BYTE;
            self.share -= cost.min(self.share.max(0) / 2);
        }
    }

    /// The link's queue grew: video waits until it should have drained.
    pub fn repay(&mut self, now: Micros, bytes: i64) {
        self.refill(now);
        let owed = bytes.clamp(0, 1 << 20) * BYTE;
        self.share = self.share.min(-owed).max(self.owed_max());
    }

    /// Something waits for room, or only copies for their time; returns when to look again.
    pub fn on_waiting(&mut self, now: Micros, is_for_room: bool) -> Micros {
        self.has_waiting |= is_for_room;
        match is_for_room {
            true => self.next_room_us(now),
            false => (now + 1).next_multiple_of(GRID_US),
        }
    }

    /// When there is room for the next packet.
    pub fn next_room_us(&self, now: Micros) -> Micros {
        if self.brake.silent_since_us().is_some() {
            return self.on_grid(now, (self.sent_us + TRICKLE_US).max(now + 1), GRID_US);
        }
        if let Some(until_us) = self.brake.hold_until_us().filter(|until_us| *until_us > now) {
            return self.on_grid(now, until_us, GRID_US);
        }
        if let Some(cluster) = &self.cluster {
            return self.on_grid(now, cluster.next_us(now), PROBE_GRID_US);
        }
        let rate = i64::from(self.rate_bps()).max(1);
        let burst_us = (-self.burst).max(0) / (rate * PACE_PERCENT / 100).max(1);
        let share_us = (-self.share).max(0) / rate;
        let wait_us = (burst_us.max(share_us) as Micros + 1).min(MAX_WAIT_US);
        self.on_grid(now, now + wait_us, GRID_US)
    }

    /// Bits per second sent over the last second: of audio, and of all.
    pub fn sent_bps(&self, now: Micros) -> (u64, u64) {
        (self.audio.per_second(now) * 8, self.sent.per_second(now) * 8)
    }

    fn on_grid(&self, now: Micros, due_us: Micros, grid_us: Micros) -> Micros {
        due_us.max(now + 1).next_multiple_of(grid_us)
    }

    fn refill(&mut self, now: Micros) {
        let elapsed_us = now.saturating_sub(self.refilled_us).min(MAX_REFILL_US) as i64;
        self.refilled_us = self.refilled_us.max(now);
        let earned = elapsed_us * i64::from(self.rate_bps());
        self.burst = (self.burst + earned / 100 * PACE_PERCENT).min(self.burst_max());
        self.share = (self.share + earned).min(self.share_max());
    }

    fn burst_max(&self) -> i64 {
        (i64::from(self.rate_bps()) * BURST_US).max(PACKET_BYTES * BYTE)
    }

    fn share_max(&self) -> i64 {
        (i64::from(self.rate_bps()) * SHARE_US).max(PACKET_BYTES * BYTE)
    }

    /// Two seconds of the rate: what is owed longer than that was dropped by the link meanwhile.
    fn owed_max(&self) -> i64 {
        -(i64::from(self.rate_bps()) * 2_000_000).max(PACKET_BYTES * BYTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced(rate_bps: u32) -> Pacer {
        let mut pacer = Pacer::default();
        pacer.set_budget(1_000_000, rate_bps);
        pacer
    }

    /// Bytes sent in packets of 1000 over `us` by somebody who always has something to send.
    fn send_all(pacer: &mut Pacer, from: Micros, us: Micros) -> u64 {
        let mut sent = 0;
        let mut now = from;
        while now < from + us {
            while pacer.pace(now, 0).is_some_and(|pace| pace.room > 0) {
                pacer.on_sent(now, 1000, false, false);
                sent += 1000;
            }
            let next = pacer.next_room_us(now);
            assert!(next > now && next <= now + MAX_WAIT_US + GRID_US);
            now = next;
        }
        sent
    }

    #[test]
    fn the_average_is_the_budget_and_a_pause_saves_little() {
        for rate_bps in [50_000u32, 300_000, 3_000_000, 100_000_000] {
            let mut pacer = paced(rate_bps);
            let sent = send_all(&mut pacer, 1_000_000, 10_000_000);
            let budget = u64::from(rate_bps) / 8 * 10;
            assert!(sent >= budget && sent <= budget * 103 / 100 + 3000, "{rate_bps}: {sent}");
        }
    }

    #[test]
    fn a_frame_leaves_a_quarter_faster_than_the_budget() {
        let mut pacer = paced(800_000);
        let sent = send_all(&mut pacer, 1_000_000, 200_000);
        // 40 ms of burst and 200 ms at 125 kB/s.
        assert!((28_000..=31_000).contains(&sent), "{sent}");
    }

    #[test]
    fn audio_is_never_refused_and_video_pays_for_it() {
        let mut pacer = paced(100_000);
        pacer.on_sent(1_000_000, 20_000, true, false);
        assert!(pacer.pace(1_000_000, 0).unwrap().room < 0);
        assert_eq!(pacer.sent_bps(1_100_000), (160_000, 160_000));
        assert!(pacer.pace(2_700_000, 0).unwrap().room > 0, "a debt of two seconds at most");
    }

    #[test]
    fn a_flood_of_messages_leaves_video_its_budget() {
        let mut pacer = paced(800_000);
        let mut sent = 0;
        for now in (1_000_000..3_000_000).step_by(1_000) {
            pacer.on_sent_data(now, 1_000);
            while pacer.pace(now, 0).unwrap().room > 0 {
                pacer.on_sent(now, 1_200, false, false);
                sent += 1_200;
            }
        }
        assert!(sent >= 180_000, "{sent} of 200 kB");
    }

    #[test]
    fn absurd_budgets_wait_or_pass_but_never_overflow() {
        for rate_bps in [1, 7, u32::MAX] {
            let mut pacer = paced(rate_bps);
            pacer.on_sent(1_000_000, u64::from(u32::MAX), false, true);
            pacer.repay(1_000_000, i64::MAX);
            assert!(pacer.next_room_us(1_000_000) <= 1_000_000 + MAX_WAIT_US + GRID_US);
            pacer.pace(u64::MAX / 2, 0).unwrap();
        }
        let mut pacer = paced(0);
        assert!(pacer.pace(0, 0).is_none());
        pacer.set_budget(0, 1000);
        assert!(pacer.pace(0, 0).is_some(), "time that goes back is none");
    }
}
