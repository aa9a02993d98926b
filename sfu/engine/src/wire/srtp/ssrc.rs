//! What is remembered of each SSRC: its highest index and the replay window.

use super::SrtpError;

/// State by SSRC: a dense table, searched front to back with the last hit first.
#[derive(Clone, Debug)]
pub(super) struct SsrcTable {
    ssrcs: Vec<u32>,
    pub(super) states: Vec<SsrcState>,
    last: usize,
    max: usize,
    num_uses: u64,
}

impl SsrcTable {
    pub(super) fn new(max: usize) -> Self {
        SsrcTable { ssrcs: Vec::new(), states: Vec::new(), last: 0, max, num_uses: 0 }
    }

    #[inline]
    pub(super) fn find(&self, ssrc: u32) -> Option<usize> {
        if self.ssrcs.get(self.last) == Some(&ssrc) {
            return Some(self.last);
        }
        self.ssrcs.iter().position(|&known| known == ssrc)
    }

    /// Like `find`, and remembers the hit: fan-out sends runs of one SSRC.
    #[inline]
    pub(super) fn find_recent(&mut self, ssrc: u32) -> Option<usize> {
        let slot = self.find(ssrc)?;
        self.last = slot;
        Some(slot)
    }

    pub(super) fn len(&self) -> usize {
        self.ssrcs.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.ssrcs.len() >= self.max
    }

    pub(super) fn insert(&mut self, ssrc: u32) -> Option<usize> {
        if self.is_full() {
            return None;
        }
        self.ssrcs.push(ssrc);
        self.states.push(SsrcState::default());
        Some(self.ssrcs.len() - 1)
    }

    /// Like `insert`; in a full table the one that was not used for the longest gives way.
    pub(super) fn insert_over_oldest(&mut self, ssrc: u32) -> Option<usize> {
        if self.is_full() {
            let oldest = (0..self.len()).min_by_key(|&slot| self.states[slot].last_use)?;
            self.remove(self.ssrcs[oldest]);
        }
        self.insert(ssrc)
    }

    /// Takes an authenticated index of a slot.
    pub(super) fn accept(&mut self, slot: usize, index: u64) {
        self.num_uses += 1;
        let state = &mut self.states[slot];
        state.last_use = self.num_uses;
        state.window.accept(index);
    }

    pub(super) fn remove(&mut self, ssrc: u32) {
        if let Some(slot) = self.ssrcs.iter().position(|&known| known == ssrc) {
            self.ssrcs.swap_remove(slot);
            self.states.swap_remove(slot);
            self.last = 0;
        }
    }
}

/// What is remembered of one SSRC.
#[derive(Clone, Debug, Default)]
pub(super) struct SsrcState {
    pub(super) window: ReplayWindow,
    /// Which use of its table touched it last.
    last_use: u64,
    /// Authentication failures since the last success.
    pub(super) num_failed: u16,
}

impl SsrcState {
    /// RFC 3711 §3.3.1: the index nearest to the highest one accepted.
    #[inline]
    pub(super) fn estimate(&self, seq: u16) -> u64 {
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
pub(super) struct ReplayWindow {
    highest: Option<u64>,
    /// Bit `index % 512`; only those in `highest - 511 ..= highest` mean anything.
    bits: [u64; (WINDOW_BITS / 64) as usize],
}

impl ReplayWindow {
    #[inline]
    pub(super) fn check(&self, index: u64) -> Result<(), SrtpError> {
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
    pub(super) fn accept(&mut self, index: u64) {
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
