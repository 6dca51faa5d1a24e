//! Channels and their permission overwrites.

use super::{ChannelRecording, Forum};
use crate::{ChannelId, GuildId, MessageId, Permissions, Snowflake};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(inline, with = "u8")]
pub enum ChannelType {
    Text,
    Dm,
    Voice,
    GroupDm,
    Category,
    Announcement,
    AnnouncementThread,
    PublicThread,
    PrivateThread,
    Stage,
    Forum,
}

impl ChannelType {
    pub const fn number(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::Dm => 1,
            Self::Voice => 2,
            Self::GroupDm => 3,
            Self::Category => 4,
            Self::Announcement => 5,
            Self::AnnouncementThread => 10,
            Self::PublicThread => 11,
            Self::PrivateThread => 12,
            Self::Stage => 13,
            Self::Forum => 15,
        }
    }

    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Text,
            1 => Self::Dm,
            2 => Self::Voice,
            3 => Self::GroupDm,
            4 => Self::Category,
            5 => Self::Announcement,
            10 => Self::AnnouncementThread,
            11 => Self::PublicThread,
            12 => Self::PrivateThread,
            13 => Self::Stage,
            15 => Self::Forum,
            _ => return None,
        })
    }

    /// Whether people connect to it: CONNECT gates everything in it.
    pub const fn is_voice(self) -> bool {
        matches!(self, Self::Voice | Self::Stage)
    }

    pub const fn is_thread(self) -> bool {
        matches!(self, Self::AnnouncementThread | Self::PublicThread | Self::PrivateThread)
    }

    /// Whether messages can be sent to it (voice and stage channels have a text chat).
    pub const fn holds_messages(self) -> bool {
        !matches!(self, Self::Category | Self::Forum)
    }
}

impl Serialize for ChannelType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for ChannelType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Self::from_number(number).ok_or_else(|| serde::de::Error::custom(format_args!("unknown channel type {number}")))
    }
}

/// A guild channel. Keys that belong to other channel types are written as `null`, which libraries accept for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Channel {
    pub id: ChannelId,
    #[serde(rename = "type")]
    pub kind: ChannelType,
    pub guild_id: GuildId,
    pub name: String,
    pub position: i32,
    pub parent_id: Option<ChannelId>,
    pub topic: Option<String>,
    pub nsfw: bool,
    pub last_message_id: Option<MessageId>,
    pub last_pin_timestamp: Option<String>,
    /// Slowmode in seconds, 0..=21600.
    pub rate_limit_per_user: u32,
    pub permission_overwrites: Vec<Overwrite>,
    pub flags: u32,
    /// Bits per second; voice channels only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u32>,
    /// 0 = no limit; voice channels only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_limit: Option<u32>,
    pub rtc_region: Option<String>,
    /// Present while the voice channel is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<ChannelRecording>,
    /// Forums only.
    #[serde(flatten)]
    pub forum: Option<Box<Forum>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(inline, with = "u8")]
pub enum OverwriteKind {
    Role,
    Member,
}

impl Serialize for OverwriteKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(match self {
            Self::Role => 0,
            Self::Member => 1,
        })
    }
}

impl<'de> Deserialize<'de> for OverwriteKind {
    /// Accepts 0/1 and, from older libraries, "role"/"member" or the digits as strings.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            value if value == 0 || value == "0" || value == "role" => Ok(Self::Role),
            value if value == 1 || value == "1" || value == "member" => Ok(Self::Member),
            value => Err(serde::de::Error::custom(format_args!("unknown overwrite type {value}"))),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overwrite {
    /// A role id or a user id, by `kind`.
    pub id: Snowflake,
    #[serde(rename = "type")]
    pub kind: OverwriteKind,
    #[serde(default)]
    pub allow: Permissions,
    #[serde(default)]
    pub deny: Permissions,
}
