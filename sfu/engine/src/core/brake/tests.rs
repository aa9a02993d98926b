use super::*;

const RTT: Micros = 60_000;

/// A link with a rate and a queue, seen through feedback every 50 ms.
struct Link {
    brake: Brake,
    now: Micros,
    busy_us: Micros,
    rate_bps: u64,
    verdicts: Vec<(Micros, Verdict)>,
    waiting: Vec<Reported>,
    rtt_us: Micros,
    budget_bps: u32,
    /// Feedback comes so long after every 50 ms.
    phase_us: Micros,
}

impl Link {
    fn new(rate_bps: u64) -> Link {
        let mut brake = Brake::default();
        brake.start(1_000_000);
        let (verdicts, waiting) = (Vec::new(), Vec::new());
        let (now, rtt_us) = (1_000_000, RTT);
        Link {
            brake,
            now,
            busy_us: 0,
            rate_bps,
            verdicts,
            waiting,
            rtt_us,
            budget_bps: 0,
            phase_us: 0,
        }
    }

    /// What left after the newest packet that came.
    fn open(&self) -> Open {
        Open {
            num: self.waiting.len() as u32,
            bytes: self.waiting.iter().map(|row| u64::from(row.size_bytes)).sum(),
            oldest_us: self.waiting.first().map_or(0, |row| row.sent_us),
        }
    }

    /// Sends 1000 bytes every `interval_us` for `us`.
    fn send(&mut self, us: Micros, interval_us: Micros) {
        let until = self.now + us;
        while self.now < until {
            if self.now.is_multiple_of(interval_us) {
                self.push(1_000);
            }
            if self.now.is_multiple_of(50_000) {
                self.report();
            }
            self.now += 1_000;
        }
    }

    /// One millisecond of a call.
    fn talk(&mut self, at_ms: u64, has_pictures: bool) {
        if at_ms.is_multiple_of(50) && has_pictures && !self.brake.look(self.now) {
            (0..5).for_each(|_| self.push(1_180));
        }
        if at_ms.is_multiple_of(20) {
            self.push(190);
        }
        if self.now % 50_000 == self.phase_us {
            self.report();
        }
        self.now += 1_000;
    }

    fn push(&mut self, size_bytes: u16) {
        self.brake.on_sent(self.now, u64::from(size_bytes), size_bytes < 200);
        self.busy_us =
            self.busy_us.max(self.now) + u64::from(size_bytes) * 8_000_000 / self.rate_bps;
        self.waiting.push(Reported {
            seq: 0,
            size_bytes,
            sent_us: self.now,
            // The receiver's clock is another one.
            received_us: self.busy_us + 7_000_000_000,
            probe: 0,
            sort: 0,
        });
    }

    fn report(&mut self) {
        let now = self.now;
        let has_arrived = |row: &Reported| row.received_us - 7_000_000_000 + self.rtt_us <= now;
        let count = self.waiting.iter().filter(|row| has_arrived(row)).count();
        if count == 0 {
            return;
        }
        for row in self.waiting.drain(..count) {
            self.brake.on_row(&row);
        }
        let rtt_us = self.rtt_us + self.brake.queue_us.max(0) as Micros;
        let open = self.open();
        let verdict = self.brake.on_feedback(now, rtt_us, self.budget_bps, open);
        if verdict != Verdict::default() {
            self.verdicts.push((now, verdict));
        }
    }
}

#[test]
fn a_queue_that_grows_cuts_the_rate_to_what_arrives() {
    let mut link = Link::new(2_000_000);
    link.send(3_000_000, 10_000);
    assert_eq!((link.verdicts.len(), link.brake.code()), (0, 0));
    link.rate_bps = 100_000;
    let cliff = link.now;
    link.send(1_000_000, 10_000);
    let (at, verdict) = link.verdicts[0];
    assert!(at - cliff < 400_000, "{}", at - cliff);
    assert!(verdict.queued_bytes.unwrap() > 10_000, "{verdict:?}");
    let limit_bps = link.brake.limit_bps();
    assert!((70_000..=110_000).contains(&limit_bps), "{limit_bps}");
    assert_eq!((link.brake.code(), link.brake.shed() > 0), (1, true));
    link.brake.on_order();
    assert_eq!((link.brake.code(), link.brake.shed(), link.brake.limit_bps()), (0, 0, u32::MAX));
}

#[test]
fn a_cliff_is_braked_at_before_the_queue_is_long() {
    let mut link = Link::new(3_000_000);
    link.send(1_000_000, 8_000);
    let cliff = link.now;
    link.rate_bps = 120_000;
    link.send(400_000, 8_000);
    let (braked, _) = link.verdicts[0];
    // Two feedbacks and the way back; with the rule for slow growth it is one feedback more.
    assert!(braked - cliff <= 150_000 + RTT, "{} us", braked - cliff);
}

