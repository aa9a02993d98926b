//! Which packets of a publisher are missing, and when to ask for them.

use crate::api::Micros;

/// Packets waited for at once; more means that a key frame is the cheaper cure.
const MAX_PENDING: usize = 128;
/// Times one packet is asked for.
const MAX_TRIES: u8 = 10;
/// Reordering that is given a chance before the first request.
const FIRST_DELAY_US: Micros = 10_000;
/// Bounds of the wait between two requests for one packet.
const MIN_WAIT_US: Micros = 20_000;
const MAX_WAIT_US: Micros = 400_000;
/// Round trip before the first sample; that of libwebrtc and mediasoup. A shorter one would ask for
/// a packet several times before any answer can be there.
const FIRST_RTT_US: Micros = 100_000;
/// Requests up to which an answer counts as one to the first of them. With none but the first,
/// nothing would ever be learned of a round trip that is longer than expected.
const MAX_SAMPLED_TRIES: u8 = 3;

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq_ext: u64,
    due_us: Micros,
    /// When it was first asked for.
    asked_us: Micros,
    tries: u8,
}

/// Something had to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The newest packet that will not come any more.
    pub newest_seq_ext: u64,
    /// How many were given up.
    pub count: u32,
}

/// The missing packets of one encoding, oldest first.
#[derive(Debug, Default)]
pub struct NackList {
    pending: Vec<Missing>,
    rtt_us: Micros,
    due_us: Option<Micros>,
}

impl NackList {
    /// When [`NackList::drain_due`] has something to say next.
    pub fn next_due_us(&self) -> Option<Micros> {
        self.due_us
    }

    /// Nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Packets `from..to` were jumped over. More than fit are given up at once.
    pub fn on_gap(&mut self, now: Micros, from: u64, to: u64) -> Option<GivenUp> {
        if self.pending.capacity() == 0 {
            self.pending.reserve_exact(MAX_PENDING);
        }
        if self.pending.len() as u64 + (to - from) > MAX_PENDING as u64 {
            let count = (self.pending.len() as u64 + to - from).min(u64::from(u32::MAX)) as u32;
            self.clear();
            return Some(GivenUp { newest_seq_ext: to - 1, count });
        }
        let due_us = now + FIRST_DELAY_US;
        for seq_ext in from..to {
            self.pending.push(Missing { seq_ext, due_us, asked_us: 0, tries: 0 });
        }
        self.due_us = Some(self.due_us.map_or(due_us, |due| due.min(due_us)));
        None
    }

    /// Packet `seq_ext` came after all.
    pub fn on_arrival(&mut self, now: Micros, seq_ext: u64) {
        if let Ok(index) = self.pending.binary_search_by_key(&seq_ext, |missing| missing.seq_ext) {
            let missing = self.pending.remove(index);
            if (1..=MAX_SAMPLED_TRIES).contains(&missing.tries) {
                let sample = now.saturating_sub(missing.asked_us).min(1_000_000);
                self.rtt_us =
                    if self.rtt_us == 0 { sample } else { (7 * self.rtt_us + sample) / 8 };
            }
            if self.pending.is_empty() {
                self.due_us = None;
            }
        }
    }

    /// Appends the packets to ask for now; reports those that were asked for too often.
    pub fn drain_due(&mut self, now: Micros, out: &mut Vec<u64>) -> Option<GivenUp> {
        let mut given_up: Option<GivenUp> = None;
        let rtt_us = match self.rtt_us {
            0 => FIRST_RTT_US,
            known => known,
        };
        let wait_us = (rtt_us + rtt_us / 4).clamp(MIN_WAIT_US, MAX_WAIT_US);
        let mut next_us: Option<Micros> = None;
        self.pending.retain_mut(|missing| {
            if missing.due_us <= now {
                if missing.tries >= MAX_TRIES {
                    let count = given_up.map_or(0, |given| given.count) + 1;
                    given_up = Some(GivenUp { newest_seq_ext: missing.seq_ext, count });
                    return false;
                }
                missing.tries += 1;
                if missing.tries == 1 {
                    missing.asked_us = now;
                }
                // Back-off 1.25 per try, so that a dead line is not asked ten times in a burst.
                let factor = 4 + u64::from(missing.tries - 1);
                missing.due_us = now + (wait_us * factor / 4).min(MAX_WAIT_US);
                out.push(missing.seq_ext);
            }
            next_us = Some(next_us.map_or(missing.due_us, |due| due.min(missing.due_us)));
            true
        });
        self.due_us = next_us;
        given_up
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.due_us = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(list: &mut NackList, now: Micros) -> Vec<u64> {
        let mut out = Vec::new();
        list.drain_due(now, &mut out);
        out
    }

    #[test]
    fn asks_after_10_ms_and_then_less_and_less_often() {
        let mut list = NackList::default();
        assert_eq!(list.on_gap(0, 5, 7), None);
        assert!(due(&mut list, 9_999).is_empty());
        assert_eq!(due(&mut list, 10_000), [5, 6]);
        list.on_arrival(25_000, 5);
        assert!(due(&mut list, 134_999).is_empty());
        assert_eq!(due(&mut list, 135_000), [6]);
        let mut tries = 2;
        while let Some(at) = list.next_due_us() {
            tries += due(&mut list, at).len();
        }
        assert_eq!(tries, MAX_TRIES as usize);
        assert!(list.is_empty());
    }

    #[test]
    fn reports_what_it_gives_up() {
        let mut list = NackList::default();
        list.on_gap(0, 5, 7);
        let mut given_up = None;
        while let Some(at) = list.next_due_us() {
            given_up = list.drain_due(at, &mut Vec::new());
        }
        assert_eq!(given_up, Some(GivenUp { newest_seq_ext: 6, count: 2 }));
    }

    #[test]
    fn too_wide_a_gap_is_given_up_at_once() {
        let mut list = NackList::default();
        list.on_gap(0, 0, 100);
        let given_up = list.on_gap(0, 200, 260).unwrap();
        assert_eq!((given_up.newest_seq_ext, given_up.count), (259, 160));
        assert!(list.is_empty());
    }

    #[test]
    fn learns_of_a_round_trip_longer_than_the_first_wait() {
        let mut list = NackList::default();
        let mut num_asked = Vec::new();
        for seq_ext in 0..8 {
            let lost_us = seq_ext * 1_000_000;
            list.on_gap(lost_us, seq_ext, seq_ext + 1);
            let answered_us = lost_us + FIRST_DELAY_US + 300_000;
            let mut count = 0;
            while let Some(at) = list.next_due_us().filter(|&at| at < answered_us) {
                count += due(&mut list, at).len();
            }
            num_asked.push(count);
            list.on_arrival(answered_us, seq_ext);
        }
        assert_eq!((num_asked[0], num_asked[7]), (3, 1), "{num_asked:?}");
    }

    #[test]
    fn waits_longer_where_the_answer_takes_longer() {
        let mut list = NackList::default();
        list.on_gap(0, 1, 3);
        due(&mut list, 10_000);
        list.on_arrival(170_000, 1);
        assert_eq!(due(&mut list, 170_000), [2]);
        assert_eq!(list.next_due_us(), Some(170_000 + 200_000 * 5 / 4));
    }
}
