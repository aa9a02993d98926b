use super::*;
use crate::wire::rtcp::{RtcpPacket, RtcpWriter, packets};
use crate::wire::twcc_feedback::FeedbackHeader;

fn feedback(base: u64, arrivals: &[(u64, u64)]) -> Vec<u8> {
    let mut buffer = [0; 1200];
    let arrivals: Vec<Arrival> =
        arrivals.iter().map(|&(seq_ext, arrived_us)| Arrival { seq_ext, arrived_us }).collect();
    let header =
        FeedbackHeader { sender_ssrc: 1, media_ssrc: 2, feedback_count: 0, base_seq_ext: base };
    let mut writer = RtcpWriter::new(&mut buffer);
    writer.transport_cc(&header, &arrivals).unwrap();
    let len = writer.len();
    buffer[..len].to_vec()
}

fn join(history: &mut SentHistory, now: Micros, raw: &[u8]) -> Vec<Reported> {
    let mut rows = Vec::new();
    for packet in packets(raw) {
        let RtcpPacket::TransportCc(feedback) = packet else { panic!("{packet:?}") };
        history.on_feedback(now, &feedback, |row| rows.push(row));
    }
    rows
}

#[test]
fn arrivals_are_sorted_and_due_after_50_ms_or_100_packets() {
    let mut log = ArrivalLog::default();
    for seq in [5, 7, 6, 6] {
        log.on_packet(1000, seq);
    }
    assert_eq!(log.arrivals().iter().map(|a| a.seq_ext as u16).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!(log.next_due_us(), Some(51_000));
    for seq in 8..105 {
        log.on_packet(2000, seq);
    }
    assert_eq!(log.next_due_us(), Some(2000));
    log.on_reported(100, log.arrivals()[99].seq_ext + 1);
    assert_eq!((log.next_due_us(), log.feedback_count), (None, 1));
}

#[test]
fn a_late_arrival_is_reported_alone_and_takes_nothing_back() {
    let mut log = ArrivalLog::default();
    [1, 2, 4, 5].iter().for_each(|&seq| log.on_packet(1000, seq));
    let base = log.arrivals()[0].seq_ext;
    log.on_reported(4, base + 5);
    [6, 3].iter().for_each(|&seq| log.on_packet(2000, seq));
    let seqs = |log: &ArrivalLog| -> Vec<u64> {
        log.arrivals().iter().map(|one| one.seq_ext - base).collect()
    };
    assert_eq!(seqs(&log), [2]);
    log.on_reported(1, base + 3);
    assert_eq!(log.base_seq_ext, base + 5);
    assert_eq!(seqs(&log), [5]);
}

#[test]
fn what_was_sent_into_an_outage_is_not_called_lost() {
    let mut log = ArrivalLog::default();
    [1, 2, 4].iter().for_each(|&seq| log.on_packet(1000, seq));
    let base = log.arrivals()[0].seq_ext;
    assert_eq!(log.on_reported(3, base + 4), (4, 1), "the first report starts with an arrival");
    log.on_packet(900_000, 7);
    assert_eq!(log.base_seq_ext, base + 4, "half a second is a gap like any other");
    assert_eq!(log.on_reported(1, base + 7), (3, 2));
    log.on_packet(9_000_000, 2000);
    assert_eq!(log.base_seq_ext, base + 1999);
    assert_eq!(log.on_reported(1, base + 2000), (1, 0));
    // One that comes late is neither expected nor lost anew.
    log.on_packet(9_010_000, 1500);
    assert_eq!(log.on_reported(1, base + 1500), (0, 0));
}

#[test]
fn what_is_missing_may_be_passed_over_in_silence() {
    let mut log = ArrivalLog::default();
    [1, 2, 5, 7].iter().for_each(|&seq| log.on_packet(1000, seq));
    let base = log.arrivals()[0].seq_ext;
    let mut told = Vec::new();
    while log.next_due_us().is_some() {
        log.skip_missing();
        let row: Vec<u64> = log.unbroken().iter().map(|one| one.seq_ext - base).collect();
        assert_eq!(log.base_seq_ext.max(base) - base, row[0]);
        let reported = log.on_reported(row.len(), base + row[row.len() - 1] + 1);
        assert_eq!(reported, (row.len() as u64, 0), "nothing counts as lost");
        told.push(row);
    }
    assert_eq!(told, [vec![0, 1], vec![4], vec![6]]);
    log.skip_missing();
    assert_eq!(log.base_seq_ext, base + 7);
}

#[test]
fn joins_what_was_sent_with_what_was_reported() {
    let mut history = SentHistory::default();
    for step in 0..5 {
        history.on_sent(1_000_000 + step * 1000, 100 + step as usize, Sort::Video);
    }
    let raw = feedback(65_536, &[(65_536, 64_000), (65_538, 64_500)]);
    let rows = join(&mut history, 1_100_000, &raw);
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[0].seq, rows[0].size_bytes, rows[0].sent_us), (0, 100, 1_000_000));
    assert_eq!((rows[1].seq, rows[1].received_us), (1, 0));
    assert_eq!(rows[2].received_us - rows[0].received_us, 500);
    assert_eq!(join(&mut history, 1_100_000, &raw), [], "the lost one is not lost again");
    let late = feedback(65_537, &[(65_537, 70_000)]);
    let rows = join(&mut history, 1_110_000, &late);
    assert_eq!(rows.iter().map(|row| (row.seq, row.size_bytes)).collect::<Vec<_>>(), [(1, 101)]);
    assert!(rows[0].received_us > 0, "it came after all");
    assert_eq!(join(&mut history, 1_120_000, &late), []);
}

