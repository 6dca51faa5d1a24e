//! The secret that a node joins with.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;
const LONGEST: usize = 256;

/// 16 to 256 printable ASCII characters without spaces.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a join secret has {SHORTEST} to {LONGEST} printable ASCII characters without spaces")]
pub struct BadSecret;

impl JoinSecret {
    /// What a file has, without the space around it.
    pub fn new(text: &str) -> Result<Self, BadSecret> {
        let text = text.trim();
        let is_sound = (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_sound { Ok(Self(text.to_owned())) } else { Err(BadSecret) }
    }

    /// The `authorization` of a request.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Takes as long for a near miss as for any other: what is compared are digests, in constant time.
    pub(crate) fn is_in(&self, header: &[u8]) -> bool {
        let (ours, theirs) = (digest(&SHA256, self.header().as_bytes()), digest(&SHA256, header));
        verify_slices_are_equal(ours.as_ref(), theirs.as_ref()).is_ok()
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_opens() {
        let secret = JoinSecret::new(" 0123456789abcdef\n").unwrap();
        assert!(secret.is_in(b"Bearer 0123456789abcdef"));
        for wrong in ["", "0123456789abcdef", "Bearer 0123456789abcde", "Bearer 0123456789abcdeF", "bearer 0123456789abcdef"] {
            assert!(!secret.is_in(wrong.as_bytes()), "{wrong}");
        }
        for bad in ["short", "with a space in the middle", &"x".repeat(257)] {
            assert_eq!(JoinSecret::new(bad), Err(BadSecret));
        }
        assert_eq!(format!("{secret:?}"), "JoinSecret");
    }
}
