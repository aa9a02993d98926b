use proptest::prelude::*;

use super::*;
use crate::wire::rtcp::{self, RtcpPacket};

fn header(base_seq_ext: u64) -> FeedbackHeader {
    FeedbackHeader { sender_ssrc: 1, media_ssrc: 0x4303_2fa0, feedback_count: 9, base_seq_ext }
}

fn parse(packet: &[u8]) -> Feedback<'_> {
    match rtcp::packets(packet).next() {
        Some(RtcpPacket::TransportCc(feedback)) => feedback,
        other => panic!("not feedback: {other:?}"),
    }
}

fn body(base_seq: u16, status_count: u16, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 2];
    body.extend_from_slice(&base_seq.to_be_bytes());
    body.extend_from_slice(&status_count.to_be_bytes());
    body.extend_from_slice(&[0, 0, 1, 7]);
    body.extend_from_slice(rest);
    body
}

/// Writes until everything is reported; (sequence number, arrival in ticks) of what was received.
fn report_all(base: u64, arrivals: &[Arrival], room: usize) -> (Vec<(u16, i64)>, usize) {
    let mut out = vec![0u8; room];
    let (mut head, mut rest, mut found, mut num_packets) = (header(base), arrivals, Vec::new(), 0);
    while !rest.is_empty() {
        let written = write_feedback(&mut out, &head, rest).expect("room for one arrival");
        assert_eq!(written.len % 4, 0);
        let feedback = parse(&out[..written.len]);
        assert_eq!(feedback.iter().count(), usize::from(feedback.status_count));
        found.extend(feedback.iter().filter_map(|(seq, ticks)| Some((seq, ticks?))));
        head.base_seq_ext = written.next_seq_ext;
        rest = &rest[written.num_arrivals..];
        num_packets += 1;
    }
    (found, num_packets)
}

fn expected(arrivals: &[Arrival]) -> Vec<(u16, i64)> {
    arrivals
        .iter()
        .map(|arrival| (arrival.seq_ext as u16, (arrival.arrived_us / TICK_US) as i64))
        .collect()
}

#[test]
fn known_bytes_of_one_packet() {
    // Sequence number 153, one small delta of 37 ms, one byte of padding.
    let known: &[u8] = &[
        0xaf, 0xcd, 0x00, 0x05, 0xfa, 0x17, 0xfa, 0x17, 0x43, 0x03, 0x2f, 0xa0, 0x00, 0x99, 0x00,
        0x01, 0x3d, 0xe8, 0x02, 0x17, 0x20, 0x01, 0x94, 0x01,
    ];
    let feedback = parse(known);
    assert_eq!((feedback.base_seq, feedback.status_count, feedback.feedback_count), (153, 1, 23));
    assert_eq!(feedback.reference_time, 4_057_090);
    assert_eq!(feedback.iter().collect::<Vec<_>>(), [(153, Some(4_057_090 * 256 + 148))]);

    let header = FeedbackHeader {
        sender_ssrc: 0xfa17_fa17,
        media_ssrc: 0x4303_2fa0,
        feedback_count: 23,
        base_seq_ext: 65_536 + 153,
    };
    let arrival = Arrival { seq_ext: 65_536 + 153, arrived_us: 4_057_090 * 64_000 + 37_000 };
    let mut out = [0u8; 64];
    let written = write_feedback(&mut out, &header, &[arrival]).unwrap();
    assert_eq!(&out[..written.len], known);
    assert_eq!((written.num_arrivals, written.next_seq_ext), (1, 65_536 + 154));
}

#[test]
fn every_chunk_form_reads_right() {
    // Run of 3 lost, one-bit vector of 14, two-bit vector of 7.
    let chunks = [0x00, 0x03, 0b1010_0000, 0x00, 0b1101_1000, 0x00];
    let deltas = [4, 8, 0xff, 0xfc];
    let mut rest = chunks.to_vec();
    rest.extend_from_slice(&deltas);
    let body = body(10, 24, &rest);
    let feedback = Feedback::parse(&body).unwrap();
    let got: Vec<_> = feedback.iter().filter(|(_, ticks)| ticks.is_some()).collect();
    assert_eq!(got, [(13, Some(256 + 4)), (27, Some(256 + 12)), (28, Some(256 + 8))]);
    assert_eq!(feedback.iter().count(), 24);
}

#[test]
fn edge_20_base_above_32768_and_across_the_wrap() {
    for base in [32_769u64, 40_000, 65_530, 65_536 + 65_530] {
        let arrivals: Vec<Arrival> = (0..20)
            .map(|n| Arrival { seq_ext: base + n, arrived_us: 1_000_000 + n * 1_000 })
            .collect();
        assert_eq!(report_all(base, &arrivals, 1_200).0, expected(&arrivals));
    }
}

#[test]
fn edge_20_status_count_bounds_the_chunks() {
    // A run of 8191 received, of which the count covers two; two deltas are enough.
    let data = body(65_535, 2, &[0x3f, 0xff, 1, 1]);
    let feedback = Feedback::parse(&data).unwrap();
    assert_eq!(feedback.iter().collect::<Vec<_>>(), [(65_535, Some(257)), (0, Some(258))]);
    // A count that the chunks do not reach, and deltas that are missing.
    assert_eq!(Feedback::parse(&body(0, 8_192, &[0x1f, 0xff])), None);
    assert_eq!(Feedback::parse(&body(0, 3, &[0x20, 0x03, 1, 1])), None);
    assert_eq!(Feedback::parse(&body(0, u16::MAX, &[])), None);
    assert_eq!(Feedback::parse(&body(0, 0, &[])).unwrap().iter().count(), 0);
}

