//! The established path takes no memory from the heap per packet.

mod rig;

use aislecast_engine::api::SrtpProfile;
use rig::Rig;

const SINKS: usize = 50;

fn assert_no_allocation(profile: SrtpProfile) {
    let mut rig = Rig::new(profile, SINKS);
    // Rings, logs, histories and tables take their memory with the first packets.
    for _ in 0..140 {
        rig.send_frame(4, 500);
    }
    let frames = rig.seal_frames(30, 4, 500);
    let before = rig.num_forwarded();
    let info = allocation_counter::measure(|| {
        for frame in frames {
            rig.deliver(frame);
        }
    });
    let forwarded = rig.num_forwarded() - before;
    assert_eq!(forwarded, 30 * 4 * SINKS as u64);
    assert_eq!(info.count_total, 0, "{info:?} for {forwarded} packets");
}

#[test]
fn forwarding_to_50_subscribers_allocates_nothing_with_gcm() {
    assert_no_allocation(SrtpProfile::AeadAes128Gcm);
}

#[test]
fn forwarding_to_50_subscribers_allocates_nothing_with_cm_sha1() {
    assert_no_allocation(SrtpProfile::AesCm128HmacSha1_80);
}

/// Every fifth packet is lost and comes back out of the next one; all leave with two earlier frames.
#[test]
fn red_in_and_out_allocates_nothing() {
    let mut rig = Rig::talking(SrtpProfile::AeadAes128Gcm, SINKS, 2);
    for packet in rig.seal_speech(200) {
        rig.deliver(packet);
    }
    let packets = rig.seal_speech(100);
    let before = (rig.num_forwarded(), rig.core.counters().red_sent);
    let info = allocation_counter::measure(|| {
        for (at, packet) in packets.into_iter().enumerate() {
            if at % 5 != 3 {
                rig.deliver(packet);
            }
        }
    });
    assert_eq!(rig.core.counters().red_received, 20);
    assert_eq!(rig.num_forwarded() - before.0, 100 * SINKS as u64);
    assert_eq!(rig.core.counters().red_sent - before.1, 100 * SINKS as u64);
    assert_eq!(info.count_total, 0, "{info:?}");
}

/// One place for two who are equally loud: every packet of the second asks for it in vain.
#[test]
fn asking_for_a_place_among_speakers_allocates_nothing() {
    let mut rig = Rig::talking(SrtpProfile::AeadAes128Gcm, SINKS, 0);
    rig.add_microphone();
    let mut heard = rig.seal_speech(300);
    let mut unheard = rig.seal_other_speech(300);
    let late = (heard.split_off(200), unheard.split_off(200));
    for (one, other) in heard.into_iter().zip(unheard) {
        rig.deliver(one);
        rig.deliver(other);
    }
    let (before, admitted) = (rig.num_forwarded(), rig.core.counters().speakers_admitted);
    let info = allocation_counter::measure(|| {
        for (one, other) in late.0.into_iter().zip(late.1) {
            rig.deliver(one);
            rig.deliver(other);
        }
    });
    assert_eq!(rig.num_forwarded() - before, 100 * SINKS as u64, "of one only");
    assert_eq!(rig.core.counters().speakers_admitted, admitted);
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn a_peer_with_a_budget_and_copies_allocates_nothing_either() {
    let mut rig = Rig::new(SrtpProfile::AeadAes128Gcm, SINKS);
    // Not quite enough for what is sent with its copies: everybody waits for room and lags.
    rig.set_budgets(700_000, 2);
    for _ in 0..140 {
        rig.send_frame(4, 1000);
        rig.wait(30_000);
        rig.hear_all();
    }
    let frames = rig.seal_frames(30, 4, 1000);
    let before = rig.num_forwarded();
    let info = allocation_counter::measure(|| {
        for frame in frames {
            rig.deliver(frame);
            rig.wait(30_000);
        }
    });
    let forwarded = rig.num_forwarded() - before;
    assert!(forwarded > 25 * 4 * SINKS as u64, "{forwarded}");
    assert_eq!(info.count_total, 0, "{info:?} for {forwarded} packets");
}
