use proptest::prelude::*;

use super::*;

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: TransactionId =
    [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

/// RFC 5769 §2.1.
const SAMPLE_REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
    \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09evtj:h6vY\x20\x20\x20\
    \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
    \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

/// RFC 5769 §2.2.
const SAMPLE_SUCCESS_V4: &[u8] = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0btest vector\x20\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
    \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
    \x80\x28\x00\x04\xc0\x7d\x4c\x96";

/// RFC 5769 §2.3.
const SAMPLE_SUCCESS_V6: &[u8] = b"\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0btest vector\x20\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\
    \xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\
    \x82\x92\xc2\x75\xbf\xe3\xed\x41\x80\x28\x00\x04\xc8\xfb\x0b\x4c";

fn request(role: IceRole, is_use_candidate: bool) -> BindingRequest<'static> {
    BindingRequest {
        transaction_id: TRANSACTION,
        username: "evtj:h6vY",
        priority: 0x6e00_01ff,
        role,
        is_use_candidate,
        carried: Carried::default(),
    }
}

#[test]
fn rfc_5769_request() {
    let message = StunMessage::parse(SAMPLE_REQUEST).unwrap();
    assert_eq!(message.class, StunClass::Request);
    assert!(message.is_binding() && message.has_fingerprint && message.has_integrity());
    assert_eq!(message.transaction_id, TRANSACTION);
    assert_eq!(message.ufrags(), Some((&b"evtj"[..], &b"h6vY"[..])));
    assert_eq!(message.priority, Some(0x6e00_01ff));
    assert_eq!(message.role, Some(IceRole::Controlled(0x932f_f9b1_5126_3b36)));
    assert!(!message.is_use_candidate);
    assert!(message.unknown.as_slice().is_empty());
    assert!(message.verify_integrity(&StunKey::new(PASSWORD)));
    assert!(!message.verify_integrity(&StunKey::new(b"wrong")));
}

