//! Random programs against the core: nothing panics, no number is used twice.

mod driver;

#[test]
fn random_programs_break_nothing() {
    let (mut forwarded, mut falls) = (0, 0);
    for seed in 0..120u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let bytes: Vec<u8> = (0..10_000)
            .map(|_| {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        let counters = driver::run(&bytes);
        forwarded += counters.forwarded_packets;
        falls += counters.uplink_falls;
    }
    assert!(forwarded > 2_000, "the programs reach the subscribers: {forwarded}");
    assert!(falls > 20, "and publishers' lines fall: {falls}");
}

/// Found by the fuzzer: a gap that turned out to be padding was offered at every turn.
#[test]
fn a_gap_that_was_padding_is_filled_once() {
    driver::run(&[
        110, 248, 77, 3, 93, 0, 33, 0, 0, 49, 0, 0, 0, 12, 0, 8, 255, 8, 12, 8, 255, 1, 1, 1, 57,
        0, 2, 0, 0, 1, 2, 245, 0, 33, 0, 8, 255, 8, 12, 8, 255, 1, 1, 1, 8, 255, 8, 12, 8, 255, 33,
        0, 0, 49, 0, 0, 0, 12, 0, 8, 255, 8, 12, 8, 255, 1, 1, 1, 57, 0, 2, 0, 0, 1, 2, 245, 0, 33,
        0, 8, 255, 8, 12, 8, 255, 1, 1, 1, 8, 255, 8, 12, 8, 110,
    ]);
}
