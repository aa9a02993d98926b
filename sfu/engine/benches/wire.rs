//! Nanoseconds per operation of the wire layer: `cargo bench --bench wire`.
//!
//! Each row is the best of five rounds, as other programs on the machine only ever add time.

use std::hint::black_box;
use std::time::Instant;

use aislecast_engine::api::{ExtMap, SrtpProfile};
use aislecast_engine::wire::rtcp::{self, RtcpPacket, RtcpWriter};
use aislecast_engine::wire::rtp::{OutExtensions, RtpHeader, RtpView, RtpWriter};
use aislecast_engine::wire::srtp::{RTP_OVERHEAD_MAX, SrtpReceiver, SrtpSender, key_salt_len};
use aislecast_engine::wire::stun::{
    BindingRequest, Carried, IceRole, StunKey, StunMessage, write_binding_request,
    write_binding_success,
};
use aislecast_engine::wire::twcc_feedback::{Arrival, FeedbackHeader, write_feedback};
use aislecast_engine::wire::vp8::{DESCRIPTOR_SIZE_MAX, Vp8Descriptor};

const MAP: ExtMap = ExtMap {
    mid: 1,
    rid: 2,
    repaired_rid: 3,
    audio_level: 4,
    twcc: 5,
    abs_send_time: 6,
    abs_capture_time: 7,
    video_orientation: 8,
    dependency: 9,
};
const NUM_ROUNDS: usize = 5;
const NUM_PACKETS: usize = 60_000;

/// Best time of one operation over the rounds; `round` runs `num_ops` of them.
fn measure(name: &str, num_ops: usize, mut round: impl FnMut()) {
    let best_ns = (0..NUM_ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos() as f64 / num_ops as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<34} {best_ns:>8.1} ns/op");
}

fn video_packet(seq: u16, payload_len: usize) -> Vec<u8> {
    let mut packet = vec![0u8; 64 + payload_len];
    let header = RtpHeader { is_marker: false, pt: 96, seq, ts_rtp: 90_000, ssrc: 7 };
    let values = OutExtensions {
        mid: Some(b"1"),
        twcc: Some(seq),
        abs_send_time: Some(1),
        ..OutExtensions::default()
    };
    let len = RtpWriter::new(MAP).write_header(&mut packet, &header, &values).expect("room");
    packet.truncate(len + payload_len);
    packet[len..len + 6].copy_from_slice(&[0x90, 0xe0, 0x81, 0x02, 0x03, 0x40]);
    packet
}

fn bench_rtp() {
    let packet = video_packet(5, 1_150);
    measure("rtp parse, 3 extensions", NUM_PACKETS, || {
        for _ in 0..NUM_PACKETS {
            black_box(RtpView::parse(black_box(&packet), &MAP));
        }
    });
    let (writer, mut out) = (RtpWriter::new(MAP), [0u8; 256]);
    measure("rtp header write, 3 extensions", NUM_PACKETS, || {
        for seq in 0..NUM_PACKETS as u16 {
            let header = RtpHeader { is_marker: false, pt: 96, seq, ts_rtp: 90_000, ssrc: 7 };
            let values = OutExtensions {
                mid: Some(b"1"),
                twcc: Some(seq),
                abs_send_time: Some(1),
                ..OutExtensions::default()
            };
            black_box(writer.write_header(&mut out, black_box(&header), &values));
        }
    });
    let payload = [0x90, 0xe0, 0x81, 0x02, 0x03, 0x40, 0x11, 0, 0, 0];
    let mut descriptor = [0u8; DESCRIPTOR_SIZE_MAX];
    measure("vp8 descriptor parse and rewrite", NUM_PACKETS, || {
        for number in 0..NUM_PACKETS as u16 {
            let parsed = Vp8Descriptor::parse(black_box(&payload)).expect("good descriptor");
            black_box(parsed.write(&mut descriptor, Some(number), Some(number as u8)));
        }
    });
}

