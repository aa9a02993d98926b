//! Which packets of a publisher are missing, and when to ask for them.

use crate::api::Micros;
use crate::media::round_trip::{MAX_WAIT_US, RoundTrip};

/// Packets waited for at once; more means that a key frame is the cheaper cure.
const MAX_PENDING: usize = 128;
/// Times one packet is asked for, and the age at which it is forgotten: players have gone on by then.
const MAX_TRIES: u8 = 10;
const MAX_AGE_US: Micros = 1_200_000;
/// After so many round trips a key frame is the likelier cure. At 30 % loss each way six of a hundred
/// packets get there, at 10 % one of a thousand; each further request would cost a round trip.
const OVERDUE_ROUNDS: u64 = 4;
/// Requests after which the next ones come less and less often, so that a dead line is not asked in
/// bursts.
const QUICK_TRIES: u8 = 4;
/// Packets before the first one of a stream that are asked for when it begins in mid-frame, and how
/// far back that may go.
const HEAD_PACKETS: u64 = 4;
const MAX_HEAD_PACKETS: u64 = 32;
/// Reordering that is given a chance before the first request.
const FIRST_DELAY_US: Micros = 10_000;

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq_ext: u64,
    /// When it was found missing.
    since_us: Micros,
    due_us: Micros,
    /// When it was first asked for.
    asked_us: Micros,
    tries: u8,
    /// It was reported as given up.
    is_told: bool,
}

impl Missing {
    fn new(now: Micros, seq_ext: u64) -> Missing {
        let due_us = now + FIRST_DELAY_US;
        Missing { seq_ext, since_us: now, due_us, asked_us: 0, tries: 0, is_told: false }
    }
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
    round_trip: RoundTrip,
    due_us: Option<Micros>,
    /// First packet of a stream that began in mid-frame, as far back as it is known.
    head: Option<(u64, u64)>,
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

