//! SRTP session keys out of DTLS keying material (RFC 5764 §4.2, RFC 3711 §4.3, RFC 7714 §11).

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};

/// The SRTP protection profiles that browsers offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Aes256Gcm,
    Aes128Gcm,
    Aes128CmSha1,
}

impl Profile {
    pub const fn key_len(self) -> usize {
        match self {
            Profile::Aes256Gcm => 32,
            Profile::Aes128Gcm | Profile::Aes128CmSha1 => 16,
        }
    }

    pub const fn salt_len(self) -> usize {
        match self {
            Profile::Aes256Gcm | Profile::Aes128Gcm => 12,
            Profile::Aes128CmSha1 => 14,
        }
    }
}

/// Key, authentication key and salt of RTP or of RTCP in one direction; each is as long as the profile says, the rest zero.
#[derive(Clone)]
pub struct SessionKeys {
    pub key: [u8; 32],
    pub auth: [u8; 20],
    pub salt: [u8; 14],
}

/// All keys of one direction.
#[derive(Clone)]
pub struct DirectionKeys {
    pub rtp: SessionKeys,
    pub rtcp: SessionKeys,
}

/// What a DTLS handshake exports, cut by direction.
#[derive(Clone)]
pub struct TransportKeys {
    pub profile: Profile,
    /// What the DTLS client (the browser) sends with.
    pub client: DirectionKeys,
    /// What the DTLS server (us) sends with.
    pub server: DirectionKeys,
}

impl TransportKeys {
    /// `exported` is client key, server key, client salt, server salt; `None` when it has another length.
    pub fn derive(profile: Profile, exported: &[u8]) -> Option<TransportKeys> {
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        if exported.len() != 2 * (key_len + salt_len) {
            return None;
        }
        let (keys, salts) = exported.split_at(2 * key_len);
        let ((client_key, server_key), (client_salt, server_salt)) = (keys.split_at(key_len), salts.split_at(salt_len));
        Some(TransportKeys {
            profile,
            client: DirectionKeys::derive(client_key, client_salt),
            server: DirectionKeys::derive(server_key, server_salt),
        })
    }
}

impl DirectionKeys {
    fn derive(master: &[u8], salt: &[u8]) -> DirectionKeys {
        // Labels of RFC 3711 §4.3.2: encryption, authentication, salt; RTP from 0, RTCP from 3.
        let session = |first_label: u8| {
            let mut keys = SessionKeys { key: [0; 32], auth: [0; 20], salt: [0; 14] };
            expand(master, salt, first_label, &mut keys.key[..master.len()]);
            expand(master, salt, first_label + 1, &mut keys.auth);
            expand(master, salt, first_label + 2, &mut keys.salt[..salt.len()]);
            keys
        };
        DirectionKeys { rtp: session(0), rtcp: session(3) }
    }
}

/// The AES-CM pseudo-random function with a key derivation rate of zero: the key stream at (salt ^ label << 48) << 16.
fn expand(master: &[u8], salt: &[u8], label: u8, out: &mut [u8]) {
    let mut counter = [0u8; 16];
    counter[..salt.len()].copy_from_slice(salt);
    counter[7] ^= label;
    for (block_index, chunk) in out.chunks_mut(16).enumerate() {
        counter[15] = block_index as u8;
        let mut block = Block::from(counter);
        match master.len() {
            16 => Aes128::new_from_slice(master).expect("16 bytes").encrypt_block(&mut block),
            _ => Aes256::new_from_slice(master).expect("the other key length is 32").encrypt_block(&mut block),
        }
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests;
