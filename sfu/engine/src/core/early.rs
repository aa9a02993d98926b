//! Losses that transport-wide feedback shows before the subscriber asks.
//!
//! A receiver asks for a packet when the next one of the same stream comes: at ten pictures a second
//! that is 100 ms later, and the request may get lost, too. Feedback about sound and all else comes
//! every 50 ms. On a long way that loses packets, what it shows as lost is sent again at once.

use crate::api::Micros;

use super::transport::Transport;

/// Packets remembered: some seconds of the lines that this is for.
const SLOTS: usize = 256;
/// Loss from which it is worth the while, and round trip: below, requests are quick enough.
const MIN_LOSS_PERMILLE: u16 = 15;
const MIN_RTT_US: Micros = 80_000;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    sink: u32,
    twcc: u16,
    out_seq: u16,
}

/// Which packet of which sink had which transport-wide number.
#[derive(Debug, Default)]
pub struct EarlyLosses {
    /// Empty before there is a budget.
    slots: Vec<Slot>,
}

impl EarlyLosses {
    /// Makes room, once.
    pub fn start(&mut self) {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); SLOTS];
        }
    }

    /// A packet of the sink with this id leaves.
    pub fn on_sent(&mut self, twcc: u16, sink: u32, out_seq: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(twcc) % SLOTS) {
            *slot = Slot { sink, twcc, out_seq };
        }
    }

    /// Sink and number of a packet that was lost, once.
    pub fn take(&mut self, twcc: u16) -> Option<(u32, u16)> {
        let slot = self.slots.get_mut(usize::from(twcc) % SLOTS)?;
        let sink = if slot.twcc == twcc { std::mem::take(&mut slot.sink) } else { 0 };
        // Ids begin at 1.
        (sink != 0).then_some((sink, slot.out_seq))
    }
}

impl Transport {
    /// Whether what leaves is to be remembered for this.
    pub fn has_early_losses(&self) -> bool {
        self.pacer.is_on()
            && self.loss_permille >= MIN_LOSS_PERMILLE
            && self.rtt_us >= MIN_RTT_US
            && self.writer.extensions.twcc != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_told_once_and_only_of_what_was_sent() {
        let mut early = EarlyLosses::default();
        early.on_sent(5, 7, 500);
        assert_eq!(early.take(5), None, "nothing is remembered before it starts");
        early.start();
        early.on_sent(5, 7, 500);
        early.on_sent(6, 8, 900);
        assert_eq!(early.take(261), None, "another one in the same place");
        assert_eq!((early.take(6), early.take(6)), (Some((8, 900)), None));
        early.on_sent(261, 7, 756);
        assert_eq!((early.take(5), early.take(261)), (None, Some((7, 756))));
    }
}
