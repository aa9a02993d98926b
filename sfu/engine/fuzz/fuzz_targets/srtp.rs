#![no_main]

use aislecast_engine::api::SrtpProfile;
use aislecast_engine::wire::srtp::{
    RTCP_OVERHEAD_MAX, SrtpError, SrtpReceiver, SrtpSender, key_salt_len,
};
use libfuzzer_sys::fuzz_target;

// The input is a script: one byte of action, one of length, then that many bytes.
fuzz_target!(|data: &[u8]| {
    let profile = match data.first() {
        Some(byte) if byte & 1 == 0 => SrtpProfile::AeadAes128Gcm,
        _ => SrtpProfile::AesCm128HmacSha1_80,
    };
    let key_salt = vec![0x5a; key_salt_len(profile)];
    let mut sender = SrtpSender::new(profile, &key_salt).expect("key of the right size");
    let mut receiver = SrtpReceiver::new(profile, &key_salt).expect("key of the right size");
    let mut last = Vec::new();
    let mut script = data.get(1..).unwrap_or_default();
    while let &[action, len, ref rest @ ..] = script {
        let (packet, rest) = rest.split_at(usize::from(len).min(rest.len()));
        script = rest;
        let mut buffer = [packet, &[0; RTCP_OVERHEAD_MAX]].concat();
        match action % 5 {
            // A real packet: if it could be sent it arrives, unless it is older than the window.
            0 => {
                if let Ok(len) = sender.protect_rtp(&mut buffer, packet.len()) {
                    buffer.truncate(len);
                    last = buffer.clone();
                    if let Ok(unprotected) = receiver.unprotect_rtp(&mut buffer) {
                        assert_eq!(&buffer[..unprotected.len], packet);
                    }
                }
            }
            // The same again is never accepted twice.
            1 if !last.is_empty() => {
                let _ = receiver.unprotect_rtp(&mut last.clone());
                assert!(receiver.unprotect_rtp(&mut last.clone()).is_err());
            }
            2 if !last.is_empty() => {
                let at = usize::from(len) % last.len();
                let mut damaged = last.clone();
                damaged[at] ^= 0x80;
                assert!(receiver.unprotect_rtp(&mut damaged).is_err());
            }
            3 => {
                if let Ok(len) = sender.protect_rtcp(&mut buffer, packet.len()) {
                    let sealed = buffer[..len].to_vec();
                    match receiver.unprotect_rtcp(&mut buffer[..len]) {
                        Ok(len) => assert_eq!(&buffer[..len], packet),
                        Err(error) => {
                            assert!(matches!(error, SrtpError::Malformed | SrtpError::TooManySsrcs))
                        }
                    }
                    assert!(receiver.unprotect_rtcp(&mut sealed.clone()).is_err());
                }
            }
            _ => {
                assert!(receiver.unprotect_rtp(&mut packet.to_vec()).is_err());
                assert!(receiver.unprotect_rtcp(&mut packet.to_vec()).is_err());
            }
        }
    }
});
