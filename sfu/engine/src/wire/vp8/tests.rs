use proptest::prelude::*;

use super::*;

/// Start of a 640×360 key frame: P bit 0, start code, sizes.
const KEY_DATA: [u8; 10] = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

fn payload(descriptor: &[u8], data: &[u8]) -> Vec<u8> {
    [descriptor, data].concat()
}

#[test]
fn shortest_descriptor() {
    let parsed = Vp8Descriptor::parse(&payload(&[0x10], &KEY_DATA)).unwrap();
    assert_eq!(parsed.header_len, 1);
    assert!(parsed.is_keyframe && parsed.is_frame_start);
    assert_eq!(parsed.resolution, Some((640, 360)));
    assert_eq!(
        (parsed.picture_id, parsed.tl0_pic_idx, parsed.temporal, parsed.key_idx),
        (None, None, None, None)
    );
}

#[test]
fn full_descriptor_with_long_picture_id() {
    let parsed =
        Vp8Descriptor::parse(&payload(&[0xb0, 0xf0, 0x92, 0x34, 0x56, 0xa5], &[1])).unwrap();
    assert_eq!((parsed.picture_id, parsed.is_long_picture_id), (Some(0x1234), true));
    assert_eq!(
        (parsed.tl0_pic_idx, parsed.temporal, parsed.key_idx),
        (Some(0x56), Some(2), Some(5))
    );
    assert!(
        parsed.is_layer_sync
            && parsed.is_non_reference
            && parsed.is_frame_start
            && !parsed.is_keyframe
    );
    assert_eq!(parsed.header_len, 6);
}

#[test]
fn edge_10_seven_bit_picture_id_leaves_as_fifteen() {
    let parsed = Vp8Descriptor::parse(&payload(&[0x90, 0x80, 0x7f], &[1])).unwrap();
    assert_eq!(
        (parsed.picture_id, parsed.is_long_picture_id, parsed.header_len),
        (Some(127), false, 3)
    );
    let mut out = [0u8; DESCRIPTOR_SIZE_MAX];
    let len = parsed.write(&mut out, Some(128), None).unwrap();
    assert_eq!(&out[..len], &[0x90, 0x80, 0x80, 0x80]);
    // Roll-over: the sixteenth bit is no part of the number.
    let len = parsed.write(&mut out, Some(0x8000), None).unwrap();
    assert_eq!(Vp8Descriptor::parse(&payload(&out[..len], &[1])).unwrap().picture_id, Some(0));
}

#[test]
fn edge_10_missing_picture_id_can_stay_missing_or_be_added() {
    let parsed = Vp8Descriptor::parse(&payload(&[0x10], &KEY_DATA)).unwrap();
    let mut out = [0u8; DESCRIPTOR_SIZE_MAX];
    assert_eq!(parsed.write(&mut out, None, None), Some(1));
    assert_eq!(out[0], 0x10);
    let len = parsed.write(&mut out, Some(5), None).unwrap();
    let rewritten = payload(&out[..len], &KEY_DATA);
    assert_eq!(Vp8Descriptor::parse(&rewritten).unwrap().picture_id, Some(5));
    assert!(Vp8Descriptor::parse(&rewritten).unwrap().is_keyframe);
}

#[test]
fn edge_13_key_frame_only_in_the_first_packet_of_partition_0() {
    for (first, is_keyframe) in [(0x10, true), (0x00, false), (0x11, false), (0x01, false)] {
        assert_eq!(
            Vp8Descriptor::parse(&payload(&[first], &KEY_DATA)).unwrap().is_keyframe,
            is_keyframe
        );
    }
    let inter = Vp8Descriptor::parse(&payload(&[0x10], &[0x11, 0, 0])).unwrap();
    assert!(inter.is_frame_start && !inter.is_keyframe && inter.resolution.is_none());
}

#[test]
fn edge_13_tiny_packets() {
    assert_eq!(Vp8Descriptor::parse(&[]), None);
    assert_eq!(Vp8Descriptor::parse(&[0x10]), None, "no data");
    let one = Vp8Descriptor::parse(&[0x10, 0x00]).unwrap();
    assert!(one.is_keyframe && one.resolution.is_none());
    let full = payload(&[0xb0, 0xf0, 0x92, 0x34, 0x56, 0xa5], &[1]);
    for len in 0..full.len() {
        assert_eq!(Vp8Descriptor::parse(&full[..len]), None, "{len} bytes");
    }
}

#[test]
fn edge_13_tl0_without_temporal_layer() {
    // L=1, T=0: TL0PICIDX is there, the layer byte is not.
    let parsed = Vp8Descriptor::parse(&payload(&[0x90, 0x40, 0x07], &[1])).unwrap();
    assert_eq!((parsed.tl0_pic_idx, parsed.temporal, parsed.header_len), (Some(7), None, 3));
    // K without T: the layer half of the byte means nothing.
    let parsed = Vp8Descriptor::parse(&payload(&[0x90, 0x10, 0xe3], &[1])).unwrap();
    assert_eq!((parsed.temporal, parsed.is_layer_sync, parsed.key_idx), (None, false, Some(3)));
}

proptest! {
    #[test]
    fn write_then_parse(
        is_non_reference: bool, is_partition_start: bool, partition in 0u8..8,
        temporal in prop::option::of((0u8..4, any::<bool>())), key_idx in prop::option::of(0u8..32),
        picture_id in prop::option::of(0u16..0x8000), tl0_pic_idx: Option<u8>,
    ) {
        let descriptor = Vp8Descriptor {
            is_non_reference, is_partition_start, partition, key_idx,
            temporal: temporal.map(|(tid, _)| tid),
            is_layer_sync: temporal.is_some_and(|(_, is_sync)| is_sync),
            ..Vp8Descriptor::default()
        };
        let mut out = [0u8; DESCRIPTOR_SIZE_MAX];
        let len = descriptor.write(&mut out, picture_id, tl0_pic_idx).unwrap();
        let parsed = Vp8Descriptor::parse(&payload(&out[..len], &[1, 2, 3])).unwrap();
        let expected = Vp8Descriptor {
            header_len: len as u8,
            picture_id, tl0_pic_idx,
            is_long_picture_id: picture_id.is_some(),
            is_frame_start: is_partition_start && partition == 0,
            ..descriptor
        };
        prop_assert_eq!(parsed, expected);
        for room in 0..len {
            prop_assert_eq!(descriptor.write(&mut vec![0; room], picture_id, tl0_pic_idx), None);
        }
    }
}
