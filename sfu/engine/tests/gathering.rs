//! What tells the loop that the rest of a frame is about to come.

mod rig;

use aislecast_engine::api::SrtpProfile;
use rig::Rig;

const SINKS: usize = 12;

#[test]
fn a_frame_that_is_not_whole_is_waited_for_by_all_who_get_it() {
    let mut rig = Rig::new(SrtpProfile::AeadAes128Gcm, SINKS);
    rig.send_frame(4, 500);
    assert_eq!(rig.core.mid_frame_sinks(), 0);
    let mut frame = rig.seal_frames(1, 4, 500).remove(0);
    let (beginning, end) = frame.split_at_mut(2);
    rig.take(beginning);
    assert_eq!(rig.core.mid_frame_sinks(), SINKS);
    rig.take(end);
    assert_eq!(rig.core.mid_frame_sinks(), 0);
}

#[test]
fn what_was_sent_is_waited_for_no_more() {
    let mut rig = Rig::new(SrtpProfile::AeadAes128Gcm, SINKS);
    rig.send_frame(4, 500);
    let mut frame = rig.seal_frames(1, 4, 500).remove(0);
    frame.truncate(2);
    rig.deliver(frame);
    assert_eq!(rig.core.mid_frame_sinks(), 0);
}

#[test]
fn sound_is_never_waited_for() {
    let mut rig = Rig::talking(SrtpProfile::AeadAes128Gcm, SINKS, 0);
    for packet in &mut rig.seal_speech(5) {
        rig.take(packet);
        assert_eq!(rig.core.mid_frame_sinks(), 0);
    }
}
