//! Core fan-out into a sink device: nanoseconds per forwarded packet.
//!
//! `cargo bench --bench fanout`. Everything but the kernel: SRTP in, ring, rewriting, SRTP out.

#[path = "../tests/rig/mod.rs"]
mod rig;

use std::time::Instant;

use aislecast_engine::api::SrtpProfile;
use rig::Rig;

const FRAMES: usize = 25;

/// With a budget every peer is paced: what does not leave at once leaves on a later wake-up.
fn measure(profile: SrtpProfile, sinks: usize, count: usize, len: usize, budget_bps: u32) {
    let mut rig = Rig::new(profile, sinks);
    rig.set_budgets(budget_bps, 0);
    (0..60).for_each(|_| rig.send_frame(count, len));
    let mut best = f64::MAX;
    for _ in 0..20 {
        let frames = rig.seal_frames(FRAMES, count, len);
        rig.hear_all();
        let before = rig.num_forwarded();
        let started = Instant::now();
        for frame in frames {
            rig.deliver(frame);
            if budget_bps != 0 {
                rig.wait(33_333);
            }
        }
        let forwarded = (rig.num_forwarded() - before) as f64;
        best = best.min(started.elapsed().as_nanos() as f64 / forwarded);
    }
    let datagrams_per_call = rig.egress.datagrams as f64 / rig.egress.calls as f64;
    println!(
        "{profile:?} x{sinks:<4} {count} packets/frame of {len:>4} B, {budget_bps:>7} b/s: \
         {best:>6.0} ns/packet, {datagrams_per_call:.1} datagrams/call"
    );
}

fn main() {
    for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AesCm128HmacSha1_80] {
        for sinks in [40, 100, 400] {
            measure(profile, sinks, 7, 1150, 0);
        }
        measure(profile, 400, 1, 1150, 0);
        measure(profile, 400, 1, 100, 0);
        // 1 Mb/s of video: with plenty of room, and with just enough.
        measure(profile, 400, 7, 1150, 3_000_000);
        measure(profile, 400, 7, 1150, 1_100_000);
    }
}