/// A picture of 6 kB every 50 ms and sound every 20 ms, unless the brake holds the pictures, over
/// 3 Mb/s that become 120 kb/s; `phase_us` after a picture. Returns what was under way when they
/// were held, and how long the last of it waits.
fn cliff(phase_us: Micros, feedback_us: Micros) -> (u64, Micros) {
    let mut link = Link::new(3_000_000);
    link.phase_us = feedback_us;
    link.budget_bps = 3_000_000;
    link.rtt_us = 24_000;
    for step in 0..3_000 {
        link.talk(step, true);
    }
    for _ in 0..phase_us / 1_000 {
        link.talk(link.now / 1_000, true);
    }
    link.rate_bps = 120_000;
    let cliff = link.now;
    while link.now < cliff + 500_000 && !link.brake.is_holding(link.now) {
        link.talk(link.now / 1_000, true);
    }
    let waits_us = link.busy_us.saturating_sub(link.now);
    (waits_us * 120_000 / 8_000_000, link.now - cliff)
}

#[test]
fn a_cliff_is_seen_in_the_first_feedback() {
    let phases = (0..100).map(|at| (at % 10 * 5_000, at / 10 * 5_000));
    let seen: Vec<_> = phases.map(|(cliff_us, feedback_us)| cliff(cliff_us, feedback_us)).collect();
    let worst = seen.iter().max().unwrap();
    let mean = seen.iter().map(|(bytes, _)| bytes).sum::<u64>() / seen.len() as u64;
    assert!(worst.0 < 18_000 && mean < 12_500, "{mean} {worst:?}");
}

#[test]
fn what_is_on_a_long_way_is_not_waited_for() {
    let owed = |rtt_us| {
        let mut link = Link::new(300_000);
        link.rtt_us = rtt_us;
        // Somewhat more than the link carries, until it is braked.
        link.send(3_000_000, 20_000);
        link.verdicts[0].1.queued_bytes.unwrap()
    };
    // 300 ms more of way hold 11 kB more; the queue is 150 ms in either case.
    let (short, long) = (owed(RTT), owed(RTT + 300_000));
    assert!((4_000..16_000).contains(&short), "{short}");
    assert!((long - short).abs() < 6_000, "{short} {long}");
}

#[test]
fn a_narrow_line_may_hold_a_key_frame_for_a_moment() {
    let row = |sent_us: u64, wait_us: u64| Reported {
        seq: 0,
        size_bytes: 1_000,
        sent_us,
        received_us: sent_us + 20_000 + wait_us,
        probe: 0,
        sort: 0,
    };
    let brakes_at = |budget_bps, wait_us| {
        let mut brake = Brake::default();
        brake.start(1_000_000);
        for (at, wait_us) in [(1_000_000, 0), (1_050_000, wait_us)] {
            brake.on_sent(at, 1_000, false);
            brake.on_row(&row(at, wait_us));
            let verdict = brake.on_feedback(at + 100_000, RTT, budget_bps, Open::default());
            if verdict.queued_bytes.is_some() {
                return true;
            }
        }
        false
    };
    assert_eq!(
        [(3_000_000, 80_000), (250_000, 80_000), (250_000, 200_000)].map(|(b, w)| brakes_at(b, w)),
        [true, false, true]
    );
}

#[test]
fn a_longer_way_is_no_queue() {
    let mut link = Link::new(2_000_000);
    link.send(2_000_000, 10_000);
    // From one moment to the next every packet takes 200 ms more.
    link.busy_us = link.now + 200_000;
    link.send(3_000_000, 10_000);
    assert!(link.verdicts.len() <= 1, "{:?}", link.verdicts);
}

#[test]
fn silence_is_told_by_what_was_sent_and_ends_with_feedback() {
    let mut brake = Brake::default();
    brake.start(0);
    brake.on_sent(0, 100, true);
    assert!(!brake.is_silent(60_000_000, RTT), "nothing but audio was sent");
    let row = |sent_us| Reported {
        seq: 0,
        size_bytes: 100,
        sent_us,
        received_us: sent_us + 1,
        probe: 0,
        sort: 2,
    };
    brake.on_sent(1_000_000, 100, false);
    brake.on_row(&row(1_000_000));
    assert_eq!(brake.on_feedback(1_050_000, RTT, 0, Open::default()), Verdict::default());
    brake.on_sent(1_060_000, 100, false);
    assert!(!brake.is_silent(1_360_000, 0));
    assert!(!brake.is_silent(1_660_000, 300_000), "three round trips");
    assert!(brake.is_silent(3_400_000, 0));
    assert_eq!(brake.code(), 2);
    assert_eq!(
        brake.on_feedback(4_000_000, RTT, 0, Open::default()),
        Verdict::default(),
        "about nothing that was sent"
    );
    assert!(brake.is_silent(4_000_000, 0));
    brake.on_row(&row(1_060_000));
    assert_eq!(
        brake.on_feedback(4_400_000, RTT, 0, Open::default()).silent_for_us,
        Some(1_000_000)
    );
    assert!(!brake.is_silent(4_400_000, 0));
}

