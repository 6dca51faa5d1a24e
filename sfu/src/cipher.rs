//! One form of cipher context for both transports: a key of one direction, expanded and held by value.
//!
//! | suite | nonce | authenticated | tail |
//! |---|---|---|---|
//! | native `aead_aes256_gcm_rtpsize`, `aead_xchacha20_poly1305_rtpsize` | 32-bit counter, then zeros | header and extension preamble | tag 16, counter 4 |
//! | SRTP AEAD_AES_128/256_GCM (RFC 7714) | salt ^ (ssrc, rollover, sequence) | whole header | tag 16 |
//! | SRTP AES128_CM_HMAC_SHA1_80 (RFC 3711) | salt ^ (ssrc, index) | header, body, rollover | tag 10 |
//!
//! SRTCP has its own keys and its own index. Nothing here decides what is fresh: callers ask [`crate::replay`] first and
//! never seal one (SSRC, index) twice.

pub mod counter_mode;
pub mod keys;
pub mod nonces;

use crate::NativeSuite;
use crate::rtp::Header;
use crate::sys::aead::{Aead, Algorithm, TAG_LEN};
use counter_mode::CounterMode;
use keys::{Profile, SessionKeys};
use nonces::Nonces;
use std::ops::Range;

/// Bytes of the native transport's nonce at the end of a packet.
const NONCE_TAIL: usize = 4;

/// The most that sealing adds to header and payload.
pub const MAX_OVERHEAD: usize = TAG_LEN + NONCE_TAIL;

/// The part of an RTCP packet that stays clear: its first header and the sender's SSRC.
const RTCP_CLEAR: usize = 8;

/// The highest SRTCP index; the bit above says "encrypted".
const RTCP_MAX_INDEX: u32 = 0x7FFF_FFFF;

/// Why a packet did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Its lengths contradict each other.
    Malformed,
    /// The tag does not match.
    WrongTag,
}

/// Where things are in an opened packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub payload: Range<usize>,
    /// The extension's body, empty without one.
    pub extension: Range<usize>,
    /// The client's nonce, on the native transport.
    pub nonce: Option<u32>,
}

/// The key of one direction.
enum Cipher {
    Native {
        aead: Aead,
        is_xchacha: bool,
    },
    Gcm {
        aead: Aead,
        salt: [u8; 12],
    },
    /// Boxed: it is rare and large, and would make every listener's block larger.
    CounterMode(Box<CounterMode>),
}

impl Cipher {
    fn native(suite: NativeSuite, key: &[u8; 32]) -> Cipher {
        let (algorithm, is_xchacha) = match suite {
            NativeSuite::Aes256GcmRtpsize => (Algorithm::Aes256Gcm, false),
            NativeSuite::XChaCha20Poly1305Rtpsize => (Algorithm::XChaCha20Poly1305, true),
        };
        Cipher::Native { aead: Aead::new(algorithm, key), is_xchacha }
    }

    fn srtp(profile: Profile, keys: &SessionKeys) -> Cipher {
        let algorithm = match profile {
            Profile::Aes128CmSha1 => return Cipher::CounterMode(Box::new(CounterMode::new(keys))),
            Profile::Aes128Gcm => Algorithm::Aes128Gcm,
            Profile::Aes256Gcm => Algorithm::Aes256Gcm,
        };
        let salt = *keys.salt.first_chunk().expect("a salt has at least 12 bytes");
        Cipher::Gcm { aead: Aead::new(algorithm, &keys.key[..algorithm.key_len()]), salt }
    }
}

/// Seals what we send to one peer: RTP of any SSRC under one key.
pub struct Outbound {
    cipher: Cipher,
    nonces: Nonces,
}

impl Outbound {
    pub fn native(suite: NativeSuite, key: &[u8; 32]) -> Outbound {
        Outbound { cipher: Cipher::native(suite, key), nonces: Nonces::new() }
    }

    pub fn srtp(profile: Profile, keys: &SessionKeys) -> Outbound {
        Outbound { cipher: Cipher::srtp(profile, keys), nonces: Nonces::new() }
    }

    /// Tells what nonce the client used under the key that both directions share; `false` when the key is used up.
    pub fn observe(&mut self, client_nonce: u32) -> bool {
        self.nonces.observe(client_nonce)
    }

    /// Whether the key can seal no more (native: 2^30 packets).
    pub fn is_used_up(&self) -> bool {
        self.nonces.is_used_up()
    }

