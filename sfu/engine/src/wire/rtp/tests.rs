use proptest::prelude::*;

use super::*;

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

const HEADER: RtpHeader =
    RtpHeader { is_marker: true, pt: 96, seq: 0xfffe, ts_rtp: 0xdead_beef, ssrc: 0x1234_5678 };

fn with_extension(profile: u16, elements: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    packet.extend_from_slice(&profile.to_be_bytes());
    let words = elements.len().div_ceil(4);
    packet.extend_from_slice(&(words as u16).to_be_bytes());
    packet.extend_from_slice(elements);
    packet.resize(16 + 4 * words, 0);
    packet.extend_from_slice(payload);
    packet
}

#[test]
fn a_view_fits_a_cache_line() {
    assert!(size_of::<RtpView>() <= 64, "{}", size_of::<RtpView>());
}

#[test]
fn plain_header() {
    let packet = [0x80, 0x80 | 111, 0xab, 0xcd, 0, 0, 0, 9, 0, 0, 0, 7, 1, 2, 3];
    let view = RtpView::parse(&packet, &MAP).unwrap();
    assert_eq!(
        (view.is_marker, view.pt, view.seq, view.ts_rtp, view.ssrc),
        (true, 111, 0xabcd, 9, 7)
    );
    assert_eq!(view.payload(&packet), &[1, 2, 3]);
    assert_eq!(view.extensions, RtpExtensions::default());
}

