//! SRTP and SRTCP (RFC 3711, RFC 7714), in place and without allocation per packet.
//!
//! A context is one direction of one DTLS association. Order of work on receipt: estimate the packet
//! index, look at the replay window, authenticate, and only then move any state (RFC 3711 §3.3).

use aes::Aes128;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors};
use ring::{aead, hmac};

use super::{is_equal_constant_time, read_u16, read_u32, rtp};
use crate::api::SrtpProfile;

/// Most bytes that protecting an RTP packet adds.
pub const RTP_OVERHEAD_MAX: usize = 16;
/// Most bytes that protecting an RTCP packet adds.
pub const RTCP_OVERHEAD_MAX: usize = 20;
/// SSRCs of one receiving context; more are refused. A peer's churn is bounded by `forget`.
pub const RECEIVE_SSRCS_MAX: usize = 64;
/// SSRCs of one sending context. They are our own, and never forgotten: a second life of an SSRC
/// under the same key would repeat nonces.
pub const SEND_SSRCS_MAX: usize = 4096;

const GCM_TAG_SIZE: usize = 16;
const SHA1_TAG_SIZE: usize = 10;
const RTCP_HEADER_SIZE: usize = 8;
const RTCP_INDEX_SIZE: usize = 4;
const RTCP_INDEX_MAX: u32 = 0x7fff_ffff;
const RTP_INDEX_MAX: u64 = (1 << 48) - 1;

/// Failures in a row on one SSRC after which the next roll-over count is tried too.
const FAILURES_BEFORE_ROC_SEARCH: u16 = 8;
/// Largest packet for which the search keeps a copy of the ciphertext.
const ROC_SEARCH_PACKET_MAX: usize = 2048;

/// Why a packet was refused. Each is worth its own counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpError {
    /// Too short, or not RTP/RTCP.
    Malformed,
    /// The tag does not match: wrong key, changed bytes, or a roll-over we do not follow.
    Authentication,
    /// This index was already accepted (receiving) or already used (sending).
    Replay,
    /// Older than the replay window.
    TooOld,
    /// The context has its fill of SSRCs.
    TooManySsrcs,
    /// SRTCP without encryption, which no profile here allows.
    NotEncrypted,
    /// The buffer has no room for the tag.
    NoRoom,
    /// The index space of this key is used up (RFC 3711 §9.2).
    KeyExhausted,
}

/// An authenticated and decrypted RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unprotected {
    /// Length of the plain packet at the head of the buffer.
    pub len: usize,
    /// Packet index of RFC 3711: roll-over count and sequence number, 48 bits.
    pub index: u64,
}

/// Length of master key and salt of a profile, as DTLS exports them.
pub const fn key_salt_len(profile: SrtpProfile) -> usize {
    match profile {
        SrtpProfile::AeadAes128Gcm => 28,
        SrtpProfile::AesCm128HmacSha1_80 => 30,
    }
}

/// Unprotects what one peer sends.
#[derive(Debug)]
pub struct SrtpReceiver {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_states: SsrcTable,
    rtcp_states: SsrcTable,
}

impl SrtpReceiver {
    /// From master key followed by master salt; `None` if the length is not the profile's.
    pub fn new(profile: SrtpProfile, key_salt: &[u8]) -> Option<Self> {
        let (rtp, rtcp) = derive_ciphers(profile, key_salt)?;
        let table = SsrcTable::new(RECEIVE_SSRCS_MAX);
        Some(SrtpReceiver {
            rtp,
            rtcp,
            rtp_states: table.clone(),
            rtcp_states: table,
        })
    }