    /// Seals `payload` behind the header that stands in `out[..header_len]` and returns the datagram's length. `index` is the
    /// rollover count and sequence number; the sequence number in the header must be its low half. The native transport
    /// takes its own counter instead.
    #[inline]
    pub fn seal(&mut self, out: &mut [u8], header_len: usize, index: u64, payload: &[u8]) -> usize {
        let (header, body) = out.split_at_mut(header_len);
        header_len
            + match &self.cipher {
                Cipher::Native { aead, is_xchacha } => {
                    let counter = self.nonces.take().to_be_bytes();
                    let sealed = aead.seal(&native_nonce(counter)[..native_nonce_len(*is_xchacha)], header, body, payload);
                    body[sealed..sealed + NONCE_TAIL].copy_from_slice(&counter);
                    sealed + NONCE_TAIL
                }
                Cipher::Gcm { aead, salt } => aead.seal(&gcm_nonce(salt, ssrc_of(header), index), header, body, payload),
                Cipher::CounterMode(keys) => keys.seal(header, index, body, payload),
            }
    }

    /// The same for a payload of `len` bytes that stands behind the header already: what is changed before it is sealed is
    /// copied once.
    #[inline]
    pub fn seal_in_place(&mut self, out: &mut [u8], header_len: usize, index: u64, len: usize) -> usize {
        let (header, body) = out.split_at_mut(header_len);
        header_len
            + match &self.cipher {
                Cipher::Native { aead, is_xchacha } => {
                    let counter = self.nonces.take().to_be_bytes();
                    let nonce = native_nonce(counter);
                    let sealed = aead.seal_in_place(&nonce[..native_nonce_len(*is_xchacha)], header, body, len);
                    body[sealed..sealed + NONCE_TAIL].copy_from_slice(&counter);
                    sealed + NONCE_TAIL
                }
                Cipher::Gcm { aead, salt } => aead.seal_in_place(&gcm_nonce(salt, ssrc_of(header), index), header, body, len),
                Cipher::CounterMode(keys) => keys.seal_in_place(header, index, body, len),
            }
    }
}

/// Opens what one peer sends.
pub struct Inbound {
    cipher: Cipher,
}

impl Inbound {
    pub fn native(suite: NativeSuite, key: &[u8; 32]) -> Inbound {
        Inbound { cipher: Cipher::native(suite, key) }
    }

    pub fn srtp(profile: Profile, keys: &SessionKeys) -> Inbound {
        Inbound { cipher: Cipher::srtp(profile, keys) }
    }

    /// Decrypts a packet in place. On the native transport the extension's body is encrypted with the payload and stripped
    /// here; RTP padding is stripped too. A packet that fails to open is left unusable.
    #[inline]
    pub fn open(&self, datagram: &mut [u8], header: &Header, index: u64) -> Result<Opened, OpenError> {
        let clear_len = match &self.cipher {
            Cipher::Native { .. } => header.preamble_len(),
            Cipher::Gcm { .. } | Cipher::CounterMode(_) => header.full_len(),
        };
        if datagram.len() < clear_len {
            return Err(OpenError::Malformed);
        }
        let (clear, body) = datagram.split_at_mut(clear_len);
        let mut nonce = None;
        let len = match &self.cipher {
            Cipher::Native { aead, is_xchacha } => {
                let (body, counter) = body.split_last_chunk_mut::<NONCE_TAIL>().ok_or(OpenError::Malformed)?;
                nonce = Some(u32::from_be_bytes(*counter));
                let nonce = native_nonce(*counter);
                aead.open(&nonce[..native_nonce_len(*is_xchacha)], clear, body)
            }
            Cipher::Gcm { aead, salt } => aead.open(&gcm_nonce(salt, header.ssrc, index), clear, body),
            Cipher::CounterMode(keys) => keys.open(clear, index, body),
        };
        let end = clear_len + len.ok_or(OpenError::WrongTag)?;
        let start = header.full_len();
        let mut payload = start..end;
        if header.has_padding {
            let padding = usize::from(*datagram.get(end.wrapping_sub(1)).ok_or(OpenError::Malformed)?);
            payload.end = end.checked_sub(padding).filter(|_| padding > 0).ok_or(OpenError::Malformed)?;
        }
        if payload.start > payload.end {
            return Err(OpenError::Malformed);
        }
        Ok(Opened { payload, extension: header.preamble_len()..start, nonce })
    }

    /// Whether an RTCP packet of the native transport is authentic (its content is of no use to us).
    pub fn is_authentic_native_rtcp(&self, datagram: &mut [u8]) -> bool {
        let Cipher::Native { aead, is_xchacha } = &self.cipher else { return false };
        let Some((clear, body)) = datagram.split_at_mut_checked(RTCP_CLEAR) else { return false };
        let Some((body, counter)) = body.split_last_chunk_mut::<NONCE_TAIL>() else { return false };
        aead.open(&native_nonce(*counter)[..native_nonce_len(*is_xchacha)], clear, body).is_some()
    }
}

/// Seals our RTCP to a WebRTC peer.
pub struct RtcpOutbound {
    cipher: Cipher,
    next_index: u32,
}

