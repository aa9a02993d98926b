//! What waits on a publisher's line before it gets here, from when its packets left (abs-send-time)
//! and when they come; and whether the line has just fallen far below what it carried.
//!
//! The sender learns of a fall from feedback as well, but half a second later: its estimator wants
//! several groups of packets, which come one by one then (libwebrtc's `trendline_estimator.cc` and
//! `acknowledged_bitrate_estimator.cc`). 1.4 Mb/s fill a queue of 48 kB in that time, and voice
//! waits behind it for as long as the line needs for it: 3.2 s at 120 kb/s.

use crate::api::Micros;

use super::receive::RateWindow;

/// The least way is looked for in two windows of this length: clocks drift apart by 50 µs a second.
const BASE_WINDOW_US: Micros = 10_000_000;
/// After such a silence the 24 bits of a send time, 64 s, are not followed any more.
const MAX_SILENCE_US: Micros = 20_000_000;
/// Of a fall: this much was late, each packet behind the one before it, and the last so late.
const FALL_SLOW_US: Micros = 80_000;
const FALL_QUEUE_US: i64 = 70_000;
/// One packet alone may be late for any reason, and behind a stall all comes at once.
const FALL_PACKETS: u32 = 2;
/// On a line that is usually calm so much is a sign already: the sender is held back until the next
/// packet says whether it was one. At 20 pictures a second of 8 kB that is 12 kB less in the queue.
const DOUBT_US: Micros = 50_000;
/// After a doubt that came to nothing the line has to prove itself for so long.
const DOUBT_PAUSE_US: Micros = 60_000_000;
/// Packets are slow that come at less than this share of what came in the second before. A sender's
/// own bursts (key frames) wait as well, but come as fast as ever.
const SLOW_SHARE_PERCENT: u64 = 40;
/// … which was worth falling from. Below that nothing is left to switch off.
const FALL_LEAST_BPS: u64 = 300_000;
/// What waited has left once packets wait behind others for less than this …
const DRAINED_QUEUE_US: i64 = 60_000;
/// … for so long: a queue is not gone while the sender only pauses.
const DRAINED_US: Micros = 300_000;
/// The line is back when for so long nearly every packet came faster than a line could that carries
/// this share of what came before the fall.
const BACK_US: Micros = 1_000_000;
const BACK_SHARE_PERCENT: u64 = 33;
const BACK_PACKETS: u32 = 10;
/// Smaller ones are through so soon that jitter hides it.
const BACK_LEAST_BYTES: usize = 200;
/// After this it counts as back whatever is seen: the way may have become longer.
const MAX_FALL_US: Micros = 120_000_000;
/// Answers to requests stand in the same queue. Nobody is left without a picture for longer.
const MAX_HOLD_US: Micros = 10_000_000;
/// The sender is asked for half of what comes, so that what waits can leave: no more, as it drops to
/// 30 kb/s of picture by itself, and no less, as that is the least that libwebrtc knows.
const LIMIT_PERCENT: u64 = 50;
const LEAST_LIMIT_BPS: u64 = 30_000;
/// The unit of abs-send-time is 2^-18 s, in 24 bits.
const SEND_BITS: u32 = 24;
const UNITS_PER_S: i64 = 1 << 18;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It may have fallen, or had not after all: the limit is another.
    Doubt,
    /// It carries this much, much less than before.
    Fell(u32),
    /// What waited on it has left.
    Drained,
    /// It carries more again.
    Back,
}

/// Packets that came late one behind the other.
#[derive(Clone, Copy, Debug, Default)]
struct Slow {
    took_us: Micros,
    bytes: u64,
    num: u32,
}

/// A line that has fallen.
#[derive(Clone, Copy, Debug)]
struct Fall {
    since_us: Micros,
    rate_bps: u64,
    before_bps: u64,
    /// Since when nothing waits.
    calm_since_us: Option<Micros>,
    is_drained: bool,
    /// Of the packets since then: how many came too fast for a line that is still narrow, and not.
    back_since_us: Micros,
    num_fast: u32,
    num_slow: u32,
}

