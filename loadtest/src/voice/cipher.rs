//! The two transport encryptions of native voice: `aead_aes256_gcm_rtpsize` and `aead_xchacha20_poly1305_rtpsize`.
//!
//! packet = clear header ‖ ciphertext ‖ 16-byte tag ‖ 4-byte nonce. The clear header (CSRCs and extension preamble included) is
//! the additional data; the four nonce bytes come first in the cipher's nonce, zeros after them. This is an implementation of
//! its own, so that the server's is checked and not repeated.

use super::rtp;
use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

const TAG: usize = 16;
const NONCE: usize = 4;
/// What sealing adds to a packet.
pub const OVERHEAD: usize = TAG + NONCE;
/// The clear header of RTCP: its first word and the sender's SSRC.
const RTCP_CLEAR: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    Aes256Gcm,
    XChaCha20Poly1305,
}

impl Suite {
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::XChaCha20Poly1305];

    /// The mode's name in Ready, Select Protocol and Session Description.
    pub const fn mode(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aead_aes256_gcm_rtpsize",
            Self::XChaCha20Poly1305 => "aead_xchacha20_poly1305_rtpsize",
        }
    }
}

/// Why a packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("neither RTP nor RTCP, or too short")]
    Form,
    #[error("the tag does not match")]
    Tag,
}

/// An opened RTP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub header: rtp::Header,
    /// The counter that the sender used.
    pub nonce: u32,
    /// The extension's body, empty without one.
    pub extension: Vec<u8>,
    pub payload: Vec<u8>,
}

pub struct Cipher {
    suite: Suite,
    secret: [u8; 32],
    /// For AES-GCM; XChaCha derives a key per packet.
    gcm: LessSafeKey,
}