    /// What is missing, oldest first.
    pub fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        self.pending.iter().map(|missing| missing.seq_ext)
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
        for seq_ext in from..to {
            self.pending.push(Missing::new(now, seq_ext));
        }
        self.wake(now + FIRST_DELAY_US);
        None
    }

    /// The very first packet of a stream, `first`, does not start a frame: those before it are
    /// asked for. What they turn out to be is told to [`NackList::on_head`].
    pub fn on_headless(&mut self, now: Micros, first: u64) {
        self.head = Some((first, first.saturating_sub(MAX_HEAD_PACKETS)));
        self.ask_before(now, first);
    }

    /// A packet before the first one came; unless it starts a frame, there are more before it.
    pub fn on_head(&mut self, now: Micros, seq_ext: u64, is_frame_start: bool) {
        let Some((first, end)) = self.head.filter(|&(first, _)| seq_ext < first) else {
            return;
        };
        if is_frame_start {
            self.head = None;
            self.forget_before(seq_ext);
        } else if seq_ext + HEAD_PACKETS <= first && seq_ext > end {
            self.head = Some((seq_ext, end));
            self.ask_before(now, seq_ext);
        }
    }

    fn ask_before(&mut self, now: Micros, first: u64) {
        if self.pending.capacity() == 0 {
            self.pending.reserve_exact(MAX_PENDING);
        }
        let from = first.saturating_sub(HEAD_PACKETS);
        if self.pending.len() as u64 + HEAD_PACKETS > MAX_PENDING as u64 {
            return;
        }
        for seq_ext in (from..first).rev() {
            self.pending.insert(0, Missing::new(now, seq_ext));
        }
        self.wake(now + FIRST_DELAY_US);
    }

    fn wake(&mut self, due_us: Micros) {
        self.due_us = Some(self.due_us.map_or(due_us, |due| due.min(due_us)));
    }

    /// Packet `seq_ext` came after all; `is_answer` = it was sent again. One that was only overtaken
    /// says nothing of the round trip.
    pub fn on_arrival(&mut self, now: Micros, seq_ext: u64, is_answer: bool) {
        if let Ok(index) = self.pending.binary_search_by_key(&seq_ext, |missing| missing.seq_ext) {
            let missing = self.pending.remove(index);
            if is_answer && missing.tries > 0 {
                self.round_trip.on_answer(now.saturating_sub(missing.asked_us));
            }
            if self.pending.is_empty() {
                self.due_us = None;
            }
        }
    }

    /// Appends the packets to ask for now; reports those that are not to be waited for any longer,
    /// but for such as `is_spare`. They are asked for a while longer: a key frame takes its time.
    pub fn drain_due(
        &mut self,
        now: Micros,
        out: &mut Vec<u64>,
        is_spare: impl Fn(u64) -> bool,
    ) -> Option<GivenUp> {
        let mut given_up: Option<GivenUp> = None;
        let wait_us = self.round_trip.wait_us();
        let mut next_us: Option<Micros> = None;
        self.pending.retain_mut(|missing| {
            if missing.due_us <= now {
                let age_us = now.saturating_sub(missing.since_us);
                let is_over = missing.tries >= MAX_TRIES || age_us >= MAX_AGE_US;
                let is_overdue = is_over || age_us >= OVERDUE_ROUNDS * wait_us;
                if is_overdue && !std::mem::replace(&mut missing.is_told, true) {
                    let is_needed = !is_spare(missing.seq_ext);
                    let count = given_up.map_or(0, |given| given.count) + 1;
                    let newest_seq_ext = missing.seq_ext;
                    given_up =
                        if is_needed { Some(GivenUp { newest_seq_ext, count }) } else { given_up };
                }
                if is_over {
                    return false;
                }
                missing.tries += 1;
                if missing.tries == 1 {
                    missing.asked_us = now;
                }
                let factor = 4 + u64::from(missing.tries.saturating_sub(QUICK_TRIES));
                missing.due_us = now + (wait_us * factor / 4).min(MAX_WAIT_US);
                out.push(missing.seq_ext);
            }
            next_us = Some(next_us.map_or(missing.due_us, |due| due.min(missing.due_us)));
            true
        });
        self.due_us = next_us;
        given_up
    }

    /// Round trip of requests, as far as known.
    pub fn rtt_us(&self) -> Micros {
        self.round_trip.rtt_us()
    }

    /// Packets before `seq_ext` are not needed any more.
    pub fn forget_before(&mut self, seq_ext: u64) {
        self.pending.retain(|missing| missing.seq_ext >= seq_ext);
        self.due_us = self.pending.iter().map(|missing| missing.due_us).min();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.due_us = None;
        self.head = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(list: &mut NackList, now: Micros) -> Vec<u64> {
        let mut out = Vec::new();
        list.drain_due(now, &mut out, |_| false);
        out
    }

    #[test]
    fn asks_after_10_ms_and_then_less_and_less_often() {
        let mut list = NackList::default();
        assert_eq!(list.on_gap(0, 5, 7), None);
        assert!(due(&mut list, 9_999).is_empty());
        assert_eq!(due(&mut list, 10_000), [5, 6]);
        list.on_arrival(25_000, 5, true);
        assert!(due(&mut list, 126_249).is_empty());
        assert_eq!(due(&mut list, 126_250), [6]);
        let (mut before, mut last) = (0, 126_250);
        let mut tries = 2;
        while let Some(at) = list.next_due_us() {
            assert!(at - last >= before, "the waits grow");
            (before, last) = (at - last, at);
            tries += due(&mut list, at).len();
        }
        assert!(list.is_empty() && tries <= usize::from(MAX_TRIES));
        assert!(last <= MAX_AGE_US + MAX_WAIT_US, "{last}");
    }

    #[test]
    fn reports_what_it_gives_up() {
        let mut list = NackList::default();
        list.on_gap(0, 5, 7);
        let mut told = Vec::new();
        while let Some(at) = list.next_due_us() {
            told.extend(list.drain_due(at, &mut Vec::new(), |_| false).map(|given| (at, given)));
        }
        let [(at, given_up)] = told[..] else { panic!("once: {told:?}") };
        assert_eq!(given_up, GivenUp { newest_seq_ext: 6, count: 2 });
        assert!((400_000..700_000).contains(&at), "after the fourth request: {at}");
    }

    #[test]
    fn what_nobody_needs_is_asked_for_but_not_missed() {
        let mut list = NackList::default();
        list.on_gap(0, 5, 7);
        let mut told = Vec::new();
        while let Some(at) = list.next_due_us() {
            told.extend(list.drain_due(at, &mut Vec::new(), |seq_ext| seq_ext == 6));
        }
        assert_eq!(told, [GivenUp { newest_seq_ext: 5, count: 1 }]);
    }

    #[test]
    fn a_stream_that_begins_in_mid_frame_is_asked_for_its_head() {
        let mut list = NackList::default();
        list.on_headless(0, 100);
        assert_eq!(due(&mut list, 10_000), [96, 97, 98, 99]);
        for seq_ext in [99, 97, 98] {
            list.on_arrival(90_000, seq_ext, true);
            list.on_head(90_000, seq_ext, false);
        }
        assert!(due(&mut list, 100_000).is_empty());
        list.on_arrival(110_000, 96, true);
        list.on_head(110_000, 96, false);
        assert_eq!(due(&mut list, 120_000), [92, 93, 94, 95]);
        // The frame starts at 94: what came before it belongs to nobody.
        list.on_arrival(200_000, 94, true);
        list.on_head(200_000, 94, true);
        assert_eq!(due(&mut list, 1_000_000), [95]);
    }

    #[test]
    fn what_a_whole_key_frame_makes_needless_is_not_asked_for_again() {
        let mut list = NackList::default();
        list.on_gap(0, 5, 9);
        list.forget_before(7);
        assert_eq!(due(&mut list, 10_000), [7, 8]);
        list.forget_before(100);
        assert_eq!(list.next_due_us(), None);
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
            list.on_arrival(answered_us, seq_ext, true);
        }
        assert_eq!((num_asked[0], num_asked[7]), (3, 1), "{num_asked:?}");
    }

    #[test]
    fn waits_longer_where_the_answer_takes_longer() {
        let mut list = NackList::default();
        list.on_gap(0, 1, 3);
        due(&mut list, 10_000);
        list.on_arrival(170_000, 1, true);
        assert_eq!(due(&mut list, 170_000), [2]);
        assert_eq!(list.rtt_us(), 160_000);
        assert_eq!(list.next_due_us(), Some(170_000 + 160_000 + 10_000 + 10_000));
    }
}