/// The queue of one publisher's line.
#[derive(Debug, Default)]
pub struct UplinkQueue {
    /// Send time and arrival of the newest packet; the first is unwrapped, on the sender's clock.
    last: Option<(i64, Micros)>,
    last_units: u32,
    /// The shortest way in this window and in the one before, and when this one began.
    base: [i64; 2],
    base_since_us: Micros,
    queue_us: i64,
    slow: Slow,
    rate: RateWindow,
    /// What is left of the line, if it has fallen.
    doubt_bps: Option<u64>,
    no_doubt_until_us: Micros,
    fall: Option<Fall>,
    has_limit: bool,
}

impl UplinkQueue {
    /// Takes an authenticated packet with its abs-send-time and its size on the wire.
    pub fn on_packet(&mut self, now: Micros, send_units: u32, bytes: usize) -> Option<News> {
        self.rate.add(now, bytes as u32);
        let sent_us = self.unwrap(now, send_units);
        let way_us = now as i64 - sent_us;
        let Some((_, last_us)) = self.last.replace((sent_us, now)) else {
            (self.base, self.base_since_us) = ([way_us; 2], now);
            self.slow = Slow::default();
            return None;
        };
        self.note_way(now, way_us);
        self.queue_us = way_us - self.base[0].min(self.base[1]);
        let gap_us = now.saturating_sub(last_us);
        match self.fall {
            None => self.find_fall(now, gap_us.min(self.queue_us as Micros), bytes),
            Some(fall) => self.find_end(now, fall, bytes),
        }
    }

    /// `took_us`: what the packet took on the line at most, once the one before it was through.
    fn find_fall(&mut self, now: Micros, took_us: Micros, bytes: usize) -> Option<News> {
        let before_bps = self.rate.per_second(now) * 8;
        if bytes as u64 * 8 * 100_000_000 >= before_bps * SLOW_SHARE_PERCENT * took_us {
            self.slow = Slow::default();
            let doubt = self.doubt_bps.take();
            self.no_doubt_until_us = doubt.map_or(self.no_doubt_until_us, |_| now + DOUBT_PAUSE_US);
            return doubt.map(|_| News::Doubt);
        }
        self.slow.took_us += took_us;
        self.slow.bytes += bytes as u64;
        self.slow.num += 1;
        if self.slow.took_us < DOUBT_US || before_bps < FALL_LEAST_BPS {
            return None;
        }
        let rate_bps = self.slow.bytes * 8_000_000 / self.slow.took_us;
        let is_long = self.slow.took_us >= FALL_SLOW_US && self.slow.num >= FALL_PACKETS;
        if !is_long || self.queue_us < FALL_QUEUE_US {
            let is_news = self.doubt_bps.is_none() && now >= self.no_doubt_until_us;
            self.doubt_bps = self.doubt_bps.or(is_news.then_some(rate_bps));
            self.has_limit |= is_news;
            return is_news.then_some(News::Doubt);
        }
        (self.slow, self.doubt_bps, self.has_limit) = (Slow::default(), None, true);
        self.fall = Some(Fall {
            since_us: now,
            rate_bps,
            before_bps,
            calm_since_us: None,
            is_drained: false,
            back_since_us: now,
            num_fast: 0,
            num_slow: 0,
        });
        Some(News::Fell(rate_bps as u32))
    }

    fn find_end(&mut self, now: Micros, mut fall: Fall, bytes: usize) -> Option<News> {
        if now.saturating_sub(fall.since_us) >= MAX_FALL_US {
            (self.fall, self.last) = (None, None);
            return Some(News::Back);
        }
        // A large packet is under way for a while on such a line, though nothing stands before it.
        let own_us = (bytes as u64 * 8_000_000 / fall.rate_bps.max(1)) as i64;
        let is_calm = self.queue_us - own_us < DRAINED_QUEUE_US;
        fall.calm_since_us = fall.calm_since_us.filter(|_| is_calm).or(is_calm.then_some(now));
        let was_drained = fall.is_drained;
        fall.is_drained |= fall.calm_since_us.is_some_and(|since| now - since >= DRAINED_US);
        let is_back = is_calm && fall.is_drained && fall.count(now, self.queue_us, bytes);
        self.fall = Some(fall).filter(|_| !is_back);
        match (is_back, fall.is_drained && !was_drained) {
            (true, _) => Some(News::Back),
            (false, true) => Some(News::Drained),
            (false, false) => None,
        }
    }

    /// Whether requests to the sender wait: what it would send stands behind what waits already.
    pub fn holds_requests(&self, now: Micros) -> bool {
        self.hold_ends_us().is_some_and(|ends_us| now < ends_us)
    }

