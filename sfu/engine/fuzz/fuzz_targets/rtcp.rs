#![no_main]

use aislecast_engine::wire::rtcp::{self, RtcpPacket, RtcpWriter};
use aislecast_engine::wire::twcc_feedback::{Arrival, Feedback, FeedbackHeader, TICK_US};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for packet in rtcp::packets(data) {
        match packet {
            RtcpPacket::SenderReport { reports, .. }
            | RtcpPacket::ReceiverReport { reports, .. } => {
                assert!(reports.filter_map(|report| report.rtt_us(7)).count() <= 31);
            }
            RtcpPacket::Bye(ssrcs) | RtcpPacket::Remb { ssrcs, .. } => assert!(ssrcs.count() < 256),
            RtcpPacket::Nack { seqs, .. } => assert!(seqs.count() <= data.len() * 5),
            RtcpPacket::Fir { entries, .. } => assert!(entries.count() <= data.len()),
            RtcpPacket::TransportCc(feedback) => rebuild(&feedback),
            _ => {}
        }
    }
});

/// Writes the arrivals of a feedback packet anew and reads them back.
fn rebuild(feedback: &Feedback<'_>) {
    assert_eq!(feedback.iter().count(), usize::from(feedback.status_count));
    let arrivals: Vec<Arrival> = feedback
        .iter()
        .enumerate()
        .filter_map(|(at, (_, ticks))| {
            let arrived_us = u64::try_from(ticks?).ok()? * TICK_US;
            Some(Arrival { seq_ext: u64::from(feedback.base_seq) + at as u64, arrived_us })
        })
        .collect();
    let mut out = [0u8; 1200];
    let mut header = FeedbackHeader {
        sender_ssrc: 1,
        media_ssrc: 2,
        feedback_count: 0,
        base_seq_ext: u64::from(feedback.base_seq),
    };
    let mut rest = &arrivals[..];
    while !rest.is_empty() {
        let mut writer = RtcpWriter::new(&mut out);
        let written = writer.transport_cc(&header, rest).expect("room for one arrival");
        let Some(RtcpPacket::TransportCc(again)) = rtcp::packets(&out[..written.len]).next() else {
            panic!("own feedback does not parse");
        };
        let got = again.iter().filter_map(|(seq, ticks)| Some((seq, ticks?.rem_euclid(256 << 24))));
        let expected = rest[..written.num_arrivals].iter().map(|arrival| {
            (arrival.seq_ext as u16, ((arrival.arrived_us / TICK_US) as i64).rem_euclid(256 << 24))
        });
        assert!(got.eq(expected));
        header.base_seq_ext = written.next_seq_ext;
        rest = &rest[written.num_arrivals..];
    }
}
