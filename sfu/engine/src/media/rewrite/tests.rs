//! Tests of the numbers of a subscriber's stream.

use super::*;

fn epoch(seq_ext: u64, out_seq_ext: u64) -> Epoch {
    Epoch::new(
        0,
        EpochStart {
            encoding: 0,
            generation: 0,
            codec: Codec::Vp8,
            seq_ext,
            out_seq_ext,
            timestamps: Timestamps::plain(0),
            pid: (100, 7),
            tl0: (250, 3),
        },
    )
}

#[test]
fn edge_01_upstream_gaps_stay_gaps_and_no_number_is_used_twice() {
    let mut epoch = epoch(1000, 50);
    epoch.advance(1000);
    epoch.advance(1003);
    assert_eq!(epoch.out_seq_ext(1004), Some(54));
    assert_eq!(epoch.out_seq_ext(1001), Some(51));
    assert_eq!(epoch.out_seq_ext(1002), Some(52));
    assert_eq!(epoch.out_seq_ext(999), None);
}

#[test]
fn edge_06_late_packet_keeps_its_number_whatever_was_left_out_since() {
    let mut epoch = epoch(1000, 50);
    epoch.advance(1000);
    epoch.advance(1002); // 1001 is missing, 51 is kept for it
    epoch.leave_out(1003);
    epoch.leave_out(1004);
    epoch.advance(1005);
    assert_eq!(epoch.out_seq_ext(1005), Some(53));
    assert_eq!(epoch.out_seq_ext(1001), Some(51));
    assert_eq!(epoch.out_seq_ext(1002), Some(52));
    assert_eq!(epoch.out_seq_ext(1003), None, "a late copy of what was left out stays out");
    assert_eq!(epoch.out_seq_ext(1006), Some(54));
}

#[test]
fn edge_06_bits_do_not_leak_into_the_next_round_of_the_window() {
    let mut epoch = epoch(0, 0);
    epoch.leave_out(0);
    for seq in 1..2 * SEQ_WINDOW {
        epoch.advance(seq);
    }
    assert_eq!(epoch.out_seq_ext(SEQ_WINDOW), Some(SEQ_WINDOW - 1));
    assert_eq!(epoch.out_seq_ext(2 * SEQ_WINDOW - 2), Some(2 * SEQ_WINDOW - 3));
    epoch.advance(10 * SEQ_WINDOW);
    assert_eq!(epoch.out_seq_ext(10 * SEQ_WINDOW), Some(10 * SEQ_WINDOW - 1));
}

#[test]
fn reserve_makes_room_for_a_packet_of_our_own() {
    let mut epoch = epoch(1000, 50);
    assert_eq!(epoch.reserve(1), 50);
    assert_eq!(epoch.out_seq_ext(1000), Some(51));
}

#[test]
fn edge_10_picture_ids_are_continuous_over_left_out_pictures_and_roll_over() {
    let mut epoch = epoch(0, 0);
    epoch.advance_picture(100);
    assert_eq!(epoch.out_pid(100), 7);
    epoch.leave_out_picture(101);
    epoch.advance_picture(102);
    assert_eq!(epoch.out_pid(102), 8);
    assert_eq!(epoch.out_pid(100), 7, "late packet of an older picture");
    let mut pid = 102;
    for step in 0..40_000u32 {
        pid = (pid + 1) & PICTURE_MASK;
        epoch.advance_picture(pid);
        assert_eq!(u32::from(epoch.out_pid(pid)), (9 + step) & u32::from(PICTURE_MASK));
    }
}

#[test]
fn edge_11_tl0picidx_is_shifted_for_every_layer_alike() {
    let epoch = epoch(0, 0);
    assert_eq!(epoch.out_tl0(250), 3);
    assert_eq!(epoch.out_tl0(2), 11);
}
