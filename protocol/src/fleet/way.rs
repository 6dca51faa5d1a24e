//! How somebody comes into a room by a stream key, without a gateway session: WHIP (RFC 9725) and its counterpart for viewers.
//!
//! The session id of such a participant says so, and by which key: control planes and nodes know it of each other without more
//! words, and after a restart, too. Sessions of the gateway are named by hexadecimal digits alone, so the two are never mistaken.

use std::fmt::Write;

/// How much of a key's hash a session is named by: enough to tell every key from every other.
const HASH_BYTES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Publishes, and is sent nothing.
    Whip,
    /// Watches, and sends nothing.
    Whep,
}

impl Way {
    pub const ALL: [Self; 2] = [Self::Whip, Self::Whep];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }

    /// `whip.`, 16 digits of the key's hash, a dot and 32 digits of chance.
    pub fn session_id(self, key_hash: &[u8; 32], random: &[u8; 16]) -> String {
        format!("{}.{}.{}", self.name(), hex(&key_hash[..HASH_BYTES]), hex(random))
    }

    /// `None`: of a gateway session.
    pub fn of(session_id: &str) -> Option<Self> {
        let (name, _) = session_id.split_once('.')?;
        Self::ALL.into_iter().find(|way| way.name() == name)
    }

    /// Whether the session was begun with the key of this hash.
    pub fn is_of_key(session_id: &str, key_hash: &[u8; 32]) -> bool {
        Self::of(session_id).is_some() && session_id.split('.').nth(1) == Some(hex(&key_hash[..HASH_BYTES]).as_str())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::Way;

    #[test]
    fn a_session_says_which_way_it_came_and_by_which_key() {
        let (key, other) = ([7; 32], [8; 32]);
        for way in Way::ALL {
            let id = way.session_id(&key, &[1; 16]);
            assert_eq!(Way::of(&id), Some(way));
            assert!(Way::is_of_key(&id, &key) && !Way::is_of_key(&id, &other));
        }
        for id in ["0123456789abcdef0123456789abcdef", "", "whip", "rtmp.0707070707070707.01"] {
            assert_eq!((Way::of(id), Way::is_of_key(id, &key)), (None, false), "{id}");
        }
    }
}
