//! How long answers to requests take, seen through lost requests and lost answers.

use crate::api::Micros;

/// Before the first answer; that of libwebrtc and mediasoup. A shorter one would ask for a packet
/// several times before any answer can be there.
const FIRST_RTT_US: Micros = 100_000;
/// Answers that are looked at. At 30 % loss each way two of three are to the first request; of those
/// the middle one counts, so that a jittery line is not asked too early.
const NUM_SAMPLES: usize = 12;
const QUICKER_ONE_IN: usize = 3;
const MAX_SAMPLE_US: Micros = 1_000_000;
/// Added to a round trip before its answer counts as missing.
const JITTER_US: Micros = 10_000;
/// The shortest wait between two requests for one packet.
const MIN_WAIT_US: Micros = 20_000;
/// The longest.
pub const MAX_WAIT_US: Micros = 400_000;

/// The round trip of one stream's requests.
///
/// An answer is measured from the first request for its packet, as nobody knows which one it
/// belongs to. So a sample is never too short, and the mean of samples is far too long where much
/// is lost: at 30 % each way it comes to twice the truth, as its own waiting adds to it.
#[derive(Debug, Default)]
pub struct RoundTrip {
    samples_us: [u32; NUM_SAMPLES],
    next: usize,
}

impl RoundTrip {
    /// An answer came, so long after the first request for it.
    pub fn on_answer(&mut self, took_us: Micros) {
        self.samples_us[self.next] = took_us.clamp(1, MAX_SAMPLE_US) as u32;
        self.next = (self.next + 1) % NUM_SAMPLES;
    }

    /// As far as known.
    pub fn rtt_us(&self) -> Micros {
        let mut sorted_us = self.samples_us;
        sorted_us.sort_unstable();
        let first = sorted_us.partition_point(|&sample_us| sample_us == 0);
        let known_us = &sorted_us[first..];
        known_us
            .get(known_us.len() / QUICKER_ONE_IN)
            .map_or(FIRST_RTT_US, |&rtt_us| Micros::from(rtt_us))
    }

    /// By when an answer must have come, and the packet may be asked for again: senders take its next
    /// request a round trip after they sent it (libwebrtc's `rtp_packet_history.cc`).
    pub fn wait_us(&self) -> Micros {
        let rtt_us = self.rtt_us();
        (rtt_us + rtt_us / 16 + JITTER_US).clamp(MIN_WAIT_US, MAX_WAIT_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_answers_do_not_make_it_longer() {
        let mut round_trip = RoundTrip::default();
        assert_eq!((round_trip.rtt_us(), round_trip.wait_us()), (100_000, 116_250));
        for took_us in [450_000, 210_000, 700_000, 230_000, 440_000] {
            round_trip.on_answer(took_us);
        }
        assert_eq!(round_trip.rtt_us(), 230_000);
        assert_eq!(round_trip.wait_us(), 230_000 + 230_000 / 16 + JITTER_US);
    }

    #[test]
    fn a_line_that_became_longer_is_believed_after_a_dozen_answers() {
        let mut round_trip = RoundTrip::default();
        for took_us in [50_000; NUM_SAMPLES].into_iter().chain([300_000; NUM_SAMPLES]) {
            round_trip.on_answer(took_us);
        }
        assert_eq!(round_trip.rtt_us(), 300_000);
        round_trip.on_answer(50_000);
        assert_eq!(round_trip.rtt_us(), 300_000, "one says nothing yet");
    }

    #[test]
    fn absurd_answers_stay_within_bounds() {
        let mut round_trip = RoundTrip::default();
        for took_us in [0, 0, 0] {
            round_trip.on_answer(took_us);
        }
        assert_eq!((round_trip.rtt_us(), round_trip.wait_us()), (1, MIN_WAIT_US));
        for _ in 0..100 {
            round_trip.on_answer(Micros::MAX / 200);
        }
        assert_eq!((round_trip.rtt_us(), round_trip.wait_us()), (MAX_SAMPLE_US, MAX_WAIT_US));
    }
}
