use proptest::prelude::*;

use super::*;

#[test]
fn primary_alone() {
    let red = Red::parse(&[111, 1, 2, 3]).unwrap();
    assert_eq!(red.primary(), RedBlock { pt: 111, ts_offset: 0, data: &[1, 2, 3] });
    assert_eq!((red.primary_start(), red.redundant().count()), (1, 0));
}

#[test]
fn two_generations_as_chrome_sends_them() {
    let payload = [0x80 | 111, 0x1e, 0x00, 2, 0x80 | 111, 0x0f, 0x00, 1, 111, 9, 9, 8, 7, 7, 7];
    let red = Red::parse(&payload).unwrap();
    let blocks: Vec<_> = red.redundant().collect();
    assert_eq!(
        blocks,
        [
            RedBlock { pt: 111, ts_offset: 1_920, data: &[9, 9] },
            RedBlock { pt: 111, ts_offset: 960, data: &[8] },
        ]
    );
    assert_eq!(red.primary().data, &[7, 7, 7]);
    assert_eq!(&payload[red.primary_start()..], &[7, 7, 7]);
}

#[test]
fn lengths_that_overrun_are_refused() {
    for bad in [&[][..], &[0x80], &[0xef, 0, 0, 1], &[0xef, 0, 0, 2, 111, 1], &[0xef, 0, 3, 111]] {
        assert_eq!(Red::parse(bad), None, "{bad:02x?}");
    }
    assert_eq!(Red::parse(&[0xef; 400]), None, "headers without end");
    // An empty primary is silence, not an error.
    assert!(Red::parse(&[0xef, 0, 0, 1, 111, 1]).unwrap().primary().data.is_empty());
}

#[test]
fn blocks_above_1023_bytes_are_refused() {
    let big = [0u8; 1_024];
    let mut out = [0u8; 3_000];
    let block = |len| RedBlock { pt: 111, ts_offset: 960, data: &big[..len] };
    assert!(write_red(&mut out, &[block(1_023)], 111, &big).is_some());
    assert_eq!(write_red(&mut out, &[block(1_024)], 111, &big), None);
    let late = RedBlock { ts_offset: 0x4000, ..block(1) };
    assert_eq!(write_red(&mut out, &[late], 111, &big), None);
    assert_eq!(write_red(&mut out, &[block(0); BLOCKS_MAX], 111, &big), None);
}

proptest! {
    #[test]
    fn round_trip(
        redundant in prop::collection::vec((0u8..128, 0u16..0x4000, prop::collection::vec(any::<u8>(), 0..200)), 0..BLOCKS_MAX),
        primary_pt in 0u8..128,
        primary in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let blocks: Vec<_> =
            redundant.iter().map(|(pt, ts_offset, data)| RedBlock { pt: *pt, ts_offset: *ts_offset, data }).collect();
        let mut out = vec![0u8; 5_000];
        let len = write_red(&mut out, &blocks, primary_pt, &primary).unwrap();
        let red = Red::parse(&out[..len]).unwrap();
        prop_assert_eq!(red.redundant().collect::<Vec<_>>(), blocks.clone());
        prop_assert_eq!(red.primary(), RedBlock { pt: primary_pt, ts_offset: 0, data: &primary });
        prop_assert_eq!(write_red(&mut out[..len - 1], &blocks, primary_pt, &primary), None);
    }
}
