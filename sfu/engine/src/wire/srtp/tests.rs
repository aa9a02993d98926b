use proptest::prelude::*;

use super::*;

const PROFILES: [SrtpProfile; 2] = [SrtpProfile::AeadAes128Gcm, SrtpProfile::AesCm128HmacSha1_80];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn key_salt(profile: SrtpProfile) -> Vec<u8> {
    (0..key_salt_len(profile) as u8).map(|byte| byte.wrapping_mul(37)).collect()
}

fn pair(profile: SrtpProfile) -> (SrtpSender, SrtpReceiver) {
    let key_salt = key_salt(profile);
    (SrtpSender::new(profile, &key_salt).unwrap(), SrtpReceiver::new(profile, &key_salt).unwrap())
}

fn packet(ssrc: u32, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn protect(sender: &mut SrtpSender, plain: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + RTP_OVERHEAD_MAX, 0);
    let len = sender.protect_rtp(&mut buffer, plain.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

/// Protects the packet of index `seq_ext` with a sender that follows the true count.
fn sealed(sender: &mut SrtpSender, ssrc: u32, seq_ext: u64) -> Vec<u8> {
    protect(sender, &packet(ssrc, seq_ext as u16, b"shelf")).unwrap()
}

#[test]
fn rfc_3711_and_libsrtp_vector_aes_cm_sha1_80() {
    // Master key of RFC 3711 §B.3; packets of libsrtp's `srtp_validate`.
    let key_salt = bytes("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let plain = bytes("800f1234decafbadcafebabe abababababababababababababababab");
    let expected =
        bytes("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
    let profile = SrtpProfile::AesCm128HmacSha1_80;
    let mut sender = SrtpSender::new(profile, &key_salt).unwrap();
    assert_eq!(protect(&mut sender, &plain).unwrap(), expected);

    let plain_rtcp = bytes("81c8000bcafebabe abababababababababababababababab");
    let expected =
        bytes("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798");
    let mut buffer = plain_rtcp.clone();
    buffer.resize(plain_rtcp.len() + RTCP_OVERHEAD_MAX, 0);
    let len = sender.protect_rtcp(&mut buffer, plain_rtcp.len()).unwrap();
    assert_eq!(buffer[..len], expected);
    let mut receiver = SrtpReceiver::new(profile, &key_salt).unwrap();
    assert_eq!(receiver.unprotect_rtcp(&mut buffer[..len]), Ok(plain_rtcp.len()));
    assert_eq!(buffer[..plain_rtcp.len()], plain_rtcp);
}

#[test]
fn libsrtp_vector_gcm_with_key_derivation() {
    let key_salt = bytes("000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab");
    let plain = bytes("800f1234decafbadcafebabe abababababababababababababababab");
    let expected = bytes(
        "800f1234decafbadcafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392",
    );
    let mut sender = SrtpSender::new(SrtpProfile::AeadAes128Gcm, &key_salt).unwrap();
    assert_eq!(protect(&mut sender, &plain).unwrap(), expected);

    let plain_rtcp = bytes("81c8000bcafebabe abababababababababababababababab");
    let expected = bytes(
        "81c8000bcafebabe c98b8b5df0392a55852b6c21ac8e7025 c52c6fbea2b3b446ea31123ba88ce61e 80000001",
    );
    let mut buffer = plain_rtcp.clone();
    buffer.resize(plain_rtcp.len() + RTCP_OVERHEAD_MAX, 0);
    let len = sender.protect_rtcp(&mut buffer, plain_rtcp.len()).unwrap();
    assert_eq!(buffer[..len], expected);
}

#[test]
fn wrong_key_sizes_are_refused() {
    for profile in PROFILES {
        for len in 0..64 {
            let made = SrtpReceiver::new(profile, &vec![1; len]).is_some();
            assert_eq!(made, len == key_salt_len(profile));
        }
    }
}

#[test]
fn keys_never_show_in_debug_output() {
    let (sender, receiver) = pair(SrtpProfile::AeadAes128Gcm);
    let text = format!("{sender:?} {receiver:?}");
    assert!(text.contains("AES-128-GCM") && !text.contains("salt"), "{text}");
}

#[test]
fn edge_8_replayed_packets_are_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let original = sealed(&mut sender, 7, 100);
        assert!(receiver.unprotect_rtp(&mut original.clone()).is_ok());
        assert_eq!(receiver.unprotect_rtp(&mut original.clone()), Err(SrtpError::Replay));
        for seq in 101..700 {
            receiver.unprotect_rtp(&mut sealed(&mut sender, 7, seq)).unwrap();
        }
        assert_eq!(receiver.unprotect_rtp(&mut original.clone()), Err(SrtpError::TooOld));
    }
}

#[test]
fn edge_8_reordering_inside_the_window_passes() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut packets: Vec<Vec<u8>> =
            (0..500).map(|seq| sealed(&mut sender, 7, 65_300 + seq)).collect();
        packets.reverse();
        // The first one seen must be from before the wrap, else its roll-over count is a guess.
        let first = packets.pop().unwrap();
        packets.insert(0, first);
        for (n, packet) in packets.iter().enumerate() {
            assert!(receiver.unprotect_rtp(&mut packet.clone()).is_ok(), "packet {n}");
        }
    }
}