impl Cipher {
    pub fn new(suite: Suite, secret: [u8; 32]) -> Self {
        Self {
            suite,
            secret,
            gcm: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret).expect("32 bytes are an AES-256 key")),
        }
    }

    /// Appends ciphertext, tag and nonce to `packet`, which holds the clear header.
    pub fn seal(&self, nonce: u32, packet: &mut Vec<u8>, plain: &[u8]) {
        let aad = Aad::from(packet.clone());
        let mut sealed = plain.to_vec();
        let counter = nonce.to_be_bytes();
        let result = match self.suite {
            Suite::Aes256Gcm => self.gcm.seal_in_place_append_tag(gcm_nonce(counter), aad, &mut sealed),
            Suite::XChaCha20Poly1305 => {
                let (key, nonce) = xchacha(&self.secret, &long_nonce(counter));
                key.seal_in_place_append_tag(nonce, aad, &mut sealed)
            }
        };
        result.expect("a datagram is far below the cipher's limit");
        packet.extend_from_slice(&sealed);
        packet.extend_from_slice(&counter);
    }

    /// Header, extension body and payload as one sealed RTP packet.
    pub fn seal_rtp(&self, nonce: u32, header: &rtp::Header, extension: &[u8], payload: &[u8]) -> Vec<u8> {
        debug_assert_eq!(header.extension_len(), extension.len(), "the header announces its extension");
        let mut packet = header.write();
        self.seal(nonce, &mut packet, &[extension, payload].concat());
        packet
    }

    /// The same without allocating: `packet` becomes the sealed packet. No extension.
    pub fn seal_into(&self, nonce: u32, header: &rtp::Header, payload: &[u8], packet: &mut Vec<u8>) {
        packet.clear();
        header.write_into(packet);
        let clear = packet.len();
        packet.extend_from_slice(payload);
        let counter = nonce.to_be_bytes();
        let (aad, body) = packet.split_at_mut(clear);
        let tag = match self.suite {
            Suite::Aes256Gcm => self.gcm.seal_in_place_separate_tag(gcm_nonce(counter), Aad::from(&*aad), body),
            Suite::XChaCha20Poly1305 => {
                let (key, nonce) = xchacha(&self.secret, &long_nonce(counter));
                key.seal_in_place_separate_tag(nonce, Aad::from(&*aad), body)
            }
        };
        packet.extend_from_slice(tag.expect("a datagram is far below the cipher's limit").as_ref());
        packet.extend_from_slice(&counter);
    }

    /// Opens without allocating: the payload is a part of `packet` afterwards.
    pub fn open_in_place<'a>(&self, packet: &'a mut [u8]) -> Result<(rtp::Header, &'a [u8]), OpenError> {
        let header = rtp::Header::read(packet).ok_or(OpenError::Form)?;
        if packet.len() < header.clear_len + OVERHEAD {
            return Err(OpenError::Form);
        }
        let (clear, rest) = packet.split_at_mut(header.clear_len);
        let (sealed, counter) = rest.split_at_mut(rest.len() - NONCE);
        let counter = [counter[0], counter[1], counter[2], counter[3]];
        let opened = match self.suite {
            Suite::Aes256Gcm => self.gcm.open_in_place(gcm_nonce(counter), Aad::from(&*clear), sealed),
            Suite::XChaCha20Poly1305 => {
                let (key, nonce) = xchacha(&self.secret, &long_nonce(counter));
                key.open_in_place(nonce, Aad::from(&*clear), sealed)
            }
        };
        let plain = opened.map_err(|_| OpenError::Tag)?;
        plain.get(header.extension_len()..).map(|payload| (header, payload)).ok_or(OpenError::Form)
    }

    pub fn open_rtp(&self, packet: &[u8]) -> Result<Opened, OpenError> {
        let header = rtp::Header::read(packet).ok_or(OpenError::Form)?;
        let (nonce, mut plain) = self.open(packet, header.clear_len)?;
        if plain.len() < header.extension_len() {
            return Err(OpenError::Form);
        }
        let payload = plain.split_off(header.extension_len());
        Ok(Opened { header, nonce, extension: plain, payload })
    }

    /// The nonce and decrypted body of an RTCP packet.
    pub fn open_rtcp(&self, packet: &[u8]) -> Result<(u32, Vec<u8>), OpenError> {
        if !rtp::is_rtcp(packet) {
            return Err(OpenError::Form);
        }
        self.open(packet, RTCP_CLEAR)
    }

    fn open(&self, packet: &[u8], clear_len: usize) -> Result<(u32, Vec<u8>), OpenError> {
        if packet.len() < clear_len + OVERHEAD {
            return Err(OpenError::Form);
        }
        let (clear, rest) = packet.split_at(clear_len);
        let (sealed, counter) = rest.split_at(rest.len() - NONCE);
        let counter = [counter[0], counter[1], counter[2], counter[3]];
        let mut sealed = sealed.to_vec();
        let opened = match self.suite {
            Suite::Aes256Gcm => {
                self.gcm.open_in_place(gcm_nonce(counter), Aad::from(clear), &mut sealed).map(|plain| plain.len())
            }
            Suite::XChaCha20Poly1305 => {
                let (key, nonce) = xchacha(&self.secret, &long_nonce(counter));
                key.open_in_place(nonce, Aad::from(clear), &mut sealed).map(|plain| plain.len())
            }
        };
        sealed.truncate(opened.map_err(|_| OpenError::Tag)?);
        Ok((u32::from_be_bytes(counter), sealed))
    }
}

fn gcm_nonce(counter: [u8; 4]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&counter);
    Nonce::assume_unique_for_key(nonce)
}

fn long_nonce(counter: [u8; 4]) -> [u8; 24] {
    let mut nonce = [0; 24];
    nonce[..4].copy_from_slice(&counter);
    nonce
}

/// XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key derived from the first 16 nonce bytes, with the other 8 as its nonce
/// (draft-irtf-cfrg-xchacha-03 §2.3). No maintained safe crate in our tree has it, and the derivation is small.
fn xchacha(secret: &[u8; 32], nonce: &[u8; 24]) -> (LessSafeKey, Nonce) {
    let key = hchacha20(secret, &nonce[..16]);
    let mut short = [0; 12];
    short[4..].copy_from_slice(&nonce[16..]);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("32 bytes are a ChaCha20 key");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
}

