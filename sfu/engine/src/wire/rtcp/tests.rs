use proptest::prelude::*;

use super::*;

fn only(compound: &[u8]) -> RtcpPacket<'_> {
    let mut all = packets(compound);
    let packet = all.next().expect("one packet");
    assert!(all.next().is_none() && !all.has_trailing_garbage());
    packet
}

fn written(build: impl FnOnce(&mut RtcpWriter<'_>)) -> Vec<u8> {
    let mut out = vec![0u8; 1_500];
    let mut writer = RtcpWriter::new(&mut out);
    build(&mut writer);
    let len = writer.len();
    assert_eq!(len % 4, 0);
    out.truncate(len);
    out
}

const REPORT: ReportBlock = ReportBlock {
    ssrc: 0x0a0b_0c0d,
    fraction_lost: 64,
    num_lost: -3,
    highest_seq: 0x0001_ffff,
    jitter_rtp: 900,
    last_sr: 0x1234_5678,
    delay_since_last_sr: 65_536,
};

#[test]
fn a_compound_as_we_send_it() {
    let info = SenderInfo {
        ssrc: 7,
        ntp: 0x0102_0304_0506_0708,
        ts_rtp: 9,
        num_packets: 10,
        num_bytes: 11,
    };
    let bytes = written(|writer| {
        assert!(writer.is_empty());
        assert!(writer.sender_report(&info, &[REPORT, REPORT]));
        assert!(writer.sdes_cname(7, "aislecast"));
        assert!(writer.pli(1, 2));
        assert!(writer.fir(1, 2, 3));
        assert!(writer.bye(&[7, 8]));
    });
    let all: Vec<_> = packets(&bytes).collect();
    let RtcpPacket::SenderReport { info: got, reports } = all[0] else { panic!("{:?}", all[0]) };
    assert_eq!(got, info);
    assert_eq!(reports.collect::<Vec<_>>(), [REPORT, REPORT]);
    assert_eq!(all[1], RtcpPacket::SourceDescription);
    assert_eq!(all[2], RtcpPacket::Pli { sender_ssrc: 1, media_ssrc: 2 });
    let RtcpPacket::Fir { sender_ssrc: 1, entries } = all[3] else { panic!("{:?}", all[3]) };
    assert_eq!(entries.collect::<Vec<_>>(), [(2, 3)]);
    let RtcpPacket::Bye(ssrcs) = all[4] else { panic!("{:?}", all[4]) };
    assert_eq!(ssrcs.collect::<Vec<_>>(), [7, 8]);
    assert_eq!(all.len(), 5);
}

#[test]
fn known_bytes_of_a_pli() {
    assert_eq!(
        written(|writer| assert!(writer.pli(0x0102_0304, 0x0506_0708))),
        [0x81, 206, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]
    );
}

#[test]
fn every_cname_length_is_padded_with_at_least_one_zero() {
    for len in 0..=255 {
        let bytes = written(|writer| assert!(writer.sdes_cname(7, &"x".repeat(len))));
        assert_eq!(only(&bytes), RtcpPacket::SourceDescription);
        assert_eq!(bytes.last(), Some(&0));
    }
    let mut out = [0u8; 600];
    assert!(!RtcpWriter::new(&mut out).sdes_cname(7, &"x".repeat(256)));
}

#[test]
fn losses_are_signed_24_bits() {
    for (given, read) in
        [(0, 0), (-1, -1), (0x7f_ffff, 0x7f_ffff), (i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000)]
    {
        let report = ReportBlock { num_lost: given, ..REPORT };
        let bytes = written(|writer| assert!(writer.receiver_report(1, &[report])));
        let RtcpPacket::ReceiverReport { ssrc: 1, mut reports } = only(&bytes) else { panic!() };
        let got = reports.next().unwrap();
        assert_eq!((got.num_lost, got.fraction_lost), (read, 64));
    }
}

#[test]
fn edge_20_round_trip_time_is_never_negative() {
    assert_eq!(REPORT.rtt_us(0x1234_5678 + 65_536 + 6_554), Some(100_006));
    assert_eq!(REPORT.rtt_us(0x1234_5678 + 65_535), None);
    assert_eq!(ReportBlock { last_sr: 0, ..REPORT }.rtt_us(5), None);
    let wrapping = ReportBlock { last_sr: u32::MAX - 9, delay_since_last_sr: 0, ..REPORT };
    assert_eq!(wrapping.rtt_us(65_526), Some(1_000_000));
}

#[test]
fn edge_20_sdes_and_xr_of_any_content_are_skipped() {
    let mut bytes = vec![0x9f, 202, 0, 1, 0xff, 0xff, 0xff, 0xff];
    // XR with a DLRR block whose inner length overruns the packet, then a PLI.
    bytes.extend_from_slice(&[0x80, 207, 0, 2, 0, 0, 0, 1, 5, 0, 0xff, 0xff]);
    bytes.extend_from_slice(&written(|writer| assert!(writer.pli(1, 2))));
    let all: Vec<_> = packets(&bytes).collect();
    assert_eq!(
        all,
        [
            RtcpPacket::SourceDescription,
            RtcpPacket::Other { packet_type: 207, format: 0 },
            RtcpPacket::Pli { sender_ssrc: 1, media_ssrc: 2 },
        ]
    );
}

#[test]
fn a_malformed_packet_does_not_hide_the_next() {
    let pli = written(|writer| assert!(writer.pli(1, 2)));
    for bad in [
        &[0x80, 200, 0, 1, 0, 0, 0, 1][..], // SR without its numbers
        &[0x81, 201, 0, 1, 0, 0, 0, 1],     // RR whose block is missing
        &[0x82, 203, 0, 1, 0, 0, 0, 1],     // BYE with one of two
        &[0x81, 205, 0, 1, 0, 0, 0, 1],     // NACK without a media SSRC
        &[0x8f, 205, 0, 1, 0, 0, 0, 1],     // feedback without its header
        &[0xa1, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9], // padding longer than the body
        &[0xa1, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0], // padding of zero
        &[0xa0, 201, 0, 0],                 // padding without a body
    ] {
        let mut bytes = bad.to_vec();
        bytes.extend_from_slice(&pli);
        let all: Vec<_> = packets(&bytes).collect();
        assert_eq!(all.len(), 2, "{bad:02x?}");
        assert_eq!(all[0], RtcpPacket::Malformed { packet_type: bad[1] });
        assert_eq!(all[1], RtcpPacket::Pli { sender_ssrc: 1, media_ssrc: 2 });
    }
}

#[test]
fn lengths_beyond_the_compound_end_it() {
    let mut all = packets(&[0x81, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(all.next(), None);
    assert!(all.has_trailing_garbage());
    assert_eq!(packets(&[0x41, 206, 0, 0]).next(), None);
    assert_eq!(packets(&[0x81]).next(), None);
}

#[test]
fn nack_takes_what_fits() {
    let seqs: Vec<u16> = (0..50).map(|n| n * 20).collect();
    let mut out = [0u8; 12 + 4 * 10 + 3];
    let mut writer = RtcpWriter::new(&mut out);
    assert_eq!(writer.nack(1, 2, &seqs), 10);
    assert_eq!(writer.len(), 52);
    assert_eq!(writer.nack(1, 2, &seqs), 0);
    assert_eq!(writer.nack(1, 2, &[]), 0);
    let RtcpPacket::Nack { sender_ssrc: 1, media_ssrc: 2, seqs: got } = only(&out[..52]) else {
        panic!()
    };
    assert_eq!(got.collect::<Vec<_>>(), seqs[..10]);
}

#[test]
fn too_many_entries_are_refused() {
    let mut out = [0u8; 2_000];
    let mut writer = RtcpWriter::new(&mut out);
    assert!(!writer.receiver_report(1, &[REPORT; 32]));
    assert!(!writer.sender_report(&SenderInfo::default(), &[REPORT; 32]));
    assert!(!writer.bye(&[0; 32]) && !writer.remb(1, 1, &[0; 256]));
    assert!(writer.is_empty());
    assert!(writer.receiver_report(1, &[REPORT; 31]));
}

#[test]
fn what_does_not_fit_leaves_the_compound_as_it_was() {
    let mut out = [0u8; 20];
    let mut writer = RtcpWriter::new(&mut out);
    assert!(writer.pli(1, 2));
    assert!(!writer.pli(1, 3));
    assert!(!writer.fir(1, 3, 0) && !writer.remb(1, 5, &[1]) && !writer.sdes_cname(1, "cname"));
    assert_eq!(writer.len(), 12);
    assert!(writer.receiver_report(9, &[]));
    assert_eq!(packets(&out).count(), 2);
}

#[test]
fn absurd_remb_exponent_means_no_limit() {
    let mut bytes = written(|writer| assert!(writer.remb(1, 1_000, &[2])));
    bytes[17] = 0xff;
    let RtcpPacket::Remb { rate_bps, .. } = only(&bytes) else { panic!() };
    assert_eq!(rate_bps, u64::MAX);
}

proptest! {
    #[test]
    fn nack_round_trip(start: u16, gaps in prop::collection::vec(1u16..40, 0..200)) {
        let mut seq = start;
        let seqs: Vec<u16> = gaps.into_iter().map(|gap| { seq = seq.wrapping_add(gap); seq }).collect();
        let bytes = written(|writer| assert_eq!(writer.nack(1, 2, &seqs), seqs.len()));
        let got: Vec<u16> = packets(&bytes)
            .flat_map(|packet| match packet {
                RtcpPacket::Nack { seqs, .. } => seqs.collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(got, seqs);
    }

    #[test]
    fn remb_round_trip(rate_bps: u64, ssrcs in prop::collection::vec(any::<u32>(), 0..20)) {
        let bytes = written(|writer| assert!(writer.remb(5, rate_bps, &ssrcs)));
        let RtcpPacket::Remb { sender_ssrc: 5, rate_bps: got, ssrcs: named } = only(&bytes) else { panic!() };
        // 18 bits of mantissa; never above what was meant.
        prop_assert!(got <= rate_bps && rate_bps - got <= rate_bps >> 17);
        prop_assert_eq!(named.collect::<Vec<_>>(), ssrcs);
    }
}