#[test]
fn edge_8_roll_over_while_packets_are_lost() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut last = 0;
        for seq_ext in 60_000..70_000u64 {
            let mut packet = sealed(&mut sender, 7, seq_ext);
            // Nothing around the wrap arrives.
            if !(62_000..68_000).contains(&seq_ext) {
                last = receiver.unprotect_rtp(&mut packet).unwrap().index;
                assert_eq!(last, seq_ext);
            }
        }
        assert_eq!(last, 69_999);
    }
}

#[test]
fn edge_8_roll_over_missed_by_an_outage_of_half_the_circle_heals() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        receiver.unprotect_rtp(&mut sealed(&mut sender, 7, 1_000)).unwrap();
        // The sender goes on; 40 000 packets are lost, and the estimate is one roll-over behind.
        let mut results = Vec::new();
        for seq_ext in 1_001..66_600u64 {
            let mut packet = sealed(&mut sender, 7, seq_ext);
            if seq_ext >= 66_560 {
                results
                    .push(receiver.unprotect_rtp(&mut packet).map(|unprotected| unprotected.index));
            }
        }
        let num_lost = results.iter().filter(|result| result.is_err()).count();
        assert_eq!(num_lost, usize::from(FAILURES_BEFORE_ROC_SEARCH), "{results:?}");
        assert_eq!(results.last(), Some(&Ok(66_599)));
    }
}

#[test]
fn edge_8_stream_first_seen_just_after_its_roll_over() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        sealed(&mut sender, 7, 65_535);
        let mut packet = sealed(&mut sender, 7, 65_536);
        assert_eq!(
            receiver.unprotect_rtp(&mut packet).map(|unprotected| unprotected.index),
            Ok(65_536)
        );
    }
}

#[test]
fn edge_8_each_ssrc_has_its_own_index() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for seq_ext in 65_500..65_600 {
            receiver.unprotect_rtp(&mut sealed(&mut sender, 7, seq_ext)).unwrap();
        }
        let unprotected = receiver.unprotect_rtp(&mut sealed(&mut sender, 8, 3)).unwrap();
        assert_eq!(unprotected.index, 3);
        assert_eq!(receiver.peek_index(7, 100), 65_636);
        assert_eq!(receiver.peek_index(8, 100), 100);
        assert_eq!(receiver.peek_index(9, 100), 100);
    }
}

#[test]
fn edge_8_forged_packets_move_no_state() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        receiver.unprotect_rtp(&mut sealed(&mut sender, 7, 10)).unwrap();
        for seq in [11u16, 5_000, 30_000, 65_535] {
            let mut forged = packet(7, seq, &[0u8; 60]);
            assert_eq!(receiver.unprotect_rtp(&mut forged), Err(SrtpError::Authentication));
            // An unknown SSRC takes no place in the table.
            let mut forged = packet(u32::from(seq), seq, &[0u8; 60]);
            assert_eq!(receiver.unprotect_rtp(&mut forged), Err(SrtpError::Authentication));
        }
        assert_eq!(receiver.num_ssrcs(), 1);
        assert_eq!(receiver.unprotect_rtp(&mut sealed(&mut sender, 7, 11)).unwrap().index, 11);
    }
}

