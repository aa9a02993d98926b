//! The two protection profiles: key derivation, sealing and opening.

use aes::Aes128;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors};
use hmac::{Hmac, Mac};
use ring::aead;
use sha1::Sha1;

use super::{RTCP_HEADER_SIZE, RTCP_INDEX_MAX, RTCP_INDEX_SIZE, key_salt_len};
use crate::api::SrtpProfile;
use crate::wire::{is_equal_constant_time, read_u32};

const GCM_TAG_SIZE: usize = 16;
const SHA1_TAG_SIZE: usize = 10;
/// Largest packet for which the search for a roll-over keeps a copy of the ciphertext.
const ROC_SEARCH_PACKET_MAX: usize = 2048;

/// Session keys of SRTP or of SRTCP.
pub(super) enum Cipher {
    Gcm { key: Box<aead::LessSafeKey>, salt: [u8; 12] },
    CmSha1 { key: Box<Aes128>, auth: Box<Hmac<Sha1>>, salt: [u8; 14] },
}

impl std::fmt::Debug for Cipher {
    // Keys are kept out of every log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Cipher::Gcm { .. } => "AES-128-GCM",
            Cipher::CmSha1 { .. } => "AES-CM-128 HMAC-SHA1-80",
        })
    }
}

impl Cipher {
    #[inline]
    pub(super) fn tag_size(&self) -> usize {
        match self {
            Cipher::Gcm { .. } => GCM_TAG_SIZE,
            Cipher::CmSha1 { .. } => SHA1_TAG_SIZE,
        }
    }

    /// `packet` ends with room for the tag.
    #[inline]
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<()> {
        let (plain, tag) =
            packet.split_at_mut_checked(packet.len().checked_sub(self.tag_size())?)?;
        let (header, body) = plain.split_at_mut_checked(header_len)?;
        match self {
            Cipher::Gcm { key, salt } => {
                let nonce = aead::Nonce::assume_unique_for_key(gcm_rtp_iv(salt, ssrc, index));
                let sealed =
                    key.seal_in_place_separate_tag(nonce, aead::Aad::from(&*header), body).ok()?;
                tag.copy_from_slice(sealed.as_ref());
            }
            Cipher::CmSha1 { key, auth, salt } => {
                apply_counter_mode(key, &cm_iv(salt, ssrc, index), body);
                let roc = ((index >> 16) as u32).to_be_bytes();
                tag.copy_from_slice(&sign(auth, &[plain, &roc]));
            }
        }
        Some(())
    }

    /// Opens with `index`, or failing that with `alternative`; (plain length, index that fitted).
    pub(super) fn open_rtp_any(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
        alternative: Option<u64>,
    ) -> Option<(usize, u64)> {
        let Some(alternative) = alternative.filter(|_| packet.len() <= ROC_SEARCH_PACKET_MAX)
        else {
            return Some((self.open_rtp(packet, header_len, ssrc, index)?, index));
        };
        // A failed GCM opening destroys the ciphertext.
        let mut copy = [0u8; ROC_SEARCH_PACKET_MAX];
        let copy = &mut copy[..packet.len()];
        copy.copy_from_slice(packet);
        if let Some(len) = self.open_rtp(packet, header_len, ssrc, index) {
            return Some((len, index));
        }
        packet.copy_from_slice(copy);
        Some((self.open_rtp(packet, header_len, ssrc, alternative)?, alternative))
    }

