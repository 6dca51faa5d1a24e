use super::*;
use crate::rtp::Outgoing;

/// Bytes of a hexadecimal string; spaces are for reading.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let digit = |b: u8| (b as char).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn session(key: &str, salt: &str, auth: &str) -> SessionKeys {
    let mut keys = SessionKeys { key: [0; 32], auth: [0; 20], salt: [0; 14] };
    for (to, from) in [(&mut keys.key[..], key), (&mut keys.salt[..], salt), (&mut keys.auth[..], auth)] {
        let from = hex(from);
        to[..from.len()].copy_from_slice(&from);
    }
    keys
}

const QUID: &str = "517569642070726f2071756f";
const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const GALLIA: &str = "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573";

/// Seals and opens against a known packet.
fn check_known(profile: Profile, keys: &SessionKeys, header: &str, index: u64, payload: &str, expected: &str) {
    let (header_bytes, payload, expected) = (hex(header), hex(payload), hex(expected));
    let mut out = [0u8; 256];
    out[..header_bytes.len()].copy_from_slice(&header_bytes);
    let len = Outbound::srtp(profile, keys).seal(&mut out, header_bytes.len(), index, &payload);
    assert_eq!(out[..len], expected, "{profile:?} sealed");

    let mut datagram = expected;
    let parsed = Header::parse(&datagram).expect("a whole header");
    let opened = Inbound::srtp(profile, keys).open(&mut datagram, &parsed, index).expect("the tag is right");
    assert_eq!(datagram[opened.payload], payload, "{profile:?} opened");
}

#[test]
fn what_stands_in_its_place_already_is_sealed_as_what_is_copied_there() {
    let keys = session(KEY_256, QUID, KEY_128);
    let profiles = [Profile::Aes128CmSha1, Profile::Aes128Gcm, Profile::Aes256Gcm];
    let suites = [NativeSuite::Aes256GcmRtpsize, NativeSuite::XChaCha20Poly1305Rtpsize];
    let srtp = profiles.map(|profile| [Outbound::srtp(profile, &keys), Outbound::srtp(profile, &keys)]);
    let native = suites.map(|suite| [Outbound::native(suite, &[7; 32]), Outbound::native(suite, &[7; 32])]);
    for [mut copying, mut in_place] in srtp.into_iter().chain(native) {
        let payload: Vec<u8> = (0..=255).cycle().take(1_111).collect();
        let (mut copied, mut placed) = ([3; 1_200], [3; 1_200]);
        placed[12..12 + payload.len()].copy_from_slice(&payload);
        let len = copying.seal(&mut copied, 12, 70_000, &payload);
        assert_eq!(in_place.seal_in_place(&mut placed, 12, 70_000, payload.len()), len);
        assert_eq!(placed, copied);
    }
}

#[test]
fn srtp_gcm_matches_rfc_7714_16() {
    let header = "8040f17b 8041f8d3 5501a0b2";
    let index = 0xf17b;
    check_known(
        Profile::Aes128Gcm,
        &session(KEY_128, QUID, ""),
        header,
        index,
        GALLIA,
        "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833
         899d7f27 beb16a91 52cf765e e4390cce",
    );
    check_known(
        Profile::Aes256Gcm,
        &session(KEY_256, QUID, ""),
        header,
        index,
        GALLIA,
        "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b
         7aa3db36 dfffd6b0 f9bb7878 d7a76c13",
    );
}

#[test]
fn srtp_counter_mode_matches_the_key_stream_of_rfc_3711_b2() {
    let keys = session("2B7E151628AED2A6ABF7158809CF4F3C", "F0F1F2F3F4F5F6F7F8F9FAFBFCFD", "");
    let mut out = [0u8; 128];
    out[0] = 0x80;
    let len = Outbound::srtp(Profile::Aes128CmSha1, &keys).seal(&mut out, 12, 0, &[0; 48]);
    assert_eq!(len, 12 + 48 + counter_mode::TAG_LEN);
    assert_eq!(
        out[12..60],
        hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0")
    );
}

