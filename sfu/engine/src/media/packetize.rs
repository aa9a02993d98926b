//! Frames of a local source cut into RTP payloads: VP8 (RFC 7741), H.264 (RFC 6184), Opus.

use crate::api::Codec;
use crate::wire::vp8::Vp8Descriptor;

/// Largest payload: 1200 bytes of packet less the header.
const MAX_PAYLOAD: usize = 1188;
const FU_A: u8 = 28;
const STAP_A: u8 = 24;

/// Numbers of one local encoding.
#[derive(Debug, Default)]
pub struct Packetizer {
    next_seq: u16,
    next_pid: u16,
    tl0: u8,
    buffer: Vec<u8>,
}

impl Packetizer {
    /// Cuts `frame`; `emit` gets (sequence number, marker, payload) of each packet in order.
    pub fn packetize(
        &mut self,
        codec: Codec,
        frame: &[u8],
        mut emit: impl FnMut(u16, bool, &[u8]),
    ) {
        match codec {
            Codec::Vp8 => self.packetize_vp8(frame, &mut emit),
            Codec::H264 => self.packetize_h264(frame, &mut emit),
            // Opus packets are payloads already; RED, VP9 and AV1 have no frames to push.
            Codec::Opus if !frame.is_empty() => emit(self.take_seq(), false, frame),
            _ => {}
        }
    }

    fn packetize_vp8(&mut self, frame: &[u8], emit: &mut impl FnMut(u16, bool, &[u8])) {
        const ROOM: usize = MAX_PAYLOAD - 6;
        self.next_pid = (self.next_pid + 1) & 0x7fff;
        self.tl0 = self.tl0.wrapping_add(1);
        let count = frame.len().div_ceil(ROOM);
        let size = frame.len().div_ceil(count.max(1)).max(1);
        for (at, chunk) in frame.chunks(size).enumerate() {
            let descriptor = Vp8Descriptor {
                is_partition_start: at == 0,
                temporal: Some(0),
                ..Vp8Descriptor::default()
            };
            let mut head = [0; 8];
            let Some(len) = descriptor.write(&mut head, Some(self.next_pid), Some(self.tl0)) else {
                return;
            };
            self.buffer.clear();
            self.buffer.extend_from_slice(&head[..len]);
            self.buffer.extend_from_slice(chunk);
            let seq = self.take_seq();
            emit(seq, at + 1 == count, &self.buffer);
        }
    }

    fn packetize_h264(&mut self, frame: &[u8], emit: &mut impl FnMut(u16, bool, &[u8])) {
        let mut rest = annex_b(frame).peekable();
        while let Some(nal) = rest.next() {
            if nal.len() > MAX_PAYLOAD {
                self.fragment(nal, rest.peek().is_none(), emit);
                continue;
            }
            // Parameter sets travel together, as one packet that a switch can start from.
            self.buffer.clear();
            let is_params = |nal: &[u8]| matches!(nal[0] & 0x1f, 7 | 8);
            if is_params(nal) && rest.peek().is_some_and(|next| is_params(next)) {
                self.buffer.push((nal[0] & 0x60) | STAP_A);
                push_sized(&mut self.buffer, nal);
                while let Some(next) = rest.next_if(|next| {
                    is_params(next) && self.buffer.len() + 2 + next.len() <= MAX_PAYLOAD
                }) {
                    push_sized(&mut self.buffer, next);
                }
            } else {
                self.buffer.extend_from_slice(nal);
            }
            let is_last = rest.peek().is_none();
            let seq = self.take_seq();
            emit(seq, is_last, &self.buffer);
        }
    }

    fn fragment(&mut self, nal: &[u8], is_last: bool, emit: &mut impl FnMut(u16, bool, &[u8])) {
        let (header, body) = (nal[0], &nal[1..]);
        let count = body.len().div_ceil(MAX_PAYLOAD - 2);
        let size = body.len().div_ceil(count);
        for (at, chunk) in body.chunks(size).enumerate() {
            let is_end = at + 1 == count;
            let flags = u8::from(at == 0) << 7 | u8::from(is_end) << 6;
            self.buffer.clear();
            self.buffer.extend_from_slice(&[(header & 0xe0) | FU_A, flags | (header & 0x1f)]);
            self.buffer.extend_from_slice(chunk);
            let seq = self.take_seq();
            emit(seq, is_end && is_last, &self.buffer);
        }
    }

    fn take_seq(&mut self) -> u16 {
        let seq = self.next_seq;
        self.next_seq = seq.wrapping_add(1);
        seq
    }
}

fn push_sized(buffer: &mut Vec<u8>, nal: &[u8]) {
    buffer.extend_from_slice(&(nal.len() as u16).to_be_bytes());
    buffer.extend_from_slice(nal);
}

/// The NAL units of an Annex B stream, without start codes and trailing zeros.
fn annex_b(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = skip_start(data);
    std::iter::from_fn(move || {
        while let Some(current) = rest.take() {
            let end = current.windows(3).position(|window| window == [0, 0, 1]);
            let nal = &current[..end.unwrap_or(current.len())];
            rest = end.map(|end| &current[end + 3..]);
            let len = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if len > 0 {
                return Some(&nal[..len]);
            }
        }
        None
    })
}

fn skip_start(data: &[u8]) -> Option<&[u8]> {
    data.windows(3).position(|window| window == [0, 0, 1]).map(|at| &data[at + 3..])
}

#[cfg(test)]
mod tests {
    use super::super::assemble::Assembly;
    use super::super::encoding::Params;
    use super::*;
    use crate::media::codec::parse_facts;

    fn round_trip(codec: Codec, frame: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>, bool) {
        let (mut packets, mut markers) = (Vec::new(), Vec::new());
        Packetizer::default().packetize(codec, frame, |_, is_marker, payload| {
            packets.push(payload.to_vec());
            markers.push(is_marker);
        });
        let mut assembly = Assembly::default();
        for packet in &packets {
            let facts = parse_facts(codec, packet).unwrap();
            assert!(assembly.add(codec, facts.descriptor_len, packet));
        }
        assert_eq!(markers.iter().filter(|&&marker| marker).count(), 1);
        assert_eq!(markers.last(), Some(&true));
        let (data, is_key) = assembly.take(codec, &Params::default()).unwrap();
        (packets, data, is_key)
    }

    #[test]
    fn vp8_frames_are_cut_about_equally_and_come_back() {
        let frame: Vec<u8> = (0..5000u32).map(|at| (at * 2) as u8).collect();
        let (packets, data, is_key) = round_trip(Codec::Vp8, &frame);
        assert_eq!((packets.len(), is_key), (5, true));
        assert!(packets.iter().all(|packet| packet.len() <= MAX_PAYLOAD));
        assert_eq!(data, frame);
    }

    #[test]
    fn h264_access_units_come_back_with_parameter_sets_in_one_packet() {
        let mut frame = vec![0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65];
        frame.extend((0..3000u32).map(|at| (at % 250 + 1) as u8));
        let (packets, data, is_key) = round_trip(Codec::H264, &frame);
        assert!(is_key && packets.len() == 4);
        assert_eq!(packets[0][0] & 0x1f, STAP_A);
        assert_eq!(data.len(), frame.len() + 1, "the short start code becomes a long one");
    }

    #[test]
    fn garbage_yields_nothing() {
        for frame in [&[][..], &[1, 2, 3], &[0, 0, 1], &[0, 0, 0, 1, 0, 0]] {
            Packetizer::default().packetize(Codec::H264, frame, |_, _, _| panic!());
        }
    }
}