#[test]
fn a_peer_that_is_heard_all_the_while_is_not_there_again() {
    let mut brake = Brake::default();
    brake.start(0);
    brake.feedback_us = 1;
    brake.on_sent(100_000, 100, false);
    let mut now = 100_000;
    while now < 2_000_000 {
        now += 100_000;
        brake.is_silent(now, RTT);
        assert_eq!(brake.on_heard(now), None, "its way to us was never cut");
    }
    // Then it is away altogether, and comes back.
    assert_eq!(brake.on_heard(5_000_000).map(|us| us > 4_000_000), Some(true));
    brake.on_sent(5_010_000, 100, false);
    assert!(brake.is_silent(8_000_000, RTT));
    assert_eq!(brake.on_heard(9_000_000), None, "it was no proof the last time");
}

#[test]
fn without_transport_wide_feedback_any_word_counts() {
    let mut brake = Brake::default();
    brake.start(0);
    brake.on_sent(100_000, 100, false);
    assert!(!brake.is_silent(3_000_000, RTT));
    assert_eq!(brake.on_heard(3_000_000), None);
    brake.on_sent(3_100_000, 100, false);
    assert!(brake.is_silent(6_200_000, RTT));
    assert_eq!(brake.on_heard(7_200_000), Some(1_000_000));
}

#[test]
fn absurd_times_overflow_nothing() {
    let mut brake = Brake::default();
    brake.start(0);
    for (sent_us, received_us) in [(0, u64::MAX), (u64::MAX, 1), (5, 5), (0, i64::MAX as u64)] {
        brake.on_sent(sent_us / 2, u64::from(u32::MAX), false);
        let row =
            Reported { seq: 0, size_bytes: u16::MAX, sent_us, received_us, probe: 0, sort: 0 };
        for _ in 0..100 {
            brake.on_row(&row);
        }
        brake.on_feedback(sent_us / 2, 0, 0, Open::default());
        brake.is_silent(u64::MAX, u64::MAX / 4);
    }
    assert!(brake.limit_bps() > 0);
}

/// Feedback each 50 ms about a packet each 10 ms, as late as told by its number; how often it brakes.
fn brakes(budget_bps: u32, late_us: impl Fn(u64) -> u64, probe_bytes: u64) -> usize {
    let mut brake = Brake::default();
    brake.start(1_000_000);
    let mut num = 0;
    for feedback in 0..60u64 {
        let from = 1_000_000 + feedback * 50_000;
        if feedback == 40 && probe_bytes > 0 {
            brake.expect(from, probe_bytes, 70_000);
        }
        for at in 0..5 {
            let sent_us = from + at * 10_000;
            brake.on_sent(sent_us, 250, false);
            brake.on_row(&Reported {
                seq: (feedback * 5 + at) as u16,
                size_bytes: 250,
                sent_us,
                received_us: sent_us + 20_000 + late_us(feedback * 5 + at),
                probe: 0,
                sort: 0,
            });
        }
        let verdict = brake.on_feedback(from + 80_000, 120_000, budget_bps, Open::default());
        num += usize::from(verdict.queued_bytes.is_some());
    }
    num
}

#[test]
fn jitter_of_a_whole_feedback_is_no_cliff_where_jitter_is_usual() {
    // Once in a while all packets of a feedback are as late as the latest.
    let jittery = |number: u64| match number {
        200..205 => 75_000,
        _ => number * 7_919 % 5 * 12_000,
    };
    assert_eq!(brakes(1_000_000, jittery, 0), 0);
    let calm = |number: u64| if (200..205).contains(&number) { 75_000 } else { 0 };
    assert_eq!(brakes(1_000_000, calm, 0), 1);
}

#[test]
fn the_queue_of_a_probe_is_waited_for() {
    let queue = |number: u64| match number {
        200..=229 => (number - 199) * 9_000,
        230..=245 => 270_000 - (number - 229) * 15_000,
        _ => 0,
    };
    assert_eq!(brakes(300_000, queue, 6_000), 0);
    assert!(brakes(300_000, queue, 0) > 0);
}