#[test]
fn srtp_counter_mode_matches_a_whole_packet_of_another_implementation() {
    // The master key and salt of RFC 3711 B.3 over 16 bytes of 0xab, a packet that libsrtp's self-test prints.
    let material = hex(
        "e1f97a0d3e018be0d64fa32c06de4139 00000000000000000000000000000000 0ec675ad498afeebb6960b3aabe6 0000000000000000000000000000",
    );
    let keys = keys::TransportKeys::derive(Profile::Aes128CmSha1, &material).expect("60 bytes").client.rtp;
    check_known(
        Profile::Aes128CmSha1,
        &keys,
        "800f1234 decafbad cafebabe",
        0x1234,
        "abababababababababababababababab",
        "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb",
    );
}

#[test]
fn srtcp_gcm_matches_rfc_7714_17() {
    let keys = session(KEY_128, QUID, "");
    let plain = hex(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef",
    );
    let sealed = hex(
        "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b
         c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
    );
    let mut out = [0; 256];
    let mut outbound = RtcpOutbound { cipher: Cipher::srtp(Profile::Aes128Gcm, &keys), next_index: 0x5d4 };
    let len = outbound.seal(&mut out, &plain).expect("indices are left");
    assert_eq!(out[..len], sealed);
    let mut datagram = sealed;
    let inbound = RtcpInbound::new(Profile::Aes128Gcm, &keys);
    assert_eq!(inbound.claimed_index(&datagram), Some(0x5d4));
    let len = inbound.open(&mut datagram).expect("the tag is right");
    assert_eq!(datagram[..len], plain);
}

