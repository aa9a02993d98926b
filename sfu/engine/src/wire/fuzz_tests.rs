//! No input panics any parser. The cargo-fuzz targets search deeper; this runs with every test run.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::rtcp::{RtcpPacket, RtcpWriter};
use super::twcc_feedback::{Arrival, FeedbackHeader};
use super::{demux, h264, red, rtcp, rtp, srtp, stun, vp8};
use crate::api::{ExtMap, SrtpProfile};

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

/// Runs every parser, and every iterator to its end.
fn parse_everything(data: &[u8]) {
    demux::classify(data);
    parse_rtp(data);
    parse_rtcp(data);
    parse_payload(data);
    if let Some(message) = stun::StunMessage::parse(data) {
        message.verify_integrity(&stun::StunKey::new(b"password"));
        message.ufrags();
    }
    for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AesCm128HmacSha1_80] {
        let key_salt = vec![7; srtp::key_salt_len(profile)];
        let mut receiver =
            srtp::SrtpReceiver::new(profile, &key_salt).expect("key of the right size");
        // Chance does not forge a tag.
        assert!(receiver.unprotect_rtp(&mut data.to_vec()).is_err());
        assert!(receiver.unprotect_rtcp(&mut data.to_vec()).is_err());
        let mut sender = srtp::SrtpSender::new(profile, &key_salt).expect("key of the right size");
        let mut buffer = [data, &[0; srtp::RTCP_OVERHEAD_MAX]].concat();
        if let Ok(len) = sender.protect_rtp(&mut buffer, data.len()) {
            let unprotected = receiver.unprotect_rtp(&mut buffer[..len]).expect("own packet");
            assert_eq!(&buffer[..unprotected.len], data);
        }
        let _ = sender.protect_rtcp(&mut data.to_vec(), data.len() / 2);
    }
}

fn parse_rtp(data: &[u8]) {
    if let Some(view) = rtp::RtpView::parse(data, &MAP) {
        assert!(view.payload_range().end + usize::from(view.padding_len) == data.len());
        let found = view.extensions;
        for span in
            [found.mid, found.rid, found.repaired_rid, found.abs_capture_time, found.dependency]
        {
            assert!(span.is_none_or(|span| span.range().end <= usize::from(view.payload_off)));
        }
        if let Some(original) = view.to_rtx_original(data, 1, 2) {
            assert_eq!(original.payload(data).len() + 2, view.payload(data).len());
        }
    }
}

fn parse_rtcp(data: &[u8]) {
    for packet in rtcp::packets(data) {
        match packet {
            RtcpPacket::SenderReport { reports, .. }
            | RtcpPacket::ReceiverReport { reports, .. } => {
                assert!(reports.filter_map(|report| report.rtt_us(1)).count() <= 31);
            }
            RtcpPacket::Bye(ssrcs) | RtcpPacket::Remb { ssrcs, .. } => assert!(ssrcs.count() < 256),
            RtcpPacket::Nack { seqs, .. } => assert!(seqs.count() <= data.len() * 5),
            RtcpPacket::Fir { entries, .. } => assert!(entries.count() * 8 <= data.len()),
            RtcpPacket::TransportCc(feedback) => {
                assert_eq!(feedback.iter().count(), usize::from(feedback.status_count));
            }
            _ => {}
        }
    }
}

fn parse_payload(data: &[u8]) {
    if let Some(descriptor) = vp8::Vp8Descriptor::parse(data) {
        assert!(usize::from(descriptor.header_len) < data.len());
        let mut out = [0; vp8::DESCRIPTOR_SIZE_MAX];
        assert!(
            descriptor.write(&mut out, descriptor.picture_id, descriptor.tl0_pic_idx).is_some()
        );
    }
    h264::parse_info(data);
    h264::parse_sps(data);
    let num_bytes: usize = h264::nal_pieces(data)
        .map(|piece| match piece {
            h264::NalPiece::Whole(nal) => nal.len(),
            h264::NalPiece::Start { data, .. } | h264::NalPiece::Continuation { data, .. } => {
                data.len()
            }
        })
        .sum();
    assert!(num_bytes <= data.len());
    if let Some(red) = red::Red::parse(data) {
        let redundant: usize = red.redundant().map(|block| block.data.len()).sum();
        assert_eq!(red.primary_start() + red.primary().data.len(), data.len());
        assert!(redundant < data.len());
    }
}

