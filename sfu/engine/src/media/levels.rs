//! Loudness counts of one audio encoding (RFC 6464); Python ranks speakers from them.

/// Packets this loud or louder count as speech; LiveKit's clients expect about -35 dBov.
const LOUD_LEVEL: u8 = 35;

/// Cumulative counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Last level, 0 loud ..= 127 silent.
    pub last: u8,
    /// Packets at level 35 or louder.
    pub loud_packets: u32,
    /// Packets that carried a level.
    pub leveled_packets: u32,
    /// Sum of the levels of the loud ones.
    pub level_sum: u64,
}

impl Levels {
    /// Takes the extension byte: the voice-activity bit and seven bits of level.
    pub fn on_level(&mut self, byte: u8) {
        self.last = byte & 0x7f;
        self.leveled_packets = self.leveled_packets.wrapping_add(1);
        if self.last <= LOUD_LEVEL {
            self.loud_packets = self.loud_packets.wrapping_add(1);
            self.level_sum += u64::from(self.last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Levels;

    #[test]
    fn counts_loud_packets_whatever_the_voice_bit_says() {
        let mut levels = Levels::default();
        for byte in [0x80 | 20, 30, 36, 127] {
            levels.on_level(byte);
        }
        assert_eq!(
            levels,
            Levels { last: 127, loud_packets: 2, leveled_packets: 4, level_sum: 50 }
        );
    }
}