#[test]
fn a_flood_of_forgeries_costs_no_real_packet() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for seq_ext in 0..200 {
            for _ in 0..20 {
                let _ = receiver.unprotect_rtp(&mut packet(7, seq_ext as u16, &[0u8; 60]));
            }
            let mut real = sealed(&mut sender, 7, seq_ext);
            assert_eq!(
                receiver.unprotect_rtp(&mut real).map(|unprotected| unprotected.index),
                Ok(seq_ext)
            );
        }
    }
}

#[test]
fn ssrcs_of_a_receiver_are_bounded_and_can_be_forgotten() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
    for ssrc in 0..RECEIVE_SSRCS_MAX as u32 {
        receiver.unprotect_rtp(&mut sealed(&mut sender, ssrc, 1)).unwrap();
    }
    let extra = sealed(&mut sender, 1_000, 1);
    assert_eq!(receiver.unprotect_rtp(&mut extra.clone()), Err(SrtpError::TooManySsrcs));
    receiver.forget(5);
    assert!(receiver.unprotect_rtp(&mut extra.clone()).is_ok());
    assert_eq!(receiver.num_ssrcs(), RECEIVE_SSRCS_MAX);
    for ssrc in (0..RECEIVE_SSRCS_MAX as u32).filter(|&ssrc| ssrc != 5) {
        assert_eq!(receiver.unprotect_rtp(&mut sealed(&mut sender, ssrc, 2)).unwrap().index, 2);
    }
}

#[test]
fn reports_under_ever_new_ssrcs_pass_and_those_in_use_keep_their_windows() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
    let mut report = |ssrc: u32| {
        let mut packet = vec![0x80, 201, 0, 1];
        packet.extend(ssrc.to_be_bytes());
        packet.resize(packet.len() + RTCP_OVERHEAD_MAX, 0);
        let len = sender.protect_rtcp(&mut packet, 8).unwrap();
        packet.truncate(len);
        packet
    };
    let overheard = report(1);
    receiver.unprotect_rtcp(&mut overheard.clone()).unwrap();
    for ssrc in 2..=3 * RECEIVE_SSRCS_MAX as u32 {
        receiver.unprotect_rtcp(&mut report(ssrc)).unwrap();
        receiver.unprotect_rtcp(&mut report(1)).unwrap();
    }
    assert_eq!(receiver.unprotect_rtcp(&mut overheard.clone()), Err(SrtpError::Replay));
}

#[test]
fn a_sender_never_uses_an_index_twice() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        sealed(&mut sender, 7, 10);
        sealed(&mut sender, 7, 11);
        assert_eq!(protect(&mut sender, &packet(7, 10, b"other")), Err(SrtpError::Replay));
        assert!(protect(&mut sender, &packet(7, 9, b"late")).is_ok());
    }
}

#[test]
fn no_room_for_the_tag_is_an_error_and_uses_nothing_up() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        let mut plain = packet(7, 10, b"shelf");
        let len = plain.len();
        assert_eq!(sender.protect_rtp(&mut plain, len), Err(SrtpError::NoRoom));
        assert_eq!(sender.protect_rtp(&mut plain, len + 1), Err(SrtpError::Malformed));
        assert_eq!(sender.protect_rtcp(&mut plain, len), Err(SrtpError::NoRoom));
        sealed(&mut sender, 7, 10);
    }
}

#[test]
fn rtcp_replays_forgeries_and_clear_text_are_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut buffer = vec![0u8; 64];
        buffer[..8].copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 7]);
        let len = sender.protect_rtcp(&mut buffer, 8).unwrap();
        assert_eq!(len, 8 + sender.rtcp_overhead());
        buffer.truncate(len);
        let sealed = buffer.clone();
        assert_eq!(receiver.unprotect_rtcp(&mut buffer), Ok(8));
        assert_eq!(receiver.unprotect_rtcp(&mut sealed.clone()), Err(SrtpError::Replay));
        for at in 0..len {
            let mut changed = sealed.clone();
            changed[at] ^= 0x01;
            assert!(receiver.unprotect_rtcp(&mut changed).is_err(), "byte {at}");
        }
        let mut clear = vec![0u8; 40];
        clear[0] = 0x80;
        assert_eq!(receiver.unprotect_rtcp(&mut clear), Err(SrtpError::NotEncrypted));
    }
}