    /// When that ends at the latest; `None` = it has.
    pub fn hold_ends_us(&self) -> Option<Micros> {
        let fall = self.fall.filter(|fall| !fall.is_drained);
        fall.map(|fall| fall.since_us + MAX_HOLD_US)
    }

    /// What the sender is to be told: a limit, 0 = none any more; `None` = there never was one.
    pub fn limit_bps(&self) -> Option<u32> {
        let fall = self.fall.filter(|fall| !fall.is_drained);
        let left_bps = fall.map(|fall| fall.rate_bps).or(self.doubt_bps);
        let limit = |left_bps: u64| (left_bps * LIMIT_PERCENT / 100).max(LEAST_LIMIT_BPS) as u32;
        self.has_limit.then(|| left_bps.map_or(0, limit))
    }

    fn unwrap(&mut self, now: Micros, units: u32) -> i64 {
        let step = units.wrapping_sub(self.last_units) << (32 - SEND_BITS);
        let step = i64::from(step as i32 >> (32 - SEND_BITS));
        self.last_units = units;
        self.last = self.last.filter(|&(_, last_us)| now.saturating_sub(last_us) < MAX_SILENCE_US);
        self.last.map_or(0, |(sent_us, _)| sent_us + step * 1_000_000 / UNITS_PER_S)
    }

    /// While a line has fallen the shortest way known of it stands.
    fn note_way(&mut self, now: Micros, way_us: i64) {
        if self.fall.is_none() && now.saturating_sub(self.base_since_us) >= BASE_WINDOW_US {
            self.base = [way_us, self.base[0]];
            self.base_since_us = now;
        }
        self.base[0] = self.base[0].min(way_us);
    }
}