fn bench_srtp(profile: SrtpProfile, label: &str, payload_len: usize) {
    let key_salt = vec![0x5a; key_salt_len(profile)];
    let packets: Vec<Vec<u8>> =
        (0..NUM_PACKETS as u16).map(|seq| video_packet(seq, payload_len)).collect();
    let len = packets[0].len();
    let mut sealed = vec![vec![0u8; len + RTP_OVERHEAD_MAX]; NUM_PACKETS];
    let mut sealed_len = 0;
    measure(&format!("{label} protect {payload_len} B"), NUM_PACKETS, || {
        let mut sender = SrtpSender::new(profile, &key_salt).expect("key");
        for (plain, out) in packets.iter().zip(&mut sealed) {
            out[..len].copy_from_slice(plain);
            sealed_len = sender.protect_rtp(out, len).expect("fresh index");
        }
    });
    let mut buffer = vec![0u8; sealed_len];
    measure(&format!("{label} unprotect {payload_len} B"), NUM_PACKETS, || {
        let mut receiver = SrtpReceiver::new(profile, &key_salt).expect("key");
        for packet in &sealed {
            buffer.copy_from_slice(&packet[..sealed_len]);
            black_box(receiver.unprotect_rtp(&mut buffer).expect("real packet"));
        }
    });
}

fn bench_feedback() {
    let arrivals: Vec<Arrival> = (0..100)
        .map(|n| Arrival { seq_ext: 65_536 + n + n / 20, arrived_us: 1_000_000 + n * 900 })
        .collect();
    let header =
        FeedbackHeader { sender_ssrc: 1, media_ssrc: 2, feedback_count: 0, base_seq_ext: 65_536 };
    let mut out = [0u8; 1_200];
    let num_ops = NUM_PACKETS / 100;
    measure("transport-cc write, 100 packets", num_ops, || {
        for _ in 0..num_ops {
            black_box(write_feedback(&mut out, &header, black_box(&arrivals)));
        }
    });
    let len = write_feedback(&mut out, &header, &arrivals).expect("room").len;
    measure("transport-cc read, 100 packets", num_ops, || {
        for _ in 0..num_ops {
            let Some(RtcpPacket::TransportCc(feedback)) =
                rtcp::packets(black_box(&out[..len])).next()
            else {
                panic!("own feedback does not parse");
            };
            black_box(feedback.iter().filter_map(|(_, ticks)| ticks).sum::<i64>());
        }
    });
    let seqs: Vec<u16> = (0..30).map(|n| n * 3).collect();
    measure("nack write, 30 numbers", NUM_PACKETS, || {
        for _ in 0..NUM_PACKETS {
            black_box(RtcpWriter::new(&mut out).nack(1, 2, black_box(&seqs)));
        }
    });
}

fn bench_stun() {
    let key = StunKey::new(b"VOkJxbRl1RmTxUk/WvJxBt");
    let request = BindingRequest {
        transaction_id: [7; 12],
        username: "aabbccdd:eeff",
        priority: 1,
        role: IceRole::Controlling(9),
        is_use_candidate: true,
        carried: Carried::default(),
    };
    let mut data = [0u8; 256];
    let len = write_binding_request(&mut data, &request, &key).expect("room");
    let (peer, mut out) = ("192.0.2.1:9".parse().expect("address"), [0u8; 128]);
    measure("stun check: read, verify, answer", NUM_PACKETS, || {
        for _ in 0..NUM_PACKETS {
            let message = StunMessage::parse(black_box(&data[..len])).expect("own request");
            assert!(message.verify_integrity(&key));
            black_box(write_binding_success(
                &mut out,
                &message.transaction_id,
                peer,
                &Carried::default(),
                &key,
            ));
        }
    });
}

fn main() {
    bench_rtp();
    for payload_len in [1_150, 90] {
        bench_srtp(SrtpProfile::AeadAes128Gcm, "gcm", payload_len);
        bench_srtp(SrtpProfile::AesCm128HmacSha1_80, "cm-sha1", payload_len);
    }
    bench_feedback();
    bench_stun();
}
