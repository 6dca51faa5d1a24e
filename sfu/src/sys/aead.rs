//! One AEAD key, ready to use, by value.

use aws_lc_sys::{
    EVP_AEAD, EVP_AEAD_CTX, EVP_AEAD_CTX_cleanup, EVP_AEAD_CTX_init, EVP_AEAD_CTX_open_gather, EVP_AEAD_CTX_seal_scatter,
    EVP_AEAD_CTX_zero, EVP_aead_aes_128_gcm, EVP_aead_aes_256_gcm, EVP_aead_xchacha20_poly1305,
};
use std::mem::MaybeUninit;
use std::ptr;

/// Every AEAD here has a tag of this length.
pub const TAG_LEN: usize = 16;

/// Which AEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Aes128Gcm,
    Aes256Gcm,
    XChaCha20Poly1305,
}

impl Algorithm {
    pub const fn key_len(self) -> usize {
        match self {
            Algorithm::Aes128Gcm => 16,
            Algorithm::Aes256Gcm | Algorithm::XChaCha20Poly1305 => 32,
        }
    }

    pub const fn nonce_len(self) -> usize {
        match self {
            Algorithm::Aes128Gcm | Algorithm::Aes256Gcm => 12,
            Algorithm::XChaCha20Poly1305 => 24,
        }
    }

    fn as_ptr(self) -> *const EVP_AEAD {
        // SAFETY: these functions have no preconditions and return pointers to static tables.
        unsafe {
            match self {
                Algorithm::Aes128Gcm => EVP_aead_aes_128_gcm(),
                Algorithm::Aes256Gcm => EVP_aead_aes_256_gcm(),
                Algorithm::XChaCha20Poly1305 => EVP_aead_xchacha20_poly1305(),
            }
        }
    }
}

/// An expanded key (584 bytes for every algorithm). Moving it is sound: for these three algorithms the state holds the key
/// schedule, the GHASH table and pointers to functions, never a pointer into itself, and sealing copies the table to an
/// aligned place first.
pub struct Aead {
    context: EVP_AEAD_CTX,
    nonce_len: usize,
}

// SAFETY: the context is plain data once initialized; the pointers in it lead to static tables and functions, and sealing and
// opening take it by const pointer without writing to it (aead.h: contexts may be used concurrently).
unsafe impl Send for Aead {}

impl Aead {
    /// `key` must have [`Algorithm::key_len`] bytes, which is all that can go wrong.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Aead {
        assert_eq!(key.len(), algorithm.key_len(), "keys are cut to length by the caller");
        let mut context = MaybeUninit::<EVP_AEAD_CTX>::uninit();
        // SAFETY: `zero` makes the context valid, `init` reads `key_len` bytes of `key`, which are there.
        let context = unsafe {
            EVP_AEAD_CTX_zero(context.as_mut_ptr());
            let done =
                EVP_AEAD_CTX_init(context.as_mut_ptr(), algorithm.as_ptr(), key.as_ptr(), key.len(), TAG_LEN, ptr::null_mut());
            assert_eq!(done, 1, "a key of the right length is always accepted");
            context.assume_init()
        };
        Aead { context, nonce_len: algorithm.nonce_len() }
    }

    /// Encrypts `plaintext` into the start of `body`, the tag behind it, and returns the length of both. `aad` is authenticated
    /// with it. Panics when `body` is too short: callers hold a whole datagram.
    #[inline]
    pub fn seal(&self, nonce: &[u8], aad: &[u8], body: &mut [u8], plaintext: &[u8]) -> usize {
        let (ciphertext, tag) = body.split_at_mut(plaintext.len());
        // SAFETY: both are live slices of the length that is said, and cannot overlap (one is borrowed mutably).
        unsafe { self.seal_scatter(nonce, aad, ciphertext.as_mut_ptr(), plaintext.as_ptr(), plaintext.len(), tag) }
    }

    /// The same for a plaintext that stands in the first `len` bytes of `body` already.
    #[inline]
    pub fn seal_in_place(&self, nonce: &[u8], aad: &[u8], body: &mut [u8], len: usize) -> usize {
        let (text, tag) = body.split_at_mut(len);
        let text = text.as_mut_ptr();
        // SAFETY: it is one live slice of the length that is said.
        unsafe { self.seal_scatter(nonce, aad, text, text, len, tag) }
    }

    /// Encrypts `len` bytes and writes the tag into the start of `tag`; the length of both.
    ///
    /// # Safety
    /// `plaintext` is readable and `ciphertext` writable for `len` bytes; they are the same or do not overlap.
    #[inline]
    unsafe fn seal_scatter(
        &self,
        nonce: &[u8],
        aad: &[u8],
        ciphertext: *mut u8,
        plaintext: *const u8,
        len: usize,
        tag: &mut [u8],
    ) -> usize {
        assert!(nonce.len() == self.nonce_len && tag.len() >= TAG_LEN);
        let mut tag_len = 0;
        // SAFETY: the caller answers for the text; every other pointer comes from a live slice and is passed with its length, and
        // `tag` holds at least TAG_LEN bytes.
        let done = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                &self.context,
                ciphertext,
                tag.as_mut_ptr(),
                &mut tag_len,
                TAG_LEN,
                nonce.as_ptr(),
                nonce.len(),
                plaintext,
                len,
                ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        };
        assert!(done == 1 && tag_len == TAG_LEN, "sealing fails only for lengths that were just checked");
        len + TAG_LEN
    }

    /// Decrypts `body` (ciphertext, then tag) in place and returns the length of the plaintext at its start. When the tag
    /// does not match, `body` is wiped.
    #[inline]
    pub fn open(&self, nonce: &[u8], aad: &[u8], body: &mut [u8]) -> Option<usize> {
        let len = body.len().checked_sub(TAG_LEN)?;
        assert!(nonce.len() == self.nonce_len);
        let (text, tag) = body.split_at_mut(len);
        let text_ptr = text.as_mut_ptr();
        // SAFETY: every pointer comes from a live slice and is passed with that slice's length; input and output are the same
        // range, which the function allows.
        let done = unsafe {
            EVP_AEAD_CTX_open_gather(
                &self.context,
                text_ptr,
                nonce.as_ptr(),
                nonce.len(),
                text_ptr,
                len,
                tag.as_ptr(),
                TAG_LEN,
                aad.as_ptr(),
                aad.len(),
            )
        };
        (done == 1).then_some(len)
    }
}

impl Drop for Aead {
    fn drop(&mut self) {
        // SAFETY: the context was initialized in `new` and is cleaned up once.
        unsafe { EVP_AEAD_CTX_cleanup(&mut self.context) }
    }
}
