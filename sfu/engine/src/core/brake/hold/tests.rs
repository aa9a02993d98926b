use super::*;

const INTERVAL_US: Micros = 50_000;

/// A feedback at `now` about a packet that left 20 ms ago and took 10 ms, one way as the other.
fn well(now: Micros) -> Seen {
    Seen {
        sent_us: now - 20_000,
        queue_us: 0,
        base_us: 10_000,
        back_us: 10_000,
        least_back_us: 10_000,
        busy_bytes: 0,
        busy_us: 0,
        open: Open::default(),
        is_steep: false,
        acked_bps: 800_000,
        interval_us: INTERVAL_US,
    }
}

/// One that comes 40 ms after the last packet, and five that left as long ago have not come.
fn missing(now: Micros) -> Seen {
    let open = Open { num: 5, bytes: 6_000, oldest_us: now - 60_000 };
    Seen { sent_us: now - 70_000, back_us: 50_000, open, ..well(now) }
}

#[test]
fn what_is_missing_holds_pictures_until_the_next_feedback_and_is_usual_then() {
    let mut hold = Hold::default();
    hold.on_feedback(1_000_000, &well(1_000_000));
    assert!(!hold.is_on(1_000_001));
    hold.on_feedback(1_050_000, &missing(1_050_000));
    assert!(hold.is_on(1_050_001) && hold.is_doubting() && !hold.is_proven());
    assert_eq!(hold.take_end(1_060_000), None);
    hold.on_feedback(1_100_000, &well(1_100_000));
    assert!(!hold.is_on(1_100_000));
    assert_eq!(hold.take_end(1_100_000), Some((50_000, None)));
    hold.on_feedback(1_150_000, &missing(1_150_000));
    assert!(!hold.is_on(1_150_001), "so much is usual here");
    for step in 0..400 {
        hold.on_feedback(1_200_000 + step * INTERVAL_US, &well(1_200_000 + step * INTERVAL_US));
    }
    hold.on_feedback(21_250_000, &missing(21_250_000));
    assert!(hold.is_on(21_250_001), "but not for ever");
}

#[test]
fn one_or_two_that_are_missing_may_be_lost() {
    let mut hold = Hold::default();
    let mut seen = missing(1_000_000);
    seen.open.num = 2;
    hold.on_feedback(1_000_000, &seen);
    assert!(!hold.is_on(1_000_001));
}

#[test]
fn feedback_that_does_not_come_holds_pictures_but_only_if_it_has_something_to_tell() {
    let mut hold = Hold::default();
    hold.look(1_000_000, INTERVAL_US);
    assert!(!hold.is_on(1_000_001), "there never was one");
    hold.on_feedback(1_000_000, &well(1_000_000));
    hold.look(1_500_000, INTERVAL_US);
    assert!(!hold.is_on(1_500_001), "nothing left since");
    hold.on_feedback(1_510_000, &well(1_510_000));
    hold.on_sent(1_520_000);
    for (at, is_late) in [(1_545_000, false), (1_565_000, false), (1_575_000, true)] {
        hold.look(at, INTERVAL_US);
        assert_eq!(hold.is_on(at + 1), is_late, "{at}");
    }
    assert_eq!(hold.until_us(), Some(1_575_000 + DOUBT_US), "no longer than that");
    assert_eq!(hold.take_end(1_575_000 + DOUBT_US), Some((DOUBT_US, None)));
}

#[test]
fn what_nobody_ever_tells_of_is_waited_for_once() {
    let mut hold = Hold::default();
    hold.on_feedback(1_000_000, &well(1_000_000));
    hold.on_sent(1_010_000);
    hold.look(1_100_000, INTERVAL_US);
    assert!(hold.is_on(1_100_001));
    assert_eq!(hold.take_end(1_350_000), Some((DOUBT_US, None)));
    hold.look(1_360_000, INTERVAL_US);
    assert!(!hold.is_on(1_360_001), "else nothing would ever be sent again, and nothing told");
    hold.on_sent(1_370_000);
    hold.look(1_470_000, INTERVAL_US);
    assert!(hold.is_on(1_470_001), "a new packet is another matter");
}

#[test]
fn packets_that_come_far_slower_than_ever_hold_pictures_if_others_wait_behind_them() {
    // 1000 bytes in 60 ms, and 8 kB under way: more than half a second.
    let slow = |now: Micros| Seen {
        queue_us: 60_000,
        busy_bytes: 1_000,
        busy_us: 60_000,
        open: Open { num: 7, bytes: 8_000, oldest_us: now - 20_000 },
        ..well(now)
    };
    let mut hold = Hold::default();
    hold.on_feedback(1_000_000, &slow(1_000_000));
    assert!(hold.is_doubting());
    let alone = Seen { open: Open::default(), ..slow(1_000_000) };
    let mut hold = Hold::default();
    hold.on_feedback(1_000_000, &alone);
    assert!(!hold.is_doubting(), "nothing waits behind it");
    hold.on_feedback(1_050_000, &slow(1_050_000));
    assert!(!hold.is_doubting(), "it was as slow a moment ago");
}

#[test]
fn a_proven_pause_lasts_until_what_is_under_way_has_drained() {
    // 12 kB at 120 kb/s.
    let steep = |now: Micros, bytes: u64| Seen {
        queue_us: 80_000,
        busy_bytes: 1_500,
        busy_us: 100_000,
        open: Open { num: 10, bytes, oldest_us: now - 30_000 },
        is_steep: true,
        ..well(now)
    };
    let mut hold = Hold::default();
    hold.on_feedback(1_000_000, &steep(1_000_000, 12_000));
    assert!(hold.is_proven());
    assert_eq!(hold.until_us(), Some(1_000_000 - 20_000 + 80_000 + 800_000));
    // It goes on without growing, and is looked at again.
    let later = Seen { is_steep: false, ..steep(1_400_000, 3_000) };
    hold.on_feedback(1_400_000, &later);
    assert_eq!(hold.until_us(), Some(1_400_000 - 20_000 + 80_000 + 200_000));
    assert_eq!(hold.take_end(1_660_000), Some((660_000, Some(120_000))));
    assert!(!hold.is_proven() && !hold.is_on(1_660_000));
}

#[test]
fn nothing_is_foreseen_further_than_three_seconds_and_absurd_times_overflow_nothing() {
    let mut hold = Hold::default();
    let open = Open { num: u32::MAX, bytes: u64::MAX, oldest_us: u64::MAX };
    for now in [1_000_000, u64::MAX / 2] {
        let seen = Seen {
            queue_us: i64::MAX,
            base_us: i64::MIN,
            back_us: i64::MAX,
            least_back_us: i64::MAX,
            busy_bytes: u64::MAX / 4,
            busy_us: 1 << 30,
            open,
            is_steep: true,
            ..well(now)
        };
        hold.on_feedback(now, &seen);
        assert!(hold.until_us().is_some_and(|until_us| until_us <= now + MAX_HOLD_US));
        hold.look(now, u64::MAX / 4);
        hold.stop(now);
        hold.on_feedback(now, &Seen { is_steep: false, ..seen });
    }
}