#[test]
fn native_gcm_is_what_an_independent_aead_makes_of_the_documented_layout() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = [9u8; 32];
    // A native client's packet: extension preamble clear, its body encrypted with the payload, counter 5 appended.
    let clear = hex("90781234 00000960 0000002a bede0001");
    let mut body = hex("10850000 f8fffe0102");
    let reference = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("32 bytes"));
    let nonce = Nonce::assume_unique_for_key([0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
    reference.seal_in_place_append_tag(nonce, Aad::from(&clear), &mut body).expect("short enough");
    let mut datagram = [clear, body, vec![0, 0, 0, 5]].concat();

    let header = Header::parse(&datagram).expect("a whole header");
    let inbound = Inbound::native(NativeSuite::Aes256GcmRtpsize, &key);
    let opened = inbound.open(&mut datagram, &header, 0).expect("the tag is right");
    assert_eq!(datagram[opened.payload], hex("f8fffe0102"));
    assert_eq!(datagram[opened.extension], hex("10850000"));
    assert_eq!(opened.nonce, Some(5));
}

#[test]
fn xchacha20_poly1305_matches_the_draft() {
    // draft-irtf-cfrg-xchacha-03, A.3.1.
    let key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    let nonce = hex("404142434445464748494a4b4c4d4e4f5051525354555657");
    let text =
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let mut body = [0; 256];
    let len = Aead::new(Algorithm::XChaCha20Poly1305, &key).seal(&nonce, &hex("50515253c0c1c2c3c4c5c6c7"), &mut body, text);
    assert_eq!(body[..16], hex("bd6d179d3e83d43b9576579493c0e939"));
    assert_eq!(body[len - 16..len], hex("c0875924c1c7987947deafd8780acf49"));
}

fn header(ssrc: u32, sequence: u16, payload_type: u8, audio_level: Option<(u8, u8)>) -> ([u8; 1500], usize) {
    let mut out = [0; 1500];
    let outgoing = Outgoing { marker: false, payload_type, sequence, timestamp: 960, ssrc, audio_level, transport: None };
    let len = outgoing.write(&mut out);
    (out, len)
}

/// Every suite: what one end seals the other opens, bit for bit, at every length; one flipped bit anywhere is noticed.
#[test]
fn every_suite_opens_what_it_sealed_and_nothing_else() {
    let material: Vec<u8> = (0..88).collect();
    let keys = |profile, len| keys::TransportKeys::derive(profile, &material[..len]).expect("the right length").server.rtp;
    let native = [3; 32];
    let suites: [(Outbound, Inbound); 5] = [
        pair(Profile::Aes256Gcm, &keys(Profile::Aes256Gcm, 88)),
        pair(Profile::Aes128Gcm, &keys(Profile::Aes128Gcm, 56)),
        pair(Profile::Aes128CmSha1, &keys(Profile::Aes128CmSha1, 60)),
        native_pair(NativeSuite::Aes256GcmRtpsize, &native),
        native_pair(NativeSuite::XChaCha20Poly1305Rtpsize, &native),
    ];
    for (which, (mut outbound, inbound)) in suites.into_iter().enumerate() {
        for len in [0, 1, 15, 16, 17, 127, 128, 129, 160, 1200] {
            let payload: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
            let index = 0x1_0000 * 3 + len as u64;
            let (mut out, header_len) = header(77, index as u16, 111, (which < 3).then_some((1, 0x80)));
            let end = outbound.seal(&mut out, header_len, index, &payload);
            assert!(end <= header_len + len + MAX_OVERHEAD);
            let mut whole = out[..end].to_vec();
            let parsed = Header::parse(&whole).expect("a whole header");
            let opened = inbound.open(&mut whole, &parsed, index).expect("untouched");
            assert_eq!(whole[opened.payload], payload[..], "suite {which}, {len} bytes");
            for byte in [4, 9, header_len, end - 1, end / 2] {
                let mut broken = out[..end].to_vec();
                broken[byte] ^= 1;
                let parsed = Header::parse(&broken).expect("the length fields are whole");
                assert_eq!(
                    inbound.open(&mut broken, &parsed, index).err(),
                    Some(OpenError::WrongTag),
                    "suite {which}, {len} bytes, byte {byte}"
                );
            }
        }
        for short in 0..20 {
            let (out, _) = header(77, 1, 111, None);
            let mut cut = out[..12 + short].to_vec();
            let parsed = Header::parse(&cut).expect("the fixed part is there");
            assert!(inbound.open(&mut cut, &parsed, 1).is_err(), "suite {which}, {short} bytes behind the header");
        }
    }
}

fn pair(profile: Profile, keys: &SessionKeys) -> (Outbound, Inbound) {
    (Outbound::srtp(profile, keys), Inbound::srtp(profile, keys))
}

fn native_pair(suite: NativeSuite, key: &[u8; 32]) -> (Outbound, Inbound) {
    (Outbound::native(suite, key), Inbound::native(suite, key))
}

#[test]
fn padding_is_stripped_and_impossible_padding_is_malformed() {
    let key = [1; 32];
    for (padding, expected) in [(0u8, None), (1, Some(9)), (10, Some(0)), (11, None), (255, None)] {
        let (mut outbound, inbound) = native_pair(NativeSuite::Aes256GcmRtpsize, &key);
        let (mut out, header_len) = header(7, 1, 120, None);
        out[0] |= 0x20;
        let mut payload = [5u8; 10];
        payload[9] = padding;
        let end = outbound.seal(&mut out, header_len, 1, &payload);
        let parsed = Header::parse(&out[..end]).expect("a whole header");
        let opened = inbound.open(&mut out[..end], &parsed, 1);
        assert_eq!(opened.ok().map(|opened| opened.payload.len()), expected, "padding {padding}");
    }
}

#[test]
fn rtcp_of_every_profile_opens_once_sealed_and_its_index_counts() {
    let material: Vec<u8> = (0..88).collect();
    for (profile, len) in [(Profile::Aes256Gcm, 88), (Profile::Aes128Gcm, 56), (Profile::Aes128CmSha1, 60)] {
        let keys = keys::TransportKeys::derive(profile, &material[..len]).expect("the right length").client.rtcp;
        let (mut outbound, inbound) = (RtcpOutbound::new(profile, &keys), RtcpInbound::new(profile, &keys));
        let packet = hex("81c90007 00000001 00000002 00000000 00000003 00000004 00000005 00000006");
        for index in 1..4 {
            let mut out = [0; 128];
            let end = outbound.seal(&mut out, &packet).expect("indices are left");
            assert_eq!(inbound.claimed_index(&out[..end]), Some(index));
            let mut broken = out[..end].to_vec();
            broken[end / 2] ^= 1;
            assert_eq!(inbound.open(&mut broken), Err(OpenError::WrongTag), "{profile:?}");
            let len = inbound.open(&mut out[..end]).expect("untouched");
            assert_eq!(out[..len], packet, "{profile:?}");
        }
        for len in 0..24 {
            assert!(inbound.open(&mut vec![0x81; len]).is_err());
        }
    }
}
