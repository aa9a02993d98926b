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