    /// Authenticates and decrypts one SRTP packet in place.
    ///
    /// On an error the buffer's content is undefined.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<Unprotected, SrtpError> {
        let header_len = rtp::header_len(packet).ok_or(SrtpError::Malformed)?;
        if packet.len() < header_len + self.rtp.tag_size() {
            return Err(SrtpError::Malformed);
        }
        let seq = read_u16(packet, 2).ok_or(SrtpError::Malformed)?;
        let ssrc = read_u32(packet, 8).ok_or(SrtpError::Malformed)?;
        let slot = self.rtp_states.find(ssrc);
        if slot.is_none() && self.rtp_states.is_full() {
            return Err(SrtpError::TooManySsrcs);
        }
        let (index, searched) = match slot {
            None => (u64::from(seq), seq < 0x8000),
            Some(slot) => {
                let state = &self.rtp_states.states[slot];
                (
                    state.estimate(seq),
                    state.num_failed >= FAILURES_BEFORE_ROC_SEARCH,
                )
            }
        };
        // A stream whose wrap we missed, at its start or in a long outage, is one roll-over ahead of
        // the estimate. Without this it would stay undecryptable for good.
        let alternative = index.wrapping_add(1 << 16);
        let alternative = (searched && alternative <= RTP_INDEX_MAX).then_some(alternative);
        if let Some(slot) = slot {
            let refused = self.rtp_states.states[slot].window.check(index);
            if alternative.is_none() {
                refused?;
            }
        }
        match self
            .rtp
            .open_rtp_any(packet, header_len, ssrc, index, alternative)
        {
            Some((len, index)) => {
                let slot = match slot {
                    Some(slot) => slot,
                    None => self
                        .rtp_states
                        .insert(ssrc)
                        .ok_or(SrtpError::TooManySsrcs)?,
                };
                let state = &mut self.rtp_states.states[slot];
                state.window.check(index)?;
                state.window.accept(index);
                state.num_failed = 0;
                Ok(Unprotected { len, index })
            }
            None => {
                if let Some(slot) = slot {
                    let state = &mut self.rtp_states.states[slot];
                    state.num_failed = state.num_failed.saturating_add(1);
                }
                Err(SrtpError::Authentication)
            }
        }
    }

    /// Authenticates and decrypts one SRTCP compound in place; returns the plain length.
    ///
    /// On an error the buffer's content is undefined.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let trailer = self.rtcp.tag_size() + RTCP_INDEX_SIZE;
        if packet.len() < RTCP_HEADER_SIZE + trailer || packet[0] >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let ssrc = read_u32(packet, 4).ok_or(SrtpError::Malformed)?;
        let word = self
            .rtcp
            .rtcp_index_word(packet)
            .ok_or(SrtpError::Malformed)?;
        if word & !RTCP_INDEX_MAX == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        let index = u64::from(word & RTCP_INDEX_MAX);
        let slot = self.rtcp_states.find(ssrc);
        match slot {
            Some(slot) => self.rtcp_states.states[slot].window.check(index)?,
            None if self.rtcp_states.is_full() => return Err(SrtpError::TooManySsrcs),
            None => {}
        }
        let len = self
            .rtcp
            .open_rtcp(packet, ssrc, word)
            .ok_or(SrtpError::Authentication)?;
        let slot = match slot {
            Some(slot) => slot,
            None => self
                .rtcp_states
                .insert(ssrc)
                .ok_or(SrtpError::TooManySsrcs)?,
        };
        self.rtcp_states.states[slot].window.accept(index);
        Ok(len)
    }

    /// The packet index that `seq` of `ssrc` would be taken for; moves nothing.
    pub fn peek_index(&self, ssrc: u32, seq: u16) -> u64 {
        match self.rtp_states.find(ssrc) {
            Some(slot) => self.rtp_states.states[slot].estimate(seq),
            None => u64::from(seq),
        }
    }

    /// Frees the state of an SSRC whose track ended. Its old packets would authenticate again, so
    /// the caller must treat media of an unbound SSRC as unknown.
    pub fn forget(&mut self, ssrc: u32) {
        self.rtp_states.remove(ssrc);
        self.rtcp_states.remove(ssrc);
    }

    /// SSRCs with RTP state.
    pub fn num_ssrcs(&self) -> usize {
        self.rtp_states.ssrcs.len()
    }
}

/// Protects what one peer is sent.
#[derive(Debug)]
pub struct SrtpSender {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_states: SsrcTable,
    /// One counter for all our RTCP SSRCs: the index only has to be unique per SSRC.
    rtcp_index: u32,
}