#[test]
fn csrcs_are_skipped() {
    let mut packet = vec![0x82, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    packet.extend_from_slice(&[9; 8]);
    packet.push(42);
    assert_eq!(RtpView::parse(&packet, &MAP).unwrap().payload(&packet), &[42]);
    assert_eq!(RtpView::parse(&packet[..19], &MAP), None);
}

#[test]
fn one_byte_extensions() {
    let elements = [
        0x10, b'a', // mid, one byte
        0x00, 0x00, // padding
        0x40, 0x85, // audio level: voice, -5
        0x51, 0x12, 0x34, // twcc
        0x62, 1, 2, 3, // abs-send-time
        0xc0, 0xff, // not negotiated
        0x80, 0x03, // orientation
    ];
    let packet = with_extension(0xbede, &elements, &[7, 7]);
    let view = RtpView::parse(&packet, &MAP).unwrap();
    assert_eq!(view.extensions.mid.unwrap().of(&packet), b"a");
    assert_eq!(view.extensions.audio_level, Some((true, 5)));
    assert_eq!(view.extensions.twcc, Some(0x1234));
    assert_eq!(view.extensions.abs_send_time, Some(0x01_0203));
    assert_eq!(view.extensions.video_orientation, Some(3));
    assert_eq!(view.extensions.rid, None);
    assert_eq!(view.payload(&packet), &[7, 7]);
}

#[test]
fn edge_18_two_byte_extensions_with_any_appbits() {
    let mut elements = vec![1, 3, b'a', b'b', b'c', 2, 0, 9, 20];
    elements.extend_from_slice(&[0x77; 20]);
    for profile in [0x1000, 0x1005, 0x100f] {
        let packet = with_extension(profile, &elements, &[1]);
        let view = RtpView::parse(&packet, &MAP).unwrap();
        assert_eq!(view.extensions.mid.unwrap().of(&packet), b"abc");
        assert_eq!(view.extensions.rid, None, "an empty rid names nothing");
        assert_eq!(view.extensions.dependency.unwrap().of(&packet), &[0x77; 20]);
    }
}

#[test]
fn foreign_profiles_and_overruns_keep_the_packet() {
    let packet = with_extension(0xabac, &[0x10, b'a', 0, 0], &[5]);
    let view = RtpView::parse(&packet, &MAP).unwrap();
    assert_eq!((view.extensions, view.payload(&packet)), (RtpExtensions::default(), &[5][..]));
    // The second element claims 16 bytes of which one is there.
    let packet = with_extension(0xbede, &[0x10, b'a', 0x2f, 1], &[5]);
    let view = RtpView::parse(&packet, &MAP).unwrap();
    assert_eq!(view.extensions.mid.unwrap().of(&packet), b"a");
    assert_eq!((view.extensions.rid, view.payload(&packet)), (None, &[5][..]));
    // Id 15 ends the one-byte form.
    let packet = with_extension(0xbede, &[0xf0, 0, 0x10, b'a'], &[5]);
    assert_eq!(RtpView::parse(&packet, &MAP).unwrap().extensions.mid, None);
}

#[test]
fn wrong_value_sizes_are_left_out() {
    let elements = [0x50, 1, 0x61, 1, 2, 0x72, 1, 2, 3];
    let packet = with_extension(0xbede, &elements, &[]);
    assert_eq!(RtpView::parse(&packet, &MAP).unwrap().extensions, RtpExtensions::default());
}

#[test]
fn extension_block_longer_than_the_packet_is_refused() {
    let mut packet = with_extension(0xbede, &[0; 8], &[]);
    packet[15] = 3;
    assert_eq!(RtpView::parse(&packet, &MAP), None);
    assert_eq!(RtpView::parse(&packet[..14], &MAP), None);
}

#[test]
fn edge_5_padding_is_not_payload() {
    let mut packet = [0u8; 64];
    let len =
        RtpWriter::new(MAP).write_header(&mut packet, &HEADER, &OutExtensions::default()).unwrap();
    // Padding only: a probe.
    let end = append_padding(&mut packet, len, 40).unwrap();
    let view = RtpView::parse(&packet[..end], &MAP).unwrap();
    assert_eq!((view.payload_len, view.padding_len), (0, 40));
    // Before decryption the count byte is ciphertext, and not looked at.
    let view = RtpView::parse_protected(&packet[..end], &MAP).unwrap();
    assert_eq!((view.payload_len, view.padding_len), (40, 0));
    for wrong in [0, 41, 255] {
        packet[end - 1] = wrong;
        assert_eq!(RtpView::parse(&packet[..end], &MAP), None, "count {wrong}");
    }
    assert_eq!(append_padding(&mut packet, 60, 5), None);
    assert_eq!(append_padding(&mut packet, 60, 0), Some(60));
}

#[test]
fn an_rtx_packet_shows_its_original() {
    let mut packet = [0u8; 64];
    let values = OutExtensions { repaired_rid: Some(b"h"), ..OutExtensions::default() };
    let mut len = RtpWriter::new(MAP).write_header(&mut packet, &HEADER, &values).unwrap();
    len += write_osn(&mut packet[len..], 0x4242).unwrap();
    packet[len..len + 3].copy_from_slice(&[7, 8, 9]);
    let datagram = &packet[..len + 3];
    let rtx = RtpView::parse(datagram, &MAP).unwrap();
    assert_eq!(parse_osn(rtx.payload(datagram)), Some((0x4242, &[7, 8, 9][..])));
    let original = rtx.to_rtx_original(datagram, 100, 55).unwrap();
    assert_eq!((original.pt, original.seq, original.ssrc), (100, 0x4242, 55));
    assert_eq!((original.ts_rtp, original.is_marker), (rtx.ts_rtp, rtx.is_marker));
    assert_eq!(original.payload(datagram), &[7, 8, 9]);
    // A probe without an original.
    let short = &packet[..len - 1];
    assert_eq!(RtpView::parse(short, &MAP).unwrap().to_rtx_original(short, 100, 55), None);
}

#[test]
fn unnegotiated_extensions_are_left_out() {
    let mut out = [0u8; 64];
    let values = OutExtensions { mid: Some(b"0"), twcc: Some(1), ..OutExtensions::default() };
    let writer = RtpWriter::new(ExtMap::default());
    assert_eq!(writer.write_header(&mut out, &HEADER, &values), Some(HEADER_SIZE));
    assert_eq!(out[0], 0x80);
}

#[test]
fn large_dependency_descriptor_takes_the_two_byte_form() {
    let mut out = [0u8; 128];
    let descriptor = [3u8; 17];
    for (len, profile) in [(16, [0xbe, 0xde]), (17, [0x10, 0x00])] {
        let values = OutExtensions {
            twcc: Some(1),
            dependency: Some(&descriptor[..len]),
            ..OutExtensions::default()
        };
        RtpWriter::new(MAP).write_header(&mut out, &HEADER, &values).unwrap();
        assert_eq!(out[12..14], profile);
    }
    let values = OutExtensions { mid: Some(b"0"), ..OutExtensions::default() };
    RtpWriter::new(ExtMap { mid: 15, ..MAP }).write_header(&mut out, &HEADER, &values).unwrap();
    assert_eq!(out[12..14], [0x10, 0x00]);
}

#[test]
fn send_time_is_fixed_point_seconds() {
    assert_eq!(abs_send_time(0), 0);
    assert_eq!(abs_send_time(1_000_000), 1 << 18);
    assert_eq!(abs_send_time(500_000), 1 << 17);
    assert_eq!(abs_send_time(64_000_000 + 1_000_000), 1 << 18);
    assert_eq!(abs_send_time(u64::MAX) >> 24, 0);
}

prop_compose! {
    fn any_name()(name in prop::option::of(prop::collection::vec(any::<u8>(), 1..40))) -> Option<Vec<u8>> { name }
}

proptest! {
    #[test]
    fn header_round_trip(
        is_marker: bool, pt in 0u8..128, seq: u16, ts_rtp: u32, ssrc: u32,
        (mid, rid, repaired_rid) in (any_name(), any_name(), any_name()),
        audio_level in prop::option::of((any::<bool>(), 0u8..128)),
        twcc: Option<u16>,
        abs_send_time in prop::option::of(0u32..1 << 24),
        capture in prop::option::of(prop_oneof![Just(8usize), Just(16)]),
        video_orientation: Option<u8>,
        dependency in prop::option::of(prop::collection::vec(any::<u8>(), 1..200)),
        payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let header = RtpHeader { is_marker, pt, seq, ts_rtp, ssrc };
        let capture = capture.map(|len| vec![0x11u8; len]);
        let values = OutExtensions {
            mid: mid.as_deref(), rid: rid.as_deref(), repaired_rid: repaired_rid.as_deref(),
            audio_level, twcc, abs_send_time, abs_capture_time: capture.as_deref(), video_orientation,
            dependency: dependency.as_deref(),
        };
        let mut out = [0u8; 600];
        let len = RtpWriter::new(MAP).write_header(&mut out, &header, &values).unwrap();
        prop_assert_eq!(len % 4, 0);
        out[len..len + payload.len()].copy_from_slice(&payload);
        let packet = &out[..len + payload.len()];
        let view = RtpView::parse(packet, &MAP).unwrap();
        prop_assert_eq!(
            (view.is_marker, view.pt, view.seq, view.ts_rtp, view.ssrc),
            (is_marker, pt, seq, ts_rtp, ssrc)
        );
        let found = view.extensions;
        let of = |span: Option<Span>| span.map(|span| span.of(packet));
        prop_assert_eq!((of(found.mid), of(found.rid)), (values.mid, values.rid));
        prop_assert_eq!(of(found.repaired_rid), values.repaired_rid);
        prop_assert_eq!(of(found.abs_capture_time), values.abs_capture_time);
        prop_assert_eq!(of(found.dependency), values.dependency);
        prop_assert_eq!((found.audio_level, found.twcc), (audio_level, twcc));
        prop_assert_eq!((found.abs_send_time, found.video_orientation), (abs_send_time, video_orientation));
        prop_assert_eq!(view.payload(packet), &payload[..]);
        for room in 0..len {
            prop_assert_eq!(RtpWriter::new(MAP).write_header(&mut vec![0; room], &header, &values), None);
        }
    }
}