    #[inline]
    fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let len = packet.len().checked_sub(self.tag_size())?;
        match self {
            Cipher::Gcm { key, salt } => {
                let (header, body) = packet.split_at_mut_checked(header_len)?;
                let nonce = aead::Nonce::assume_unique_for_key(gcm_rtp_iv(salt, ssrc, index));
                key.open_in_place(nonce, aead::Aad::from(&*header), body).ok()?;
            }
            Cipher::CmSha1 { key, auth, salt } => {
                let (plain, tag) = packet.split_at_mut_checked(len)?;
                let roc = ((index >> 16) as u32).to_be_bytes();
                let expected = sign(auth, &[plain, &roc]);
                if !is_equal_constant_time(&expected, tag) {
                    return None;
                }
                apply_counter_mode(key, &cm_iv(salt, ssrc, index), plain.get_mut(header_len..)?);
            }
        }
        Some(len)
    }

    /// The encryption flag and index: last for GCM (RFC 7714 §17), before the tag otherwise.
    pub(super) fn rtcp_index_word(&self, packet: &[u8]) -> Option<u32> {
        let at = match self {
            Cipher::Gcm { .. } => packet.len().checked_sub(RTCP_INDEX_SIZE)?,
            Cipher::CmSha1 { .. } => packet.len().checked_sub(RTCP_INDEX_SIZE + SHA1_TAG_SIZE)?,
        };
        read_u32(packet, at)
    }

    /// `packet` ends with room for tag and index.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Option<()> {
        let len = packet.len().checked_sub(self.tag_size() + RTCP_INDEX_SIZE)?;
        let (plain, trailer) = packet.split_at_mut_checked(len)?;
        match self {
            Cipher::Gcm { key, salt } => {
                let (header, body) = plain.split_at_mut_checked(RTCP_HEADER_SIZE)?;
                let nonce = aead::Nonce::assume_unique_for_key(gcm_rtcp_iv(salt, ssrc, word));
                let aad = aead::Aad::from(gcm_rtcp_aad(header, word)?);
                let sealed = key.seal_in_place_separate_tag(nonce, aad, body).ok()?;
                trailer[..GCM_TAG_SIZE].copy_from_slice(sealed.as_ref());
                trailer[GCM_TAG_SIZE..].copy_from_slice(&word.to_be_bytes());
            }
            Cipher::CmSha1 { key, auth, salt } => {
                let index = u64::from(word & RTCP_INDEX_MAX);
                apply_counter_mode(
                    key,
                    &cm_iv(salt, ssrc, index),
                    plain.get_mut(RTCP_HEADER_SIZE..)?,
                );
                trailer[..RTCP_INDEX_SIZE].copy_from_slice(&word.to_be_bytes());
                let tag = sign(auth, &[plain, &trailer[..RTCP_INDEX_SIZE]]);
                trailer[RTCP_INDEX_SIZE..].copy_from_slice(&tag);
            }
        }
        Some(())
    }

    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Option<usize> {
        let len = packet.len().checked_sub(self.tag_size() + RTCP_INDEX_SIZE)?;
        match self {
            Cipher::Gcm { key, salt } => {
                let sealed = packet.get_mut(..len + GCM_TAG_SIZE)?;
                let (header, body) = sealed.split_at_mut_checked(RTCP_HEADER_SIZE)?;
                let nonce = aead::Nonce::assume_unique_for_key(gcm_rtcp_iv(salt, ssrc, word));
                let aad = aead::Aad::from(gcm_rtcp_aad(header, word)?);
                key.open_in_place(nonce, aad, body).ok()?;
            }
            Cipher::CmSha1 { key, auth, salt } => {
                let (signed, tag) = packet.split_at_mut_checked(len + RTCP_INDEX_SIZE)?;
                if !is_equal_constant_time(&sign(auth, &[signed]), tag) {
                    return None;
                }
                let index = u64::from(word & RTCP_INDEX_MAX);
                apply_counter_mode(
                    key,
                    &cm_iv(salt, ssrc, index),
                    signed.get_mut(RTCP_HEADER_SIZE..len)?,
                );
            }
        }
        Some(len)
    }
}

/// RFC 7714 §8.1.
#[inline]
fn gcm_rtp_iv(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut iv = [0u8; 12];
    iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
    iv[6..12].copy_from_slice(&index.to_be_bytes()[2..]);
    iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    iv
}

/// RFC 7714 §9.1.
#[inline]
fn gcm_rtcp_iv(salt: &[u8; 12], ssrc: u32, word: u32) -> [u8; 12] {
    gcm_rtp_iv(salt, ssrc, u64::from(word & RTCP_INDEX_MAX))
}

/// RFC 7714 §9.2: the first eight bytes of the compound, then the index word.
fn gcm_rtcp_aad(header: &[u8], word: u32) -> Option<[u8; 12]> {
    let mut aad = [0u8; 12];
    aad[..RTCP_HEADER_SIZE].copy_from_slice(header.get(..RTCP_HEADER_SIZE)?);
    aad[RTCP_HEADER_SIZE..].copy_from_slice(&word.to_be_bytes());
    Some(aad)
}

/// RFC 3711 §4.1.1: salt · 2^16 XOR ssrc · 2^64 XOR index · 2^16.
#[inline]
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0u8; 16];
    iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
    iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    iv
}