impl SrtpSender {
    /// From master key followed by master salt; `None` if the length is not the profile's.
    pub fn new(profile: SrtpProfile, key_salt: &[u8]) -> Option<Self> {
        let (rtp, rtcp) = derive_ciphers(profile, key_salt)?;
        Some(SrtpSender {
            rtp,
            rtcp,
            rtp_states: SsrcTable::new(SEND_SSRCS_MAX),
            rtcp_index: 0,
        })
    }

    /// Bytes that `protect_rtp` adds.
    #[inline]
    pub fn rtp_overhead(&self) -> usize {
        self.rtp.tag_size()
    }

    /// Bytes that `protect_rtcp` adds.
    #[inline]
    pub fn rtcp_overhead(&self) -> usize {
        self.rtcp.tag_size() + RTCP_INDEX_SIZE
    }

    /// Encrypts the RTP packet in `buffer[..len]` in place; returns the protected length.
    ///
    /// The roll-over count follows the sequence numbers of each SSRC, which may be up to 511 out of
    /// order. A number used before is refused ([`SrtpError::Replay`]): a repeated GCM nonce gives
    /// the key away, so retransmissions go out as RTX.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let packet = buffer.get(..len).ok_or(SrtpError::Malformed)?;
        let header_len = rtp::header_len(packet).ok_or(SrtpError::Malformed)?;
        let seq = read_u16(packet, 2).ok_or(SrtpError::Malformed)?;
        let ssrc = read_u32(packet, 8).ok_or(SrtpError::Malformed)?;
        let out = buffer
            .get_mut(..len + self.rtp.tag_size())
            .ok_or(SrtpError::NoRoom)?;
        let slot = match self.rtp_states.find_recent(ssrc) {
            Some(slot) => slot,
            None => self
                .rtp_states
                .insert(ssrc)
                .ok_or(SrtpError::TooManySsrcs)?,
        };
        let state = &mut self.rtp_states.states[slot];
        let index = state.estimate(seq);
        if index > RTP_INDEX_MAX {
            return Err(SrtpError::KeyExhausted);
        }
        state.window.check(index)?;
        state.window.accept(index);
        self.rtp
            .seal_rtp(out, header_len, ssrc, index)
            .ok_or(SrtpError::Malformed)?;
        Ok(out.len())
    }

    /// Encrypts the RTCP compound in `buffer[..len]` in place; returns the protected length.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        if len < RTCP_HEADER_SIZE || len > buffer.len() {
            return Err(SrtpError::Malformed);
        }
        let ssrc = read_u32(buffer, 4).ok_or(SrtpError::Malformed)?;
        let out = buffer
            .get_mut(..len + self.rtcp_overhead())
            .ok_or(SrtpError::NoRoom)?;
        if self.rtcp_index >= RTCP_INDEX_MAX {
            return Err(SrtpError::KeyExhausted);
        }
        self.rtcp_index += 1;
        let word = self.rtcp_index | !RTCP_INDEX_MAX;
        self.rtcp
            .seal_rtcp(out, ssrc, word)
            .ok_or(SrtpError::Malformed)?;
        Ok(out.len())
    }
}

/// Session keys of SRTP or of SRTCP.
enum Cipher {
    Gcm {
        key: Box<aead::LessSafeKey>,
        salt: [u8; 12],
    },
    CmSha1 {
        key: Box<Aes128>,
        auth: Box<hmac::Key>,
        salt: [u8; 14],
    },
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
    fn tag_size(&self) -> usize {
        match self {
            Cipher::Gcm { .. } => GCM_TAG_SIZE,
            Cipher::CmSha1 { .. } => SHA1_TAG_SIZE,
        }
    }