/// Valid packets of each kind, to be damaged.
fn samples() -> Vec<Vec<u8>> {
    let mut out = vec![0u8; 1_500];
    let mut samples = Vec::new();
    let key = stun::StunKey::new(b"password");
    let request = stun::BindingRequest {
        transaction_id: [9; 12],
        username: "left:right",
        priority: 1,
        role: stun::IceRole::Controlling(5),
        is_use_candidate: true,
        carried: stun::Carried::default(),
    };
    let len = stun::write_binding_request(&mut out, &request, &key).expect("room");
    samples.push(out[..len].to_vec());
    let values = rtp::OutExtensions {
        mid: Some(b"0"),
        rid: Some(b"h"),
        twcc: Some(77),
        audio_level: Some((true, 20)),
        ..rtp::OutExtensions::default()
    };
    let header = rtp::RtpHeader { is_marker: true, pt: 96, seq: 5, ts_rtp: 9, ssrc: 1 };
    let len = rtp::RtpWriter::new(MAP).write_header(&mut out, &header, &values).expect("room");
    let len = rtp::append_padding(&mut out, len + 30, 20).expect("room");
    samples.push(out[..len].to_vec());
    let mut writer = RtcpWriter::new(&mut out);
    writer.sender_report(&rtcp::SenderInfo::default(), &[rtcp::ReportBlock::default(); 2]);
    writer.sdes_cname(1, "cname");
    writer.nack(1, 2, &[1, 2, 3, 40, 80]);
    writer.remb(1, 1_000_000, &[1, 2]);
    writer.fir(1, 2, 3);
    let arrivals: Vec<Arrival> = (0..60)
        .map(|n| Arrival { seq_ext: n * (1 + n % 3), arrived_us: 1_000_000 + n * n * 2_000 })
        .collect();
    let header =
        FeedbackHeader { sender_ssrc: 1, media_ssrc: 2, feedback_count: 3, base_seq_ext: 0 };
    writer.transport_cc(&header, &arrivals);
    let len = writer.len();
    samples.push(out[..len].to_vec());
    samples.push(vec![
        0x90, 0xf0, 0x81, 0x02, 0x03, 0x44, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68,
        0x01,
    ]);
    samples.push(vec![
        0x78, 0, 4, 0x67, 0x64, 0, 0x1f, 0, 4, 0x68, 0xce, 0x3c, 0x80, 0, 3, 0x65, 0x88, 0x84,
    ]);
    samples.push(vec![0xef, 0x1e, 0, 2, 0xef, 0x0f, 0, 1, 111, 9, 9, 8, 7, 7, 7]);
    samples
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        // The same inputs in every run; new ones are the fuzzers' business.
        rng_seed: RngSeed::Fixed(20_260_901),
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_everything(&data);
    }

    #[test]
    fn arbitrary_bytes_behind_a_likely_first_byte(
        first in prop_oneof![Just(0x80u8), Just(0x90), Just(0xa0), Just(0xb0), Just(0x8f), Just(0x81)],
        second in prop_oneof![Just(96u8), 200u8..208],
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut data = vec![first, second];
        data.extend_from_slice(&rest);
        parse_everything(&data);
        // The same with a length that makes it one whole RTCP packet.
        if data.len() >= 4 {
            data.truncate(data.len() / 4 * 4);
            let words = (data.len() / 4 - 1) as u16;
            data[2..4].copy_from_slice(&words.to_be_bytes());
            parse_everything(&data);
        }
    }

    #[test]
    fn damaged_packets(
        which in 0usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut data = samples().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(data.len());
            data[at] = value;
        }
        if is_cut {
            data.truncate(cut.index(data.len() + 1));
        }
        parse_everything(&data);
    }
}
