#![no_main]

use aislecast_engine::wire::stun::{
    ANSWER_SIZE_MAX, Carried, StunKey, StunMessage, write_binding_error, write_binding_success,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(message) = StunMessage::parse(data) else {
        return;
    };
    let key = StunKey::new(b"VOkJxbRl1RmTxUk/WvJxBt");
    message.verify_integrity(&key);
    message.ufrags();
    let mut out = [0u8; ANSWER_SIZE_MAX];
    let unknown = message.unknown.as_slice();
    let len = write_binding_error(&mut out, &message.transaction_id, 420, unknown, Some(&key))
        .expect("room for any answer");
    assert!(StunMessage::parse(&out[..len]).is_some_and(|answer| answer.verify_integrity(&key)));
    if let Some(mapped) = message.mapped {
        let len = write_binding_success(&mut out, &message.transaction_id, mapped, &Carried::default(), &key)
            .expect("room for any answer");
        let answer = StunMessage::parse(&out[..len]).expect("own answer");
        assert_eq!(answer.mapped.map(|addr| addr.ip()), Some(mapped.ip().to_canonical()));
    }
});