#[inline]
fn apply_counter_mode(key: &Aes128, iv: &[u8; 16], data: &mut [u8]) {
    let core = CtrCore::<&Aes128, flavors::Ctr128BE>::inner_iv_init(key, iv.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(data);
}

/// The first 80 bits of the HMAC. Not by ring: its SHA-1 makes no use of the processor's own and
/// takes almost four times as long, which would be most of what a packet of this profile costs.
#[inline]
fn sign(key: &Hmac<Sha1>, parts: &[&[u8]]) -> [u8; SHA1_TAG_SIZE] {
    let mut context = key.clone();
    parts.iter().for_each(|part| context.update(part));
    let mut tag = [0u8; SHA1_TAG_SIZE];
    tag.copy_from_slice(&context.finalize().into_bytes()[..SHA1_TAG_SIZE]);
    tag
}

/// RFC 3711 §4.3.1 with a key derivation rate of zero.
fn derive(master: &Aes128, salt: &[u8; 14], label: u8, out: &mut [u8]) {
    let mut iv = [0u8; 16];
    iv[..14].copy_from_slice(salt);
    iv[7] ^= label;
    out.fill(0);
    apply_counter_mode(master, &iv, out);
}

pub(super) fn derive_ciphers(profile: SrtpProfile, key_salt: &[u8]) -> Option<(Cipher, Cipher)> {
    if key_salt.len() != key_salt_len(profile) {
        return None;
    }
    let (key, salt) = key_salt.split_at_checked(16)?;
    let master = Aes128::new_from_slice(key).ok()?;
    let mut master_salt = [0u8; 14];
    // RFC 7714 §11: the 96-bit salt is extended with zeros on the right.
    master_salt[..salt.len()].copy_from_slice(salt);
    Some((
        derive_cipher(profile, &master, &master_salt, 0)?,
        derive_cipher(profile, &master, &master_salt, 3)?,
    ))
}

/// `first_label` is 0 for SRTP and 3 for SRTCP.
fn derive_cipher(
    profile: SrtpProfile,
    master: &Aes128,
    master_salt: &[u8; 14],
    first_label: u8,
) -> Option<Cipher> {
    let mut key = [0u8; 16];
    derive(master, master_salt, first_label, &mut key);
    Some(match profile {
        SrtpProfile::AeadAes128Gcm => {
            let mut salt = [0u8; 12];
            derive(master, master_salt, first_label + 2, &mut salt);
            let key = aead::UnboundKey::new(&aead::AES_128_GCM, &key).ok()?;
            Cipher::Gcm { key: Box::new(aead::LessSafeKey::new(key)), salt }
        }
        SrtpProfile::AesCm128HmacSha1_80 => {
            let (mut auth, mut salt) = ([0u8; 20], [0u8; 14]);
            derive(master, master_salt, first_label + 1, &mut auth);
            derive(master, master_salt, first_label + 2, &mut salt);
            Cipher::CmSha1 {
                key: Box::new(Aes128::new_from_slice(&key).ok()?),
                auth: Box::new(Hmac::new_from_slice(&auth).ok()?),
                salt,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn rfc_3711_b2_key_stream() {
        let key = Aes128::new_from_slice(&number("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
        let salt: [u8; 14] = number("f0f1f2f3f4f5f6f7f8f9fafbfcfd").try_into().unwrap();
        let mut stream = [0u8; 48];
        apply_counter_mode(&key, &cm_iv(&salt, 0, 0), &mut stream);
        let expected = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab 41e95b3bb0a2e8dd477901e4fca894c0";
        assert_eq!(stream.to_vec(), number(expected));
    }

    #[test]
    fn rfc_3711_b3_key_derivation() {
        let master = Aes128::new_from_slice(&number("e1f97a0d3e018be0d64fa32c06de4139")).unwrap();
        let salt: [u8; 14] = number("0ec675ad498afeebb6960b3aabe6").try_into().unwrap();
        for (label, expected) in [
            (0, "c61e7a93744f39ee10734afe3ff7a087"),
            (2, "30cbbc08863d8c85d49db34a9ae1"),
            (1, "cebe321f6ff7716b6fd4ab49af256a156d38baa4"),
        ] {
            let expected = number(expected);
            let mut key = vec![0u8; expected.len()];
            derive(&master, &salt, label, &mut key);
            assert_eq!(key, expected, "label {label}");
        }
    }

    fn session_cipher() -> Cipher {
        let key =
            aead::UnboundKey::new(&aead::AES_128_GCM, &number("000102030405060708090a0b0c0d0e0f"))
                .unwrap();
        let salt = number("5175696420 70726f2071756f").try_into().unwrap();
        Cipher::Gcm { key: Box::new(aead::LessSafeKey::new(key)), salt }
    }

    #[test]
    fn rfc_7714_16_1_srtp() {
        let header = "8040f17b 8041f8d3 5501a0b2";
        let mut packet = number(header);
        packet.extend_from_slice(b"Gallia est omnis divisa in partes tres");
        let plain = packet.clone();
        packet.resize(plain.len() + GCM_TAG_SIZE, 0);
        let cipher = session_cipher();
        cipher.seal_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b).unwrap();
        let expected = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f \
                        42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
        assert_eq!(packet, number(expected));
        let len = cipher.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b).unwrap();
        assert_eq!(packet[..len], plain);
    }

    #[test]
    fn rfc_7714_17_1_srtcp() {
        let plain = number(
            "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
             deadbeef deadbeef deadbeef deadbeef deadbeef",
        );
        let mut packet = plain.clone();
        packet.resize(plain.len() + GCM_TAG_SIZE + RTCP_INDEX_SIZE, 0);
        let cipher = session_cipher();
        cipher.seal_rtcp(&mut packet, 0x4d61_7273, 0x8000_05d4).unwrap();
        let expected = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 \
                        730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
        assert_eq!(packet, number(expected));
        let len = cipher.open_rtcp(&mut packet, 0x4d61_7273, 0x8000_05d4).unwrap();
        assert_eq!(packet[..len], plain);
    }
}
