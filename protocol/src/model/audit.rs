//! The audit log: who changed what in a guild, and why.

use crate::{Snowflake, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What was done: the documented numbers of those deeds that exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditAction(pub u8);

impl AuditAction {
    pub const GUILD_UPDATE: Self = Self(1);
    pub const CHANNEL_CREATE: Self = Self(10);
    pub const CHANNEL_UPDATE: Self = Self(11);
    pub const CHANNEL_DELETE: Self = Self(12);
    pub const CHANNEL_OVERWRITE_CREATE: Self = Self(13);
    pub const CHANNEL_OVERWRITE_UPDATE: Self = Self(14);
    pub const CHANNEL_OVERWRITE_DELETE: Self = Self(15);
    pub const MEMBER_KICK: Self = Self(20);
    pub const MEMBER_PRUNE: Self = Self(21);
    pub const MEMBER_BAN_ADD: Self = Self(22);
    pub const MEMBER_BAN_REMOVE: Self = Self(23);
    pub const MEMBER_UPDATE: Self = Self(24);
    pub const MEMBER_ROLE_UPDATE: Self = Self(25);
    pub const MEMBER_MOVE: Self = Self(26);
    pub const MEMBER_DISCONNECT: Self = Self(27);
    pub const BOT_ADD: Self = Self(28);
    pub const ROLE_CREATE: Self = Self(30);
    pub const ROLE_UPDATE: Self = Self(31);
    pub const ROLE_DELETE: Self = Self(32);
    pub const INVITE_CREATE: Self = Self(40);
    pub const INVITE_DELETE: Self = Self(42);
    pub const WEBHOOK_CREATE: Self = Self(50);
    pub const WEBHOOK_UPDATE: Self = Self(51);
    pub const WEBHOOK_DELETE: Self = Self(52);
    pub const EMOJI_CREATE: Self = Self(60);
    pub const EMOJI_UPDATE: Self = Self(61);
    pub const EMOJI_DELETE: Self = Self(62);
    pub const MESSAGE_DELETE: Self = Self(72);
    pub const MESSAGE_BULK_DELETE: Self = Self(73);
    pub const MESSAGE_PIN: Self = Self(74);
    pub const MESSAGE_UNPIN: Self = Self(75);
    pub const THREAD_CREATE: Self = Self(110);
    pub const THREAD_UPDATE: Self = Self(111);
    pub const THREAD_DELETE: Self = Self(112);
    pub const APPLICATION_COMMAND_PERMISSION_UPDATE: Self = Self(121);
}

/// One line of the log, as the list and GUILD_AUDIT_LOG_ENTRY_CREATE write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub id: Snowflake,
    pub action_type: AuditAction,
    /// Who did it; `None` if no account did.
    pub user_id: Option<UserId>,
    /// What or whom it was done to; what kind of id it is depends on the action.
    pub target_id: Option<Snowflake>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<AuditChange>,
    /// More about the deed, by the documented keys; every value is a string, numbers too.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One property before and after. An absent value: there was none, or there is none now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditChange {
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_value: Option<Value>,
}