impl RtcpOutbound {
    pub fn new(profile: Profile, keys: &SessionKeys) -> RtcpOutbound {
        RtcpOutbound { cipher: Cipher::srtp(profile, keys), next_index: 1 }
    }

    /// Seals a compound packet into `out` and returns the datagram's length; `None` when the 2^31 indices are used up.
    pub fn seal(&mut self, out: &mut [u8], packet: &[u8]) -> Option<usize> {
        if self.next_index > RTCP_MAX_INDEX {
            return None;
        }
        let index = self.next_index;
        self.next_index += 1;
        let trailer = (index | 1 << 31).to_be_bytes();
        let (clear, plain) = packet.split_at_checked(RTCP_CLEAR)?;
        out[..RTCP_CLEAR].copy_from_slice(clear);
        match &self.cipher {
            Cipher::Gcm { aead, salt } => {
                let nonce = gcm_rtcp_nonce(salt, ssrc_at(clear, 4), index);
                let sealed = aead.seal(&nonce, &rtcp_aad(clear, trailer), &mut out[RTCP_CLEAR..], plain);
                let end = RTCP_CLEAR + sealed;
                out[end..end + 4].copy_from_slice(&trailer);
                Some(end + 4)
            }
            Cipher::CounterMode(keys) => Some(keys.seal_rtcp(out, index, trailer, plain)),
            Cipher::Native { .. } => None,
        }
    }
}

/// Opens a WebRTC peer's RTCP.
pub struct RtcpInbound {
    cipher: Cipher,
}

impl RtcpInbound {
    pub fn new(profile: Profile, keys: &SessionKeys) -> RtcpInbound {
        RtcpInbound { cipher: Cipher::srtp(profile, keys) }
    }

    /// The SRTCP index that a datagram claims, to ask the replay window before decrypting.
    pub fn claimed_index(&self, datagram: &[u8]) -> Option<u32> {
        let tail = match &self.cipher {
            Cipher::CounterMode(_) => counter_mode::TAG_LEN,
            _ => 0,
        };
        let end = datagram.len().checked_sub(tail)?;
        Some(u32::from_be_bytes(*datagram[..end].last_chunk()?) & RTCP_MAX_INDEX)
    }

    /// Decrypts in place and returns the compound packet's length.
    pub fn open(&self, datagram: &mut [u8]) -> Result<usize, OpenError> {
        match &self.cipher {
            Cipher::Gcm { aead, salt } => {
                let (sealed, trailer) = datagram.split_last_chunk_mut::<4>().ok_or(OpenError::Malformed)?;
                let (clear, body) = sealed.split_at_mut_checked(RTCP_CLEAR).ok_or(OpenError::Malformed)?;
                let claimed = u32::from_be_bytes(*trailer);
                // We ask for encrypted RTCP, so a packet without the bit is not from our peer.
                if claimed >> 31 == 0 {
                    return Err(OpenError::WrongTag);
                }
                let nonce = gcm_rtcp_nonce(salt, ssrc_at(clear, 4), claimed & RTCP_MAX_INDEX);
                let aad = rtcp_aad(clear, *trailer);
                Ok(RTCP_CLEAR + aead.open(&nonce, &aad, body).ok_or(OpenError::WrongTag)?)
            }
            Cipher::CounterMode(keys) => keys.open_rtcp(datagram),
            Cipher::Native { .. } => Err(OpenError::Malformed),
        }
    }
}

/// The counter first, the rest zero; 24 bytes for XChaCha20, of which GCM takes 12.
#[inline]
fn native_nonce(counter: [u8; 4]) -> [u8; 24] {
    let mut nonce = [0; 24];
    nonce[..4].copy_from_slice(&counter);
    nonce
}

#[inline]
const fn native_nonce_len(is_xchacha: bool) -> usize {
    if is_xchacha { 24 } else { 12 }
}

/// RFC 7714 §8.1.
#[inline]
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    xor(&mut nonce, salt);
    nonce
}

/// RFC 7714 §9.1.
fn gcm_rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[8..].copy_from_slice(&index.to_be_bytes());
    xor(&mut nonce, salt);
    nonce
}

/// RFC 7714 §9.2: the clear header and the trailer with the encryption bit.
fn rtcp_aad(clear: &[u8], trailer: [u8; 4]) -> [u8; RTCP_CLEAR + 4] {
    let mut aad = [0; RTCP_CLEAR + 4];
    aad[..RTCP_CLEAR].copy_from_slice(clear);
    aad[RTCP_CLEAR..].copy_from_slice(&trailer);
    aad
}

#[inline]
fn xor(bytes: &mut [u8], with: &[u8]) {
    bytes.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}

#[inline]
fn ssrc_of(header: &[u8]) -> u32 {
    ssrc_at(header, 8)
}

#[inline]
fn ssrc_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}

#[cfg(test)]
mod tests;
