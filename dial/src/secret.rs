//! The secrets that nodes join with.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;
const LONGEST: usize = 256;

/// In one file. While one takes another's place there are two; each more is one more that can leak.
const MOST: usize = 8;

/// 16 to 256 printable ASCII characters without spaces.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    #[error("there is none in it")]
    None,
    #[error("line {line} has {length} characters: fewer than {SHORTEST} can be guessed")]
    Short { line: usize, length: usize },
    #[error("line {line} has {length} characters: {LONGEST} are possible")]
    Long { line: usize, length: usize },
    #[error("line {line} has something else than printable ASCII characters without spaces")]
    Strange { line: usize },
    #[error("it has more than {MOST}: take out those that nobody joins with any more")]
    Many,
}

impl JoinSecret {
    fn new(text: &str, line: usize) -> Result<Self, BadSecret> {
        let length = text.chars().count();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadSecret::Strange { line });
        }
        match length {
            ..SHORTEST => Err(BadSecret::Short { line, length }),
            SHORTEST..=LONGEST => Ok(Self(text.to_owned())),
            _ => Err(BadSecret::Long { line, length }),
        }
    }

    /// The `authorization` of a request.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Takes as long for a near miss as for any other: what is compared are digests, in constant time.
    fn is_in(&self, header: &[u8]) -> bool {
        let (ours, theirs) = (digest(&SHA256, self.header().as_bytes()), digest(&SHA256, header));
        verify_slices_are_equal(ours.as_ref(), theirs.as_ref()).is_ok()
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret")
    }
}

/// What a file has, a secret in each line: a node dials with the first, a control plane takes any. So one is replaced by another
/// without a moment in which somebody is shut out. At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinSecrets(Vec<JoinSecret>);

impl JoinSecrets {
    /// Empty lines, and the space around the others, do not count.
    pub fn read(text: &str) -> Result<Self, BadSecret> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty());
        let secrets: Vec<JoinSecret> = lines.map(|(at, line)| JoinSecret::new(line, at)).collect::<Result<_, _>>()?;
        match secrets.len() {
            0 => Err(BadSecret::None),
            1..=MOST => Ok(Self(secrets)),
            _ => Err(BadSecret::Many),
        }
    }

    pub(crate) fn first(&self) -> &JoinSecret {
        &self.0[0]
    }

    /// The one that a request's `authorization` has.
    pub(crate) fn find(&self, header: &[u8]) -> Option<&JoinSecret> {
        self.0.iter().find(|secret| secret.is_in(header))
    }

    pub(crate) fn has(&self, secret: &JoinSecret) -> bool {
        self.find(secret.header().as_bytes()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_secret_opens_whichever_of_them() {
        let secrets = JoinSecrets::read(" 0123456789abcdef\r\n\n  another-of-them-all\n").unwrap();
        assert_eq!(secrets.first().header(), "Bearer 0123456789abcdef");
        for right in ["Bearer 0123456789abcdef", "Bearer another-of-them-all"] {
            let found = secrets.find(right.as_bytes()).unwrap();
            assert!(found.header() == right && secrets.has(found));
        }
        for wrong in ["", "0123456789abcdef", "Bearer 0123456789abcde", "Bearer 0123456789abcdeF", "bearer 0123456789abcdef"] {
            assert_eq!(secrets.find(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(!JoinSecrets::read("another-of-them-all").unwrap().has(secrets.first()));
        assert_eq!(format!("{secrets:?}"), "JoinSecrets([JoinSecret, JoinSecret])");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_secret() {
        let good = "0123456789abcdef\n";
        let cases = [
            ("\n \n".to_owned(), "there is none in it"),
            (format!("{good}\nshort"), "line 3 has 5 characters: fewer than 16 can be guessed"),
            ("x".repeat(257), "line 1 has 257 characters: 256 are possible"),
            (format!("{good}with a space in the middle"), "line 2 has something else than printable ASCII"),
            (good.repeat(9), "it has more than 8"),
        ];
        for (text, expected) in cases {
            let said = JoinSecrets::read(&text).unwrap_err().to_string();
            assert!(said.starts_with(expected), "{said}");
        }
        assert!(JoinSecrets::read(&good.repeat(8)).is_ok());
    }
}
