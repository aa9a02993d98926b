//! STUN for ICE (RFC 8489, RFC 8445 §7): binding requests, indications and their answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ring::hmac;

#[cfg(test)]
mod tests;
mod writer;

pub use self::writer::{
    BindingRequest, write_binding_error, write_binding_request, write_binding_success,
};
use super::{is_equal_constant_time, read_u16, read_u32, read_u64};

const MAGIC_COOKIE: u32 = 0x2112_a442;
const HEADER_SIZE: usize = 20;
const INTEGRITY_SIZE: usize = 20;
const BINDING: u16 = 0x001;
const FINGERPRINT_XOR: u32 = 0x5354_554e;

const ATTR_MAPPED_ADDRESS: u16 = 0x0001;
const ATTR_USERNAME: u16 = 0x0006;
const ATTR_MESSAGE_INTEGRITY: u16 = 0x0008;
const ATTR_ERROR_CODE: u16 = 0x0009;
const ATTR_UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const ATTR_REALM: u16 = 0x0014;
const ATTR_NONCE: u16 = 0x0015;
const ATTR_XOR_MAPPED_ADDRESS: u16 = 0x0020;
const ATTR_PRIORITY: u16 = 0x0024;
const ATTR_USE_CANDIDATE: u16 = 0x0025;
const ATTR_FINGERPRINT: u16 = 0x8028;
const ATTR_ICE_CONTROLLED: u16 = 0x8029;
const ATTR_ICE_CONTROLLING: u16 = 0x802a;
/// libwebrtc, api/transport/stun.h: META_DTLS_IN_STUN.
const ATTR_DTLS: u16 = 0xc070;
/// libwebrtc, api/transport/stun.h: META_DTLS_IN_STUN_ACK.
const ATTR_DTLS_RECEIPTS: u16 = 0xc071;

/// Largest answer that the builders here write.
pub const ANSWER_SIZE_MAX: usize = 128;
/// RFC 8489 §14.3 bounds USERNAME to 508 bytes.
const USERNAME_SIZE_MAX: usize = 508;

/// Identifies a transaction.
pub type TransactionId = [u8; 12];

/// Class of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunClass {
    /// Wants an answer.
    Request,
    /// Wants none (keep-alive).
    Indication,
    /// Positive answer.
    Success,
    /// Negative answer.
    Error,
}

/// Role that a sender claims, with its tie-breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceRole {
    /// ICE-CONTROLLING.
    Controlling(u64),
    /// ICE-CONTROLLED.
    Controlled(u64),
}

/// Comprehension-required attributes that were not understood, the first few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnknownAttributes {
    kinds: [u16; 4],
    len: u8,
}

impl UnknownAttributes {
    /// Their types. Not empty → answer 420.
    pub fn as_slice(&self) -> &[u16] {
        &self.kinds[..usize::from(self.len)]
    }

    fn push(&mut self, kind: u16) {
        if let Some(room) = self.kinds.get_mut(usize::from(self.len)) {
            *room = kind;
            self.len += 1;
        }
    }
}

/// Short-term credential (an ICE password), ready to sign and verify.
#[derive(Clone, Debug)]
pub struct StunKey(hmac::Key);

impl StunKey {
    /// From the password.
    pub fn new(password: &[u8]) -> Self {
        StunKey(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password))
    }
}

/// What a check or its answer carries of the DTLS handshake (draft SPED, as libwebrtc has it in
/// p2p/dtls/dtls_stun_piggyback_controller.cc): who does not know of it finds neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried<'a> {
    /// One whole DTLS datagram, or empty: none waits.
    pub dtls: Option<&'a [u8]>,
    /// CRC-32 of each DTLS datagram that came lately, four bytes big-endian each.
    pub receipts: Option<&'a [u8]>,
}

impl Carried<'_> {
    /// Whether the sender does that at all, or still.
    pub fn is_used(&self) -> bool {
        self.dtls.is_some() || self.receipts.is_some()
    }
}

/// A parsed message. Borrows the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StunMessage<'a> {
    raw: &'a [u8],
    integrity_at: Option<usize>,
    /// Request, indication or answer.
    pub class: StunClass,
    /// Method; 1 = binding.
    pub method: u16,
    /// Transaction.
    pub transaction_id: TransactionId,
    /// USERNAME: for a check that we receive, `<our ufrag>:<peer's ufrag>`.
    pub username: Option<&'a [u8]>,
    /// PRIORITY.
    pub priority: Option<u32>,
    /// USE-CANDIDATE is there.
    pub is_use_candidate: bool,
    /// ICE-CONTROLLING or ICE-CONTROLLED.
    pub role: Option<IceRole>,
    /// Code of ERROR-CODE, 300..=699.
    pub error_code: Option<u16>,
    /// XOR-MAPPED-ADDRESS.
    pub mapped: Option<SocketAddr>,
    /// A FINGERPRINT is there and right; a wrong one fails the parse.
    pub has_fingerprint: bool,
    /// What comes along of the DTLS handshake.
    pub carried: Carried<'a>,
    /// What the sender insists on and we do not know.
    pub unknown: UnknownAttributes,
}