    /// `packet` ends with room for the tag.
    #[inline]
    fn seal_rtp(&self, packet: &mut [u8], header_len: usize, ssrc: u32, index: u64) -> Option<()> {
        let (plain, tag) =
            packet.split_at_mut_checked(packet.len().checked_sub(self.tag_size())?)?;
        let (header, body) = plain.split_at_mut_checked(header_len)?;
        match self {
            Cipher::Gcm { key, salt } => {
                let nonce = aead::Nonce::assume_unique_for_key(gcm_rtp_iv(salt, ssrc, index));
                let sealed = key
                    .seal_in_place_separate_tag(nonce, aead::Aad::from(&*header), body)
                    .ok()?;
                tag.copy_from_slice(sealed.as_ref());
            }
            Cipher::CmSha1 { key, auth, salt } => {
                apply_counter_mode(key, &cm_iv(salt, ssrc, index), body);
                let roc = ((index >> 16) as u32).to_be_bytes();
                tag.copy_from_slice(&sign(auth, &[plain, &roc]).as_ref()[..SHA1_TAG_SIZE]);
            }
        }
        Some(())
    }

    /// Opens with `index`, or failing that with `alternative`; (plain length, index that fitted).
    fn open_rtp_any(
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
        Some((
            self.open_rtp(packet, header_len, ssrc, alternative)?,
            alternative,
        ))
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
                key.open_in_place(nonce, aead::Aad::from(&*header), body)
                    .ok()?;
            }
            Cipher::CmSha1 { key, auth, salt } => {
                let (plain, tag) = packet.split_at_mut_checked(len)?;
                let roc = ((index >> 16) as u32).to_be_bytes();
                let expected = sign(auth, &[plain, &roc]);
                if !is_equal_constant_time(&expected.as_ref()[..SHA1_TAG_SIZE], tag) {
                    return None;
                }
                apply_counter_mode(key, &cm_iv(salt, ssrc, index), plain.get_mut(header_len..)?);
            }
        }
        Some(len)
    }

    /// The encryption flag and index: last for GCM (RFC 7714 §17), before the tag otherwise.
    fn rtcp_index_word(&self, packet: &[u8]) -> Option<u32> {
        let at = match self {
            Cipher::Gcm { .. } => packet.len().checked_sub(RTCP_INDEX_SIZE)?,
            Cipher::CmSha1 { .. } => packet.len().checked_sub(RTCP_INDEX_SIZE + SHA1_TAG_SIZE)?,
        };
        read_u32(packet, at)
    }

    /// `packet` ends with room for tag and index.
    fn seal_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Option<()> {
        let len = packet
            .len()
            .checked_sub(self.tag_size() + RTCP_INDEX_SIZE)?;
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
                trailer[RTCP_INDEX_SIZE..].copy_from_slice(&tag.as_ref()[..SHA1_TAG_SIZE]);
            }
        }
        Some(())
    }

    fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Option<usize> {
        let len = packet
            .len()
            .checked_sub(self.tag_size() + RTCP_INDEX_SIZE)?;
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
                if !is_equal_constant_time(&sign(auth, &[signed]).as_ref()[..SHA1_TAG_SIZE], tag) {
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
    iv.iter_mut()
        .zip(salt)
        .for_each(|(byte, salt)| *byte ^= salt);
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
    iv.iter_mut()
        .zip(salt)
        .for_each(|(byte, salt)| *byte ^= salt);
    iv
}

#[inline]
fn apply_counter_mode(key: &Aes128, iv: &[u8; 16], data: &mut [u8]) {
    let core = CtrCore::<&Aes128, flavors::Ctr128BE>::inner_iv_init(key, iv.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(data);
}

#[inline]
fn sign(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

/// RFC 3711 §4.3.1 with a key derivation rate of zero.
fn derive(master: &Aes128, salt: &[u8; 14], label: u8, out: &mut [u8]) {
    let mut iv = [0u8; 16];
    iv[..14].copy_from_slice(salt);
    iv[7] ^= label;
    out.fill(0);
    apply_counter_mode(master, &iv, out);
}

fn derive_ciphers(profile: SrtpProfile, key_salt: &[u8]) -> Option<(Cipher, Cipher)> {
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
            Cipher::Gcm {
                key: Box::new(aead::LessSafeKey::new(key)),
                salt,
            }
        }
        SrtpProfile::AesCm128HmacSha1_80 => {
            let (mut auth, mut salt) = ([0u8; 20], [0u8; 14]);
            derive(master, master_salt, first_label + 1, &mut auth);
            derive(master, master_salt, first_label + 2, &mut salt);
            let auth = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth);
            Cipher::CmSha1 {
                key: Box::new(Aes128::new_from_slice(&key).ok()?),
                auth: Box::new(auth),
                salt,
            }
        }
    })
}