#[test]
fn rfc_5769_responses() {
    for (sample, mapped) in [
        (SAMPLE_SUCCESS_V4, "192.0.2.1:32853"),
        (SAMPLE_SUCCESS_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let message = StunMessage::parse(sample).unwrap();
        assert_eq!(message.class, StunClass::Success);
        assert_eq!(message.mapped, Some(mapped.parse().unwrap()));
        assert!(message.verify_integrity(&StunKey::new(PASSWORD)));
    }
}

#[test]
fn any_flipped_bit_of_a_sample_is_refused() {
    let key = StunKey::new(PASSWORD);
    for bit in 0..SAMPLE_REQUEST.len() * 8 {
        let mut bytes = SAMPLE_REQUEST.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let is_accepted = StunMessage::parse(&bytes)
            .is_some_and(|message| message.has_fingerprint && message.verify_integrity(&key));
        assert!(!is_accepted, "bit {bit}");
    }
}

#[test]
fn built_request_reads_back() {
    let key = StunKey::new(PASSWORD);
    let mut out = [0u8; 256];
    let len =
        write_binding_request(&mut out, &request(IceRole::Controlling(7), true), &key).unwrap();
    let message = StunMessage::parse(&out[..len]).unwrap();
    assert!(message.is_use_candidate && message.has_fingerprint && message.verify_integrity(&key));
    assert_eq!(message.role, Some(IceRole::Controlling(7)));
    assert_eq!(message.username, Some(&b"evtj:h6vY"[..]));
}

#[test]
fn success_tells_an_ipv4_address_to_a_mapped_peer() {
    let key = StunKey::new(PASSWORD);
    let mut out = [0u8; ANSWER_SIZE_MAX];
    let len = write_binding_success(
        &mut out,
        &TRANSACTION,
        "[::ffff:192.0.2.1]:32853".parse().unwrap(),
        &Carried::default(),
        &key,
    )
    .unwrap();
    let message = StunMessage::parse(&out[..len]).unwrap();
    assert_eq!(message.mapped, Some("192.0.2.1:32853".parse().unwrap()));
}

#[test]
fn no_answer_is_larger_than_a_request() {
    let key = StunKey::new(PASSWORD);
    let mut out = [0u8; 256];
    let asked =
        write_binding_request(&mut out, &request(IceRole::Controlling(7), true), &key).unwrap();
    let mapped = "[2001:db8::1]:9".parse().unwrap();
    let answers = [
        write_binding_success(&mut out, &TRANSACTION, mapped, &Carried::default(), &key).unwrap(),
        write_binding_error(&mut out, &TRANSACTION, 400, &[], None).unwrap(),
        write_binding_error(&mut out, &TRANSACTION, 401, &[], None).unwrap(),
        write_binding_error(&mut out, &TRANSACTION, 420, &[1, 2, 3, 4, 5], Some(&key)).unwrap(),
        write_binding_error(&mut out, &TRANSACTION, 487, &[], Some(&key)).unwrap(),
    ];
    assert!(
        answers.iter().all(|&len| len <= asked && len <= ANSWER_SIZE_MAX),
        "{answers:?} against {asked}"
    );
}

#[test]
fn error_codes_read_back() {
    let key = StunKey::new(PASSWORD);
    for code in [400, 401, 420, 487] {
        let mut out = [0u8; ANSWER_SIZE_MAX];
        let len = write_binding_error(&mut out, &TRANSACTION, code, &[0x7001], Some(&key)).unwrap();
        let message = StunMessage::parse(&out[..len]).unwrap();
        assert_eq!((message.class, message.error_code), (StunClass::Error, Some(code)));
        assert!(message.verify_integrity(&key));
    }
}

fn message_with(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bytes.extend_from_slice(&TRANSACTION);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let len = (bytes.len() - 20) as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

#[test]
fn unknown_required_attributes_are_listed_and_optional_ones_ignored() {
    let bytes = message_with(0x7abc, &[1, 2, 3]);
    assert_eq!(StunMessage::parse(&bytes).unwrap().unknown.as_slice(), &[0x7abc]);
    // GOOG-NETWORK-INFO, as libwebrtc sends it.
    let bytes = message_with(0xc057, &[0, 1, 0, 50]);
    assert!(StunMessage::parse(&bytes).unwrap().unknown.as_slice().is_empty());
}

#[test]
fn attributes_after_the_integrity_do_not_count() {
    let mut bytes = message_with(ATTR_MESSAGE_INTEGRITY, &[0u8; 20]);
    bytes.extend_from_slice(&[0x00, 0x25, 0, 0]);
    bytes[3] += 4;
    assert!(!StunMessage::parse(&bytes).unwrap().is_use_candidate);
}

#[test]
fn sizes_that_do_not_add_up_are_refused() {
    for (kind, value) in [
        (ATTR_PRIORITY, &[0u8; 3][..]),
        (ATTR_ICE_CONTROLLING, &[0; 7]),
        (ATTR_ICE_CONTROLLED, &[0; 9]),
        (ATTR_MESSAGE_INTEGRITY, &[0; 19]),
        (ATTR_XOR_MAPPED_ADDRESS, &[0, 2, 0, 0, 0, 0, 0, 0]),
        (ATTR_ERROR_CODE, &[0, 0, 4]),
        (ATTR_USERNAME, &[b'a'; 509]),
    ] {
        assert_eq!(StunMessage::parse(&message_with(kind, value)), None, "attribute {kind:#06x}");
    }
    let whole = message_with(ATTR_USERNAME, b"a:b");
    assert!(StunMessage::parse(&whole).is_some());
    assert_eq!(StunMessage::parse(&whole[..whole.len() - 4]), None);
    let mut overrun = whole.clone();
    overrun[23] = 0xff;
    assert_eq!(StunMessage::parse(&overrun), None);
}

proptest! {
    #[test]
    fn success_round_trip(transaction: TransactionId, ip: std::net::IpAddr, port: u16, room in 0usize..100) {
        let key = StunKey::new(PASSWORD);
        let mapped = SocketAddr::new(ip.to_canonical(), port);
        let mut out = [0u8; ANSWER_SIZE_MAX];
        let len = write_binding_success(&mut out, &transaction, mapped, &Carried::default(), &key).unwrap();
        let message = StunMessage::parse(&out[..len]).unwrap();
        prop_assert_eq!(message.mapped, Some(mapped));
        prop_assert!(message.verify_integrity(&key) && message.has_fingerprint);
        let mut small = vec![0u8; room];
        prop_assert_eq!(write_binding_success(&mut small, &transaction, mapped, &Carried::default(), &key).is_some(), room >= len);
    }
}