#[test]
fn the_established_path_does_not_allocate() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut buffer = [0u8; 1_500];
        let plain = packet(7, 0, &[0xab; 1_100]);
        let mut run = |seq: u16| {
            buffer[..plain.len()].copy_from_slice(&plain);
            buffer[2..4].copy_from_slice(&seq.to_be_bytes());
            let len = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
            receiver.unprotect_rtp(&mut buffer[..len]).unwrap();
        };
        run(1);
        let info = allocation_counter::measure(|| (2..100).for_each(&mut run));
        assert_eq!(info.count_total, 0);
    }
}

proptest! {
    #[test]
    fn any_packet_round_trips(
        is_gcm: bool,
        csrcs in prop::collection::vec(any::<u32>(), 0..15),
        extension in prop::option::of(prop::collection::vec(any::<u32>(), 0..20)),
        payload in prop::collection::vec(any::<u8>(), 0..1_200),
        seq: u16,
        ssrc: u32,
    ) {
        let mut plain = packet(ssrc, seq, &[]);
        plain[0] |= csrcs.len() as u8;
        csrcs.iter().for_each(|csrc| plain.extend_from_slice(&csrc.to_be_bytes()));
        if let Some(words) = &extension {
            plain[0] |= 0x10;
            plain.extend_from_slice(&[0xbe, 0xde]);
            plain.extend_from_slice(&(words.len() as u16).to_be_bytes());
            words.iter().for_each(|word| plain.extend_from_slice(&word.to_be_bytes()));
        }
        plain.extend_from_slice(&payload);
        let (mut sender, mut receiver) = pair(PROFILES[usize::from(is_gcm)]);
        let mut sealed = protect(&mut sender, &plain).unwrap();
        prop_assert_eq!(sealed.len(), plain.len() + sender.rtp_overhead());
        let unprotected = receiver.unprotect_rtp(&mut sealed).unwrap();
        prop_assert_eq!(unprotected.index, u64::from(seq));
        prop_assert_eq!(&sealed[..unprotected.len], &plain[..]);
    }

    #[test]
    fn window_agrees_with_a_set_of_all_indices(steps in prop::collection::vec((-600i64..600, any::<bool>()), 1..400)) {
        let mut window = super::ssrc::ReplayWindow::default();
        let mut seen = std::collections::HashSet::new();
        let mut highest: Option<u64> = None;
        let mut index = 10_000u64;
        for (step, is_big) in steps {
            index = index.saturating_add_signed(if is_big { step } else { step % 8 });
            let expected = match highest {
                Some(highest) if index + 512 <= highest => Err(SrtpError::TooOld),
                _ if seen.contains(&index) => Err(SrtpError::Replay),
                _ => Ok(()),
            };
            prop_assert_eq!(window.check(index), expected);
            if expected.is_ok() {
                window.accept(index);
                seen.insert(index);
                highest = highest.max(Some(index));
            }
        }
    }

    #[test]
    fn indices_follow_the_truth_through_loss_and_reordering(
        start in 0u64..65_536,
        steps in prop::collection::vec((1u64..9_000, 0u64..60), 1..60),
    ) {
        let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
        let mut head = start;
        receiver.unprotect_rtp(&mut sealed(&mut sender, 7, start)).unwrap();
        for (step, back) in steps {
            for index in [head + step, (head + step - back.min(step))] {
                let plain = packet(7, index as u16, b"x");
                match protect(&mut sender, &plain) {
                    Ok(mut sealed) => {
                        let result = receiver.unprotect_rtp(&mut sealed).map(|unprotected| unprotected.index);
                        prop_assert_eq!(result, Ok(index));
                    }
                    Err(error) => prop_assert_eq!(error, SrtpError::Replay),
                }
            }
            head += step;
        }
    }
}
