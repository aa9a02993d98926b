//! Contiguous egress: packets of one subscriber are written one behind the other, equalised with
//! RTP padding, sealed in place and handed over as one GSO bundle.

use crate::api::Path;
use crate::wire::rtp::append_padding;
use crate::wire::srtp::{RTP_OVERHEAD_MAX, SrtpSender};

use super::{Counters, Egress};

/// Segments of a bundle: a whole frame of most layers, and below the 64 kB of one system call. How
/// much a weak line gets at once is the pacer's affair.
const MAX_SEGMENTS: usize = 32;
/// Largest packet before sealing.
const MAX_PACKET: usize = 1600;
/// Sizes this close are made equal.
const MAX_PADDING: usize = 3;

/// Where and how a bundle leaves.
pub struct Exit<'a> {
    /// Keys of the subscriber.
    pub sender: &'a mut SrtpSender,
    /// Address of the subscriber.
    pub path: Path,
    /// Takes the datagrams.
    pub egress: &'a mut dyn Egress,
    /// Engine-wide counts.
    pub counters: &'a mut Counters,
}

/// Packets of one subscriber that wait to be sealed.
#[derive(Debug)]
pub struct Bundle {
    buffer: Vec<u8>,
    lens: [usize; MAX_SEGMENTS],
    count: usize,
    segment: usize,
}

impl Bundle {
    /// An empty bundle.
    pub fn new() -> Bundle {
        Bundle {
            buffer: vec![0; (MAX_SEGMENTS + 1) * (MAX_PACKET + RTP_OVERHEAD_MAX)],
            lens: [0; MAX_SEGMENTS],
            count: 0,
            segment: 0,
        }
    }

    /// Adds the packet that `write` puts at the head of the slice it is given; it returns the
    /// length, or `None` to add nothing. A full bundle leaves at once.
    pub fn push(&mut self, exit: &mut Exit<'_>, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let overhead = exit.sender.rtp_overhead();
        let at = self.count * (self.segment + overhead);
        let Some(len) = write(&mut self.buffer[at..at + MAX_PACKET]) else {
            return;
        };
        if self.count == 0 {
            self.segment = len;
        } else if len > self.segment && !self.widen(len, overhead) {
            // Larger than what waits: that leaves first, and this one starts the next bundle.
            self.buffer.copy_within(at..at + len, MAX_SEGMENTS * (MAX_PACKET + RTP_OVERHEAD_MAX));
            self.finish(exit);
            let from = MAX_SEGMENTS * (MAX_PACKET + RTP_OVERHEAD_MAX);
            self.buffer.copy_within(from..from + len, 0);
            self.segment = len;
        }
        self.lens[self.count] = len;
        self.count += 1;
        let is_last = len + MAX_PADDING < self.segment;
        if is_last || self.count == MAX_SEGMENTS {
            self.finish(exit);
        }
    }

    /// Seals and sends what waits.
    pub fn finish(&mut self, exit: &mut Exit<'_>) {
        let (count, segment) = (std::mem::take(&mut self.count), self.segment);
        let stride = segment + exit.sender.rtp_overhead();
        let mut end = 0;
        let mut num_sealed = 0;
        for (index, &len) in self.lens[..count].iter().enumerate() {
            let packet = &mut self.buffer[index * stride..][..MAX_PACKET + RTP_OVERHEAD_MAX];
            let padding = if index + 1 < count { segment - len } else { 0 };
            let sealed = append_padding(packet, len, padding as u8)
                .and_then(|len| exit.sender.protect_rtp(packet, len).ok());
            // Cannot be told from here but by a number used twice or a key used up: end the bundle.
            let Some(sealed) = sealed else {
                exit.counters.dropped_seal += (count - index) as u64;
                break;
            };
            end = index * stride + sealed;
            num_sealed += 1;
        }
        if num_sealed == 0 {
            return;
        }
        exit.counters.sent_datagrams += num_sealed;
        exit.counters.sent_bytes += end as u64;
        exit.counters.sent_bundles += u64::from(num_sealed > 1);
        exit.egress.send(exit.path, &self.buffer[..end], (num_sealed > 1).then_some(stride));
    }

