#![no_main]

use aislecast_engine::wire::{h264, red, vp8};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(descriptor) = vp8::Vp8Descriptor::parse(data) {
        let mut out = [0u8; 2048];
        let len = descriptor
            .write(&mut out, descriptor.picture_id, descriptor.tl0_pic_idx)
            .expect("room for any descriptor");
        out[len] = data[usize::from(descriptor.header_len)];
        let again = vp8::Vp8Descriptor::parse(&out[..=len]).expect("own descriptor");
        assert_eq!(
            (again.picture_id, again.tl0_pic_idx),
            (descriptor.picture_id, descriptor.tl0_pic_idx)
        );
        assert_eq!((again.temporal, again.key_idx), (descriptor.temporal, descriptor.key_idx));
        assert_eq!(again.is_keyframe, descriptor.is_keyframe);
    }
    let _ = h264::parse_info(data);
    let _ = h264::parse_sps(data);
    assert!(h264::nal_pieces(data).count() <= data.len());
    if let Some(parsed) = red::Red::parse(data) {
        let blocks: Vec<_> = parsed.redundant().collect();
        let mut out = vec![0u8; data.len()];
        let primary = parsed.primary();
        assert_eq!(red::write_red(&mut out, &blocks, primary.pt, primary.data), Some(data.len()));
        assert_eq!(out, data);
    }
});