/// State by SSRC: a dense table, searched front to back with the last hit first.
#[derive(Clone, Debug)]
struct SsrcTable {
    ssrcs: Vec<u32>,
    states: Vec<SsrcState>,
    last: usize,
    max: usize,
}

impl SsrcTable {
    fn new(max: usize) -> Self {
        SsrcTable {
            ssrcs: Vec::new(),
            states: Vec::new(),
            last: 0,
            max,
        }
    }

    #[inline]
    fn find(&self, ssrc: u32) -> Option<usize> {
        if self.ssrcs.get(self.last) == Some(&ssrc) {
            return Some(self.last);
        }
        self.ssrcs.iter().position(|&known| known == ssrc)
    }

    /// Like `find`, and remembers the hit: fan-out sends runs of one SSRC.
    #[inline]
    fn find_recent(&mut self, ssrc: u32) -> Option<usize> {
        let slot = self.find(ssrc)?;
        self.last = slot;
        Some(slot)
    }

    fn is_full(&self) -> bool {
        self.ssrcs.len() >= self.max
    }

    fn insert(&mut self, ssrc: u32) -> Option<usize> {
        if self.is_full() {
            return None;
        }
        self.ssrcs.push(ssrc);
        self.states.push(SsrcState::default());
        Some(self.ssrcs.len() - 1)
    }

    fn remove(&mut self, ssrc: u32) {
        if let Some(slot) = self.ssrcs.iter().position(|&known| known == ssrc) {
            self.ssrcs.swap_remove(slot);
            self.states.swap_remove(slot);
            self.last = 0;
        }
    }
}

/// What is remembered of one SSRC.
#[derive(Clone, Debug, Default)]
struct SsrcState {
    window: ReplayWindow,
    /// Authentication failures since the last success.
    num_failed: u16,
}

impl SsrcState {
    /// RFC 3711 §3.3.1: the index nearest to the highest one accepted.
    #[inline]
    fn estimate(&self, seq: u16) -> u64 {
        let Some(highest) = self.window.highest else {
            return u64::from(seq);
        };
        let delta = i64::from(seq.wrapping_sub(highest as u16) as i16);
        match highest.checked_add_signed(delta) {
            Some(index) => index,
            // Before the first roll-over nothing can be older than index 0.
            None => u64::from(seq),
        }
    }
}

const WINDOW_BITS: u64 = 512;

/// The last 512 accepted indices (RFC 3711 §3.3.2 asks for at least 64). As deep as the packet ring,
/// so that late retransmissions without RTX still pass.
#[derive(Clone, Debug, Default)]
struct ReplayWindow {
    highest: Option<u64>,
    /// Bit `index % 512`; only those in `highest - 511 ..= highest` mean anything.
    bits: [u64; (WINDOW_BITS / 64) as usize],
}

impl ReplayWindow {
    #[inline]
    fn check(&self, index: u64) -> Result<(), SrtpError> {
        match self.highest {
            Some(highest) if index <= highest => {
                if highest - index >= WINDOW_BITS {
                    Err(SrtpError::TooOld)
                } else if self.bits[word_of(index)] & bit_of(index) != 0 {
                    Err(SrtpError::Replay)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn accept(&mut self, index: u64) {
        let highest = *self.highest.get_or_insert(index);
        if index > highest {
            if index - highest >= WINDOW_BITS {
                self.bits = Default::default();
            } else {
                for skipped in highest + 1..index {
                    self.bits[word_of(skipped)] &= !bit_of(skipped);
                }
            }
            self.highest = Some(index);
        }
        self.bits[word_of(index)] |= bit_of(index);
    }
}

#[inline]
fn word_of(index: u64) -> usize {
    ((index % WINDOW_BITS) / 64) as usize
}

#[inline]
fn bit_of(index: u64) -> u64 {
    1 << (index % 64)
}
