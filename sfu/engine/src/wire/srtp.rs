//! SRTP and SRTCP (RFC 3711, RFC 7714), in place and without allocation per packet.
//!
//! A context is one direction of one DTLS association. Order of work on receipt: estimate the packet
//! index, look at the replay window, authenticate, and only then move any state (RFC 3711 §3.3).

mod cipher;
mod ssrc;
#[cfg(test)]
mod tests;

use self::cipher::{Cipher, derive_ciphers};
use self::ssrc::SsrcTable;
use super::{read_u16, read_u32, rtp};
use crate::api::SrtpProfile;

/// Most bytes that protecting an RTP packet adds.
pub const RTP_OVERHEAD_MAX: usize = 16;
/// Most bytes that protecting an RTCP packet adds.
pub const RTCP_OVERHEAD_MAX: usize = 20;
/// SSRCs of one receiving context. More are refused for RTP, where forgetting one loses its roll-over
/// count: a peer's churn is bounded by `forget`. For RTCP, whose packets carry their whole index, the
/// longest unused one gives way: a receiver may report under a new SSRC for every track.
pub const RECEIVE_SSRCS_MAX: usize = 64;
/// SSRCs of one sending context. They are our own, and never forgotten: a second life of an SSRC
/// under the same key would repeat nonces.
pub const SEND_SSRCS_MAX: usize = 4096;

const RTCP_HEADER_SIZE: usize = 8;
const RTCP_INDEX_SIZE: usize = 4;
const RTCP_INDEX_MAX: u32 = 0x7fff_ffff;
const RTP_INDEX_MAX: u64 = (1 << 48) - 1;

/// Failures in a row on one SSRC after which the next roll-over count is tried too.
const FAILURES_BEFORE_ROC_SEARCH: u16 = 8;

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
        Some(SrtpReceiver { rtp, rtcp, rtp_states: table.clone(), rtcp_states: table })
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
                (state.estimate(seq), state.num_failed >= FAILURES_BEFORE_ROC_SEARCH)
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
        match self.rtp.open_rtp_any(packet, header_len, ssrc, index, alternative) {
            Some((len, index)) => {
                let slot = match slot {
                    Some(slot) => slot,
                    None => self.rtp_states.insert(ssrc).ok_or(SrtpError::TooManySsrcs)?,
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
        let word = self.rtcp.rtcp_index_word(packet).ok_or(SrtpError::Malformed)?;
        if word & !RTCP_INDEX_MAX == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        let index = u64::from(word & RTCP_INDEX_MAX);
        let slot = self.rtcp_states.find(ssrc);
        if let Some(slot) = slot {
            self.rtcp_states.states[slot].window.check(index)?;
        }
        let len = self.rtcp.open_rtcp(packet, ssrc, word).ok_or(SrtpError::Authentication)?;
        let slot = match slot {
            Some(slot) => slot,
            None => self.rtcp_states.insert_over_oldest(ssrc).ok_or(SrtpError::TooManySsrcs)?,
        };
        self.rtcp_states.accept(slot, index);
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
        self.rtp_states.len()
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
        Some(SrtpSender { rtp, rtcp, rtp_states: SsrcTable::new(SEND_SSRCS_MAX), rtcp_index: 0 })
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
        let out = buffer.get_mut(..len + self.rtp.tag_size()).ok_or(SrtpError::NoRoom)?;
        let slot = match self.rtp_states.find_recent(ssrc) {
            Some(slot) => slot,
            None => self.rtp_states.insert(ssrc).ok_or(SrtpError::TooManySsrcs)?,
        };
        let state = &mut self.rtp_states.states[slot];
        let index = state.estimate(seq);
        if index > RTP_INDEX_MAX {
            return Err(SrtpError::KeyExhausted);
        }
        state.window.check(index)?;
        state.window.accept(index);
        self.rtp.seal_rtp(out, header_len, ssrc, index).ok_or(SrtpError::Malformed)?;
        Ok(out.len())
    }

    /// Encrypts the RTCP compound in `buffer[..len]` in place; returns the protected length.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        if len < RTCP_HEADER_SIZE || len > buffer.len() {
            return Err(SrtpError::Malformed);
        }
        let ssrc = read_u32(buffer, 4).ok_or(SrtpError::Malformed)?;
        let out = buffer.get_mut(..len + self.rtcp_overhead()).ok_or(SrtpError::NoRoom)?;
        if self.rtcp_index >= RTCP_INDEX_MAX {
            return Err(SrtpError::KeyExhausted);
        }
        self.rtcp_index += 1;
        let word = self.rtcp_index | !RTCP_INDEX_MAX;
        self.rtcp.seal_rtcp(out, ssrc, word).ok_or(SrtpError::Malformed)?;
        Ok(out.len())
    }
}