#[test]
fn edge_20_numbers_above_32768_and_the_wrap_are_joined() {
    let mut history = SentHistory::default();
    for step in 0..65_540u64 {
        history.on_sent(step * 1000, 1, Sort::Video);
    }
    // 65534, 65535, 0, 1
    let raw = feedback(
        131_070,
        &[(131_070, 64_000), (131_071, 64_250), (131_072, 65_000), (131_073, 65_000)],
    );
    let rows = join(&mut history, 65_540_000, &raw);
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [65_534, 65_535, 0, 1]);
    assert_eq!(rows[3].sent_us, 65_537_000);
}

#[test]
fn rows_say_what_a_packet_was_sent_for() {
    let mut history = SentHistory::default();
    history.on_sent(0, 1, Sort::Audio);
    for probe in 100..120 {
        history.set_probe(probe);
        history.on_sent(0, 1, Sort::Extra);
    }
    history.set_probe(0);
    history.on_sent(0, 1, Sort::Video);
    let arrivals: Vec<(u64, u64)> = (65_536..65_558).map(|seq| (seq, 64_000)).collect();
    let rows = join(&mut history, 0, &feedback(65_536, &arrivals));
    assert_eq!(rows.iter().map(|row| row.sort).collect::<Vec<_>>()[..2], [2, 1]);
    assert_eq!((rows[0].probe, rows[20].probe, rows[21].probe), (0, 119, 0));
    assert_eq!((rows[19].probe, rows[21].sort), (118, 0));
}

#[test]
fn the_reporters_clock_is_unwrapped() {
    let mut history = SentHistory::default();
    for _ in 0..4 {
        history.on_sent(0, 1, Sort::Video);
    }
    let wrap_us = (1u64 << 24) * 64_000;
    let first = join(&mut history, 0, &feedback(65_536, &[(65_536, wrap_us - 64_000)]));
    let second = join(&mut history, 0, &feedback(65_537, &[(65_537, wrap_us + 64_000)]));
    assert_eq!(second[0].received_us - first[0].received_us, 128_000);
}

#[test]
fn open_is_what_left_after_the_newest_that_came() {
    let mut history = SentHistory::default();
    assert_eq!(history.open(0), Open::default());
    for step in 0..6u64 {
        history.on_sent(1_000_000 + step * 1_000, 100, Sort::Video);
    }
    assert_eq!(history.open(1_100_000), Open::default(), "nothing was ever reported");
    join(&mut history, 1_100_000, &feedback(65_536, &[(65_536, 64_000), (65_539, 64_500)]));
    let open = Open { num: 2, bytes: 200, oldest_us: 1_004_000 };
    assert_eq!(history.open(1_100_000), open);
    // One that comes late is not the newest.
    join(&mut history, 1_100_000, &feedback(65_537, &[(65_537, 65_000)]));
    assert_eq!(history.open(1_100_000), open);
    for step in 0..3_000u64 {
        history.on_sent(2_000_000 + step, 1, Sort::Video);
    }
    assert_eq!(history.open(2_100_000).num, MAX_OPEN as u32, "and no more than is worth a look");
}
