//! Building of STUN messages.

use std::net::{IpAddr, SocketAddr};

use super::{
    ATTR_DTLS, ATTR_DTLS_RECEIPTS, ATTR_ERROR_CODE, ATTR_FINGERPRINT, ATTR_ICE_CONTROLLED,
    ATTR_ICE_CONTROLLING, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_UNKNOWN_ATTRIBUTES,
    ATTR_USE_CANDIDATE, ATTR_USERNAME, ATTR_XOR_MAPPED_ADDRESS, Carried, FINGERPRINT_XOR,
    HEADER_SIZE, IceRole, MAGIC_COOKIE, StunKey, TransactionId, crc32, sign_integrity, xor_mask,
};
use crate::wire::Cursor;

/// A binding request to be written, as an ICE agent sends it (load client, tests).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingRequest<'a> {
    /// Random.
    pub transaction_id: TransactionId,
    /// `<receiver's ufrag>:<sender's ufrag>`.
    pub username: &'a str,
    /// PRIORITY.
    pub priority: u32,
    /// Role and tie-breaker.
    pub role: IceRole,
    /// Nominates the pair.
    pub is_use_candidate: bool,
    /// Of the DTLS handshake.
    pub carried: Carried<'a>,
}

/// Writes a binding request signed with the receiver's password; `None` = no room.
pub fn write_binding_request(
    out: &mut [u8],
    request: &BindingRequest<'_>,
    key: &StunKey,
) -> Option<usize> {
    let mut cursor = start(out, 0x0001, &request.transaction_id);
    put_attribute(&mut cursor, ATTR_USERNAME, request.username.as_bytes());
    put_attribute(&mut cursor, ATTR_PRIORITY, &request.priority.to_be_bytes());
    let (kind, tie_breaker) = match request.role {
        IceRole::Controlling(tie_breaker) => (ATTR_ICE_CONTROLLING, tie_breaker),
        IceRole::Controlled(tie_breaker) => (ATTR_ICE_CONTROLLED, tie_breaker),
    };
    put_attribute(&mut cursor, kind, &tie_breaker.to_be_bytes());
    if request.is_use_candidate {
        put_attribute(&mut cursor, ATTR_USE_CANDIDATE, &[]);
    }
    put_carried(&mut cursor, &request.carried);
    finish(cursor, Some(key))
}

/// Writes a success answer that tells the peer its address as seen here; without `carried` at most
/// 76 bytes, less than a browser's request. `None` = no room.
pub fn write_binding_success(
    out: &mut [u8],
    transaction_id: &TransactionId,
    mapped: SocketAddr,
    carried: &Carried<'_>,
    key: &StunKey,
) -> Option<usize> {
    let mut cursor = start(out, 0x0101, transaction_id);
    let port = (mapped.port() ^ (MAGIC_COOKIE >> 16) as u16).to_be_bytes();
    let mut value = [0u8; 20];
    value[2..4].copy_from_slice(&port);
    // An IPv4 peer on a dual-stack socket must hear its IPv4 address.
    match mapped.ip().to_canonical() {
        IpAddr::V4(ip) => {
            value[1] = 1;
            value[4..8].copy_from_slice(&(u32::from(ip) ^ MAGIC_COOKIE).to_be_bytes());
            put_attribute(&mut cursor, ATTR_XOR_MAPPED_ADDRESS, &value[..8]);
        }
        IpAddr::V6(ip) => {
            value[1] = 2;
            value[4..].copy_from_slice(&(u128::from(ip) ^ xor_mask(transaction_id)).to_be_bytes());
            put_attribute(&mut cursor, ATTR_XOR_MAPPED_ADDRESS, &value);
        }
    }
    put_carried(&mut cursor, carried);
    finish(cursor, Some(key))
}

/// Writes an error answer: 400 (malformed), 401 (not authenticated), 420 (with the attributes not
/// understood) or 487 (role conflict). 400 and 401 go out without a key. `None` = no room.
pub fn write_binding_error(
    out: &mut [u8],
    transaction_id: &TransactionId,
    code: u16,
    unknown: &[u16],
    key: Option<&StunKey>,
) -> Option<usize> {
    let mut cursor = start(out, 0x0111, transaction_id);
    // The reason phrase is optional; without it the answer never outgrows the request.
    put_attribute(
        &mut cursor,
        ATTR_ERROR_CODE,
        &[0, 0, (code / 100) as u8 & 0x07, (code % 100) as u8],
    );
    if !unknown.is_empty() {
        let mut value = [0u8; 8];
        let listed = unknown.len().min(4);
        for (room, kind) in value.chunks_exact_mut(2).zip(unknown) {
            room.copy_from_slice(&kind.to_be_bytes());
        }
        put_attribute(&mut cursor, ATTR_UNKNOWN_ATTRIBUTES, &value[..2 * listed]);
    }
    finish(cursor, key)
}

fn start<'a>(out: &'a mut [u8], kind: u16, transaction_id: &TransactionId) -> Cursor<'a> {
    let mut cursor = Cursor::new(out);
    cursor.put_u16(kind);
    cursor.put_u16(0);
    cursor.put_u32(MAGIC_COOKIE);
    cursor.put(transaction_id);
    cursor
}

fn put_attribute(cursor: &mut Cursor<'_>, kind: u16, value: &[u8]) {
    cursor.put_u16(kind);
    cursor.put_u16(value.len() as u16);
    cursor.put(value);
    cursor.put(&[0u8; 3][..value.len().next_multiple_of(4) - value.len()]);
}

fn put_carried(cursor: &mut Cursor<'_>, carried: &Carried<'_>) {
    let attributes = [(ATTR_DTLS, carried.dtls), (ATTR_DTLS_RECEIPTS, carried.receipts)];
    for (kind, value) in attributes {
        if let Some(value) = value {
            put_attribute(cursor, kind, value);
        }
    }
}

/// Adds MESSAGE-INTEGRITY (with a key) and FINGERPRINT.
fn finish(mut cursor: Cursor<'_>, key: Option<&StunKey>) -> Option<usize> {
    if cursor.is_full {
        return None;
    }
    if let Some(key) = key {
        let tag = sign_integrity(key, cursor.written());
        put_attribute(&mut cursor, ATTR_MESSAGE_INTEGRITY, tag.as_ref());
    }
    // RFC 8489 §14.7: the length in the header counts the fingerprint too.
    let len = cursor.len() - HEADER_SIZE + 8;
    cursor.patch_u16(2, len as u16);
    let fingerprint = crc32(cursor.written()) ^ FINGERPRINT_XOR;
    put_attribute(&mut cursor, ATTR_FINGERPRINT, &fingerprint.to_be_bytes());
    cursor.finish()
}
