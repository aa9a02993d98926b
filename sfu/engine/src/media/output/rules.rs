//! What is sent again: how often, how late, and for which share of the rate.

use crate::api::Micros;
use crate::media::encoding::Encoding;
use crate::media::flow::{Content, Flow, Outgoing};
use crate::media::rewrite::Epoch;

use super::{FIRST_UNIT_US, Sent};

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
    /// The subscriber has a budget.
    pub is_paced: bool,
    /// Of what is sent to it.
    pub loss_permille: u16,
}

impl ResendRules {
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