impl<'a> StunMessage<'a> {
    /// Parses a datagram that is exactly one STUN message with the magic cookie.
    pub fn parse(raw: &'a [u8]) -> Option<StunMessage<'a>> {
        let kind = read_u16(raw, 0)?;
        let len = usize::from(read_u16(raw, 2)?);
        if kind & 0xc000 != 0
            || len % 4 != 0
            || HEADER_SIZE + len != raw.len()
            || read_u32(raw, 4)? != MAGIC_COOKIE
        {
            return None;
        }
        let mut message = StunMessage {
            raw,
            integrity_at: None,
            class: match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
                (false, false) => StunClass::Request,
                (false, true) => StunClass::Indication,
                (true, false) => StunClass::Success,
                (true, true) => StunClass::Error,
            },
            // RFC 8489 §5: the class bits sit between the bits of the method.
            method: kind & 0x000f | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2,
            transaction_id: raw.get(8..20)?.try_into().ok()?,
            username: None,
            priority: None,
            is_use_candidate: false,
            role: None,
            error_code: None,
            mapped: None,
            has_fingerprint: false,
            carried: Carried::default(),
            unknown: UnknownAttributes::default(),
        };
        let mut at = HEADER_SIZE;
        while at < raw.len() {
            let kind = read_u16(raw, at)?;
            let len = usize::from(read_u16(raw, at + 2)?);
            let value = raw.get(at + 4..at + 4 + len)?;
            message.read_attribute(at, kind, value)?;
            at += 4 + len.next_multiple_of(4);
        }
        Some(message)
    }

    fn read_attribute(&mut self, at: usize, kind: u16, value: &'a [u8]) -> Option<()> {
        if self.has_fingerprint {
            return None; // RFC 8489 §14.7: it comes last
        }
        if kind == ATTR_FINGERPRINT {
            let expected = crc32(&self.raw[..at]) ^ FINGERPRINT_XOR;
            self.has_fingerprint = true;
            return (value == expected.to_be_bytes()).then_some(());
        }
        if self.integrity_at.is_some() {
            return Some(()); // RFC 8489 §14.5: what follows the integrity is ignored
        }
        match kind {
            ATTR_USERNAME if value.len() <= USERNAME_SIZE_MAX => self.username = Some(value),
            ATTR_USERNAME => return None,
            ATTR_MESSAGE_INTEGRITY => {
                self.integrity_at = Some(at);
                return (value.len() == INTEGRITY_SIZE).then_some(());
            }
            ATTR_PRIORITY => {
                self.priority = Some(exact(value, 4).and_then(|value| read_u32(value, 0))?)
            }
            ATTR_USE_CANDIDATE => self.is_use_candidate = true,
            ATTR_ICE_CONTROLLING => {
                self.role = Some(IceRole::Controlling(read_u64(exact(value, 8)?, 0)?))
            }
            ATTR_ICE_CONTROLLED => {
                self.role = Some(IceRole::Controlled(read_u64(exact(value, 8)?, 0)?))
            }
            ATTR_ERROR_CODE => {
                let &[_, _, class, number, ..] = value else {
                    return None;
                };
                self.error_code = Some(u16::from(class & 0x07) * 100 + u16::from(number.min(99)));
            }
            ATTR_XOR_MAPPED_ADDRESS => {
                self.mapped = Some(parse_xor_address(value, &self.transaction_id)?)
            }
            ATTR_DTLS => self.carried.dtls = self.carried.dtls.or(Some(value)),
            ATTR_DTLS_RECEIPTS => {
                self.carried.receipts = self.carried.receipts.or(Some(value));
            }
            ATTR_MAPPED_ADDRESS | ATTR_UNKNOWN_ATTRIBUTES | ATTR_REALM | ATTR_NONCE => {}
            required if required < 0x8000 => self.unknown.push(required),
            _ => {}
        }
        Some(())
    }

    /// A MESSAGE-INTEGRITY is there.
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is there and made with `key`. Takes the same time wherever it
    /// differs.
    pub fn verify_integrity(&self, key: &StunKey) -> bool {
        let Some(at) = self.integrity_at else {
            return false;
        };
        let expected = sign_integrity(key, &self.raw[..at]);
        let given = &self.raw[at + 4..at + 4 + INTEGRITY_SIZE];
        is_equal_constant_time(expected.as_ref(), given)
    }

    /// The two parts of USERNAME: (receiver's ufrag, sender's ufrag).
    pub fn ufrags(&self) -> Option<(&'a [u8], &'a [u8])> {
        let username = self.username?;
        let colon = username.iter().position(|&byte| byte == b':')?;
        Some((&username[..colon], &username[colon + 1..]))
    }

    /// Method binding.
    pub fn is_binding(&self) -> bool {
        self.method == BINDING
    }
}

fn exact(value: &[u8], len: usize) -> Option<&[u8]> {
    (value.len() == len).then_some(value)
}

/// HMAC over the message up to the attribute, with the header's length counting the attribute
/// itself (RFC 8489 §14.5).
fn sign_integrity(key: &StunKey, before: &[u8]) -> hmac::Tag {
    let len = (before.len() - HEADER_SIZE + 4 + INTEGRITY_SIZE) as u16;
    let mut context = hmac::Context::with_key(&key.0);
    context.update(&before[..2]);
    context.update(&len.to_be_bytes());
    context.update(&before[4..]);
    context.sign()
}

fn parse_xor_address(value: &[u8], transaction_id: &TransactionId) -> Option<SocketAddr> {
    let port = read_u16(value, 2)? ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match (value.get(1)?, value.len()) {
        (1, 8) => IpAddr::V4(Ipv4Addr::from(read_u32(value, 4)? ^ MAGIC_COOKIE)),
        (2, 20) => {
            let bits = u128::from_be_bytes(value[4..20].try_into().ok()?);
            IpAddr::V6(Ipv6Addr::from(bits ^ xor_mask(transaction_id)))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Cookie and transaction id in one number.
fn xor_mask(transaction_id: &TransactionId) -> u128 {
    let mut mask = [0u8; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(transaction_id);
    u128::from_be_bytes(mask)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// CRC-32 of ITU V.42, as FINGERPRINT uses it.
pub fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| crc >> 8 ^ CRC_TABLE[usize::from(crc as u8 ^ byte)])
}