#[test]
fn edge_20_negative_deltas() {
    let arrivals = [
        Arrival { seq_ext: 5, arrived_us: 2_000_000 },
        Arrival { seq_ext: 6, arrived_us: 1_950_000 },
        Arrival { seq_ext: 7, arrived_us: 2_100_000 },
    ];
    let (found, num_packets) = report_all(5, &arrivals, 1_200);
    assert_eq!((found, num_packets), (expected(&arrivals), 1));
}

#[test]
fn the_reserved_symbol_is_refused_and_an_empty_run_ends() {
    assert_eq!(Feedback::parse(&body(0, 1, &[0x60, 0x01, 0, 0])), None);
    assert_eq!(Feedback::parse(&body(0, 1, &[0xf0, 0x00, 0, 0])), None);
    assert_eq!(Feedback::parse(&body(0, 1, &[0x20, 0x00])).unwrap().iter().count(), 1);
}

#[test]
fn losses_before_the_first_arrival_are_reported() {
    let arrivals = [Arrival { seq_ext: 110, arrived_us: 5_000 }];
    let mut out = [0u8; 64];
    let written = write_feedback(&mut out, &header(100), &arrivals).unwrap();
    let feedback = parse(&out[..written.len]);
    assert_eq!((feedback.base_seq, feedback.status_count), (100, 11));
    // A base that is no use is replaced by the first arrival.
    for base in [111, 0] {
        let far =
            [Arrival { seq_ext: 110 + if base == 0 { 40_000 } else { 0 }, arrived_us: 5_000 }];
        let written = write_feedback(&mut out, &header(base), &far).unwrap();
        assert_eq!(parse(&out[..written.len]).status_count, 1);
    }
}

#[test]
fn splits_at_long_silence_at_long_gaps_and_when_full() {
    let silence = [
        Arrival { seq_ext: 1, arrived_us: 1_000_000 },
        Arrival { seq_ext: 2, arrived_us: 10_000_000 },
    ];
    assert_eq!(report_all(1, &silence, 1_200), (expected(&silence), 2));
    let gap = [
        Arrival { seq_ext: 1, arrived_us: 1_000_000 },
        Arrival { seq_ext: 40_000, arrived_us: 1_000_100 },
    ];
    assert_eq!(report_all(1, &gap, 1_200), (expected(&gap), 2));
    let many: Vec<Arrival> =
        (0..5_000).map(|n| Arrival { seq_ext: 7 + n, arrived_us: 1_000_000 + 900 * n }).collect();
    let (found, num_packets) = report_all(7, &many, 1_200);
    assert_eq!(found, expected(&many));
    assert!(num_packets > 5 && num_packets < 30, "{num_packets} packets");
}

#[test]
fn a_steady_stream_is_reported_in_run_lengths() {
    let arrivals: Vec<Arrival> =
        (0..100).map(|n| Arrival { seq_ext: n + 65_536, arrived_us: n * 1_000 }).collect();
    let mut out = [0u8; 1_200];
    let written = write_feedback(&mut out, &header(65_536), &arrivals).unwrap();
    assert_eq!((written.num_arrivals, written.len), (100, (20usize + 2 + 100).next_multiple_of(4)));
}

#[test]
fn no_arrivals_or_no_room_writes_nothing() {
    assert_eq!(write_feedback(&mut [0u8; 100], &header(0), &[]), None);
    let arrival = [Arrival { seq_ext: 1, arrived_us: 1 }];
    for room in 0..24 {
        assert_eq!(write_feedback(&mut vec![0u8; room], &header(0), &arrival), None);
    }
}

prop_compose! {
    fn any_arrivals()(
        base in 0u64..200_000,
        start_us in 0u64..1_000_000_000_000,
        steps in prop::collection::vec((prop_oneof![8 => Just(1u64), 4 => 2u64..12, 1 => 12u64..20_000], prop_oneof![8 => 0i64..60_000, 2 => -40_000i64..9_000_000]), 1..400),
    ) -> (u64, Vec<Arrival>) {
        let (mut seq_ext, mut arrived_us) = (base, start_us + 50_000_000);
        let arrivals = steps.into_iter().map(|(gap, delta_us)| {
            seq_ext += gap;
            arrived_us = arrived_us.saturating_add_signed(delta_us);
            Arrival { seq_ext, arrived_us }
        }).collect();
        (base, arrivals)
    }
}

proptest! {
    #[test]
    fn round_trip((base, arrivals) in any_arrivals(), room in 32usize..1_400) {
        // The 24-bit reference wraps; compare modulo that.
        let modulus = 256 << 24;
        let (found, _) = report_all(base, &arrivals, room);
        let wrap = |(seq, ticks): (u16, i64)| (seq, ticks.rem_euclid(modulus));
        let found: Vec<_> = found.into_iter().map(wrap).collect();
        let expected: Vec<_> = expected(&arrivals).into_iter().map(wrap).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn unsorted_input_still_writes_a_packet_that_parses(
        arrivals in prop::collection::vec((0u64..2_000, 0u64..20_000_000), 1..100),
    ) {
        let arrivals: Vec<_> =
            arrivals.into_iter().map(|(seq_ext, arrived_us)| Arrival { seq_ext, arrived_us }).collect();
        report_all(0, &arrivals, 600);
    }
}
