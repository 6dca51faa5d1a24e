//! A guild's own emojis.

use super::User;
use crate::{EmojiId, RoleId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Emoji {
    pub id: EmojiId,
    pub name: String,
    /// Who may use it; empty: every member.
    pub roles: Vec<RoleId>,
    /// Who made it, for those who may change emojis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Always `true`: it is written `<:name:id>`.
    pub require_colons: bool,
    pub managed: bool,
    pub animated: bool,
    pub available: bool,
}

impl Emoji {
    pub fn new(id: EmojiId, name: String, roles: Vec<RoleId>, animated: bool) -> Self {
        Self { id, name, roles, user: None, require_colons: true, managed: false, animated, available: true }
    }
}
