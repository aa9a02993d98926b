#![no_main]

use aislecast_engine::api::ExtMap;
use aislecast_engine::wire::{demux, rtp};
use libfuzzer_sys::fuzz_target;

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

fuzz_target!(|data: &[u8]| {
    demux::classify(data);
    let _ = rtp::RtpView::parse_protected(data, &MAP);
    let Some(view) = rtp::RtpView::parse(data, &MAP) else {
        return;
    };
    assert_eq!(view.payload_range().end + usize::from(view.padding_len), data.len());
    let _ = view.to_rtx_original(data, 97, 1);

    // What was read, written again, reads the same.
    let found = view.extensions;
    let of = |span: Option<rtp::Span>| span.map(|span| span.of(data));
    let values = rtp::OutExtensions {
        mid: of(found.mid),
        rid: of(found.rid),
        repaired_rid: of(found.repaired_rid),
        audio_level: found.audio_level,
        twcc: found.twcc,
        abs_send_time: found.abs_send_time,
        abs_capture_time: of(found.abs_capture_time),
        video_orientation: found.video_orientation,
        dependency: of(found.dependency),
    };
    let header = rtp::RtpHeader {
        is_marker: view.is_marker,
        pt: view.pt,
        seq: view.seq,
        ts_rtp: view.ts_rtp,
        ssrc: view.ssrc,
    };
    let mut out = [0u8; 2048];
    let len = rtp::RtpWriter::new(MAP)
        .write_header(&mut out, &header, &values)
        .expect("room for any header");
    let again = rtp::RtpView::parse(&out[..len], &MAP).expect("own header");
    assert_eq!((again.seq, again.ts_rtp, again.ssrc), (view.seq, view.ts_rtp, view.ssrc));
    assert_eq!(again.extensions.dependency.map(|span| span.of(&out)), values.dependency);
    assert_eq!(
        (again.extensions.twcc, again.extensions.audio_level),
        (found.twcc, found.audio_level)
    );
});
