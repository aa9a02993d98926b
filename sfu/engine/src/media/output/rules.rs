//! What is sent again: how often, how late, and for which share of the rate.

use crate::api::Micros;
use crate::media::encoding::Encoding;
use crate::media::flow::{Content, Flow, Outgoing};
use crate::media::rewrite::Epoch;

use super::{FIRST_UNIT_US, Sent};

/// Wait between two sends of one packet while the round trip is not known, and at most on a lossy
/// line: receivers ask about as often.
pub(super) const USUAL_WAIT_US: Micros = 100_000;
/// The same on any line: beyond it a receiver that asks again is believed.
const MAX_WAIT_US: Micros = 500_000;
/// Receivers look at what they miss so often (libwebrtc `nack_requester.cc`).
const ASKED_EVERY_US: Micros = 20_000;
/// A line is lossy from here on, in permille.
const LOSSY: u16 = 80;

/// Resends of one packet.
const MAX_TRIES: u8 = 3;
/// The same at 10 % loss and more, where three in a row are lost now and then.
const MAX_TRIES_LOSSY: u8 = 5;
/// Share of the stream's bitrate for retransmissions, in percent.
const RTX_SHARE_PERCENT: u64 = 15;
/// The same at high loss.
const MAX_SHARE_PERCENT: u64 = 60;
/// A picture that nothing depends on is shown by then, or never.
const PLAYOUT_MS: u16 = 600;
/// Receivers wait that long for a picture that others depend on; a key frame is quicker then.
const VITAL_MS: u16 = 1_500;

/// Why a packet is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotResent {
    /// Never sent, too old, or of an epoch that is over.
    Unknown,
    /// Sent too lately or too often.
    TooSoon,
    /// The budget is used up.
    OverBudget,
    /// It would come too late, or after a newer key frame: nobody misses it any more.
    Pointless,
    /// Too late or too often tried, and other pictures need it.
    Hopeless,
}

/// What a retransmission depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResendRules {
    /// Round trip, 0 = unknown.
    pub rtt_us: Micros,
    /// The same now, with what waits in the link; 0 = unknown.
    pub rtt_now_us: Micros,
    /// The subscriber has a budget.
    pub is_paced: bool,
    /// Of what is sent to it.
    pub loss_permille: u16,
}

impl ResendRules {
    /// How long after a packet left it may leave again.
    ///
    /// A receiver that sends no media does not know the round trip, and asks every 100 ms for what
    /// it misses: on a phone's line three times before the first answer can be there. What answers
    /// the other two takes the place of pictures, when their frame waits most. On a lossy line they
    /// are welcome, as the first one is lost now and then.
    pub(super) fn wait_us(&self, tries: u8) -> Micros {
        // The very first resend may come a little early: the round trip is an average.
        if tries == 0 {
            return if self.rtt_us == 0 { USUAL_WAIT_US } else { self.rtt_us.min(USUAL_WAIT_US) }
                / 2;
        }
        let rtt_us = self.rtt_us.max(self.rtt_now_us);
        if rtt_us == 0 {
            return USUAL_WAIT_US;
        }
        if self.loss_permille >= LOSSY {
            return rtt_us.min(USUAL_WAIT_US);
        }
        (rtt_us + ASKED_EVERY_US).min(MAX_WAIT_US)
    }

    pub(super) fn max_tries(&self) -> u8 {
        match self.loss_permille {
            100.. if self.is_paced => MAX_TRIES_LOSSY,
            _ => MAX_TRIES,
        }
    }

    /// Share of the rate for retransmissions: what is lost has to be sent again, and part of that
    /// once more. The pacer keeps all of it within the budget.
    pub(super) fn share_percent(&self) -> u64 {
        match self.is_paced {
            true => (u64::from(self.loss_permille) / 5).clamp(RTX_SHARE_PERCENT, MAX_SHARE_PERCENT),
            false => RTX_SHARE_PERCENT,
        }
    }
}

/// Whether a packet is still of use to a subscriber whose room is scarce.
pub(super) fn worth(
    now: Micros,
    slot: &Sent,
    outgoing: &Outgoing,
    flow: &Flow,
    encodings: &[Encoding],
    is_last: bool,
) -> Result<(), NotResent> {
    let running = flow.running().filter(|epoch| epoch.id == slot.epoch_id);
    let Some(encoding) = running.map(|epoch| &encodings[usize::from(epoch.encoding)]) else {
        // A key frame of another layer left since.
        return Err(NotResent::Pointless);
    };
    let view = match outgoing.content {
        Content::Stored(seq_ext) => encoding.ring.view(seq_ext),
        _ => None,
    };
    let next = running.map_or(0, Epoch::next_seq_ext);
    let passed_key = encoding.key.filter(|key| key.seq_ext < next);
    if view.zip(passed_key).is_some_and(|(view, key)| view.seq_ext < key.seq_ext) {
        return Err(NotResent::Pointless);
    }
    let age_ms = u16::from(slot.age(now)) * (FIRST_UNIT_US / 1000) as u16;
    let is_vital = view.is_none_or(|view| view.temporal == 0);
    match is_vital {
        false if is_last || age_ms > PLAYOUT_MS => Err(NotResent::Pointless),
        true if is_last || age_ms > VITAL_MS => Err(NotResent::Hopeless),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_packet_leaves_again_after_a_round_trip_or_on_a_lossy_line_as_often_as_asked() {
        let wait_us = |tries, rtt_us, rtt_now_us, loss_permille| {
            let rules = ResendRules { rtt_us, rtt_now_us, is_paced: true, loss_permille };
            rules.wait_us(tries)
        };
        assert_eq!([0, 40_000, 190_000].map(|rtt| wait_us(0, rtt, 0, 0)), [50_000, 20_000, 50_000]);
        assert_eq!(
            [0, 40_000, 190_000].map(|rtt| wait_us(1, rtt, 0, 30)),
            [100_000, 60_000, 210_000]
        );
        assert_eq!(wait_us(1, 190_000, 280_000, 30), 300_000, "a queue makes the way longer");
        assert_eq!([40_000, 300_000].map(|rtt| wait_us(2, rtt, 0, 100)), [40_000, 100_000]);
        assert_eq!(wait_us(3, 9_000_000, 0, 0), MAX_WAIT_US);
    }
}
