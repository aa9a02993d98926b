//! How a publisher's packets leave, by what real ones were seen to do on loopback.

use std::str::FromStr;

/// Of the target rate (libwebrtc, `PacingController`).
const RATE_PERCENT: u64 = 250;

/// One way to let packets out.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    /// How much may leave at once, as time at 2.5 times the rate.
    burst_us: u64,
    /// Between two packets of a burst.
    pub gap_us: u64,
}

impl FromStr for Pacing {
    type Err = String;

    fn from_str(name: &str) -> Result<Pacing, String> {
        match name {
            // Chromium 156 and the SDK 1.2.0 let out bursts of 40 ms, which hold a whole frame. Its
            // packets follow each other after 25-55 µs (Chromium) or 7 µs (SDK).
            "libwebrtc" => Ok(Pacing { burst_us: 40_000, gap_us: 30 }),
            // libwebrtc until some years ago, and whoever spreads a frame over its interval.
            "smooth" => Ok(Pacing { burst_us: 5_000, gap_us: 0 }),
            // LiveKit's own load tester.
            "none" => Ok(Pacing { burst_us: u64::MAX, gap_us: 0 }),
            _ => Err(format!("no pacing is called {name}")),
        }
    }
}

/// What a publisher has sent ahead of its rate; libwebrtc calls it debt.
#[derive(Debug, Default)]
pub struct Debt {
    us: u64,
    settled_us: u64,
}

impl Debt {
    /// Whether a packet may leave now.
    pub fn allows(&mut self, now_us: u64, pacing: &Pacing) -> bool {
        self.us = self.us.saturating_sub(now_us.saturating_sub(self.settled_us));
        self.settled_us = now_us;
        self.us < pacing.burst_us
    }

    /// Notes a packet that left, of a stream of `rate_bps`.
    pub fn on_sent(&mut self, bytes: usize, rate_bps: u64) {
        self.us += bytes as u64 * 8 * 100_000_000 / (rate_bps.max(1) * RATE_PERCENT);
    }

    /// When the next may leave.
    pub fn next_us(&self, pacing: &Pacing) -> u64 {
        self.settled_us + (self.us + 1).saturating_sub(pacing.burst_us)
    }
}
