//! Friends, requests and blocks: how one account stands to another.

use super::User;
use crate::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(inline, with = "u8")]
pub enum RelationshipKind {
    Friend,
    Blocked,
    /// The other one asks to be a friend.
    Incoming,
    /// Oneself asked the other one.
    Outgoing,
}

impl RelationshipKind {
    pub const fn number(self) -> u8 {
        match self {
            Self::Friend => 1,
            Self::Blocked => 2,
            Self::Incoming => 3,
            Self::Outgoing => 4,
        }
    }

    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Friend,
            2 => Self::Blocked,
            3 => Self::Incoming,
            4 => Self::Outgoing,
            _ => return None,
        })
    }
}

impl Serialize for RelationshipKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for RelationshipKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Self::from_number(number).ok_or_else(|| serde::de::Error::custom(format_args!("unknown relationship type {number}")))
    }
}

/// How the reader stands to `user`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Relationship {
    /// The other account's.
    pub id: UserId,
    #[serde(rename = "type")]
    pub kind: RelationshipKind,
    /// What the reader calls a friend.
    pub nickname: Option<String>,
    pub user: User,
    pub since: String,
    pub is_spam_request: bool,
    pub stranger_request: bool,
    pub user_ignored: bool,
}

impl Relationship {
    pub fn new(user: User, kind: RelationshipKind, nickname: Option<String>, since: String) -> Self {
        Self { id: user.id, kind, nickname, user, since, is_spam_request: false, stranger_request: false, user_ignored: false }
    }
}
