use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn stap_a(nals: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for nal in nals {
        payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
        payload.extend_from_slice(nal);
    }
    payload
}

/// Made by x264: 640×360 baseline.
const SPS_360P: &str = "6742c01ed900a02ff9610000030001000003003c0f162e48";
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
/// A slice whose first_mb_in_slice is 0, and one that starts further down.
const IDR: &[u8] = &[0x65, 0x88, 0x84];
const IDR_LATER_SLICE: &[u8] = &[0x65, 0x00, 0x52];

#[test]
fn sizes_that_x264_writes() {
    for (hex, size, profile) in [
        (SPS_360P, (640, 360), 66),
        ("6764001facd9405005ba10000003001000000303c0f1831960", (1280, 720), 100),
        ("674d4015eca0d8ff2708000003000800000301e078b16cb0", (426, 240), 77),
        ("67640028acd94078044fdc20000003002000000783e2c5b2c0", (1920, 1080), 100),
        ("67f4001e919b281407b420000003002000000781e2c5b2c0", (640, 480), 244),
    ] {
        let sps = parse_sps(&bytes(hex)).unwrap();
        assert_eq!(((sps.width, sps.height), sps.profile), (size, profile));
    }
}

#[test]
fn a_truncated_sps_is_refused_or_the_same() {
    let whole = bytes(SPS_360P);
    let size = parse_sps(&whole).map(|sps| (sps.width, sps.height));
    for len in 0..whole.len() {
        let got = parse_sps(&whole[..len]).map(|sps| (sps.width, sps.height));
        assert!(got.is_none() || got == size, "{len} bytes: {got:?}");
    }
    assert_eq!(parse_sps(PPS), None);
}

#[test]
fn edge_14_key_frame_by_sps_alone_or_in_an_aggregate() {
    let sps = bytes(SPS_360P);
    let single = parse_info(&sps).unwrap();
    assert!(
        single.has_sps && single.is_keyframe_start() && single.is_frame_start && !single.has_idr
    );
    assert_eq!(single.resolution, Some((640, 360)));
    let aggregate = parse_info(&stap_a(&[&[0x09, 0x10], &sps, PPS, IDR])).unwrap();
    assert!(
        aggregate.has_sps
            && aggregate.has_pps
            && aggregate.has_idr_start
            && aggregate.is_frame_start
    );
    assert_eq!(aggregate.resolution, Some((640, 360)));
}

#[test]
fn edge_14_idr_in_fragments_starts_once() {
    let start = parse_info(&[0x7c, 0x85, 0x88, 0x84]).unwrap();
    assert!(start.has_idr_start && start.is_keyframe_start() && start.is_frame_start);
    let middle = parse_info(&[0x7c, 0x05, 0x88, 0x84]).unwrap();
    assert!(
        middle.has_idr
            && !middle.has_idr_start
            && !middle.is_keyframe_start()
            && !middle.is_frame_start
    );
}

#[test]
fn edge_14_parameter_sets_ahead_of_the_idr() {
    let pps = parse_info(PPS).unwrap();
    assert!(pps.has_pps && !pps.is_keyframe_start() && pps.is_frame_start);
    let idr = parse_info(IDR).unwrap();
    assert!(idr.has_idr_start && !idr.has_sps && idr.is_keyframe_start());
}

#[test]
fn edge_15_later_slices_of_an_idr_start_nothing() {
    let info = parse_info(IDR_LATER_SLICE).unwrap();
    assert!(info.has_idr && !info.has_idr_start && !info.is_frame_start);
    let info = parse_info(&[0x41, 0x9a, 0x00]).unwrap();
    assert!(info.is_frame_start && !info.is_keyframe_start());
}

#[test]
fn edge_15_lengths_in_aggregates_and_fragments() {
    // The second length overruns; the first unit is still good.
    let mut payload = stap_a(&[PPS]);
    payload.extend_from_slice(&[0x00, 0x09, 0x65]);
    let all: Vec<_> = nal_pieces(&payload).collect();
    assert_eq!(all, [NalPiece::Whole(PPS)]);
    // Empty units, nested aggregates, half a length.
    for rest in [&[0x00, 0x00][..], &[0x00, 0x01, 0x78], &[0x00, 0x01, 0x7c], &[0x00]] {
        assert_eq!(nal_pieces(&[&[0x78], rest].concat()).count(), 0, "{rest:02x?}");
    }
    assert_eq!(parse_info(&[0x78]), None);
    assert_eq!(nal_pieces(&[0x7c]).count(), 0);
    assert_eq!(nal_pieces(&[]).count(), 0);
    // Interleaved mode and reserved types.
    for kind in [0, 25, 26, 27, 29, 30, 31] {
        assert_eq!(parse_info(&[kind, 0x80, 1, 2]), None);
    }
}

#[test]
fn fragments_rebuild_the_unit() {
    let pieces: Vec<_> = [&[0x7c, 0x85, 1, 2][..], &[0x7c, 0x05, 3], &[0x7c, 0x45, 4]]
        .into_iter()
        .flat_map(nal_pieces)
        .collect();
    assert_eq!(
        pieces,
        [
            NalPiece::Start { header: 0x65, data: &[1, 2], is_end: false },
            NalPiece::Continuation { kind: 5, data: &[3], is_end: false },
            NalPiece::Continuation { kind: 5, data: &[4], is_end: true },
        ]
    );
    assert!(pieces.iter().all(|piece| piece.kind() == NAL_IDR));
}