/// The ChaCha20 rounds without the final addition; first and last row of the state are the derived key.
fn hchacha20(key: &[u8; 32], nonce: &[u8]) -> [u8; 32] {
    const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut state = [0u32; 16];
    state[..4].copy_from_slice(&CONSTANTS);
    for (word_at, bytes) in key.chunks_exact(4).chain(nonce.chunks_exact(4)).enumerate() {
        state[4 + word_at] = word(bytes);
    }
    for _ in 0..10 {
        for [a, b, c, d] in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
            quarter_round(&mut state, a, b, c, d);
        }
        for [a, b, c, d] in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
            quarter_round(&mut state, a, b, c, d);
        }
    }
    let mut out = [0; 32];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state[..4].iter().chain(&state[12..])) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn quarter_round(state: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    let mut step = |sum: usize, with: usize, mixed: usize, rotation: u32| {
        state[sum] = state[sum].wrapping_add(state[with]);
        state[mixed] = (state[mixed] ^ state[sum]).rotate_left(rotation);
    };
    step(a, b, d, 16);
    step(c, d, b, 12);
    step(a, b, d, 8);
    step(c, d, b, 7);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex")).collect()
    }

    fn key() -> [u8; 32] {
        std::array::from_fn(|at| at as u8)
    }

    #[test]
    fn the_ways_without_allocation_are_the_same_cipher() {
        for suite in Suite::ALL {
            let cipher = Cipher::new(suite, key());
            let header = rtp::Header::opus(7, 960, 9);
            let mut packet = vec![1, 2, 3];
            cipher.seal_into(5, &header, b"some opus", &mut packet);
            assert_eq!(packet, cipher.seal_rtp(5, &header, &[], b"some opus"));
            let mut damaged = packet.clone();
            damaged[14] ^= 1;
            assert_eq!(cipher.open_in_place(&mut damaged), Err(OpenError::Tag));
            assert_eq!(cipher.open_in_place(&mut packet), Ok((header, &b"some opus"[..])));
            assert_eq!(cipher.open_in_place(&mut packet[..20]), Err(OpenError::Form));
            let extended = rtp::Header { extension_words: Some(1), clear_len: 16, ..header };
            let mut packet = cipher.seal_rtp(6, &extended, &[1, 2, 3, 4], b"opus");
            assert_eq!(cipher.open_in_place(&mut packet), Ok((extended, &b"opus"[..])));
        }
    }

    #[test]
    fn hchacha20_gives_the_drafts_answer() {
        // draft-irtf-cfrg-xchacha-03 §2.2.1
        let nonce = hex("000000090000004a0000000031415927");
        let expected = hex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
        assert_eq!(hchacha20(&key(), &nonce).to_vec(), expected);
    }

    #[test]
    fn xchacha20_poly1305_gives_the_drafts_answer() {
        // draft-irtf-cfrg-xchacha-03 §A.3.1
        let secret: [u8; 32] = std::array::from_fn(|at| 0x80 + at as u8);
        let nonce: [u8; 24] = std::array::from_fn(|at| 0x40 + at as u8);
        let (key, nonce) = xchacha(&secret, &nonce);
        let mut text =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
                .to_vec();
        let aad = hex("50515253c0c1c2c3c4c5c6c7");
        key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut text).expect("sealing");
        assert_eq!(text[..16], hex("bd6d179d3e83d43b9576579493c0e939")[..]);
        assert_eq!(text[text.len() - 16..], hex("c0875924c1c7987947deafd8780acf49")[..]);
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_key_only() {
        for suite in Suite::ALL {
            let (ours, theirs) = (Cipher::new(suite, key()), Cipher::new(suite, [9; 32]));
            let header = rtp::Header { extension_words: Some(1), clear_len: 16, ..rtp::Header::opus(7, 960, 42) };
            let packet = ours.seal_rtp(3_000_000_000, &header, &[0x10, 0xff, 0, 0], b"opus");
            assert_eq!(packet.len(), 16 + 4 + 4 + OVERHEAD);
            assert_eq!(packet[packet.len() - 4..], 3_000_000_000u32.to_be_bytes());
            let opened = ours.open_rtp(&packet).expect("our own packet");
            assert_eq!((opened.header, opened.nonce), (header, 3_000_000_000));
            assert_eq!((&opened.extension[..], &opened.payload[..]), (&[0x10, 0xff, 0, 0][..], &b"opus"[..]));
            assert_eq!(theirs.open_rtp(&packet), Err(OpenError::Tag));
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        for suite in Suite::ALL {
            let cipher = Cipher::new(suite, key());
            let packet = cipher.seal_rtp(5, &rtp::Header::opus(1, 2, 3), &[], &[0xf8, 0xff, 0xfe]);
            for bit in 0..packet.len() * 8 {
                let mut changed = packet.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(cipher.open_rtp(&changed).is_err(), "{suite:?} accepted a change of bit {bit}");
            }
        }
    }
}