impl Fall {
    /// Counts a packet as a proof that the line is back, or against it; returns whether it is proven.
    fn count(&mut self, now: Micros, queue_us: i64, bytes: usize) -> bool {
        if bytes < BACK_LEAST_BYTES {
            return false;
        }
        let least_bps = (self.before_bps * BACK_SHARE_PERCENT / 100).max(1);
        let is_fast = queue_us < (bytes as u64 * 8_000_000 / least_bps) as i64;
        self.num_fast += u32::from(is_fast);
        self.num_slow += u32::from(!is_fast);
        let is_over = now.saturating_sub(self.back_since_us) >= BACK_US;
        let is_proven = self.num_fast >= BACK_PACKETS && self.num_fast > 9 * self.num_slow;
        if is_over {
            (self.back_since_us, self.num_fast, self.num_slow) = (now, 0, 0);
        }
        is_over && is_proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtp::abs_send_time;

    /// A line with a rate before which packets wait, and a sender behind it.
    struct Line {
        queue: UplinkQueue,
        rate_bps: u64,
        free_us: Micros,
        news: Vec<(Micros, News)>,
        num_doubts: usize,
    }

    impl Line {
        fn new(rate_bps: u64) -> Line {
            let (queue, news) = (UplinkQueue::default(), Vec::new());
            Line { queue, rate_bps, free_us: 0, news, num_doubts: 0 }
        }

        fn send(&mut self, at: Micros, bytes: usize) {
            self.free_us = self.free_us.max(at) + bytes as u64 * 8_000_000 / self.rate_bps;
            let arrived_us = self.free_us + 10_000;
            // The sender's clock is another one, and near its wrap.
            let sent = abs_send_time(at + 60_000_000);
            let news = self.queue.on_packet(arrived_us, sent, bytes);
            self.num_doubts += usize::from(news == Some(News::Doubt));
            let news = news.filter(|&news| news != News::Doubt);
            self.news.extend(news.map(|news| (arrived_us, news)));
        }

        /// Pictures of `num` packets 20 times a second, and voice.
        fn play(&mut self, from: Micros, us: Micros, num: u64) {
            for step in 0..us / 10_000 {
                let at = from + step * 10_000;
                if step % 2 == 0 {
                    self.send(at, 150);
                }
                if step % 5 == 0 {
                    (0..num).for_each(|packet| self.send(at + packet * 1_300, 1200));
                }
            }
        }
    }

    #[test]
    fn a_fall_is_seen_with_the_second_picture_and_its_end_step_by_step() {
        let mut line = Line::new(3_000_000);
        line.play(0, 15_000_000, 7);
        assert_eq!(line.news, []);
        line.rate_bps = 120_000;
        line.play(15_000_000, 100_000, 7);
        let (at, News::Fell(rate_bps)) = line.news[0] else { panic!("{:?}", line.news) };
        assert!(at < 15_180_000, "{at}");
        assert!((100_000..140_000).contains(&rate_bps), "{rate_bps}");
        assert_eq!(line.queue.limit_bps(), Some(rate_bps / 2));
        assert!(line.queue.holds_requests(at) && !line.queue.holds_requests(at + MAX_HOLD_US));
        // A small picture now and then is all that comes.
        line.play(15_100_000, 10_000_000, 0);
        let news = line.news.clone();
        let (drained_us, News::Drained) = news[1] else { panic!("{news:?}") };
        assert!((16_000_000..18_000_000).contains(&drained_us), "{drained_us}");
        assert_eq!(line.queue.limit_bps(), Some(0), "the sender keeps the last one it was told");
        assert!(!line.queue.holds_requests(drained_us));
        (0..40).for_each(|number| line.send(25_100_000 + number * 50_000, 300));
        assert_eq!(line.news.len(), 2, "it is as narrow as before");
        line.rate_bps = 3_000_000;
        (0..40).for_each(|number| line.send(28_000_000 + number * 50_000, 300));
        let (back_us, News::Back) = line.news[2] else { panic!("{:?}", line.news) };
        assert!(back_us < 30_000_000, "{back_us}");
    }

    #[test]
    fn a_key_frame_that_waits_on_a_narrow_line_is_no_fall() {
        let mut line = Line::new(800_000);
        line.play(0, 5_000_000, 3);
        (0..50).for_each(|packet| line.send(5_000_000 + packet * 1_300, 1200));
        line.play(5_100_000, 5_000_000, 3);
        assert_eq!(line.news, []);
        assert_eq!(line.queue.limit_bps(), None);
    }

    #[test]
    fn a_stall_after_which_all_comes_at_once_is_no_fall_and_the_next_is_no_doubt() {
        let mut line = Line::new(3_000_000);
        line.play(0, 5_000_000, 7);
        line.free_us += 400_000;
        line.play(5_000_000, 100_000, 7);
        assert_eq!((line.num_doubts, line.queue.limit_bps()), (2, Some(0)), "begun and ended");
        line.play(5_100_000, 5_000_000, 7);
        line.free_us += 400_000;
        line.play(10_100_000, 5_000_000, 7);
        assert_eq!((line.num_doubts, line.news.len()), (2, 0));
    }

    #[test]
    fn the_sender_is_held_back_before_a_fall_is_proven() {
        let mut line = Line::new(3_000_000);
        line.play(0, 5_000_000, 7);
        line.rate_bps = 120_000;
        line.send(5_000_000, 1200);
        assert_eq!((line.num_doubts, line.news.len()), (1, 0));
        let limit_bps = line.queue.limit_bps().unwrap();
        assert!((45_000..80_000).contains(&limit_bps), "{limit_bps}");
        line.send(5_001_000, 1200);
        assert_eq!((line.num_doubts, line.news.len()), (1, 1));
    }

    #[test]
    fn neither_silence_nor_another_clock_is_a_fall() {
        let mut line = Line::new(3_000_000);
        line.play(0, 2_000_000, 7);
        line.play(30_000_000, 2_000_000, 7);
        line.free_us = 70_000_000;
        line.play(60_000_000, 1_000_000, 0);
        assert_eq!(line.news, []);
    }

    #[test]
    fn a_fall_that_never_ends_is_given_up() {
        let mut line = Line::new(3_000_000);
        line.play(0, 5_000_000, 7);
        line.rate_bps = 120_000;
        line.play(5_000_000, 15_000_000, 7);
        let news: Vec<News> = line.news.iter().map(|&(_, news)| news).collect();
        assert!(matches!(news[..], [News::Fell(_), News::Back, ..]), "{news:?}");
        assert!(news.len() <= 4, "{news:?}");
    }

    #[test]
    fn absurd_times_stay_finite() {
        let mut queue = UplinkQueue::default();
        for step in 0..100_000u64 {
            let units = (step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
            queue.on_packet(step * 500, units, 1200);
        }
        assert!(queue.limit_bps().is_none_or(|limit_bps| limit_bps < 10_000_000));
    }
}