    /// Moves what waits apart so that a slightly larger packet fits the stride. False if the sizes
    /// differ too much.
    fn widen(&mut self, len: usize, overhead: usize) -> bool {
        let smallest = self.lens[..self.count].iter().copied().min().unwrap_or(len);
        if smallest + MAX_PADDING < len {
            return false;
        }
        let (old, new) = (self.segment + overhead, len + overhead);
        // From the last one back, so that nothing is overwritten before it has moved.
        self.buffer.copy_within(self.count * old..self.count * old + len, self.count * new);
        for index in (1..self.count).rev() {
            let from = index * old;
            self.buffer.copy_within(from..from + self.lens[index], index * new);
        }
        self.segment = len;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Local, SrtpProfile};
    use crate::wire::srtp::SrtpReceiver;

    #[derive(Default)]
    struct Sink(Vec<Vec<u8>>, Vec<usize>);

    impl Egress for Sink {
        fn send(&mut self, _: Path, data: &[u8], segment: Option<usize>) {
            let chunks = data.chunks(segment.unwrap_or(data.len()));
            self.1.push(chunks.len());
            self.0.extend(chunks.map(<[u8]>::to_vec));
        }
    }

    fn packet(seq: u16, len: usize) -> Vec<u8> {
        let mut packet = vec![seq as u8; len];
        packet[..12].copy_from_slice(&[
            0x80,
            96,
            (seq >> 8) as u8,
            seq as u8,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            9,
        ]);
        packet
    }

    /// Sizes in, (bundle sizes, plain payload sizes without padding) out.
    fn run(profile: SrtpProfile, sizes: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let key = vec![7; crate::wire::srtp::key_salt_len(profile)];
        let mut sender = SrtpSender::new(profile, &key).unwrap();
        let mut receiver = SrtpReceiver::new(profile, &key).unwrap();
        let (mut sink, mut counters) = (Sink::default(), Counters::default());
        let path = Path { local: Local::Udp(0), remote: "127.0.0.1:1".parse().unwrap() };
        let mut bundle = Bundle::new();
        let mut exit =
            Exit { sender: &mut sender, path, egress: &mut sink, counters: &mut counters };
        for (seq, &size) in sizes.iter().enumerate() {
            bundle.push(&mut exit, |out| {
                out[..size].copy_from_slice(&packet(seq as u16, size));
                Some(size)
            });
        }
        bundle.finish(&mut exit);
        let mut plain = Vec::new();
        for (seq, datagram) in sink.0.iter_mut().enumerate() {
            let len = receiver.unprotect_rtp(datagram).unwrap().len;
            assert_eq!(datagram[3], seq as u8, "in order");
            let padding = if datagram[0] & 0x20 != 0 { usize::from(datagram[len - 1]) } else { 0 };
            assert!(datagram[12..len - padding].iter().all(|&byte| byte == seq as u8));
            plain.push(len - padding);
        }
        assert_eq!(counters.sent_datagrams as usize, sizes.len());
        (sink.1, plain)
    }

    #[test]
    fn equal_sizes_leave_together_up_to_a_bound() {
        for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AesCm128HmacSha1_80] {
            let sizes = [1000; MAX_SEGMENTS + 3];
            assert_eq!(run(profile, &sizes), (vec![MAX_SEGMENTS, 3], sizes.to_vec()));
        }
    }

    #[test]
    fn a_frame_split_about_equally_is_equalised_with_padding() {
        let sizes = [1003, 1000, 1001, 1001, 1002, 700];
        assert_eq!(run(SrtpProfile::AeadAes128Gcm, &sizes), (vec![6], sizes.to_vec()));
        let rising = [1000, 1001, 1002, 1003];
        assert_eq!(run(SrtpProfile::AeadAes128Gcm, &rising), (vec![4], rising.to_vec()));
    }

    #[test]
    fn edge_05_media_is_not_padded_where_nothing_follows() {
        let (_, plain) = run(SrtpProfile::AeadAes128Gcm, &[100]);
        assert_eq!(plain, [100]);
    }

    #[test]
    fn larger_packets_start_a_new_bundle() {
        let sizes = [100, 100, 500, 500, 504, 20, 20];
        assert_eq!(run(SrtpProfile::AeadAes128Gcm, &sizes), (vec![2, 2, 2, 1], sizes.to_vec()));
    }
}
