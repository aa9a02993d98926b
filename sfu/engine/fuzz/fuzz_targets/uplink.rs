#![no_main]

use aislecast_engine::media::uplink_queue::{News, UplinkQueue};
use libfuzzer_sys::fuzz_target;

/// Nobody is held back for longer.
const MAX_HOLD_US: u64 = 10_000_000;
/// Each fall is news for Python and an order to the sender: nobody can make many of them.
const LEAST_FALL_US: u64 = 1_000_000;
const LEAST_LIMIT_BPS: u32 = 30_000;

// The input is a script: when the next packet comes, when it left by its sender, and its size.
fuzz_target!(|data: &[u8]| {
    let mut queue = UplinkQueue::default();
    let (mut now, mut sent_units, mut fell_us) = (0u64, 0u32, None);
    for packet in data.chunks_exact(4) {
        let &[gap, step, more, size] = packet else { continue };
        // Up to 16 s, in steps that double.
        now += u64::from(gap & 0xf) << (gap >> 4).min(20);
        let units = i32::from(i16::from_be_bytes([step, more]) >> 2) << (more & 3) * 4;
        sent_units = sent_units.wrapping_add_signed(units) & 0xff_ffff;
        let news = queue.on_packet(now, sent_units, usize::from(size) * 8);
        match news {
            Some(News::Fell(rate_bps)) => {
                assert!(fell_us.is_none(), "it has fallen already");
                assert!(rate_bps < 100_000_000);
                fell_us = Some(now);
            }
            Some(News::Back) => {
                let since_us = fell_us.take().expect("it had not fallen");
                assert!(now - since_us >= LEAST_FALL_US);
            }
            Some(News::Drained) => assert!(fell_us.is_some(), "it had not fallen"),
            Some(News::Doubt) => assert!(fell_us.is_none(), "it is known"),
            None => {}
        }
        assert!(queue.limit_bps().is_none_or(|limit| limit == 0 || limit >= LEAST_LIMIT_BPS));
        assert!(queue.hold_ends_us().is_none_or(|ends_us| ends_us <= now + MAX_HOLD_US));
        assert!(fell_us.is_some() || !queue.holds_requests(now));
    }
});
