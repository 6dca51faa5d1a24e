//! Application commands: what a bot offers to be asked.

use crate::{ApplicationId, CommandId, GuildId, Permissions, Snowflake};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema)]
#[schemars(inline, with = "u8")]
pub enum CommandKind {
    /// `/name` with options.
    ChatInput,
    /// In the menu of a user.
    User,
    /// In the menu of a message.
    Message,
}

impl CommandKind {
    pub const ALL: [Self; 3] = [Self::ChatInput, Self::User, Self::Message];

    pub const fn number(self) -> u8 {
        match self {
            Self::ChatInput => 1,
            Self::User => 2,
            Self::Message => 3,
        }
    }

    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| i64::from(kind.number()) == number)
    }
}

impl Serialize for CommandKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for CommandKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        Self::from_number(number).ok_or_else(|| serde::de::Error::custom(format_args!("unknown command type {number}")))
    }
}

/// A command as REST writes it, and as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    pub id: CommandId,
    pub application_id: ApplicationId,
    /// Another one with every change.
    pub version: Snowflake,
    /// What a member must hold to use it. `None`: nothing; an empty set: only administrators may.
    pub default_member_permissions: Option<Permissions>,
    #[serde(rename = "type")]
    pub kind: CommandKind,
    pub name: String,
    /// Names by locale.
    pub name_localizations: Option<Map<String, Value>>,
    /// Empty but for [`CommandKind::ChatInput`].
    pub description: String,
    pub description_localizations: Option<Map<String, Value>>,
    /// `None`: a global command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<GuildId>,
    /// Global commands only; `contexts` says it better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dm_permission: Option<bool>,
    /// Where it can be used: 0 guild, 1 the bot's DM, 2 private channel. `None`: everywhere.
    pub contexts: Option<Vec<u8>>,
    /// 0: installed in a guild, 1: installed by a user.
    pub integration_types: Vec<u8>,
    /// The checked option tree; only [`CommandKind::ChatInput`] has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Value>,
    pub nsfw: bool,
}

impl Command {
    /// Whether it can be used in the context of this number.
    pub fn is_for(&self, context: u8) -> bool {
        self.contexts.as_ref().map_or(context != 1 || self.dm_permission != Some(false), |contexts| contexts.contains(&context))
    }
}
