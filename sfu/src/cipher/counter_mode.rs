//! AES128_CM_HMAC_SHA1_80 (RFC 3711 §4), for browsers that refuse AEAD: the expanded AES key and the HMAC state after its
//! key block are kept, which halves the cost of a packet.

use super::keys::SessionKeys;
use super::{OpenError, RTCP_CLEAR, RTCP_MAX_INDEX, ssrc_at, ssrc_of};
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// The 80-bit tag.
pub const TAG_LEN: usize = 10;

/// Blocks of key stream made at once, what AES-NI keeps in flight.
const STRIDE: usize = 8;

pub struct CounterMode {
    aes: Aes128,
    hmac: Hmac<Sha1>,
    salt: [u8; 14],
}

impl CounterMode {
    pub fn new(keys: &SessionKeys) -> CounterMode {
        CounterMode {
            aes: Aes128::new_from_slice(&keys.key[..16]).expect("16 bytes"),
            hmac: <Hmac<Sha1> as KeyInit>::new_from_slice(&keys.auth).expect("an HMAC key may have any length"),
            salt: keys.salt,
        }
    }

    /// Writes ciphertext and tag into `body` and returns their length.
    #[inline]
    pub fn seal(&self, header: &[u8], index: u64, body: &mut [u8], payload: &[u8]) -> usize {
        body[..payload.len()].copy_from_slice(payload);
        self.seal_in_place(header, index, body, payload.len())
    }

    /// The same for a payload that stands in the first `len` bytes of `body` already.
    #[inline]
    pub fn seal_in_place(&self, header: &[u8], index: u64, body: &mut [u8], len: usize) -> usize {
        let (ciphertext, rest) = body.split_at_mut(len);
        self.apply_key_stream(ssrc_of(header), index, ciphertext);
        rest[..TAG_LEN].copy_from_slice(&self.tag(&[header, ciphertext, &rollover(index)]));
        len + TAG_LEN
    }

    /// Verifies, then decrypts `body` in place; the length of the plaintext.
    #[inline]
    pub fn open(&self, header: &[u8], index: u64, body: &mut [u8]) -> Option<usize> {
        let (ciphertext, tag) = body.split_last_chunk_mut::<TAG_LEN>()?;
        if !is_equal(&self.tag(&[header, ciphertext, &rollover(index)]), tag) {
            return None;
        }
        self.apply_key_stream(ssrc_of(header), index, ciphertext);
        Some(ciphertext.len())
    }

    /// `out` starts with the clear header; ciphertext, trailer and tag follow.
    pub fn seal_rtcp(&self, out: &mut [u8], index: u32, trailer: [u8; 4], plain: &[u8]) -> usize {
        let end = RTCP_CLEAR + plain.len();
        let ssrc = ssrc_at(out, 4);
        out[RTCP_CLEAR..end].copy_from_slice(plain);
        self.apply_key_stream(ssrc, u64::from(index), &mut out[RTCP_CLEAR..end]);
        out[end..end + 4].copy_from_slice(&trailer);
        let tag = self.tag(&[&out[..end + 4]]);
        out[end + 4..end + 4 + TAG_LEN].copy_from_slice(&tag);
        end + 4 + TAG_LEN
    }

    pub fn open_rtcp(&self, datagram: &mut [u8]) -> Result<usize, OpenError> {
        let (authentic, tag) = datagram.split_last_chunk_mut::<TAG_LEN>().ok_or(OpenError::Malformed)?;
        let (packet, trailer) = authentic.split_last_chunk::<4>().ok_or(OpenError::Malformed)?;
        if packet.len() < RTCP_CLEAR {
            return Err(OpenError::Malformed);
        }
        let (len, claimed) = (packet.len(), u32::from_be_bytes(*trailer));
        // Without the encryption bit it is not what we negotiated.
        if claimed >> 31 == 0 || !is_equal(&self.tag(&[authentic]), tag) {
            return Err(OpenError::WrongTag);
        }
        let ssrc = ssrc_at(authentic, 4);
        self.apply_key_stream(ssrc, u64::from(claimed & RTCP_MAX_INDEX), &mut authentic[RTCP_CLEAR..len]);
        Ok(len)
    }

    /// RFC 3711 §4.1.1: the counter starts at (salt << 16) ^ (ssrc << 64) ^ (index << 16).
    #[inline]
    fn apply_key_stream(&self, ssrc: u32, index: u64, text: &mut [u8]) {
        let mut start = [0u8; 16];
        start[..14].copy_from_slice(&self.salt);
        super::xor(&mut start[4..8], &ssrc.to_be_bytes());
        super::xor(&mut start[8..14], &index.to_be_bytes()[2..]);
        let mut counter = u128::from_be_bytes(start);
        for chunk in text.chunks_mut(16 * STRIDE) {
            let mut blocks = [Block::default(); STRIDE];
            let used = chunk.len().div_ceil(16);
            for block in &mut blocks[..used] {
                *block = Block::from(counter.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            self.aes.encrypt_blocks(&mut blocks[..used]);
            for (part, block) in chunk.chunks_mut(16).zip(&blocks) {
                super::xor(part, block);
            }
        }
    }

    #[inline]
    fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut hmac = self.hmac.clone();
        parts.iter().for_each(|part| hmac.update(part));
        *hmac.finalize().as_bytes().first_chunk().expect("SHA-1 has 20 bytes")
    }
}

#[inline]
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// In constant time, so that a tag cannot be guessed byte by byte.
#[inline]
fn is_equal(a: &[u8; TAG_LEN], b: &[u8; TAG_LEN]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}
